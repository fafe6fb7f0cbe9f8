"""`mintage customers`: add, list, show and change customers."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mintage.base import MintageError
from mintage.cli.client import Api, session
from mintage.cli.options import Cursor, Customer, Home, Json, Limit
from mintage.cli.output import amount, facts, more, print_json, say, table, when

app = typer.Typer(help="Customers: who buys.", no_args_is_help=True)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Name as invoices show it.")],
    *,
    handle: Annotated[str | None, typer.Option(help="Short name for commands; made from the name.")] = None,
    email: Annotated[str, typer.Option(help="E-mail address.")] = "",
    currency: Annotated[str | None, typer.Option(help="ISO 4217 code; the operator's when left out.")] = None,
    time_zone: Annotated[str, typer.Option(help="IANA time zone of its billing periods.")] = "UTC",
    country: Annotated[str, typer.Option(help="Two letters.")] = "",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Add a customer, with a first project named default."""
    new = {"name": name, "handle": handle, "email": email, "currency": currency, "time_zone": time_zone}
    with session(home, as_json=as_json) as api:
        tenant = api.call("POST", "/customers", json={**new, "country": country})
    if as_json:
        print_json(tenant)
    else:
        say(f"Added {tenant['name']} as {tenant['handle']} ({tenant['id']}).")
        say(f"Next: mintage plan assign {tenant['handle']} PLAN")


@app.command("list")
def list_(
    search: Annotated[str | None, typer.Option(help="Part of a name or handle.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List customers, oldest first."""
    with session(home, as_json=as_json) as api:
        page = api.get("/customers", search=search, limit=limit, cursor=cursor)
    if as_json:
        print_json(page)
        return
    rows = [(t["handle"], t["name"], t["currency"], t["status"], when(t["created_ns"]), t["id"]) for t in page["items"]]
    table("Customers", ("handle", "name", "currency", "status", "since (UTC)", "id"), rows)
    more(page)


@app.command()
def show(customer: Customer, home: Home = None, as_json: Json = False) -> None:
    """Show one customer with its balance."""
    with session(home, as_json=as_json) as api:
        tenant = api.get(f"/customers/{customer}")
        wallet = _wallet(api, customer)
    if as_json:
        print_json({**tenant, "wallet": wallet})
        return
    pairs = [(name, tenant[name]) for name in ("handle", "id", "email", "currency", "time_zone", "country", "status")]
    pairs.append(("since (UTC)", when(tenant["created_ns"])))
    if wallet is not None:
        pairs.append((f"{wallet['funding']} balance", amount(wallet["balance_nanos"], wallet["currency"])))
        pairs.append(("available", amount(wallet["available_nanos"], wallet["currency"])))
    facts(tenant["name"], pairs)


def _wallet(api: Api, customer: str) -> Any:
    """None for a customer that never had a plan."""
    try:
        return api.get(f"/customers/{customer}/wallet")
    except MintageError as error:
        if error.code != "not_found":
            raise
        return None


@app.command()
def update(
    customer: Customer,
    *,
    name: Annotated[str | None, typer.Option(help="New name.")] = None,
    email: Annotated[str | None, typer.Option(help="New e-mail address.")] = None,
    country: Annotated[str | None, typer.Option(help="Two letters.")] = None,
    address: Annotated[str | None, typer.Option(help="Address for invoices.")] = None,
    tax_id: Annotated[str | None, typer.Option(help="Tax id for invoices.")] = None,
    status: Annotated[str | None, typer.Option(help="active or suspended: a suspended customer's keys stop.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Change what is given."""
    given = {
        "name": name,
        "email": email,
        "country": country,
        "address": address,
        "tax_id": tax_id,
        "status": status,
    }
    with session(home, as_json=as_json) as api:
        changes = {field: value for field, value in given.items() if value is not None}
        tenant = api.call("PATCH", f"/customers/{customer}", json=changes)
    if as_json:
        print_json(tenant)
    else:
        say(f"{tenant['name']} ({tenant['handle']}) is {tenant['status']}.")
