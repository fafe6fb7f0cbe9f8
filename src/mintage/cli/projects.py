"""`mintage projects`: a customer's subdivisions, each with keys and a budget of its own."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mintage.cli.client import session
from mintage.cli.options import Cursor, Customer, Home, Json, Limit
from mintage.cli.output import more, print_json, say, table, units, when
from mintage.client import segment

app = typer.Typer(help="Projects of a customer.", no_args_is_help=True)

Budget = Annotated[
    str | None, typer.Option("--budget", help="Most to spend in a period, in currency units; `none` for no limit.")
]
Period = Annotated[str | None, typer.Option("--period", help="Of the budget: day, week, month or ever (UTC).")]


def budget_fields(budget: str | None, period: str | None) -> dict[str, Any]:
    """What the two options ask for; nothing where they are left out. Raises MintageError."""
    fields: dict[str, Any] = {}
    if budget is not None:
        fields["budget_nanos"] = None if budget == "none" else _nanos(budget)
    if period is not None:
        fields["budget_period"] = period
    return fields


def _nanos(text: str) -> int:
    from mintage.base import NANOS_PER_UNIT, check_nanos, parse_decimal

    return check_nanos(int(parse_decimal(text, places=9, param="budget") * NANOS_PER_UNIT))


def shown_budget(thing: dict[str, Any]) -> str:
    nanos = thing["budget_nanos"]
    return "" if nanos is None else f"{units(nanos)} / {thing['budget_period']}"


@app.command()
def add(
    customer: Customer,
    name: Annotated[str, typer.Argument(help="Name.")],
    *,
    budget: Budget = None,
    period: Period = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Add a project."""
    with session(home, as_json=as_json) as api:
        new = {"name": name, **budget_fields(budget, period)}
        project = api.call("POST", f"/customers/{segment(customer)}/projects", json=new)
    if as_json:
        print_json(project)
    else:
        say(f"Added {project['name']} ({project['id']}).")


@app.command("list")
def list_(
    customer: Customer, limit: Limit = 50, cursor: Cursor = None, home: Home = None, as_json: Json = False
) -> None:
    """List a customer's projects."""
    with session(home, as_json=as_json) as api:
        page = api.get(f"/customers/{segment(customer)}/projects", limit=limit, cursor=cursor)
    if as_json:
        print_json(page)
        return
    rows = [(p["name"], shown_budget(p), when(p["created_ns"]), p["id"]) for p in page["items"]]
    table("Projects", ("name", "budget", "since (UTC)", "id"), rows, right=("budget",))
    more(page)


@app.command()
def update(
    customer: Customer,
    project: Annotated[str, typer.Argument(help="Name or id.", metavar="PROJECT")],
    *,
    name: Annotated[str | None, typer.Option(help="New name.")] = None,
    budget: Budget = None,
    period: Period = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Change a project's name or budget."""
    with session(home, as_json=as_json) as api:
        fields = budget_fields(budget, period) | ({"name": name} if name is not None else {})
        changed = api.change(f"/customers/{segment(customer)}/projects/{segment(project)}", **fields)
    if as_json:
        print_json(changed)
    else:
        say(f"{changed['name']}: budget {shown_budget(changed) or 'none'}.")
