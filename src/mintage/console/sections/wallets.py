"""Wallets: what customers have left, by how old their money is; and one wallet's lots, its rule, its cap."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from litestar import Response, get, post
from litestar.params import FromPath

from mintage.accounts import Tenant
from mintage.base import MintageError, Money, new_id
from mintage.billing import AgeRow, AutoTopUpRule, Lot, NewLot, SpendCap
from mintage.books import Wallet
from mintage.console import figures
from mintage.console.door import AnyRequest, Services
from mintage.console.plot import Plot, Series, plot
from mintage.console.services import ConsoleServices
from mintage.console.table import Cell, Column, Empty, Table, amount, link, moment, state, words
from mintage.console.visit import Visit, day_ns, open_visit

ROWS: Final = 50
AGES: Final = ("current", "1-30", "31-60", "61-90", "91+")
_TONES: Final[dict[str, Any]] = {"open": "ok", "pending": "wait", "lapsing": "cut", "lapsed": "off", "spent": "off"}


@get("/console/wallets")
async def wallets_page(request: AnyRequest, services: Services) -> Response[bytes]:
    visit = await open_visit(request, services, "money.read")
    t, funding = visit.t, visit.query("funding")
    await services.catch_up()
    wallets = [one for one in services.log.wallets() if funding in ("", one.funding)]
    wallets.sort(key=lambda one: (-one.balance_nanos, one.tenant_id))
    cursor = visit.query("cursor")
    start = int(cursor) if cursor.isdecimal() and len(cursor) < 9 else 0
    shown = wallets[start : start + ROWS]
    names = (
        await asyncio.to_thread(services.accounts.tenants.names, sorted({one.tenant_id for one in shown}))
        if shown
        else {}
    )
    table = Table(
        caption=t("nav.wallets"),
        columns=[
            Column(t("requests.customer"), wide=True),
            Column(t("customers.funding"), keep=1),
            Column(t("customer.balance"), numeric=True),
            Column(t("customer.held"), numeric=True, keep=2),
            Column(t("customer.credit_limit"), numeric=True, keep=1),
            Column(t("customer.available"), numeric=True, keep=2),
        ],
        rows=[
            [link(names.get(one.tenant_id, one.tenant_id), f"/console/customers/{one.tenant_id}/wallet"),
             words(t(f"customers.{one.funding}")), *_amounts(one)]
            for one in shown
        ],
        foot=_totals(visit, wallets),
        empty=Empty(t("wallet.none"), t("wallet.none_text")),
        next_href=visit.link(cursor=str(start + ROWS)) if len(wallets) > start + ROWS else "",
        first_href=visit.link() if start else "",
    )  # fmt: skip
    values = {
        "table": table,
        "funding": funding,
        "fundings": [("", t("table.any")), *((one, t(f"customers.{one}")) for one in ("prepaid", "postpaid", "promo"))],
        "plot": _ages(visit, await asyncio.to_thread(services.billing.finance.prepaid_by_age)),
    }
    return visit.render("wallets.html", "wallets", t("nav.wallets"), values)


def _amounts(one: Wallet) -> list[Cell]:
    currency = one.currency
    return [
        amount(one.balance_nanos, currency),
        amount(one.held_nanos, currency),
        amount(one.credit_limit_nanos, currency) if one.credit_limit_nanos else words(""),
        amount(one.available_nanos, currency),
    ]


def _totals(visit: Visit, wallets: list[Wallet]) -> list[list[Cell]]:
    totals = []
    for currency in sorted({one.currency for one in wallets}):
        mine = [one for one in wallets if one.currency == currency]
        sums = [
            sum(getattr(one, name) for one in mine)
            for name in ("balance_nanos", "held_nanos", "credit_limit_nanos", "available_nanos")
        ]
        totals.append([words(visit.t("customers.total")), words(""), *(amount(nanos, currency) for nanos in sums)])
    return totals


def _ages(visit: Visit, rows: list[AgeRow]) -> Plot | None:
    """What was paid ahead and is not used, by when it came in."""
    t, currency = visit.t, visit.services.settings.currency
    sums = [sum(row.buckets.get(one, 0) for row in rows if row.currency == currency) for one in AGES]
    if not any(sums):
        return None
    series = [Series(name=t("wallet.prepaid"), values=sums)]
    return plot(
        "prepaid-age", t("wallet.by_age"), [t(f"age.{_key(one)}") for one in AGES], series, t, currency=currency
    )


def _key(bucket: str) -> str:
    return bucket.replace("-", "_").replace("+", "_up")


@get("/console/customers/{customer:str}/wallet")
async def wallet_page(request: AnyRequest, services: Services, customer: FromPath[str]) -> Response[bytes]:
    visit = await open_visit(request, services, "money.read")
    return await _show(visit, await asyncio.to_thread(services.accounts.tenants.get, customer))


async def _show(
    visit: Visit, tenant: Tenant, *, given: dict[str, str] | None = None, problem: MintageError | None = None
) -> Response[bytes]:
    values = {"tenant": tenant, "given": given or {}, "lot": new_id("crd"), **await wallet_values(visit, tenant)}
    return visit.render("wallet.html", "wallets", tenant.name, values, problem=problem)


async def wallet_values(visit: Visit, tenant: Tenant) -> dict[str, Any]:
    """For the desk and for the customer's own page: balance, lots, rule, cap."""
    services = visit.services
    row = await asyncio.to_thread(services.billing.wallets.find, tenant.id)
    wallet = services.log.wallet(row.id) if row is not None else None
    if row is None or wallet is None:
        return {"wallet": None}
    await services.catch_up()
    lots = await services.billing.credit.view(row)
    return {
        "wallet": wallet,
        "balance": figures.money(wallet.balance_nanos, wallet.currency),
        "held": figures.money(wallet.held_nanos, wallet.currency),
        "available": figures.money(wallet.available_nanos, wallet.currency),
        "limit": figures.money(wallet.credit_limit_nanos, wallet.currency) if wallet.credit_limit_nanos else None,
        "lots": [_lot(visit, lot, wallet.currency) for lot in sorted(lots, key=_burns)],
        **await asyncio.to_thread(_rules, services, tenant),
    }


