"""`mintage keys`: make, list and revoke API keys."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from mintage.cli.client import session
from mintage.cli.options import Cursor, Customer, Home, Json, Limit
from mintage.cli.output import more, print_json, say, table, when

app = typer.Typer(help="API keys of a customer.", no_args_is_help=True)


@app.command()
def create(
    customer: Customer,
    *,
    name: Annotated[str, typer.Option(help="What the key is for.")] = "key",
    project: Annotated[str, typer.Option(help="Project, by name or id.")] = "default",
    model: Annotated[list[str] | None, typer.Option(help="Allow only this model, or NAME*; repeatable.")] = None,
    requests_per_minute: Annotated[int | None, typer.Option("--rpm", help="Requests per minute.")] = None,
    tokens_per_minute: Annotated[int | None, typer.Option("--tpm", help="Tokens per minute.")] = None,
    expires_days: Annotated[int | None, typer.Option(min=1, max=36500, help="Days until it expires.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a key. It is shown now and never again."""
    new = {
        "name": name,
        "project": project,
        "models": model or [],
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "expires_ns": None if expires_days is None else time.time_ns() + expires_days * 86_400 * 10**9,
    }
    with session(home, as_json=as_json) as api:
        created = api.call("POST", f"/customers/{customer}/keys", json=new)
    if as_json:
        print_json(created)
    else:
        say(created["secret"])
        say(f"Key {created['key']['id']} of {customer}. Keep it: it is not shown again.")


@app.command("list")
def list_(
    customer: Customer, limit: Limit = 50, cursor: Cursor = None, home: Home = None, as_json: Json = False
) -> None:
    """List a customer's keys by prefix; a key itself is never shown."""
    with session(home, as_json=as_json) as api:
        page = api.get(f"/customers/{customer}/keys", limit=limit, cursor=cursor)
    if as_json:
        print_json(page)
        return
    rows = [
        (
            key["prefix"] + "…",
            key["name"],
            ", ".join(key["models"]) or "all",
            key["requests_per_minute"],
            key["tokens_per_minute"],
            when(key["expires_ns"]),
            when(key["revoked_ns"]),
            key["id"],
        )
        for key in page["items"]
    ]
    table("Keys", ("prefix", "name", "models", "rpm", "tpm", "expires (UTC)", "revoked (UTC)", "id"), rows)
    more(page)


@app.command()
def revoke(
    customer: Customer,
    key_id: Annotated[str, typer.Argument(help="Id of the key, from `keys list`.", metavar="KEY_ID")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Revoke a key for good."""
    with session(home, as_json=as_json) as api:
        key = api.call("DELETE", f"/customers/{customer}/keys/{key_id}")
    if as_json:
        print_json(key)
    else:
        say(f"Revoked {key['prefix']}… ({key['id']}).")
