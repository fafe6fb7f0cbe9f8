"""Customers, their projects and keys. A key's secret appears in one answer only: the one that makes it."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import delete, get, patch, post
from litestar.params import RawBody

from mintage.accounts import CreatedKey, Key, NewKey, NewTenant, Page, Project, Tenant, TenantUpdate
from mintage.server.admin.bodies import decode
from mintage.server.admin.depends import LIMIT_DEFAULT, Actor, Cursor, DeskPart, Limit, Path, Query


class NewProject(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str


@get("/customers", sync_to_thread=True)
def list_customers(
    desk: DeskPart, search: Query = None, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None
) -> Page[Tenant]:
    """Customers, oldest first; search is part of a name or handle."""
    return desk.accounts.tenants.page(search=search, limit=limit, cursor=cursor)


@post("/customers", takes=NewTenant, sync_to_thread=True)
def add_customer(desk: DeskPart, actor: Actor, body: RawBody) -> Tenant:
    """Add a customer with a first project named `default`."""
    new = decode(body, NewTenant)
    return desk.accounts.tenants.add(actor, new, currency=desk.entity().currency)


@get("/customers/{customer:str}", sync_to_thread=True)
def show_customer(desk: DeskPart, customer: Path) -> Tenant:
    """One customer, by id or handle."""
    return desk.accounts.tenants.get(customer)


@patch("/customers/{customer:str}", takes=TenantUpdate, sync_to_thread=True)
def update_customer(desk: DeskPart, actor: Actor, customer: Path, body: RawBody) -> Tenant:
    """Change what is given. A suspended customer's keys stop working."""
    tenant = desk.accounts.tenants.get(customer)
    return desk.accounts.tenants.update(actor, tenant.id, decode(body, TenantUpdate))


@get("/customers/{customer:str}/projects", sync_to_thread=True)
def list_projects(desk: DeskPart, customer: Path, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None) -> Page[Project]:
    """A customer's projects."""
    return desk.accounts.tenants.projects(desk.accounts.tenants.get(customer).id, limit=limit, cursor=cursor)


@post("/customers/{customer:str}/projects", takes=NewProject, sync_to_thread=True)
def add_project(desk: DeskPart, actor: Actor, customer: Path, body: RawBody) -> Project:
    """Add a project."""
    return desk.accounts.tenants.add_project(
        actor, desk.accounts.tenants.get(customer).id, decode(body, NewProject).name
    )


@get("/customers/{customer:str}/keys", sync_to_thread=True)
def list_keys(desk: DeskPart, customer: Path, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None) -> Page[Key]:
    """A customer's keys, revoked ones included; never the secrets."""
    return desk.accounts.keys.page(desk.accounts.tenants.get(customer).id, limit=limit, cursor=cursor)


@post("/customers/{customer:str}/keys", takes=NewKey, sync_to_thread=True)
def create_key(desk: DeskPart, actor: Actor, customer: Path, body: RawBody) -> CreatedKey:
    """Make a key. The answer is the only time that its secret is shown."""
    return desk.accounts.keys.create(actor, desk.accounts.tenants.get(customer).id, decode(body, NewKey))


@delete("/customers/{customer:str}/keys/{key_id:str}", status_code=200, sync_to_thread=True)
def revoke_key(desk: DeskPart, actor: Actor, customer: Path, key_id: Path) -> Key:
    """Revoke a key for good."""
    return desk.accounts.keys.revoke(actor, desk.accounts.tenants.get(customer).id, key_id)


HANDLERS: Final[list[Any]] = [
    list_customers,
    add_customer,
    show_customer,
    update_customer,
    list_projects,
    add_project,
    list_keys,
    create_key,
    revoke_key,
]
