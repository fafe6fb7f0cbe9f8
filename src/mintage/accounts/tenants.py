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
from mintage.accounts.scopes import BudgetPeriod, check_budget, check_period
from mintage.accounts.tables import projects, tenants
from mintage.accounts.versions import check_match
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
    """A subdivision of a tenant with its own keys, and a budget for all of them together."""

    id: str
    tenant_id: str
    name: str
    budget_nanos: int | None = None
    budget_period: BudgetPeriod = "month"
    created_ns: int
    updated_ns: int


class ProjectUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays as it is."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    budget_nanos: int | msgspec.UnsetType | None = msgspec.UNSET
    budget_period: BudgetPeriod | msgspec.UnsetType = msgspec.UNSET


class Tenants:
    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def add(self, actor: str, new: NewTenant, *, currency: str) -> Tenant:
        """A tenant with its first project. currency is used when new names none. Raises conflict on a used handle."""
        tenant = self.made(new, currency=currency)
        details: dict[str, Any] = {
            "name": tenant.name,
            "handle": tenant.handle,
            "currency": tenant.currency,
            "time_zone": tenant.time_zone,
        }
        with self._changes.change(actor, "customer.add", tenant.id, tenant_id=tenant.id, **details) as change:
            return self.insert(change.connection, tenant)

    def made(self, new: NewTenant, *, currency: str) -> Tenant:
        """A tenant as it would be, checked and not stored."""
        name, now = check_name(new.name), self._changes.clock.now_ns()
        tenant_id = new_id("cus")
        return Tenant(
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

    @staticmethod
    def insert(connection: sa.Connection, tenant: Tenant, *, rename: bool = False) -> Tenant:
        """Store it with its first project. rename: give it another handle, rather than refuse it, when its is used."""
        if connection.scalar(sa.select(tenants.c.id).where(tenants.c.handle == tenant.handle)):
            if not rename:
                raise MintageError(
                    "conflict", f"The handle {tenant.handle!r} is in use.", "Choose another.", param="handle"
                )
            tenant = msgspec.structs.replace(tenant, handle=f"{tenant.handle[:50].rstrip('-')}-{tenant.id[-8:]}")
        connection.execute(tenants.insert().values(**msgspec.structs.asdict(tenant)))
        now = tenant.created_ns
        first = Project(id=new_id("prj"), tenant_id=tenant.id, name=FIRST_PROJECT, created_ns=now, updated_ns=now)
        connection.execute(projects.insert().values(**msgspec.structs.asdict(first)))
        return tenant

    def get(self, reference: str) -> Tenant:
        """By id or handle. Raises not_found."""
        with self._changes.database.read() as connection:
            return self._read(connection, reference)

    @staticmethod
    def _read(connection: sa.Connection, reference: str) -> Tenant:
        select = sa.select(tenants).where(sa.or_(tenants.c.id == reference, tenants.c.handle == reference))
        row = connection.execute(select).mappings().one_or_none()
        if row is None:
            raise MintageError(
                "not_found", f"There is no customer {reference[:80]!r}.", "`mintage customers list` shows all."
            )
        return Tenant(**row)

    def update(self, actor: str, tenant_id: str, update: TenantUpdate, *, match: str | None = None) -> Tenant:
        """Change what is given. Raises precondition_failed (see check_match)."""
        tenant = self.get(tenant_id)
        given = {name: value for name, value in msgspec.structs.asdict(update).items() if value is not None}
        values: dict[str, Any] = {name: _clean(name, value) for name, value in given.items()}
        if values:
            with self._changes.change(actor, "customer.update", tenant.id, tenant_id=tenant.id, **values) as change:
                check_match(match, self._read(change.connection, tenant.id))
                change.connection.execute(
                    tenants.update().where(tenants.c.id == tenant.id).values(updated_ns=change.now_ns, **values)
                )
        return self.get(tenant.id)

    def page(
        self,
        *,
        search: str | None = None,
        status: str | None = None,
        limit: int = PAGE_DEFAULT,
        cursor: str | None = None,
    ) -> Page[Tenant]:
        """Oldest first. search: part of the handle or the name, without regard to case."""
        select = sa.select(tenants)
        if status is not None:
            select = select.where(tenants.c.status == status)
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

    def add_project(
        self,
        actor: str,
        tenant_id: str,
        name: str,
        *,
        budget_nanos: int | None = None,
        budget_period: BudgetPeriod = "month",
    ) -> Project:
        """budget_nanos: what all its keys together may spend in a period; None for no limit. Raises conflict."""
        now = self._changes.clock.now_ns()
        project = Project(
            id=new_id("prj"),
            tenant_id=tenant_id,
            name=check_name(name),
            budget_nanos=check_budget(budget_nanos),
            budget_period=check_period(budget_period),
            created_ns=now,
            updated_ns=now,
        )
        mine = projects.c.tenant_id == tenant_id
        details: dict[str, Any] = {
            "name": project.name,
            "budget_nanos": project.budget_nanos,
            "budget_period": project.budget_period,
        }
        with self._changes.change(actor, "project.add", project.id, tenant_id=tenant_id, **details) as change:
            connection = change.connection
            self._check_project_name(connection, project)
            if (connection.scalar(sa.select(sa.func.count()).select_from(projects).where(mine)) or 0) >= PROJECTS_MAX:
                raise MintageError("conflict", f"The customer has {PROJECTS_MAX} projects.", "Use one of them.")
            connection.execute(projects.insert().values(**msgspec.structs.asdict(project)))
        return project

    @staticmethod
    def _check_project_name(connection: sa.Connection, project: Project) -> None:
        same = (projects.c.tenant_id == project.tenant_id) & (projects.c.name == project.name)
        if connection.scalar(sa.select(projects.c.id).where(same, projects.c.id != project.id)):
            raise MintageError(
                "conflict", f"The customer has a project {project.name!r} already.", "Use it.", param="name"
            )

    def update_project(
        self, actor: str, tenant_id: str, reference: str, update: ProjectUpdate, *, match: str | None = None
    ) -> Project:
        """Change what is given; a budget_nanos of null takes the limit away. Raises precondition_failed, conflict."""
        project_id = self.project(tenant_id, reference).id
        given = {name: value for name, value in msgspec.structs.asdict(update).items() if value is not msgspec.UNSET}
        with self._changes.change(actor, "project.update", project_id, tenant_id=tenant_id, **given) as change:
            connection = change.connection
            project = self._read_project(connection, tenant_id, project_id)
            check_match(match, project)
            project = msgspec.structs.replace(project, **given, updated_ns=change.now_ns)
            check_name(project.name)
            check_budget(project.budget_nanos)
            check_period(project.budget_period)
            self._check_project_name(connection, project)
            connection.execute(
                projects.update().where(projects.c.id == project_id).values(**msgspec.structs.asdict(project))
            )
        return project

    def project(self, tenant_id: str, reference: str) -> Project:
        """One of the tenant's own projects, by id or name. Another tenant's is not_found."""
        with self._changes.database.read() as connection:
            return self._read_project(connection, tenant_id, reference)

    @staticmethod
    def _read_project(connection: sa.Connection, tenant_id: str, reference: str) -> Project:
        column = projects.c.id if reference.startswith("prj_") else projects.c.name
        select = sa.select(projects).where(projects.c.tenant_id == tenant_id, column == reference)
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
