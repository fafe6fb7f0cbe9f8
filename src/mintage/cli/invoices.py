"""`mintage invoices`: close periods, see invoices, check that the books still give them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mintage.base import MintageError, new_id
from mintage.cli import exits
from mintage.cli.client import reporting, session
from mintage.cli.options import Cursor, End, Home, Json, Limit, OneCustomer, Start
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
            row["state"],
            amount(row["open_nanos"], row["currency"]),
        )
        for row in page["items"]
    ]
    columns = ("number", "customer", "from (UTC)", "to (UTC)", "total", "state", "open")
    table("Invoices", columns, rows, right=("total", "open"))
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


@app.command()
def document(
    number: Annotated[str, typer.Argument(help="Number or id of an invoice or credit note.", metavar="NUMBER")],
    out: Annotated[Path, typer.Argument(help="File to write.", metavar="FILE")],
    kind: Annotated[str, typer.Option(help="pdf, xml (EN 16931) or factur-x (both in one).")] = "pdf",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write an invoice or credit note as PDF or e-invoice."""
    with session(home, as_json=as_json) as api:
        raw = api.raw("GET", f"/invoices/{number}/{kind}")
    _write(out, raw, as_json=as_json)


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="File to write: .csv, .json or .parquet.", metavar="FILE")],
    *,
    customer: OneCustomer = None,
    start: Start = None,
    end: End = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write the lines of the newest invoices as a table."""
    form = out.suffix.lower().removeprefix(".")
    with session(home, as_json=as_json) as api:
        query = {"customer": customer, "form": form, "start": start, "end": end}
        raw = api.raw("GET", "/invoice-lines", params={name: value for name, value in query.items() if value})
    _write(out, raw, as_json=as_json)


def _write(out: Path, raw: bytes, *, as_json: bool) -> None:
    with reporting(as_json=as_json):
        try:
            out.write_bytes(raw)
        except OSError as error:
            raise MintageError(
                "invalid_request", f"{out} cannot be written: {error.strerror}.", "Choose another file."
            ) from error
    if as_json:
        print_json({"file": str(out), "bytes": len(raw)})
    else:
        say(f"Wrote {len(raw):,} bytes to {out}.")


@app.command()
def credit(
    number: Number,
    reason: Annotated[str, typer.Option(help="Why; it is on the credit note.")],
    *,
    line: Annotated[
        list[str] | None, typer.Option(help="Part of a line, as PLACE=AMOUNT from 0; all of it when left out.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Your name of this request: the same again is the same note.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Issue a credit note for an invoice, or for parts of its lines."""
    with reporting(as_json=as_json):
        lines = [_part(text) for text in line] if line else None
    with session(home, as_json=as_json) as api:
        body = {"reason": reason, "key": key or new_id("key"), "lines": lines}
        note = api.call("POST", f"/invoices/{number}/credit-notes", json=body)
    if as_json:
        print_json(note)
    else:
        say(f"Issued {note['number']} of {note['content']['total']} {note['content']['currency']}.")


def _part(text: str) -> dict[str, object]:
    place, found, amount_ = text.partition("=")
    if not found or not place.isdigit():
        raise MintageError("invalid_request", f"{text[:40]!r} is no part of a line.", "Write --line 0=1.50.")
    return {"line": int(place), "amount": amount_}


@app.command()
def void(
    number: Number, reason: Annotated[str, typer.Option(help="Why.")], home: Home = None, as_json: Json = False
) -> None:
    """Void an invoice of which nothing is paid, by a credit note for all of it."""
    _end("void", number, reason, home, as_json)


@app.command()
def send(number: Number, home: Home = None, as_json: Json = False) -> None:
    """Send an invoice to its customer by e-mail, as PDF (settings smtp_host and smtp_sender)."""
    with session(home, as_json=as_json) as api:
        sent = api.call("POST", f"/invoices/{number}/send")
    print_json(sent) if as_json else say(f"Sent {sent['number']} to {sent['to']}.")


@app.command("write-off")
def write_off(
    number: Number, reason: Annotated[str, typer.Option(help="Why.")], home: Home = None, as_json: Json = False
) -> None:
    """Give up what is open of an invoice: to bad debt, its part of the tax back."""
    _end("write-off", number, reason, home, as_json)


def _end(how: str, number: str, reason: str, home: str | None, as_json: bool) -> None:
    with session(home, as_json=as_json) as api:
        invoice = api.call("POST", f"/invoices/{number}/{how}", json={"reason": reason})
    if as_json:
        print_json(invoice)
    else:
        say(f"{invoice['number']} is {invoice['state']}.")


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
    for tax in content["taxes"]:
        say(f"{tax['name']} {tax['percent']} %: {amount(tax['tax_nanos'], currency)}")
    say(
        f"Total {content['total']} {currency}, paid before {amount(content['paid_nanos'], currency)}, "
        f"due {amount(content['due_nanos'], currency)}; {invoice['state']}."
    )
