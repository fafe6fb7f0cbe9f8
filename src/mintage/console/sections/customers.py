"""Customers: the list, adding one, and one customer's page with its wallet, plan, projects and what it used."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from litestar import Response, get, post
from litestar.params import FromPath

from mintage.accounts import NewTenant, Tenant, TenantUpdate
from mintage.base import MintageError, Money, new_id
from mintage.billing import TopUp
from mintage.books import Wallet
from mintage.console import figures
from mintage.console.door import AnyRequest, Services
from mintage.console.sections import keys
from mintage.console.table import Cell, Column, Empty, Table, amount, code, link, moment, state, words
from mintage.console.views import saved_views
from mintage.console.visit import DAY_NS, Visit, open_visit

ROWS: Final = 50
_PROJECTS: Final = 100


@get("/console/customers")
async def customers_page(request: AnyRequest, services: Services) -> Response[bytes]:
    """The list, oldest first, with what each has and pays."""
    visit = await open_visit(request, services, "customers.read")
    search, cursor = visit.query("search"), visit.query("cursor") or None
    page = await asyncio.to_thread(services.accounts.tenants.page, search=search or None, limit=ROWS, cursor=cursor)
    subscriptions = await asyncio.to_thread(services.billing.subscriptions.all_current)
    wallets = _wallets(services.log.wallets()) if visit.may("money.read") else {}
    plans = {tenant_id: one.plan for tenant_id, one in subscriptions.items()}
    t = visit.t
    table = Table(
        caption=t("nav.customers"),
        columns=[
            Column(t("customer.name"), wide=True),
            Column(t("customer.handle"), keep=2),
            Column(t("customer.plan"), keep=2),
            Column(t("customer.balance"), numeric=True),
            Column(t("customer.since"), keep=1),
            Column(t("customer.status"), keep=1),
        ],
        rows=[_row(visit, tenant, wallets.get(tenant.id), plans.get(tenant.id, "")) for tenant in page.items],
        empty=Empty(t("customer.none_found"), t("customer.none_found_text"))
        if search
        else Empty(
            t("customers.empty_title"), t("customer.empty_text"), command='mintage customers add "Ada Ltd"',
            href="/console/customers/new", action=t("customer.add"),
        ),
        next_href=visit.link(cursor=page.next_cursor) if page.next_cursor else "",
        first_href=visit.link() if cursor else "",
    )  # fmt: skip
    values = {"table": table, "search": search, "views": await saved_views(visit, "customers")}
    return visit.render("customers.html", "customers", t("nav.customers"), values)


def _wallets(wallets: list[Wallet]) -> dict[str, Wallet]:
    return {wallet.tenant_id: wallet for wallet in wallets}


def _row(visit: Visit, tenant: Tenant, wallet: Wallet | None, plan: str) -> list[Cell]:
    return [
        link(tenant.name, f"/console/customers/{tenant.handle}", small=tenant.email),
        code(tenant.handle),
        link(plan, f"/console/plans/{plan}") if plan else words(""),
        amount(wallet.balance_nanos, wallet.currency) if wallet else words(""),
        moment(tenant.created_ns, day_only=True),
        tenant_state(visit, tenant),
    ]


def tenant_state(visit: Visit, tenant: Tenant) -> Cell:
    tone: Any = "ok" if tenant.status == "active" else "bad"
    return state(visit.t(f"customer.{tenant.status}"), tone)


@get("/console/customers/new")
async def new_customer(request: AnyRequest, services: Services) -> Response[bytes]:
    visit = await open_visit(request, services, "customers.write")
    return await _new_page(visit, {}, None)


async def _new_page(visit: Visit, given: dict[str, str], problem: MintageError | None) -> Response[bytes]:
    plans = await asyncio.to_thread(visit.services.billing.plans.page, limit=500)
    entity = await asyncio.to_thread(visit.services.entity)
    values = {"given": given, "plans": [(row.plan_id, row.name) for row in plans.items], "currency": entity.currency}
    return visit.render("customer_new.html", "customers", visit.t("customer.add"), values, problem=problem)


@post("/console/customers/new", status_code=303)
async def add_customer(request: AnyRequest, services: Services) -> Response[Any]:
    """The customer, and its plan if one was chosen."""
    visit = await open_visit(request, services, "customers.write")
    form = await visit.form()
    plan = form.get("plan", "") if visit.may("plans.write") else ""
    try:
        entity = await asyncio.to_thread(services.entity)
        new = NewTenant(
            name=form.get("name", ""), handle=form.get("handle") or None, email=form.get("email", ""),
            currency=(form.get("currency") or "").upper() or None, country=form.get("country", "").upper(),
            time_zone=form.get("time_zone") or "UTC",
        )  # fmt: skip
        if plan:  # a plan that cannot be given must not leave half a customer
            version = await asyncio.to_thread(services.billing.plans.current, plan, services.clock.now_ns())
            if version.plan.currency != (new.currency or entity.currency):
                raise MintageError(
                    "conflict", f"The plan is in {version.plan.currency}.", "Choose that currency.", param="currency"
                )
        tenant = await asyncio.to_thread(services.accounts.tenants.add, visit.actor, new, currency=entity.currency)
    except MintageError as error:
        return await _new_page(visit, form, error)
    if plan:
        await services.billing.assign(visit.actor, tenant, plan)
    return visit.go(f"/console/customers/{tenant.handle}", "customer_added")


@get("/console/customers/{customer:str}")
async def customer_page(request: AnyRequest, services: Services, customer: FromPath[str]) -> Response[bytes]:
    visit = await open_visit(request, services, "customers.read")
    tenant = await asyncio.to_thread(services.accounts.tenants.get, customer)
    return await show_customer(visit, tenant)


async def show_customer(
    visit: Visit, tenant: Tenant, *, given: dict[str, str] | None = None, problem: MintageError | None = None
) -> Response[bytes]:
    services = visit.services
    wallet = await _wallet(visit, tenant) if visit.may("money.read") else None
    subscription = await asyncio.to_thread(services.billing.subscriptions.current, tenant.id)
    projects = (await asyncio.to_thread(services.accounts.tenants.projects, tenant.id, limit=_PROJECTS)).items
    plans = await asyncio.to_thread(services.billing.plans.page, limit=500) if visit.may("plans.write") else None
    values: dict[str, Any] = {
        "tenant": tenant,
        "wallet": wallet,
        "balance": figures.money(wallet.balance_nanos, wallet.currency) if wallet else None,
        "held": figures.money(wallet.held_nanos, wallet.currency) if wallet else None,
        "available": figures.money(wallet.available_nanos, wallet.currency) if wallet else None,
        "limit": figures.money(wallet.credit_limit_nanos, wallet.currency) if wallet else None,
        "subscription": subscription,
        "since": figures.iso_time(tenant.created_ns)[:10],
        "projects": projects,
        "plans": [(row.plan_id, row.name) for row in plans.items if row.currency == tenant.currency] if plans else [],
        "keys": await keys.keys_table(visit, tenant, projects, f"/console/customers/{tenant.handle}/keys"),
        "once": keys.remember_once(visit),
        "given": given or {},
        "payment": new_id("top"),
        "month": await _month(visit, tenant) if visit.may("money.read") else [],
    }
    return visit.render("customer.html", "customers", tenant.name, values, problem=problem)


async def _wallet(visit: Visit, tenant: Tenant) -> Wallet | None:
    row = await asyncio.to_thread(visit.services.billing.wallets.find, tenant.id)
    return visit.services.log.wallet(row.id) if row is not None else None


async def _month(visit: Visit, tenant: Tenant) -> list[dict[str, Any]]:
    """Revenue, cost and margin of the last 30 days, per currency."""
    services = visit.services
    await services.catch_up()
    start_ns = (services.clock.now_ns() // DAY_NS - 29) * DAY_NS
    rows = await asyncio.to_thread(services.reader.profit_and_loss, start_ns, tenant_id=tenant.id)
    return [
        {
            "requests": figures.count(row.entries),
            "revenue": figures.money(row.revenue_nanos, row.currency),
            "cost": figures.money(row.cost_nanos, row.currency),
            "margin": figures.money(row.margin_nanos, row.currency),
            "share": figures.share(row.margin_nanos, row.revenue_nanos),
        }
        for row in rows
    ]


async def _open(request: AnyRequest, services: Services, customer: str, permission: str) -> tuple[Visit, Tenant, Any]:
    visit = await open_visit(request, services, permission)
    form = await visit.form()
    return visit, await asyncio.to_thread(services.accounts.tenants.get, customer), form


@post("/console/customers/{customer:str}/top-ups", status_code=303)
async def top_up(request: AnyRequest, services: Services, customer: FromPath[str]) -> Response[Any]:
    """Money in. The form carries the payment's id, so that sending it twice adds it once."""
    visit, tenant, form = await _open(request, services, customer, "money.write")
    try:
        nanos = Money.parse(form.get("amount", ""), tenant.currency, param="amount").nanos
        kind: Any = "promo" if form.get("kind") == "promo" else "cash"
        new = TopUp(
            amount_nanos=nanos, source="console", source_id=form.get("payment") or new_id("top"), kind=kind,
            memo=form.get("memo", ""),
        )  # fmt: skip
        await services.billing.wallets.top_up(visit.actor, tenant, new)
    except MintageError as error:
        return await show_customer(visit, tenant, given=form, problem=error)
    return visit.go(f"/console/customers/{tenant.handle}", "topped_up")


