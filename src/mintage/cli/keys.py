"""`mintage keys`: make, narrow, rotate and revoke API keys."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from mintage.cli.client import session
from mintage.cli.options import Cursor, Customer, Home, Json, Limit
from mintage.cli.output import more, print_json, say, table, when
from mintage.cli.projects import Budget, Period, budget_fields, shown_budget
from mintage.client import segment

app = typer.Typer(help="API keys of a customer.", no_args_is_help=True)


KeyId = Annotated[str, typer.Argument(help="Id of the key, from `keys list`.", metavar="KEY_ID")]
Endpoints = Annotated[
    list[str] | None, typer.Option("--endpoint", help="Allow only this path, or /v1/chat/*; repeatable.")
]
Ranges = Annotated[
    list[str] | None, typer.Option("--ip", help="Allow only from this network, as 203.0.113.0/24; repeatable.")
]


@app.command()
def create(
    customer: Customer,
    *,
    name: Annotated[str, typer.Option(help="What the key is for.")] = "key",
    project: Annotated[str, typer.Option(help="Project, by name or id.")] = "default",
    model: Annotated[list[str] | None, typer.Option(help="Allow only this model, or NAME*; repeatable.")] = None,
    endpoint: Endpoints = None,
    ip: Ranges = None,
    budget: Budget = None,
    period: Period = None,
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
        "endpoints": endpoint or [],
        "ip_ranges": ip or [],
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "expires_ns": None if expires_days is None else time.time_ns() + expires_days * 86_400 * 10**9,
    }
    with session(home, as_json=as_json) as api:
        created = api.call(
            "POST", f"/customers/{segment(customer)}/keys", json={**new, **budget_fields(budget, period)}
        )
    if as_json:
        print_json(created)
    else:
        say(created["secret"])
        say(f"Key {created['key']['id']} of {customer}. Keep it: it is not shown again.")


@app.command()
def update(
    customer: Customer,
    key_id: KeyId,
    *,
    name: Annotated[str | None, typer.Option(help="What the key is for.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Allow only this model, or NAME*; repeatable.")] = None,
    endpoint: Endpoints = None,
    ip: Ranges = None,
    budget: Budget = None,
    period: Period = None,
    requests_per_minute: Annotated[int | None, typer.Option("--rpm", help="Requests per minute.")] = None,
    tokens_per_minute: Annotated[int | None, typer.Option("--tpm", help="Tokens per minute.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Change a key's name, scopes or limits: what is given replaces what was."""
    asked = {
        "name": name,
        "models": model,
        "endpoints": endpoint,
        "ip_ranges": ip,
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
    }
    with session(home, as_json=as_json) as api:
        fields = {field: value for field, value in asked.items() if value is not None}
        key = api.change(
            f"/customers/{segment(customer)}/keys/{segment(key_id)}", **fields, **budget_fields(budget, period)
        )
    if as_json:
        print_json(key)
    else:
        say(f"Changed {key['prefix']}… ({key['id']}).")


@app.command()
def rotate(
    customer: Customer,
    key_id: KeyId,
    *,
    overlap_hours: Annotated[int, typer.Option(min=0, max=2160, help="Hours for which the old key still works.")] = 24,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a key with the same scopes and budget in a key's place. It is shown now and never again."""
    with session(home, as_json=as_json) as api:
        created = api.call(
            "POST",
            f"/customers/{segment(customer)}/keys/{segment(key_id)}/rotate",
            json={"overlap_s": overlap_hours * 3600},
        )
    if as_json:
        print_json(created)
    else:
        say(created["secret"])
        say(f"Key {created['key']['id']} replaces {key_id}, which works for {overlap_hours} more hours.")


@app.command("list")
def list_(
    customer: Customer, limit: Limit = 50, cursor: Cursor = None, home: Home = None, as_json: Json = False
) -> None:
    """List a customer's keys by prefix; a key itself is never shown."""
    with session(home, as_json=as_json) as api:
        page = api.get(f"/customers/{segment(customer)}/keys", limit=limit, cursor=cursor)
    if as_json:
        print_json(page)
        return
    rows = [
        (
            key["prefix"] + "…",
            key["name"],
            ", ".join(key["models"]) or "all",
            ", ".join((*key["endpoints"], *key["ip_ranges"])),
            shown_budget(key),
            key["requests_per_minute"],
            key["tokens_per_minute"],
            when(key["expires_ns"]),
            when(key["revoked_ns"]),
            key["id"],
        )
        for key in page["items"]
    ]
    table(
        "Keys",
        ("prefix", "name", "models", "only", "budget", "rpm", "tpm", "expires (UTC)", "revoked (UTC)", "id"),
        rows,
    )
    more(page)


@app.command()
def revoke(
    customer: Customer,
    key_id: KeyId,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Revoke a key for good."""
    with session(home, as_json=as_json) as api:
        key = api.call("DELETE", f"/customers/{segment(customer)}/keys/{segment(key_id)}")
    if as_json:
        print_json(key)
    else:
        say(f"Revoked {key['prefix']}… ({key['id']}).")
