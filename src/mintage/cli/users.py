"""`mintage users`: a customer's own people, who sign in to its portal."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mintage.cli.client import session
from mintage.cli.options import Cursor, Customer, Home, Json, Limit
from mintage.cli.output import more, print_json, say, table, when
from mintage.cli.staff import Person, tell_link
from mintage.client import segment

app = typer.Typer(help="A customer's own people.", no_args_is_help=True)


@app.command()
def invite(
    customer: Customer,
    name: Annotated[str, typer.Argument(help="Name.")],
    email: Annotated[str, typer.Argument(help="E-mail address.")],
    *,
    role: Annotated[str, typer.Option(help="admin or member.")] = "member",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Add a person, and print the link for their first sign-in: once, within a week."""
    new = {"name": name, "email": email, "role": role}
    with session(home, as_json=as_json) as api:
        invited = api.call("POST", f"/customers/{segment(customer)}/users", json=new)
    if as_json:
        print_json(invited)
    else:
        say(f"Added {invited['person']['name']} ({invited['person']['email']}) as {invited['person']['role']}.")
        tell_link(invited["link"])


@app.command("list")
def list_(
    customer: Customer, limit: Limit = 50, cursor: Cursor = None, home: Home = None, as_json: Json = False
) -> None:
    """List a customer's people."""
    with session(home, as_json=as_json) as api:
        page = api.get(f"/customers/{segment(customer)}/users", limit=limit, cursor=cursor)
    if as_json:
        print_json(page)
        return
    rows = [(u["name"], u["email"], u["role"], when(u["created_ns"]), when(u["disabled_ns"])) for u in page["items"]]
    table("People", ("name", "e-mail", "role", "since (UTC)", "disabled (UTC)"), rows)
    more(page)


@app.command()
def link(customer: Customer, person: Person, home: Home = None, as_json: Json = False) -> None:
    """Make a one-time sign-in link for a person, good for 15 minutes."""
    with session(home, as_json=as_json) as api:
        made = api.call("POST", f"/customers/{segment(customer)}/users/{segment(person)}/links")
    if as_json:
        print_json(made)
    else:
        tell_link(made)


@app.command()
def update(
    customer: Customer,
    person: Person,
    *,
    role: Annotated[str | None, typer.Option(help="admin or member.")] = None,
    name: Annotated[str | None, typer.Option(help="New name.")] = None,
    disabled: Annotated[bool | None, typer.Option("--disable/--enable", help="Keep out, or let in again.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Change a person's role or name, keep them out or let them in again."""
    fields: dict[str, Any] = {"role": role, "name": name, "disabled": disabled}
    given = {field: value for field, value in fields.items() if value is not None}
    with session(home, as_json=as_json) as api:
        user = api.change(f"/customers/{segment(customer)}/users/{segment(person)}", **given)
    if as_json:
        print_json(user)
    else:
        say(f"{user['name']} ({user['email']}): {user['role']}, {'disabled' if user['disabled_ns'] else 'active'}.")