@post("/console/customers/{customer:str}/plan", status_code=303)
async def assign_plan(request: AnyRequest, services: Services, customer: FromPath[str]) -> Response[Any]:
    visit, tenant, form = await _open(request, services, customer, "plans.write")
    try:
        await services.billing.assign(visit.actor, tenant, form.get("plan", ""))
    except MintageError as error:
        return await show_customer(visit, tenant, given=form, problem=error)
    return visit.go(f"/console/customers/{tenant.handle}", "plan_assigned")


@post("/console/customers/{customer:str}/status", status_code=303)
async def change_status(request: AnyRequest, services: Services, customer: FromPath[str]) -> Response[Any]:
    visit, tenant, form = await _open(request, services, customer, "customers.write")
    status: Any = "suspended" if form.get("status") == "suspended" else "active"
    await asyncio.to_thread(services.accounts.tenants.update, visit.actor, tenant.id, TenantUpdate(status=status))
    return visit.go(f"/console/customers/{tenant.handle}", f"customer_{status}")


@post("/console/customers/{customer:str}/projects", status_code=303)
async def add_project(request: AnyRequest, services: Services, customer: FromPath[str]) -> Response[Any]:
    visit, tenant, form = await _open(request, services, customer, "customers.write")
    try:
        await asyncio.to_thread(services.accounts.tenants.add_project, visit.actor, tenant.id, form.get("name", ""))
    except MintageError as error:
        return await show_customer(visit, tenant, given=form, problem=error)
    return visit.go(f"/console/customers/{tenant.handle}", "project_added")


@post("/console/customers/{customer:str}/keys", status_code=200)
async def create_key(request: AnyRequest, services: Services, customer: FromPath[str]) -> Response[Any]:
    visit = await open_visit(request, services, "keys.write")
    form = await visit.form()
    tenant = await asyncio.to_thread(services.accounts.tenants.get, customer)
    try:
        made = await keys.create(visit, tenant, form)
    except MintageError as error:
        return await show_customer(visit, tenant, given=form, problem=error)
    return keys.secret_page(visit, "customers", made, f"/console/customers/{tenant.handle}")


HANDLERS: Final[list[Any]] = [
    customers_page, new_customer, add_customer, customer_page, top_up, assign_plan, change_status, add_project,
    create_key,
]  # fmt: skip
