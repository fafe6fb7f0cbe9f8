"""Tenants (customers) and their projects. Every row of a tenant is read by tenant id and own id together."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
import sqlalchemy as sa

from mintage.accounts.changes import Changes
from mintage.accounts.checks import (
    check_country,
    check_email,
    check_handle,
    check_name,
    check_text,
    check_time_zone,
    handle_from,
)
from mintage.accounts.pages import PAGE_DEFAULT, Page, fetch_page
from mintage.accounts.tables import projects, tenants
from mintage.base import MintageError, check_currency, new_id

PROJECTS_MAX: Final = 1000
FIRST_PROJECT: Final = "default"

TenantStatus = Literal["active", "suspended"]


class NewTenant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """handle is made from the name when left out; currency defaults to the legal entity's."""

    name: str
    handle: str | None = None
    email: str = ""
    currency: str | None = None
    time_zone: str = "UTC"
    country: str = ""
    address: str = ""
    tax_id: str = ""


class TenantUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays as it is. The currency and the time zone of the periods never change."""

    name: str | None = None
    email: str | None = None
    country: str | None = None
    address: str | None = None
    tax_id: str | None = None
    status: TenantStatus | None = None


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """A customer. time_zone decides when its billing periods begin."""

    id: str
    handle: str
    name: str
    email: str
    currency: str
    time_zone: str
    country: str
    address: str
    tax_id: str
    status: TenantStatus
    created_ns: int
    updated_ns: int


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A subdivision of a tenant with its own keys."""

    id: str
    tenant_id: str
    name: str
    created_ns: int


class Tenants:
    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def add(self, actor: str, new: NewTenant, *, currency: str) -> Tenant:
        """A tenant with its first project. currency is used when new names none. Raises conflict on a used handle."""
        name, now = check_name(new.name), self._changes.clock.now_ns()
        tenant_id = new_id("cus")
        tenant = Tenant(
            id=tenant_id,
            handle=check_handle(new.handle if new.handle is not None else handle_from(name) or f"c-{tenant_id[-8:]}"),
            name=name,
            email=check_email(new.email),
            currency=check_currency(new.currency or currency),
            time_zone=check_time_zone(new.time_zone),
            country=check_country(new.country),
            address=check_text(new.address, "address"),
            tax_id=check_text(new.tax_id, "tax_id", limit=64),
            status="active",
            created_ns=now,
            updated_ns=now,
        )
        details = {"name": name, "handle": tenant.handle, "currency": tenant.currency, "time_zone": tenant.time_zone}
        with self._changes.change(actor, "customer.add", tenant.id, tenant_id=tenant.id, **details) as change:
            connection = change.connection
            if connection.scalar(sa.select(tenants.c.id).where(tenants.c.handle == tenant.handle)):
                raise MintageError(
                    "conflict", f"The handle {tenant.handle!r} is in use.", "Choose another.", param="handle"
                )
            connection.execute(tenants.insert().values(**msgspec.structs.asdict(tenant)))
            first = Project(id=new_id("prj"), tenant_id=tenant.id, name=FIRST_PROJECT, created_ns=now)
            connection.execute(projects.insert().values(**msgspec.structs.asdict(first)))
        return tenant

    def get(self, reference: str) -> Tenant:
        """By id or handle. Raises not_found."""
        select = sa.select(tenants).where(sa.or_(tenants.c.id == reference, tenants.c.handle == reference))
        with self._changes.database.read() as connection:
            row = connection.execute(select).mappings().one_or_none()
        if row is None:
            raise MintageError(
                "not_found", f"There is no customer {reference[:80]!r}.", "`mintage customers list` shows all."
            )
        return Tenant(**row)

    def update(self, actor: str, tenant_id: str, update: TenantUpdate) -> Tenant:
        tenant = self.get(tenant_id)
        given = {name: value for name, value in msgspec.structs.asdict(update).items() if value is not None}
        values: dict[str, Any] = {name: _clean(name, value) for name, value in given.items()}
        if values:
            with self._changes.change(actor, "customer.update", tenant.id, tenant_id=tenant.id, **values) as change:
                change.connection.execute(
                    tenants.update().where(tenants.c.id == tenant.id).values(updated_ns=change.now_ns, **values)
                )
        return self.get(tenant.id)

    def page(self, *, search: str | None = None, limit: int = PAGE_DEFAULT, cursor: str | None = None) -> Page[Tenant]:
        """Oldest first. search: part of the handle or the name, without regard to case."""
        select = sa.select(tenants)
        if search:
            part = search[:100].lower()
            select = select.where(
                sa.or_(
                    tenants.c.handle.contains(part, autoescape=True),
                    sa.func.lower(tenants.c.name).contains(part, autoescape=True),
                )
            )
        with self._changes.database.read() as connection:
            rows, following = fetch_page(connection, select, tenants.c.id, limit=limit, cursor=cursor)
        return Page(items=[Tenant(**row) for row in rows], next_cursor=following)

    def names(self, tenant_ids: list[str]) -> dict[str, str]:
        """id -> name, for pages and tables of at most a page's rows."""
        select = sa.select(tenants.c.id, tenants.c.name).where(tenants.c.id.in_(tenant_ids[:1000]))
        with self._changes.database.read() as connection:
            return {row.id: row.name for row in connection.execute(select)}

    def add_project(self, actor: str, tenant_id: str, name: str) -> Project:
        now = self._changes.clock.now_ns()
        project = Project(id=new_id("prj"), tenant_id=tenant_id, name=check_name(name), created_ns=now)
        mine = projects.c.tenant_id == tenant_id
        with self._changes.change(actor, "project.add", project.id, tenant_id=tenant_id, name=project.name) as change:
            connection = change.connection
            if connection.scalar(sa.select(projects.c.id).where(mine, projects.c.name == project.name)):
                raise MintageError(
                    "conflict", f"The customer has a project {project.name!r} already.", "Use it.", param="name"
                )
            if (connection.scalar(sa.select(sa.func.count()).select_from(projects).where(mine)) or 0) >= PROJECTS_MAX:
                raise MintageError("conflict", f"The customer has {PROJECTS_MAX} projects.", "Use one of them.")
            connection.execute(projects.insert().values(**msgspec.structs.asdict(project)))
        return project

    def project(self, tenant_id: str, reference: str) -> Project:
        """One of the tenant's own projects, by id or name. Another tenant's is not_found."""
        column = projects.c.id if reference.startswith("prj_") else projects.c.name
        select = sa.select(projects).where(projects.c.tenant_id == tenant_id, column == reference)
        with self._changes.database.read() as connection:
            row = connection.execute(select).mappings().one_or_none()
        if row is None:
            raise MintageError(
                "not_found", f"The customer has no project {reference[:80]!r}.", "List its projects first."
            )
        return Project(**row)

    def projects(self, tenant_id: str, *, limit: int = PAGE_DEFAULT, cursor: str | None = None) -> Page[Project]:
        select = sa.select(projects).where(projects.c.tenant_id == tenant_id)
        with self._changes.database.read() as connection:
            rows, following = fetch_page(connection, select, projects.c.id, limit=limit, cursor=cursor)
        return Page(items=[Project(**row) for row in rows], next_cursor=following)


def _clean(name: str, value: str) -> str:
    match name:
        case "name":
            return check_name(value)
        case "email":
            return check_email(value)
        case "country":
            return check_country(value)
        case "status":
            return value
        case _:
            return check_text(value, name, limit=64 if name == "tax_id" else 1000)
