"""`mintage webhooks`: where events are sent, what was sent, and sending it again."""

from __future__ import annotations

from typing import Annotated

import typer

from mintage.cli.client import session
from mintage.cli.options import Home, Json, OneCustomer
from mintage.cli.output import facts, print_json, say, table

app = typer.Typer(help="Webhooks: endpoints, deliveries, replay.", no_args_is_help=True)


@app.command("list")
def list_(home: Home = None, as_json: Json = False) -> None:
    """List endpoints."""
    with session(home, as_json=as_json) as api:
        rows = api.get("/webhooks")
    if as_json:
        print_json(rows)
        return
    cells = [(row["id"], row["url"], ", ".join(row["types"]) or "all", row["tenant_id"] or "all") for row in rows]
    table("Webhooks", ("id", "address", "types", "customer"), cells)


@app.command()
def add(
    url: Annotated[str, typer.Argument(help="Public https address.", metavar="URL")],
    *,
    type_: Annotated[list[str] | None, typer.Option("--type", help="Only this type; may be repeated.")] = None,
    customer: OneCustomer = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Add an endpoint. Its signing secret is shown this once."""
    with session(home, as_json=as_json) as api:
        made = api.call("POST", "/webhooks", json={"url": url, "types": type_ or [], "customer": customer})
    if as_json:
        print_json(made)
    else:
        facts("Webhook", [(name, str(value)) for name, value in made.items() if value])


@app.command()
def remove(
    endpoint: Annotated[str, typer.Argument(help="Id of an endpoint.", metavar="ENDPOINT")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Remove an endpoint, and what waits for it."""
    with session(home, as_json=as_json) as api:
        gone = api.call("DELETE", f"/webhooks/{endpoint}")
    print_json(gone) if as_json else say(f"Removed {endpoint}.")


@app.command()
def deliveries(
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List what was sent, waits or is dead, newest first."""
    with session(home, as_json=as_json) as api:
        rows = api.get("/webhook-deliveries", state=state)
    if as_json:
        print_json(rows)
        return
    names = ("message_id", "endpoint_id", "state", "attempts", "status", "problem")
    table("Deliveries", names, [tuple(str(row.get(name, "")) for name in names) for row in rows])


@app.command()
def replay(
    message: Annotated[str, typer.Argument(help="Id of a message.", metavar="MESSAGE")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Send a message again to every endpoint that wants it."""
    with session(home, as_json=as_json) as api:
        done = api.call("POST", f"/webhook-messages/{message}/replay")
    print_json(done) if as_json else say(f"It is sent to {done['endpoints']} endpoints again.")
