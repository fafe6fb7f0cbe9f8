"""`mintage payments`: what came in, providers, refunds. `mintage bank`: statements. `mintage credit-notes`: a list."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mintage.base import MintageError, new_id
from mintage.cli.client import reporting, session
from mintage.cli.options import Cursor, Home, Json, Limit, OneCustomer
from mintage.cli.output import amount, more, print_json, say, table, when

app = typer.Typer(help="Payments: providers, pages to pay at, transfers, refunds, reminders.", no_args_is_help=True)
bank = typer.Typer(help="Bank statements, and which invoices they pay.", no_args_is_help=True)
notes = typer.Typer(help="Credit notes.", no_args_is_help=True)

Customer = Annotated[str, typer.Argument(help="Handle or id.", metavar="CUSTOMER")]


@app.command("list")
def list_(
    customer: OneCustomer = None, limit: Limit = 50, cursor: Cursor = None, home: Home = None, as_json: Json = False
) -> None:
    """List payments, newest first."""
    with session(home, as_json=as_json) as api:
        page = api.get("/payments", customer=customer, limit=limit, cursor=cursor)
    if as_json:
        print_json(page)
        return
    rows = [
        (
            row["id"],
            row["tenant_id"],
            row["provider"],
            row["reference"],
            amount(row["amount_nanos"], row["currency"]),
            amount(row["refunded_nanos"], row["currency"]),
            row["state"],
            when(row["received_ns"]),
        )
        for row in page["items"]
    ]
    columns = ("id", "customer", "provider", "reference", "amount", "refunded", "state", "received (UTC)")
    table("Payments", columns, rows, right=("amount", "refunded"))
    more(page)


@app.command()
def setup(
    provider: Annotated[str, typer.Argument(help="stripe.", metavar="PROVIDER")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Set a provider up. Standard input has two lines: its API key, and the signing secret of its webhook."""
    with reporting(as_json=as_json):
        if provider != "stripe":
            raise MintageError("invalid_request", f"There is no provider {provider[:40]!r}.", "Write stripe.")
        lines = sys.stdin.read(4096).split()
        if len(lines) != 2:
            raise MintageError(
                "invalid_request", "Two lines are needed.", "mintage payments setup stripe < FILE, key then secret."
            )
    with session(home, as_json=as_json) as api:
        row = api.call("PUT", "/payment-providers/stripe", json={"api_key": lines[0], "webhook_secret": lines[1]})
    if as_json:
        print_json(row)
    else:
        mode = "test mode" if row["test"] else "live"
        say(f"{row['name']} is set up ({mode}). Let it send its messages to {row['webhook_path']} of this server.")


@app.command()
def providers(home: Home = None, as_json: Json = False) -> None:
    """List the providers that are set up."""
    with session(home, as_json=as_json) as api:
        rows = api.get("/payment-providers")
    if as_json:
        print_json(rows)
    else:
        cells = [(row["name"], row["webhook_path"], "test" if row["test"] else "live") for row in rows]
        table("Payment providers", ("name", "webhook", "mode"), cells)


