"""`mintage audit`: who changed what, and whether the log of it is whole."""

from __future__ import annotations

from typing import Annotated

import typer

from mintage.cli import exits
from mintage.cli.client import session
from mintage.cli.options import Cursor, End, Home, Json, Limit, OneCustomer, Start
from mintage.cli.output import more, print_json, say, table, when

app = typer.Typer(help="The log of every change.", no_args_is_help=True)


@app.command("list")
def list_(
    *,
    customer: OneCustomer = None,
    subject: Annotated[str | None, typer.Option(help="Only what was done to this id.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only by this one, as entries name them.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this action (key.create), or group (key.).")] = None,
    start: Start = None,
    end: End = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Changes, newest first: who did what to what."""
    query = {"customer": customer, "subject": subject, "actor": actor, "action": action, "start": start, "end": end}
    with session(home, as_json=as_json) as api:
        page = api.get("/audit", limit=limit, cursor=cursor, **query)
    if as_json:
        print_json(page)
        return
    rows = [
        (
            entry["seq"],
            when(entry["at_ns"]),
            entry["actor"],
            entry["action"],
            entry["subject"],
            ", ".join(f"{name}={value}" for name, value in entry["details"].items()),
        )
        for entry in page["items"]
    ]
    table("Audit log", ("seq", "when (UTC)", "who", "what", "to", "details"), rows, right=("seq",))
    more(page)


@app.command()
def verify(home: Home = None, as_json: Json = False) -> None:
    """Walk the log's hash chain. Exit code 1 if an entry was altered, inserted or cut off."""
    with session(home, as_json=as_json) as api:
        report = api.get("/audit/verify")
    if as_json:
        print_json(report)
    elif report["intact"]:
        say(f"Intact: {report['entries']} entries.")
    else:
        say(f"BROKEN at entry {report['broken_seq']}.")
    if not report["intact"]:
        raise typer.Exit(exits.FAILURE)
