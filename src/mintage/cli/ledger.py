"""`mintage ledger` and `mintage books`: the accounts, the journals, and the proof that they are right."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mintage.base import MintageError
from mintage.cli import exits
from mintage.cli.client import reporting, session
from mintage.cli.options import Cursor, End, Home, Json, Limit, OneCustomer, Start
from mintage.cli.output import more, print_json, say, table, units, when

ledger = typer.Typer(help="The ledger: accounts and journals.", no_args_is_help=True)
books = typer.Typer(help="The books as a whole: verify, export.", no_args_is_help=True)


@ledger.command("balance")
def trial_balance(
    at: Annotated[str | None, typer.Option(help="Before this day (UTC); now when left out.", metavar="DAY")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Trial balance: every account, and whether debits equal credits."""
    with session(home, as_json=as_json) as api:
        found = api.get("/ledger/trial-balance", at=at)
    if as_json:
        print_json(found)
    else:
        money = ("debit", "credit", "balance")
        rows = [
            (row["account"], row["currency"], *(units(row[f"{name}_nanos"]) for name in money))
            for row in found["accounts"]
        ]
        table("Trial balance", ("account", "currency", *money), rows, right=money)
        say("Debits equal credits." if found["balanced"] else f"NOT balanced: {found['difference_nanos']} nanos.")
    if not found["balanced"]:
        raise typer.Exit(exits.FAILURE)


@ledger.command()
def journals(
    *,
    customer: OneCustomer = None,
    event: Annotated[str | None, typer.Option(help="Only this event, such as top_up.")] = None,
    start: Start = None,
    end: End = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Journals with their postings, newest day first."""
    with session(home, as_json=as_json) as api:
        page = api.get(
            "/ledger/journals", customer=customer, event=event, start=start, end=end, limit=limit, cursor=cursor
        )
    if as_json:
        print_json(page)
        return
    rows = []
    for journal in page["items"]:
        head = (when(journal["occurred_ns"]), journal["event"])
        for posting in journal["postings"]:
            rows.append((*head, posting["account"], units(posting["amount_nanos"]), posting["currency"]))
            head = ("", "")
    table("Journals", ("when (UTC)", "event", "account", "amount", "currency"), rows, right=("amount",))
    more(page)


@books.command()
def verify(home: Home = None, as_json: Json = False) -> None:
    """Derive every balance again from the log and compare, to the nano. Exit code 1 if anything differs."""
    with session(home, as_json=as_json) as api:
        report = api.call("POST", "/books/verify")
    if as_json:
        print_json(report)
    else:
        rows = [
            (check["name"], "ok" if check["ok"] else "WRONG", f"{check['compared']:,}", check["difference_nanos"])
            for check in report["checks"]
        ]
        right = ("compared", "difference in nanos")
        table("Checks", ("check", "result", *right), rows, right=right)
        for check in report["checks"]:
            for problem in check["problems"]:
                say(f"{check['name']}: {problem}")
        verdict = "The books balance" if report["balanced"] else "The books do NOT balance"
        say(f"{verdict}: difference {report['difference_nanos']} nanos, {report['holds_open']} holds open.")
    if not report["balanced"]:
        raise typer.Exit(exits.FAILURE)


@books.command()
def export(
    form: Annotated[str, typer.Option("--format", help="beancount.")] = "beancount",
    out: Annotated[Path | None, typer.Option(help="File to write; standard output when left out.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Export the whole ledger."""
    with session(home, as_json=as_json) as api:
        raw = api.raw("GET", "/books/export", params={"format": form})
    if out is None:
        if as_json:
            print_json({"format": form, "content": raw.decode()})
        else:
            typer.echo(raw.decode(), nl=False)
        return
    with reporting(as_json=as_json):
        try:
            out.write_bytes(raw)
        except OSError as error:
            raise MintageError(
                "invalid_request", f"{out} cannot be written: {error.strerror}.", "Choose another --out."
            ) from error
    if as_json:
        print_json({"format": form, "file": str(out), "bytes": len(raw)})
    else:
        say(f"Wrote {out} ({len(raw):,} bytes).")
