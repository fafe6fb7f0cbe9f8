"""`mintage run`: pull the model, open the books, serve, make the first paid request, and say what to do next."""

from __future__ import annotations

import asyncio
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from mintage.accounts import SYSTEM
from mintage.app import App, Service
from mintage.app.first_run import DemoCustomer, pull_default_model, set_up
from mintage.app.pages import make_pages
from mintage.base import METERS, MintageError, Settings
from mintage.books import Settled
from mintage.cli.output import units
from mintage.cli.progress import pull_progress

_QUESTION = "In one sentence, what is a mint?"
_TIMEOUT_S = 120.0


async def run(settings: Settings, *, demo_customers: bool = True, console: Console | None = None) -> None:
    """Serve until SIGINT or SIGTERM. demo_customers: set the first run up and make one paid request."""
    out = console or Console()
    app = await App.open(settings)
    try:
        customers: list[DemoCustomer] = []
        if demo_customers:
            with pull_progress(out) as progress:
                await pull_default_model(app, progress)
            customers = await set_up(app)
            out.print(f"[dim]Loading {settings.default_model} ...[/dim]")
        service = await Service.start(app, make_pages=make_pages)
        try:
            if customers:
                receipt = await first_request(service, customers[0])
                out.print(receipt_panel(app, customers[0], receipt))
            await _say_what_next(out, service, customers)
            await service.until_signal()
            out.print("\n[dim]Settling what still runs ...[/dim]")
        finally:
            await service.stop()
    finally:
        await app.close()
    out.print(f"[dim]The books are closed. They stay in {settings.home_path}.[/dim]")


async def first_request(service: Service, customer: DemoCustomer) -> Settled:
    """One real request through the public door, paid by a customer. Returns its settlement from the books."""
    body = {
        "model": service.app.settings.default_model,
        "messages": [{"role": "user", "content": _QUESTION}],
        "max_tokens": 60,
        "temperature": 0,
    }
    async with httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
        answer = await client.post(
            f"{service.url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {customer.key}"}
        )
    if answer.status_code != 200:
        raise MintageError(
            "upstream_failed",
            f"The first request failed: {answer.json()['error']['message']}",
            "Top the customer up with `mintage topup`, or look at `mintage models list`.",
        )
    settled = service.app.log.settled(answer.headers["x-request-id"])
    if settled is None:
        raise MintageError("internal", "The first request was answered and not settled.", "Please report this.")
    return settled


def receipt_panel(app: App, customer: DemoCustomer, settled: Settled) -> Panel:
    """Tokens by class, charge, cost, margin, balance."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    for meter in METERS:
        if meter.endswith("_tokens") and (count := getattr(settled.usage, meter)):
            table.add_row(meter.removesuffix("_tokens").replace("_", " ") + " tokens", f"{count:,}")
    currency = settled.currency
    cost = sum(cost.nanos for cost in settled.costs)
    margin = settled.posted_nanos - cost
    share = f"  ({100 * Decimal(margin) / settled.posted_nanos:.0f} %)" if settled.posted_nanos else ""
    table.add_row("charge", f"{units(settled.posted_nanos)} {currency}")
    table.add_row("our cost", f"{units(cost)} {currency}")
    table.add_row("[bold]margin[/bold]", f"[bold green]{units(margin)} {currency}[/bold green]{share}")
    table.add_row("balance left", f"{units(settled.balance_nanos)} {currency}")
    title = f"Your first paid request · {customer.name} · {settled.model}"
    return Panel(table, title=title, title_align="left", border_style="green", expand=False, subtitle=settled.hold_id)


async def _say_what_next(out: Console, service: Service, customers: list[DemoCustomer]) -> None:
    app, url = service.app, service.url
    owner = await asyncio.to_thread(app.accounts.staff.ensure_owner, SYSTEM)
    link = await asyncio.to_thread(app.accounts.staff.issue_link, SYSTEM, owner.id)
    plain: dict[str, Any] = {"soft_wrap": True, "highlight": False, "markup": False}
    out.print(f"\n[bold]Console[/bold]  (one-time link, 15 minutes; another: `{_command()} staff link`)")
    out.print(f"{url}/console/sign-in/{link.token}", style="cyan", **plain)
    if customers:
        key, model = customers[0].key, app.settings.default_model
        out.print("\n[bold]curl[/bold]")
        out.print(
            f"curl {url}/v1/chat/completions -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' "
            f'-d \'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello!"}}]}}\'',
            **plain,
        )
        out.print("\n[bold]Python[/bold]  (pip install openai)")
        out.print(
            "from openai import OpenAI\n"
            f'client = OpenAI(base_url="{url}/v1", api_key="{key}")\n'
            f'answer = client.chat.completions.create(model="{model}", messages=[{{"role": "user", "content": '
            '"Hello!"}])\nprint(answer.choices[0].message.content)',
            **plain,
        )
    out.print(f"\nServing {url} until Ctrl-C. Home: {app.home.path}", highlight=False)


def _command() -> str:
    return str(Path(sys.argv[0])) if sys.argv[0].endswith("mintage") else "mintage"
