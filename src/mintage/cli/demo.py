"""`mintage demo`: the whole loop, shown to a person or printed as one JSON object."""

from __future__ import annotations

import sys

import msgspec
from rich.console import Console
from rich.table import Table

from mintage.app import App, Service
from mintage.app.demo import DemoResult, check_size, run_demo
from mintage.app.first_run import pull_default_model
from mintage.app.pages import make_pages
from mintage.base import Settings
from mintage.cli.output import units
from mintage.cli.progress import pull_progress


async def demo(settings: Settings, *, requests: int, as_json: bool) -> DemoResult:
    """Serve on a free port, run the loop, stop. The home keeps what happened."""
    check_size(requests)
    out = Console(stderr=as_json)
    app = await App.open(msgspec.structs.replace(settings, port=0))
    try:
        with pull_progress(out) as progress:
            await pull_default_model(app, progress)
        service = await Service.start(app, make_pages=make_pages)
        try:
            with out.status("Loading the model") as status:
                result = await run_demo(service, requests, step=status.update)
        finally:
            await service.stop()
    finally:
        await app.close()
    if as_json:
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    else:
        show(out, result)
    return result


def show(out: Console, result: DemoResult) -> None:
    """Usage and money of the run, the invoices, and what verification found."""
    money = Table(title="The run", title_justify="left", show_header=False)
    money.add_row("requests", str(result.requests))
    for meter, count in result.usage.items():
        if meter != "requests":
            money.add_row(meter.replace("_", " "), f"{count:,}")
    for name, nanos in (
        ("revenue", result.revenue_nanos),
        ("cost", result.cost_nanos),
        ("margin", result.margin_nanos),
    ):
        money.add_row(name, f"{units(nanos)} {result.currency}")
    money.add_row("cut midway", str(result.cut))
    money.add_row("refused for lack of funds", str(result.refused))
    out.print(money)
    for invoice in result.invoices:
        table = Table(title=f"Invoice {invoice.number} · {invoice.customer}", title_justify="left")
        table.add_column("line")
        table.add_column("quantity", justify="right")
        table.add_column("amount", justify="right")
        for line in invoice.lines:
            table.add_row(line.description, f"{line.quantity:,}", line.amount)
        table.add_section()
        table.add_row("total", "", f"{invoice.total} {invoice.currency}")
        out.print(table)
    books = result.books
    verdict = "[green]balanced[/green]" if books.balanced else "[red]NOT balanced[/red]"
    out.print(f"Books: {verdict}, difference {books.difference_nanos} nanos, {books.holds_open} holds open.")
