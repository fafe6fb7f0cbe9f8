"""`mintage config`, `staff` and `audit`: the operator's own affairs."""

from __future__ import annotations

from typing import Annotated

import typer

from mintage.base import explain_settings
from mintage.cli import exits
from mintage.cli.client import reporting, session
from mintage.cli.options import Cursor, Home, Json, Limit, OneCustomer
from mintage.cli.output import more, print_json, say, table, when

config = typer.Typer(help="Settings.", no_args_is_help=True)
staff = typer.Typer(help="The operator's people.", no_args_is_help=True)
audit = typer.Typer(help="The log of every change.", no_args_is_help=True)


@config.command("show")
def show_config(home: Home = None, as_json: Json = False) -> None:
    """Every setting with its value, where it came from, and what it means. Needs no server and no lock."""
    with reporting(as_json=as_json):
        rows = explain_settings(home=home)
    if as_json:
        print_json(rows)
    else:
        cells = [(row.name, row.value, row.source, row.explanation) for row in rows]
        table("Settings", ("name", "value", "from", "meaning"), cells)


@staff.command()
def link(
    person: Annotated[str, typer.Argument(help="E-mail address or id; the owner when left out.")] = "owner",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a one-time sign-in link for the console, good for 15 minutes."""
    with session(home, as_json=as_json) as api:
        made = api.call("POST", f"/staff/{person}/links")
    if as_json:
        print_json(made)
    else:
        say(made["url"])
        say(f"Works once, until {when(made['expires_ns'])} UTC.")


@staff.command("add")
def add_staff(
    name: Annotated[str, typer.Argument(help="Name.")],
    email: Annotated[str, typer.Argument(help="E-mail address.")],
    role: Annotated[str, typer.Option(help="owner.")] = "owner",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Add a person."""
    with session(home, as_json=as_json) as api:
        member = api.call("POST", "/staff", json={"name": name, "email": email, "role": role})
    if as_json:
        print_json(member)
    else:
        say(f"Added {member['name']} ({member['email']}) as {member['role']}.")


@staff.command("list")
def list_staff(limit: Limit = 50, cursor: Cursor = None, home: Home = None, as_json: Json = False) -> None:
    """List people."""
    with session(home, as_json=as_json) as api:
        page = api.get("/staff", limit=limit, cursor=cursor)
    if as_json:
        print_json(page)
        return
    rows = [(m["name"], m["email"], m["role"], when(m["created_ns"]), m["id"]) for m in page["items"]]
    table("Staff", ("name", "e-mail", "role", "since (UTC)", "id"), rows)
    more(page)


@audit.command("list")
def list_audit(
    *,
    customer: OneCustomer = None,
    subject: Annotated[str | None, typer.Option(help="Only what was done to this id.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Changes, newest first: who did what to what."""
    with session(home, as_json=as_json) as api:
        page = api.get("/audit", customer=customer, subject=subject, limit=limit, cursor=cursor)
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


@audit.command("verify")
def verify_audit(home: Home = None, as_json: Json = False) -> None:
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
