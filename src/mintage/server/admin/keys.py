"""Customers' API keys. A key's secret appears in one answer only: the one that makes it."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import delete, get, patch, post
from litestar.params import RawBody

from mintage.accounts import CreatedKey, Key, KeyUpdate, NewKey, Page
from mintage.server.admin.bodies import decode
from mintage.server.admin.depends import LIMIT_DEFAULT, Actor, Cursor, DeskPart, Flag, Limit, Match, Path, Query


class Rotate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """overlap_s: seconds for which the old key still works, 0 to 90 days."""

    overlap_s: int = 24 * 3600


@get("/customers/{customer:str}/keys", sync_to_thread=True)
def list_keys(
    desk: DeskPart,
    customer: Path,
    *,
    project: Query = None,
    live: Flag = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Page[Key]:
    """A customer's keys, revoked ones included unless live=true; never the secrets."""
    tenant_id = desk.accounts.tenants.get(customer).id
    project_id = desk.accounts.tenants.project(tenant_id, project).id if project else None
    return desk.accounts.keys.page(tenant_id, project_id=project_id, live=live, limit=limit, cursor=cursor)


@post(
    "/customers/{customer:str}/keys",
    takes=NewKey,
    example={
        "name": "till",
        "project": "default",
        "models": ["smollm2-*"],
        "endpoints": ["/v1/chat/*"],
        "ip_ranges": ["203.0.113.0/24"],
        "budget_nanos": 20_000_000_000,
        "budget_period": "day",
        "requests_per_minute": 60,
    },
    sync_to_thread=True,
)
def create_key(desk: DeskPart, actor: Actor, customer: Path, body: RawBody) -> CreatedKey:
    """Make a key. The answer is the only time that its secret is shown."""
    return desk.accounts.keys.create(actor, desk.accounts.tenants.get(customer).id, decode(body, NewKey))


@get("/customers/{customer:str}/keys/{key_id:str}", sync_to_thread=True)
def show_key(desk: DeskPart, customer: Path, key_id: Path) -> Key:
    """One key, by id."""
    return desk.accounts.keys.get(desk.accounts.tenants.get(customer).id, key_id)


@patch(
    "/customers/{customer:str}/keys/{key_id:str}",
    takes=KeyUpdate,
    example={"name": "till 2", "budget_nanos": None},
    sync_to_thread=True,
)
def update_key(desk: DeskPart, actor: Actor, customer: Path, key_id: Path, *, body: RawBody, match: Match) -> Key:
    """Change name, scopes, limits or expiry; null takes a limit away. Counts within a second."""
    tenant = desk.accounts.tenants.get(customer)
    return desk.accounts.keys.update(actor, tenant.id, key_id, decode(body, KeyUpdate), match=match)


@post(
    "/customers/{customer:str}/keys/{key_id:str}/rotate",
    takes=Rotate,
    example={"overlap_s": 86_400},
    sync_to_thread=True,
)
def rotate_key(
    desk: DeskPart, actor: Actor, customer: Path, key_id: Path, *, body: RawBody, match: Match
) -> CreatedKey:
    """A new key with the same scopes and budget. The old one still works for the overlap."""
    tenant, asked = desk.accounts.tenants.get(customer), decode(body, Rotate)
    return desk.accounts.keys.rotate(actor, tenant.id, key_id, overlap_s=asked.overlap_s, match=match)


@delete("/customers/{customer:str}/keys/{key_id:str}", status_code=200, sync_to_thread=True)
def revoke_key(desk: DeskPart, actor: Actor, customer: Path, key_id: Path) -> Key:
    """Revoke a key for good."""
    return desk.accounts.keys.revoke(actor, desk.accounts.tenants.get(customer).id, key_id)


HANDLERS: Final[list[Any]] = [list_keys, create_key, show_key, update_key, rotate_key, revoke_key]
