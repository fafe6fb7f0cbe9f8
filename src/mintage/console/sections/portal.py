"""The customer's portal: balance, plan, usage, keys and a playground, of the reader's own customer and nobody else's.

No address names a customer: it is the session's. What things cost the operator, and what it earns, is not shown.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from litestar import Response, get, post
from litestar.params import FromPath

from mintage.accounts import Project, Tenant
from mintage.base import MintageError
from mintage.console import figures
from mintage.console.door import AnyRequest, Services
from mintage.console.sections import invoices, keys, plans, usage
from mintage.console.visit import Visit, open_visit

_PROJECTS: Final = 100
_BACK: Final = "/portal/keys"


async def open_portal(request: AnyRequest, services: Services, permission: str) -> tuple[Visit, Tenant]:
    """The visit, and the one customer that it is about. Raises permission_denied for staff: they have the desk."""
    visit = await open_visit(request, services, permission)
    tenant_id = visit.session.tenant_id
    if tenant_id is None:
        raise MintageError("permission_denied", "The portal is for customers.", "Go to /console.")
    return visit, await asyncio.to_thread(services.accounts.tenants.get, tenant_id)


@get("/portal")
async def portal_page(request: AnyRequest, services: Services) -> Response[bytes]:
    """What is left, what it costs, and what was used in the last 30 days."""
    visit, tenant = await open_portal(request, services, "portal.read")
    asked = await usage.read_asked(visit, tenant=tenant)
    values = await usage.usage_values(visit, asked, costs=False)
    row = await asyncio.to_thread(services.billing.wallets.find, tenant.id)
    wallet = services.log.wallet(row.id) if row is not None else None
    subscription = await asyncio.to_thread(services.billing.subscriptions.current, tenant.id)
    plan = None
    if subscription is not None:
        now_ns = services.clock.now_ns()
        plan = (await asyncio.to_thread(services.billing.plans.current, subscription.plan, now_ns)).plan
    values |= {
        "tenant": tenant,
        "wallet": wallet,
        "balance": figures.money(wallet.balance_nanos, wallet.currency) if wallet else None,
        "held": figures.money(wallet.held_nanos, wallet.currency) if wallet else None,
        "available": figures.money(wallet.available_nanos, wallet.currency) if wallet else None,
        "plan": plan,
        "prices": plans.price_table(visit, plan) if plan else None,
        **await _outlook(visit, tenant),
    }
    return visit.render("portal.html", "portal", tenant.name, values)


async def _outlook(visit: Visit, tenant: Tenant) -> dict[str, Any]:
    """Where the month is heading, and how far the spending cap is."""
    billing, now_ns = visit.services.billing, visit.services.clock.now_ns()
    content = await billing.closing.preview(tenant)
    cap = await asyncio.to_thread(billing.caps.get, tenant.id)
    spent = await asyncio.to_thread(billing.caps.spent_nanos, tenant.id, cap, now_ns) if cap else 0
    return {
        "draft": invoices.draft_values(visit, content),
        "cap": cap,
        "cap_amount": figures.money(cap.amount_nanos, tenant.currency) if cap else None,
        "spent": figures.money(spent, tenant.currency),
        "spent_share": min(1000, spent * 1000 // cap.amount_nanos) if cap and cap.amount_nanos else 0,
    }


@get("/portal/usage")
async def portal_usage(request: AnyRequest, services: Services) -> Response[bytes]:
    visit, tenant = await open_portal(request, services, "portal.read")
    asked = await usage.read_asked(visit, tenant=tenant)
    values = await usage.usage_values(visit, asked, costs=False) | {
        "splits": [name for name in usage.SPLITS if name != "customer"],
        "models": [("", visit.t("table.any")), *((one, one) for one in sorted(services.gateway.snapshot.routes))],
        "export": "/portal/usage/export",
        "own": True,
    }
    return visit.render("usage.html", "portal_usage", visit.t("nav.usage"), values)


@get("/portal/usage/export")
async def portal_export(request: AnyRequest, services: Services) -> Response[bytes]:
    visit, tenant = await open_portal(request, services, "portal.read")
    return await usage.send_export(visit, await usage.read_asked(visit, tenant=tenant))


@get("/portal/keys")
async def portal_keys(request: AnyRequest, services: Services) -> Response[bytes]:
    return await _keys_page(*await open_portal(request, services, "portal.read"))


async def _keys_page(
    visit: Visit, tenant: Tenant, *, given: dict[str, str] | None = None, problem: MintageError | None = None
) -> Response[bytes]:
    page = await asyncio.to_thread(visit.services.accounts.tenants.projects, tenant.id, limit=_PROJECTS)
    projects: list[Project] = page.items
    values = {
        "tenant": tenant,
        "projects": projects,
        "keys": await keys.keys_table(visit, tenant, projects, _BACK),
        "once": keys.remember_once(visit),
        "given": given or {},
    }
    return visit.render("portal_keys.html", "portal_keys", visit.t("key.title"), values, problem=problem)


@post("/portal/keys", status_code=200)
async def portal_create_key(request: AnyRequest, services: Services) -> Response[Any]:
    visit, tenant = await open_portal(request, services, "portal.keys")
    form = await visit.form()
    try:
        made = await keys.create(visit, tenant, form)
    except MintageError as error:
        return await _keys_page(visit, tenant, given=form, problem=error)
    return keys.secret_page(visit, "portal_keys", made, _BACK)


@get("/portal/keys/{key_id:str}/rotate")
async def portal_ask_rotate(request: AnyRequest, services: Services, key_id: FromPath[str]) -> Response[bytes]:
    visit, tenant = await open_portal(request, services, "portal.keys")
    return await keys.rotate_page(visit, tenant, key_id, place="portal_keys", back=_BACK)


@post("/portal/keys/{key_id:str}/rotate", status_code=200)
async def portal_rotate(request: AnyRequest, services: Services, key_id: FromPath[str]) -> Response[Any]:
    visit, tenant = await open_portal(request, services, "portal.keys")
    form = await visit.form()
    try:
        made = await keys.rotate(visit, tenant, key_id, form)
    except MintageError as error:
        return await keys.rotate_page(visit, tenant, key_id, place="portal_keys", back=_BACK, problem=error)
    return keys.secret_page(visit, "portal_keys", made, _BACK)


@post("/portal/keys/{key_id:str}/revoke", status_code=303)
async def portal_revoke(request: AnyRequest, services: Services, key_id: FromPath[str]) -> Response[Any]:
    visit, tenant = await open_portal(request, services, "portal.keys")
    await visit.form()
    await asyncio.to_thread(services.accounts.keys.revoke, visit.actor, tenant.id, key_id)
    return visit.go(_BACK, "key_revoked")


HANDLERS: Final[list[Any]] = [
    portal_page, portal_usage, portal_export, portal_keys, portal_create_key, portal_ask_rotate, portal_rotate,
    portal_revoke,
]  # fmt: skip