@app.command()
def checkout(
    customer: Customer,
    units: Annotated[str | None, typer.Argument(help="To top up, such as 25.00.", metavar="AMOUNT")] = None,
    *,
    invoice: Annotated[str | None, typer.Option(help="Pay what is open of this invoice instead.")] = None,
    provider: Annotated[str, typer.Option(help="Where.")] = "stripe",
    back: Annotated[str, typer.Option(help="Address to return to; this server's when left out.")] = "",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a page where a customer pays; its address is printed."""
    with session(home, as_json=as_json) as api:
        body = {"amount": units, "invoice": invoice, "provider": provider, "back_url": back}
        order = api.call("POST", f"/customers/{customer}/checkout", json=body)
    print_json(order) if as_json else say(order["url"])


@app.command()
def transfer(
    customer: Customer,
    units: Annotated[str, typer.Argument(help="What arrived, such as 25.00.", metavar="AMOUNT")],
    reference: Annotated[str, typer.Argument(help="The transfer's own name: the same again changes nothing.")],
    *,
    invoice: Annotated[str | None, typer.Option(help="It pays this invoice first.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Record a bank transfer that arrived."""
    with session(home, as_json=as_json) as api:
        body = {"amount": units, "reference": reference, "invoice": invoice}
        row = api.call("POST", f"/customers/{customer}/transfers", json=body)
    print_json(row) if as_json else say(f"{row['id']}: {amount(row['amount_nanos'], row['currency'])} credited.")


@app.command()
def refund(
    payment: Annotated[str, typer.Argument(help="Id of a payment.", metavar="PAYMENT")],
    units: Annotated[str, typer.Argument(help="What to pay back, such as 5.00.", metavar="AMOUNT")],
    reason: Annotated[str, typer.Option(help="Why.")],
    *,
    key: Annotated[str | None, typer.Option(help="Your name of this refund: the same again is the same one.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Pay back what the customer has not spent of a payment."""
    with session(home, as_json=as_json) as api:
        body = {"amount": units, "reason": reason, "key": key or new_id("key")}
        row = api.call("POST", f"/payments/{payment}/refund", json=body)
    print_json(row) if as_json else say(f"{amount(row['refunded_nanos'], row['currency'])} of it are paid back.")


@app.command()
def remind(home: Home = None, as_json: Json = False) -> None:
    """Take every step of the reminder schedule that is due; the server does so every hour."""
    with session(home, as_json=as_json) as api:
        steps = api.call("POST", "/dunning/run")
    if as_json:
        print_json(steps)
    else:
        rows = [(row["invoice_id"], row["step"], row["action"], row["outcome"]) for row in steps]
        table("Steps", ("invoice", "step", "action", "outcome"), rows)


@bank.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV (date, amount, currency, text) or CAMT.053.", metavar="FILE")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Take a statement, whole or not at all; what names one invoice and pays it exactly is matched."""
    with reporting(as_json=as_json):
        try:
            raw = file.read_bytes()
        except OSError as error:
            raise MintageError(
                "invalid_request", f"{file} cannot be read: {error.strerror}.", "Give a statement's file."
            ) from error
    with session(home, as_json=as_json) as api:
        done = api.call("POST", "/bank/statements", content=raw)
    if as_json:
        print_json(done)
    else:
        say(f"{done['lines']} lines, {done['known']} known, {done['matched']} matched now, {done['open']} open.")


@bank.command()
def lines(
    state: Annotated[str | None, typer.Option(help="open, matched or ignored.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List lines of statements."""
    with session(home, as_json=as_json) as api:
        page = api.get("/bank/lines", state=state, limit=limit, cursor=cursor)
    if as_json:
        print_json(page)
        return
    rows = [
        (row["id"], row["day"], amount(row["amount_nanos"], row["currency"]), row["payer"], row["text"], row["state"])
        for row in page["items"]
    ]
    table("Bank lines", ("id", "day", "amount", "payer", "text", "state"), rows, right=("amount",))
    more(page)


@bank.command()
def match(
    line: Annotated[str, typer.Argument(help="Id of an open line.", metavar="LINE")],
    invoice: Annotated[str, typer.Argument(help="Number of the invoice that it pays.", metavar="NUMBER")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Book an open line as a payment of an invoice's customer."""
    with session(home, as_json=as_json) as api:
        row = api.call("POST", f"/bank/lines/{line}/match", json={"invoice": invoice})
    print_json(row) if as_json else say(f"{row['id']} pays {row['matched_to']}.")


@notes.command("list")
def list_notes(
    customer: OneCustomer = None, limit: Limit = 50, cursor: Cursor = None, home: Home = None, as_json: Json = False
) -> None:
    """List credit notes, newest first."""
    with session(home, as_json=as_json) as api:
        page = api.get("/credit-notes", customer=customer, limit=limit, cursor=cursor)
    if as_json:
        print_json(page)
        return
    rows = [
        (row["number"], row["tenant_id"], f"{row['content']['total']} {row['content']['currency']}")
        for row in page["items"]
    ]
    table("Credit notes", ("number", "customer", "total"), rows, right=("total",))
    more(page)
