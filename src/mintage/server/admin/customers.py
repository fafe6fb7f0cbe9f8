"""Customers and their projects."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from litestar import get, patch, post
from litestar.params import FromQuery, RawBody

from mintage.accounts import BudgetPeriod, NewTenant, Page, Project, ProjectUpdate, Tenant, TenantUpdate
from mintage.server.admin.bodies import decode
from mintage.server.admin.depends import LIMIT_DEFAULT, Actor, Cursor, DeskPart, Limit, Match, Path, Query


class NewProject(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """budget_nanos: what all its keys together may spend in a period, in nanos of the customer's currency."""

    name: str
    budget_nanos: int | None = None
    budget_period: BudgetPeriod = "month"


@get("/customers", sync_to_thread=True)
def list_customers(
    desk: DeskPart,
    search: Query = None,
    status: FromQuery[Literal["active", "suspended"] | None] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Page[Tenant]:
    """Customers, oldest first; search is part of a name or handle."""
    return desk.accounts.tenants.page(search=search, status=status, limit=limit, cursor=cursor)


@post(
    "/customers",
    takes=NewTenant,
    example={"name": "Acme Labs", "handle": "acme", "email": "ops@acme.example", "country": "DE"},
    sync_to_thread=True,
)
def add_customer(desk: DeskPart, actor: Actor, body: RawBody) -> Tenant:
    """Add a customer with a first project named `default`."""
    new = decode(body, NewTenant)
    return desk.accounts.tenants.add(actor, new, currency=desk.entity().currency)


@get("/customers/{customer:str}", sync_to_thread=True)
def show_customer(desk: DeskPart, customer: Path) -> Tenant:
    """One customer, by id or handle."""
    return desk.accounts.tenants.get(customer)


@patch("/customers/{customer:str}", takes=TenantUpdate, example={"status": "suspended"}, sync_to_thread=True)
def update_customer(desk: DeskPart, actor: Actor, customer: Path, body: RawBody, match: Match) -> Tenant:
    """Change what is given. A suspended customer's keys stop working, and its people are signed out."""
    tenant = desk.accounts.tenants.get(customer)
    return desk.accounts.tenants.update(actor, tenant.id, decode(body, TenantUpdate), match=match)


@get("/customers/{customer:str}/projects", sync_to_thread=True)
def list_projects(desk: DeskPart, customer: Path, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None) -> Page[Project]:
    """A customer's projects."""
    return desk.accounts.tenants.projects(desk.accounts.tenants.get(customer).id, limit=limit, cursor=cursor)


@post(
    "/customers/{customer:str}/projects",
    takes=NewProject,
    example={"name": "chatbot", "budget_nanos": 50_000_000_000, "budget_period": "month"},
    sync_to_thread=True,
)
def add_project(desk: DeskPart, actor: Actor, customer: Path, body: RawBody) -> Project:
    """Add a project, with a budget for all its keys together or without."""
    new = decode(body, NewProject)
    return desk.accounts.tenants.add_project(
        actor,
        desk.accounts.tenants.get(customer).id,
        new.name,
        budget_nanos=new.budget_nanos,
        budget_period=new.budget_period,
    )


@get("/customers/{customer:str}/projects/{project:str}", sync_to_thread=True)
def show_project(desk: DeskPart, customer: Path, project: Path) -> Project:
    """One project, by id or name."""
    return desk.accounts.tenants.project(desk.accounts.tenants.get(customer).id, project)


@patch(
    "/customers/{customer:str}/projects/{project:str}",
    takes=ProjectUpdate,
    example={"budget_nanos": None},
    sync_to_thread=True,
)
def update_project(
    desk: DeskPart, actor: Actor, customer: Path, project: Path, *, body: RawBody, match: Match
) -> Project:
    """Change name or budget; a budget of null is none."""
    tenants = desk.accounts.tenants
    return tenants.update_project(actor, tenants.get(customer).id, project, decode(body, ProjectUpdate), match=match)


HANDLERS: Final[list[Any]] = [
    list_customers,
    add_customer,
    show_customer,
    update_customer,
    list_projects,
    add_project,
    show_project,
    update_project,
]
