"""The customer's money: invoices and drafts, the wallet with its cap and rule, paying, changing the plan.

As everywhere in the portal, no address names a customer: it is the session's.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from litestar import Response, get, post
from litestar.params import FromPath

from mintage.accounts import Tenant
from mintage.base import MintageError, Money
from mintage.billing import BillingSettings, Invoice
from mintage.console import figures
from mintage.console.door import AnyRequest, Services
from mintage.console.sections import invoices, plans, wallets
from mintage.console.sections.portal import open_portal
from mintage.console.services import ConsoleServices
from mintage.console.visit import Visit

ROWS: Final = 50


@get("/portal/invoices")
async def portal_invoices(request: AnyRequest, services: Services) -> Response[bytes]:
    visit, tenant = await open_portal(request, services, "portal.read")
    page = await asyncio.to_thread(
        services.billing.invoices.page, tenant_id=tenant.id, limit=ROWS, cursor=visit.query("cursor") or None
    )
    open_nanos = sum(row.open_nanos for row in page.items)
    values = {
        "table": invoices.invoice_table(visit, page.items, {}, "/portal/invoices", page.next_cursor),
        "open": figures.money(open_nanos, tenant.currency),
    }
    return visit.render("portal_invoices.html", "portal_invoices", visit.t("nav.invoices"), values)


@get("/portal/draft")
async def portal_draft(request: AnyRequest, services: Services) -> Response[bytes]:
    """What this month comes to so far, and where it is heading."""
    visit, tenant = await open_portal(request, services, "portal.read")
    content = await services.billing.closing.preview(tenant)
    values = {"tenant": tenant, **invoices.draft_values(visit, content)}
    return visit.render("draft.html", "portal_invoices", visit.t("invoice.draft"), values)


@get("/portal/invoices/{number:str}")
async def portal_invoice(request: AnyRequest, services: Services, number: FromPath[str]) -> Response[bytes]:
    visit, tenant = await open_portal(request, services, "portal.read")
    invoice = await asyncio.to_thread(services.billing.invoices.get, tenant.id, number)
    return await _invoice(visit, invoice)


async def _invoice(
    visit: Visit, invoice: Invoice, *, checkout: str = "", problem: MintageError | None = None
) -> Response[bytes]:
    services = visit.services
    values = {
        **await invoices.standing_values(visit, invoice),
        "providers": sorted(services.billing.invoicing.payments.providers),
        "bank": await asyncio.to_thread(_bank, services),
        "checkout": checkout,
    }
    return visit.render("portal_invoice.html", "portal_invoices", invoice.number, values, problem=problem)


def _bank(services: ConsoleServices) -> BillingSettings | None:
    """Where a transfer goes; None where the operator has not said. Blocking."""
    settings = services.billing.invoicing.profiles.settings(services.entity().id)
    return settings if settings.iban else None


@get("/portal/invoices/{number:str}/{kind:str}")
async def portal_document(
    request: AnyRequest, services: Services, number: FromPath[str], kind: FromPath[str]
) -> Response[bytes]:
    _, tenant = await open_portal(request, services, "portal.read")
    return await invoices.send_document(services, tenant.id, number, kind)


@post("/portal/invoices/{number:str}/pay", status_code=200)
async def portal_pay(request: AnyRequest, services: Services, number: FromPath[str]) -> Response[Any]:
    """Opens the provider's page and shows the way there: the policy of our pages lets no form lead elsewhere."""
    visit, tenant = await open_portal(request, services, "portal.pay")
    form = await visit.form()
    invoice = await asyncio.to_thread(services.billing.invoices.get, tenant.id, number)
    try:
        order = await services.billing.invoicing.payments.checkout(
            visit.actor, tenant, form.get("provider", ""), nanos=0, invoice=invoice, back_url=_back(visit)
        )
    except MintageError as error:
        return await _invoice(visit, invoice, problem=error)
    return await _invoice(visit, invoice, checkout=order.url)


def _back(visit: Visit) -> str:
    root = visit.services.settings.public_url or str(visit.request.base_url)
    return root.rstrip("/") + "/portal/invoices"


@get("/portal/wallet")
async def portal_wallet(request: AnyRequest, services: Services) -> Response[bytes]:
    return await _wallet(*await open_portal(request, services, "portal.read"))


