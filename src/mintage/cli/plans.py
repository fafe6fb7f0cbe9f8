"""`mintage plan`: apply plan files, see versions, give a customer a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mintage.base import MintageError
from mintage.cli.client import reporting, session
from mintage.cli.options import Cursor, Customer, Home, Json, Limit
from mintage.cli.output import amount, more, print_json, say, table, when

app = typer.Typer(help="Plans: what is charged.", no_args_is_help=True)

_TYPES = {".toml": "application/toml", ".json": "application/json"}
_COLUMNS = ("plan", "name", "currency", "funding", "period", "effective (UTC)", "version")


def _row(row: dict[str, object]) -> tuple[object, ...]:
    effective = when(int(str(row["effective_ns"])))
    return (*(row[name] for name in ("plan_id", "name", "currency", "funding", "period")), effective, row["version_id"])


def _read(file: Path) -> tuple[bytes, str]:
    media = _TYPES.get(file.suffix.lower())
    if media is None:
        raise MintageError("invalid_request", f"{file} is no plan file.", "Name it .toml or .json.")
    try:
        return file.read_bytes(), media
    except OSError as error:
        code = "not_found" if isinstance(error, FileNotFoundError) else "invalid_request"
        raise MintageError(code, f"{file} cannot be read: {error.strerror}.", "Check the path.") from error


@app.command()
def apply(
    file: Annotated[Path, typer.Argument(help="A plan in TOML or JSON.", metavar="FILE")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Apply a plan file. The same plan again changes nothing; a changed one is a new version."""
    with reporting(as_json=as_json):
        raw, media = _read(file)
    with session(home, as_json=as_json) as api:
        applied = api.call("POST", "/plans", content=raw, headers={"content-type": media})
    if as_json:
        print_json(applied)
        return
    version = applied["version"]
    what = "Applied" if applied["changed"] else "Nothing changed:"
    say(f"{what} {version['version_id']}, effective {when(version['effective_ns'])} UTC.")
    for finding in applied["findings"]:
        say(f"{finding['severity']}: {finding['path']}: {finding['en']}")


@app.command("list")
def list_(limit: Limit = 50, cursor: Cursor = None, home: Home = None, as_json: Json = False) -> None:
    """List plans, each with its latest version."""
    with session(home, as_json=as_json) as api:
        page = api.get("/plans", limit=limit, cursor=cursor)
    if as_json:
        print_json(page)
        return
    table("Plans", _COLUMNS, [_row(row) for row in page["items"]])
    more(page)


@app.command()
def show(
    plan: Annotated[str, typer.Argument(help="Id of a plan.", metavar="PLAN")], home: Home = None, as_json: Json = False
) -> None:
    """Show a plan and all its versions."""
    with session(home, as_json=as_json) as api:
        view = api.get(f"/plans/{plan}")
    if as_json:
        print_json(view)
        return
    table(f"Versions of {plan}", _COLUMNS, [_row(row) for row in view["versions"]])
    print_json(view["plan"])


@app.command()
def assign(
    customer: Customer,
    plan: Annotated[str, typer.Argument(help="Id of a plan.", metavar="PLAN")],
    credit_limit: Annotated[
        str | None, typer.Option(help="What a postpaid customer may owe; the plan's when left out.", metavar="AMOUNT")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Give a customer a plan from now on."""
    with session(home, as_json=as_json) as api:
        assigned = api.call("PUT", f"/customers/{customer}/plan", json={"plan": plan, "credit_limit": credit_limit})
    if as_json:
        print_json(assigned)
        return
    wallet = assigned["wallet"]
    limit = f", credit limit {amount(wallet['credit_limit_nanos'], wallet['currency'])}"
    say(f"{customer} has {plan} ({wallet['funding']}{limit if wallet['funding'] == 'postpaid' else ''}).")


@app.command()
def pool(
    plan: Annotated[str, typer.Argument(help="Id of a plan.", metavar="PLAN")],
    charge: Annotated[str, typer.Argument(help="Id of its pool charge.", metavar="CHARGE")],
    first_day: Annotated[str, typer.Argument(help="First day of the period, as 2026-01-31.", metavar="DAY")],
    amount_: Annotated[str, typer.Argument(help="Money in the pool, in the plan's currency.", metavar="AMOUNT")],
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Say how much money a pool has in a period, before its customers' periods are closed."""
    with session(home, as_json=as_json) as api:
        body = {"charge": charge, "first_day": first_day, "amount": amount_}
        told = api.call("POST", f"/plans/{plan}/pools", json=body)
    if as_json:
        print_json(told)
    else:
        say(f"The pool {charge} of {plan} has {amount_} in the period of {first_day}.")