def _burns(lot: Lot) -> tuple[bool, int, int, int]:
    """As they burn: open ones first, by priority, expiry, age."""
    return (lot.state not in ("open", "lapsing", "pending"), lot.priority, lot.expires_ns or 2**63, lot.created_ns)


def _lot(visit: Visit, lot: Lot, currency: str) -> dict[str, Any]:
    return {
        "lot": lot,
        "name": lot.name or visit.t(f"wallet.kind_{lot.kind}"),
        "amount": figures.money(lot.amount_nanos, currency),
        "remaining": figures.money(lot.remaining_nanos, currency),
        "share": lot.remaining_nanos * 1000 // lot.amount_nanos if lot.amount_nanos else 0,
        "expires": moment(lot.expires_ns, day_only=True),
        "since": moment(lot.created_ns, day_only=True),
        "state": state(visit.t(f"wallet.{lot.state}"), _TONES[lot.state]),
        "scope": ", ".join((*lot.models, *lot.products)),
    }


def _rules(services: ConsoleServices, tenant: Tenant) -> dict[str, Any]:
    """Blocking."""
    billing, currency = services.billing, tenant.currency
    rule, cap = billing.topping.rule(tenant), billing.caps.get(tenant.id)
    spent = 0 if cap is None else billing.caps.spent_nanos(tenant.id, cap, services.clock.now_ns())
    return {
        "rule": rule,
        "rule_below": plain(rule.below_nanos, currency) if rule else "",
        "rule_amount": plain(rule.amount_nanos, currency) if rule else "",
        "rule_limit": plain(rule.monthly_limit_nanos, currency) if rule and rule.monthly_limit_nanos else "",
        "cap": cap,
        "cap_amount": figures.money(cap.amount_nanos, currency) if cap else None,
        "cap_plain": plain(cap.amount_nanos, currency) if cap else "",
        "spent": figures.money(spent, currency),
        "spent_share": min(1000, spent * 1000 // cap.amount_nanos) if cap and cap.amount_nanos else 0,
        "alerts": billing.caps.alerts(tenant.id)[:5],
        "purchases": [
            {
                "one": one,
                "day": figures.iso_time(one.at_ns)[:10],
                "amount": figures.money(one.amount_nanos, one.currency),
            }
            for one in billing.topping.purchases(tenant.id)[:10]
        ],
    }


def plain(nanos: int, currency: str) -> str:
    """An amount as a form takes it: digits and a point."""
    made = figures.money(nanos, currency)
    return f"{made.whole}{made.fine}".replace(",", "")


@post("/console/customers/{customer:str}/wallet/{action:str}", status_code=303)
async def change_wallet(
    request: AnyRequest, services: Services, customer: FromPath[str], action: FromPath[str]
) -> Response[Any]:
    """grant, rule, cap, uncap."""
    visit = await open_visit(request, services, "money.write")
    form = await visit.form()
    tenant = await asyncio.to_thread(services.accounts.tenants.get, customer)
    if action not in ("grant", "rule", "cap", "uncap"):
        raise MintageError("not_found", "There is no such change.", "Go back to the page.")
    try:
        if action == "grant":
            await _grant(visit, tenant, form)
        else:
            await change_rules(visit, tenant, action, form)
    except MintageError as error:
        return await _show(visit, tenant, given=form, problem=error)
    return visit.go(f"/console/customers/{tenant.handle}/wallet", "wallet_changed")


async def _grant(visit: Visit, tenant: Tenant, form: dict[str, str]) -> None:
    billing = visit.services.billing
    row = await asyncio.to_thread(billing.wallets.get, tenant.id)
    priority = form.get("priority") or "50"
    new = NewLot(
        id=f"{tenant.id}:{form.get('lot') or new_id('crd')}",
        name=form.get("name", ""),
        amount_nanos=Money.parse(form.get("amount", ""), tenant.currency, param="amount").nanos,
        kind="promo",
        priority=int(priority) if priority.isdecimal() else 50,
        expires_ns=day_ns(form.get("expires", ""), "expires"),
        models=tuple(form.get("models", "").replace(",", " ").split()),
    )
    await billing.credit.add(visit.actor, tenant, row, new)


async def change_rules(visit: Visit, tenant: Tenant, action: str, form: dict[str, str]) -> None:
    """When credit is bought by itself, and what may be spent at most: by the operator, or by the customer's admin."""
    billing = visit.services.billing

    def nanos(name: str) -> int:
        return Money.parse(form.get(name, ""), tenant.currency, param=name).nanos

    if action == "rule":
        rule = AutoTopUpRule(
            below_nanos=nanos("below"), amount_nanos=nanos("amount"),
            monthly_limit_nanos=nanos("monthly_limit") if form.get("monthly_limit") else None,
            enabled=form.get("enabled") == "yes",
        )  # fmt: skip
        await asyncio.to_thread(billing.topping.set_rule, visit.actor, tenant, rule)
    elif action == "cap":
        every: Any = form["every"] if form.get("every") in ("day", "week", "month", "ever") else "month"
        cap = SpendCap(amount_nanos=nanos("cap"), every=every, hard=form.get("hard") == "yes")
        await asyncio.to_thread(billing.caps.set, visit.actor, tenant, cap)
    else:
        await asyncio.to_thread(billing.caps.remove, visit.actor, tenant)


HANDLERS: Final[list[Any]] = [wallets_page, wallet_page, change_wallet]
