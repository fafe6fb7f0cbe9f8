"""`mintage staff`: the operator's people, their roles and sign-ins."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mintage.cli.client import session
from mintage.cli.options import Cursor, Home, Json, Limit
from mintage.cli.output import more, print_json, say, table, when
from mintage.client import segment

app = typer.Typer(help="The operator's people.", no_args_is_help=True)

Person = Annotated[str, typer.Argument(help="E-mail address or id.", metavar="PERSON")]
Role = Annotated[str, typer.Option(help="owner, finance, support or viewer.")]


@app.command()
def link(
    person: Annotated[str, typer.Argument(help="E-mail address or id; the owner when left out.")] = "owner",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a one-time sign-in link for the console, good for 15 minutes."""
    with session(home, as_json=as_json) as api:
        made = api.call("POST", f"/staff/{segment(person)}/links")
    if as_json:
        print_json(made)
    else:
        tell_link(made)


def tell_link(made: dict[str, Any]) -> None:
    say(made["url"])
    say(f"Works once, until {when(made['expires_ns'])} UTC.")


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Name.")],
    email: Annotated[str, typer.Argument(help="E-mail address.")],
    role: Role = "owner",
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


@app.command()
def invite(
    name: Annotated[str, typer.Argument(help="Name.")],
    email: Annotated[str, typer.Argument(help="E-mail address.")],
    role: Role = "viewer",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Add a person, and print the link for their first sign-in: once, within a week."""
    with session(home, as_json=as_json) as api:
        invited = api.call("POST", "/staff/invitations", json={"name": name, "email": email, "role": role})
    if as_json:
        print_json(invited)
    else:
        say(f"Added {invited['person']['name']} ({invited['person']['email']}) as {invited['person']['role']}.")
        tell_link(invited["link"])


@app.command("list")
def list_(
    *,
    role: Annotated[str | None, typer.Option(help="Only this role.")] = None,
    search: Annotated[str | None, typer.Option(help="Part of a name or address.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List people."""
    with session(home, as_json=as_json) as api:
        page = api.get("/staff", role=role, search=search, limit=limit, cursor=cursor)
    if as_json:
        print_json(page)
        return
    rows = [
        (m["name"], m["email"], m["role"], when(m["created_ns"]), when(m["disabled_ns"]), m["id"])
        for m in page["items"]
    ]
    table("Staff", ("name", "e-mail", "role", "since (UTC)", "disabled (UTC)", "id"), rows)
    more(page)


def _change(person: str, home: str | None, as_json: bool, **fields: Any) -> None:
    with session(home, as_json=as_json) as api:
        member = api.change(f"/staff/{segment(person)}", **{k: v for k, v in fields.items() if v is not None})
    if as_json:
        print_json(member)
    else:
        state = "disabled" if member["disabled_ns"] else "active"
        say(f"{member['name']} ({member['email']}): {member['role']}, {state}.")


@app.command()
def update(
    person: Person,
    *,
    role: Annotated[str | None, typer.Option(help="New role.")] = None,
    name: Annotated[str | None, typer.Option(help="New name.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Change a person's role or name. One owner always stays."""
    _change(person, home, as_json, role=role, name=name)


@app.command()
def disable(person: Person, home: Home = None, as_json: Json = False) -> None:
    """Keep a person out from now on, and end their sessions."""
    _change(person, home, as_json, disabled=True)


@app.command()
def enable(person: Person, home: Home = None, as_json: Json = False) -> None:
    """Let a disabled person in again."""
    _change(person, home, as_json, disabled=False)


@app.command()
def sessions(
    person: Person, limit: Limit = 50, cursor: Cursor = None, home: Home = None, as_json: Json = False
) -> None:
    """List where a person is signed in."""
    with session(home, as_json=as_json) as api:
        page = api.get(f"/staff/{segment(person)}/sessions", limit=limit, cursor=cursor)
    if as_json:
        print_json(page)
        return
    rows = [
        (s["method"], s["address"], s["agent"], when(s["created_ns"]), when(s["seen_ns"]), when(s["ended_ns"]))
        for s in page["items"]
    ]
    table("Sessions", ("by", "from", "with", "began (UTC)", "last seen (UTC)", "ended (UTC)"), rows)
    more(page)


@app.command("sign-out")
def sign_out(person: Person, home: Home = None, as_json: Json = False) -> None:
    """End all sessions of a person."""
    with session(home, as_json=as_json) as api:
        ended = api.call("DELETE", f"/staff/{segment(person)}/sessions")
    if as_json:
        print_json(ended)
    else:
        say(f"Ended {ended['sessions']} sessions.")


@app.command()
def reset(person: Person, home: Home = None, as_json: Json = False) -> None:
    """Forget a person's password and second factor, and sign them out. Make them a link to begin anew."""
    with session(home, as_json=as_json) as api:
        state = api.call("DELETE", f"/staff/{segment(person)}/credentials")
    if as_json:
        print_json(state)
    else:
        say(f"{person} has no password and no second factor now. Next: mintage staff link {person}")


@app.command()
def roles(home: Home = None, as_json: Json = False) -> None:
    """Show the table of permissions: what each allows and who has it."""
    with session(home, as_json=as_json) as api:
        rows = api.get("/roles")
    if as_json:
        print_json(rows)
        return
    cells = [(row["permission"], ", ".join(row["roles"]), row["meaning"]) for row in rows]
    table("Permissions", ("permission", "roles", "meaning"), cells)
