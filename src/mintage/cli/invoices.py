"""`mintage invoices`: close periods, see invoices, check that the books still give them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mintage.cli import exits
from mintage.cli.client import session
from mintage.cli.options import Cursor, Home, Json, Limit, OneCustomer
from mintage.cli.output import amount, facts, more, print_json, say, table, when

app = typer.Typer(help="Invoices of closed periods.", no_args_is_help=True)

Number = Annotated[str, typer.Argument(help="Number or id of an invoice.", metavar="NUMBER")]


@app.command()
def close(
    customer: Annotated[
        str | None, typer.Argument(help="Handle or id; everyone when left out.", metavar="CUSTOMER")
    ] = None,
    early: Annotated[bool, typer.Option("--early", help="Also the period that runs, up to now.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Close every period that has ended, and invoice it. Closing twice is once."""
    with session(home, as_json=as_json) as api:
        closed = api.call("POST", "/invoices/close", json={"customer": customer, "early": early})
    if as_json:
        print_json(closed)
    else:
        for invoice in closed["invoices"]:
            _show(invoice)
        if not closed["invoices"]:
            say("Nothing to invoice.")
        for failure in closed["failures"]:
            say(f"{failure['customer']}: {failure['problem']['detail']} {failure['problem'].get('hint', '')}")
    if closed["failures"]:
        raise typer.Exit(exits.FAILURE)


@app.command("list")
def list_(
    customer: OneCustomer = None, limit: Limit = 50, cursor: Cursor = None, home: Home = None, as_json: Json = False
) -> None:
    """List invoices, newest first."""
    with session(home, as_json=as_json) as api:
        page = api.get("/invoices", customer=customer, limit=limit, cursor=cursor)
    if as_json:
        print_json(page)
        return
    rows = [
        (
            row["number"],
            row["tenant_id"],
            when(row["start_ns"]),
            when(row["end_ns"]),
            amount(row["total_nanos"], row["currency"]),
            amount(row["due_nanos"], row["currency"]),
        )
        for row in page["items"]
    ]
    columns = ("number", "customer", "from (UTC)", "to (UTC)", "total", "due")
    table("Invoices", columns, rows, right=("total", "due"))
    more(page)


@app.command()
def show(number: Number, home: Home = None, as_json: Json = False) -> None:
    """Show one invoice with its lines."""
    with session(home, as_json=as_json) as api:
        invoice = api.get(f"/invoices/{number}")
    if as_json:
        print_json(invoice)
    else:
        _show(invoice)


@app.command()
def verify(number: Number, home: Home = None, as_json: Json = False) -> None:
    """Make the invoice once more from the books and compare every byte. Exit code 1 if it differs."""
    with session(home, as_json=as_json) as api:
        check = api.get(f"/invoices/{number}/verify")
    if as_json:
        print_json(check)
    else:
        say(f"{check['number']} is {'identical' if check['identical'] else 'DIFFERENT'} ({check['content_hash']}).")
    if not check["identical"]:
        raise typer.Exit(exits.FAILURE)


def _show(invoice: dict[str, Any]) -> None:
    content = invoice["content"]
    currency = content["currency"]
    facts(
        f"Invoice {invoice['number']}",
        (
            ("from", content["seller"]["name"]),
            ("to", content["customer"]["name"]),
            ("period", f"{content['first_day']} to {content['last_day']} ({content['time_zone']})"),
            ("issued (UTC)", when(invoice["issued_ns"])),
        ),
    )
    rows = [(line["description"], f"{line['quantity']:,}", line["exact"], line["amount"]) for line in content["lines"]]
    right = ("quantity", "exact", f"amount in {currency}")
    table("Lines", ("line", *right), rows, right=right)
    say(
        f"Total {content['total']} {currency}, paid before {amount(content['paid_nanos'], currency)}, "
        f"due {amount(content['due_nanos'], currency)}."
    )