async def _wallet(
    visit: Visit, tenant: Tenant, *, given: dict[str, str] | None = None, checkout: str = "",
    problem: MintageError | None = None,
) -> Response[bytes]:  # fmt: skip
    services = visit.services
    values = {
        "tenant": tenant,
        "given": given or {},
        "checkout": checkout,
        "providers": sorted(services.billing.invoicing.payments.providers),
        "bank": await asyncio.to_thread(_bank, services),
        **await wallets.wallet_values(visit, tenant),
    }
    return visit.render("portal_wallet.html", "portal_wallet", visit.t("customer.wallet"), values, problem=problem)


@post("/portal/wallet/top-up", status_code=200)
async def portal_top_up(request: AnyRequest, services: Services) -> Response[Any]:
    visit, tenant = await open_portal(request, services, "portal.pay")
    form = await visit.form()
    try:
        nanos = Money.parse(form.get("amount", ""), tenant.currency, param="amount").nanos
        order = await services.billing.invoicing.payments.checkout(
            visit.actor, tenant, form.get("provider", ""), nanos=nanos, invoice=None, back_url=_back(visit)
        )
    except MintageError as error:
        return await _wallet(visit, tenant, given=form, problem=error)
    return await _wallet(visit, tenant, checkout=order.url)


@post("/portal/wallet/{action:str}", status_code=303)
async def portal_rules(request: AnyRequest, services: Services, action: FromPath[str]) -> Response[Any]:
    """The customer's own cap and automatic top-up: rule, cap, uncap."""
    visit, tenant = await open_portal(request, services, "portal.pay")
    form = await visit.form()
    if action not in ("rule", "cap", "uncap"):
        raise MintageError("not_found", "There is no such change.", "Go back to the page.")
    try:
        await wallets.change_rules(visit, tenant, action, form)
    except MintageError as error:
        return await _wallet(visit, tenant, given=form, problem=error)
    return visit.go("/portal/wallet", "wallet_changed")


@get("/portal/plan")
async def portal_plan(request: AnyRequest, services: Services) -> Response[bytes]:
    return await _plan(*await open_portal(request, services, "portal.read"))


async def _plan(visit: Visit, tenant: Tenant, problem: MintageError | None = None) -> Response[bytes]:
    services, now_ns = visit.services, visit.services.clock.now_ns()
    history = await asyncio.to_thread(services.billing.subscriptions.history, tenant.id)
    current = next((row for row in history if row.holds(now_ns)), None)
    planned = next((row for row in history if row.started_ns > now_ns), None)
    names = [current.plan] if current else []
    names += [one for one in offered(services) if one not in names]
    offers = []
    for name in names:
        try:
            plan = (await asyncio.to_thread(services.billing.plans.current, name, now_ns)).plan
        except MintageError:  # the setting names a plan that was never applied
            continue
        if plan.currency == tenant.currency:
            offers.append(
                {
                    "plan": plan,
                    "current": bool(current and current.plan == name),
                    "planned": bool(planned and planned.plan == name),
                    "fees": [(one.name, figures.money(int(one.amount * 10**9), plan.currency)) for one in plan.fees],
                    "prices": plans.price_table(visit, plan) if plan.prices else None,
                    "minimum": figures.money(int(plan.minimum * 10**9), plan.currency) if plan.minimum else None,
                }
            )
    values = {
        "offers": offers,
        "planned": planned,
        "renews": figures.iso_time(current.period_at(now_ns).end_ns)[:10] if current else "",
    }
    return visit.render("portal_plan.html", "portal_plan", visit.t("nav.portal_plan"), values, problem=problem)


def offered(services: ConsoleServices) -> list[str]:
    """Plans among which customers may choose by themselves: the setting portal_plans."""
    return services.settings.portal_plans.replace(",", " ").split()


@post("/portal/plan", status_code=303)
async def portal_change_plan(request: AnyRequest, services: Services) -> Response[Any]:
    """Another plan when the period ends, or taking that back."""
    visit, tenant = await open_portal(request, services, "portal.pay")
    form = await visit.form()
    try:
        if form.get("keep"):
            await services.billing.lifecycle.keep(visit.actor, tenant)
        elif form.get("plan") not in offered(services):
            raise MintageError("permission_denied", "This plan is not offered here.", "Ask us for it.")
        else:
            await services.billing.lifecycle.assign(visit.actor, tenant, form["plan"], when="period_end")
    except MintageError as error:
        return await _plan(visit, tenant, error)
    return visit.go("/portal/plan", "subscription_changed")


HANDLERS: Final[list[Any]] = [
    portal_invoices, portal_draft, portal_invoice, portal_document, portal_pay, portal_wallet, portal_top_up,
    portal_rules, portal_plan, portal_change_plan,
]  # fmt: skip
