"""Subscriptions: who pays regularly, for what and how much a month; and one customer's: changes, pauses, coupons."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from litestar import Response, get, post
from litestar.params import FromPath

from mintage.accounts import Tenant
from mintage.base import ATTOS_PER_NANO, MintageError
from mintage.billing import Subscription, recurring
from mintage.console import figures
from mintage.console.door import AnyRequest, Services
from mintage.console.plot import Plot, Series, plot
from mintage.console.sections.invoices import span
from mintage.console.services import ConsoleServices
from mintage.console.table import Cell, Column, Empty, Table, amount, link, moment, state, whole, words
from mintage.console.visit import Visit, day_ns, open_visit

ROWS: Final = 50
_TONES: Final[dict[str, Any]] = {"active": "ok", "trial": "wait", "scheduled": "wait", "paused": "cut", "ended": "off"}
_RATED: Final = 6


class _Line:
    """One running subscription, with what it brings a month."""

    def __init__(self, services: ConsoleServices, row: Subscription, name: str, handle: str, paused: bool) -> None:
        now_ns = services.clock.now_ns()
        plan = services.billing.plans.current(row.plan, now_ns).plan
        self.row, self.name, self.handle = row, name, handle
        self.state = row.state(now_ns, paused)
        self.currency, self.plan_name = plan.currency, plan.name
        self.monthly_nanos = int(recurring(plan) * 10**9) if self.state == "active" else 0


def _lines(services: ConsoleServices) -> list[_Line]:
    """Every subscription that holds now, by customers' names. Blocking."""
    current = services.billing.subscriptions.all_current()
    paused = services.billing.subscriptions.all_paused()
    ids = sorted(current)
    names: dict[str, str] = {}
    for start in range(0, len(ids), 1_000):
        names |= services.accounts.tenants.names(ids[start : start + 1_000])
    lines = [_Line(services, current[one], names.get(one, one), one, one in paused) for one in ids]
    return sorted(lines, key=lambda line: line.name.casefold())


@get("/console/subscriptions")
async def subscriptions_page(request: AnyRequest, services: Services) -> Response[bytes]:
    visit = await open_visit(request, services, "money.read")
    t, wanted = visit.t, {"state": visit.query("state"), "plan": visit.query("plan")}
    every = await asyncio.to_thread(_lines, services)
    chosen = [
        line for line in every
        if wanted["state"] in ("", line.state) and wanted["plan"] in ("", line.row.plan)
    ]  # fmt: skip
    cursor = visit.query("cursor")
    start = int(cursor) if cursor.isdecimal() and len(cursor) < 9 else 0
    table = Table(
        caption=t("nav.subscriptions"),
        columns=[
            Column(t("requests.customer"), wide=True),
            Column(t("customer.plan")),
            Column(t("customer.status"), keep=2),
            Column(t("subscription.monthly"), numeric=True),
            Column(t("plan.since"), keep=1),
            Column(t("subscription.renews"), keep=2),
        ],
        rows=[_row(visit, line) for line in chosen[start : start + ROWS]],
        empty=Empty(t("subscription.none"), t("subscription.none_text")),
        next_href=visit.link(cursor=str(start + ROWS)) if len(chosen) > start + ROWS else "",
        first_href=visit.link() if start else "",
    )
    values = {
        "table": table,
        "wanted": wanted,
        "states": [("", t("table.any")), *((one, t(f"subscription.{one}")) for one in ("active", "trial", "paused"))],
        "plans": [
            ("", t("table.any")),
            *sorted({(line.row.plan, line.plan_name.in_language(t.language)) for line in every}),
        ],
        "sums": _sums(every),
        "plot": _by_plan(visit, every),
    }
    return visit.render("subscriptions.html", "subscriptions", t("nav.subscriptions"), values)


def _sums(lines: list[_Line]) -> list[dict[str, Any]]:
    sums: dict[str, int] = {}
    for line in lines:
        sums[line.currency] = sums.get(line.currency, 0) + line.monthly_nanos
    return [
        {"mrr": figures.money(nanos, one), "arr": figures.money(12 * nanos, one),
         "count": figures.count(sum(line.currency == one and line.state == "active" for line in lines))}
        for one, nanos in sorted(sums.items())
    ]  # fmt: skip


def _by_plan(visit: Visit, lines: list[_Line]) -> Plot | None:
    """What each plan brings a month, in the operator's currency."""
    currency = visit.services.settings.currency
    sums: dict[str, int] = {}
    for line in lines:
        if line.currency == currency:
            name = line.plan_name.in_language(visit.t.language)
            sums[name] = sums.get(name, 0) + line.monthly_nanos
    if not any(sums.values()):
        return None
    order = sorted(sums, key=lambda name: -sums[name])[:12]
    series = [Series(name=visit.t("subscription.monthly"), values=[sums[name] for name in order])]
    return plot("by-plan", visit.t("subscription.by_plan"), order, series, visit.t, currency=currency)


def _row(visit: Visit, line: _Line) -> list[Cell]:
    t, row = visit.t, line.row
    now_ns = visit.services.clock.now_ns()
    ends = row.ended_ns
    return [
        link(line.name, f"/console/customers/{line.handle}/subscription"),
        link(line.plan_name.in_language(t.language), f"/console/plans/{row.plan}"),
        state(t(f"subscription.{line.state}"), _TONES[line.state]),
        amount(line.monthly_nanos, line.currency) if line.monthly_nanos else words(""),
        moment(row.started_ns, day_only=True),
        state(t("subscription.ends_on", day=figures.iso_time(ends)[:10]), "cut") if ends is not None
        else moment(row.period_at(now_ns).end_ns, day_only=True),
    ]  # fmt: skip


@get("/console/customers/{customer:str}/subscription")
async def subscription_page(request: AnyRequest, services: Services, customer: FromPath[str]) -> Response[bytes]:
    visit = await open_visit(request, services, "plans.read")
    tenant = await asyncio.to_thread(services.accounts.tenants.get, customer)
    return await _show(visit, tenant)


async def _show(
    visit: Visit, tenant: Tenant, *, given: dict[str, str] | None = None, problem: MintageError | None = None
) -> Response[bytes]:
    values = await asyncio.to_thread(_values, visit, tenant)
    values |= {"tenant": tenant, "given": given or {}}
    return visit.render("subscription.html", "subscriptions", tenant.name, values, problem=problem)


def _values(visit: Visit, tenant: Tenant) -> dict[str, Any]:
    """Blocking."""
    services, t = visit.services, visit.t
    billing, now_ns = services.billing, services.clock.now_ns()
    history = billing.subscriptions.history(tenant.id)
    pauses = billing.subscriptions.pauses(tenant.id)
    paused = any(one.holds(now_ns) for one in pauses)
    current = next((row for row in history if row.holds(now_ns)), None)
    planned = next((row for row in history if row.started_ns > now_ns), None)
    coupons = billing.closing.coupons
    plans = [row for row in billing.plans.page(limit=500).items if row.currency == tenant.currency]
    return {
        "current": current,
        "status": state(t(f"subscription.{current.state(now_ns, paused)}"), _TONES[current.state(now_ns, paused)])
        if current
        else None,
        "period": current.period_at(now_ns) if current else None,
        "period_share": _gauge(current, now_ns) if current else 0,
        "planned": planned,
        "ends": figures.iso_time(current.ended_ns)[:10] if current and current.ended_ns else "",
        "paused": paused,
        "history": _history(visit, history, paused),
        "plans": [(row.plan_id, row.name) for row in plans],
        "coupons": [{"one": one, "coupon": coupons.get(one.code)} for one in coupons.redemptions(tenant.id)],
        "codes": [(one.code, one.code) for one in coupons.page(limit=200).items],
        "rated": _rated(visit, tenant),
    }


def _gauge(row: Subscription, now_ns: int) -> int:
    """How much of the period has passed, of 1000."""
    period = row.period_at(now_ns)
    return (now_ns - period.start_ns) * 1000 // (period.end_ns - period.start_ns)


def _history(visit: Visit, history: list[Subscription], paused: bool) -> Table:
    t, now_ns = visit.t, visit.services.clock.now_ns()
    return Table(
        caption=t("subscription.history"),
        columns=[
            Column(t("customer.plan"), wide=True), Column(t("customer.status")), Column(t("table.from")),
            Column(t("table.to"), keep=2), Column(t("subscription.refund"), keep=1),
        ],
        rows=[
            [
                link(row.plan, f"/console/plans/{row.plan}"),
                state(t(f"subscription.{row.state(now_ns, paused)}"), _TONES[row.state(now_ns, paused)]),
                moment(row.started_ns, day_only=True),
                moment(row.ended_ns, day_only=True),
                words(t(f"subscription.refund_{row.refund}")),
            ]
            for row in reversed(history)
        ],
        empty=Empty(t("customer.no_plan"), t("customer.no_wallet")),
    )  # fmt: skip


def _rated(visit: Visit, tenant: Tenant) -> Table:
    """The newest closed periods: what requests settled at, what the whole came to, and the adjustment between."""
    t = visit.t
    rows = visit.services.billing.closing.rated.of(tenant.id)[-_RATED:]

    def nanos(attos: int) -> int:
        return attos // ATTOS_PER_NANO

    return Table(
        caption=t("subscription.rated"),
        columns=[
            Column(t("invoice.period"), wide=True), Column(t("customer.plan"), keep=1),
            Column(t("subscription.settled"), numeric=True, keep=2), Column(t("subscription.rated_at"), numeric=True),
            Column(t("subscription.adjustment"), numeric=True, keep=2),
        ],
        rows=[
            [
                whole(span(one.start_ns, one.end_ns)),
                words(one.plan),
                amount(nanos(one.settled_attos), tenant.currency),
                amount(nanos(one.rated_attos), tenant.currency),
                amount(nanos(one.adjustment_attos), tenant.currency),
            ]
            for one in reversed(rows)
        ],
        empty=Empty(t("subscription.not_closed"), t("subscription.not_closed_text")),
    )  # fmt: skip


@post("/console/customers/{customer:str}/subscription/{action:str}", status_code=303)
async def change_subscription(
    request: AnyRequest, services: Services, customer: FromPath[str], action: FromPath[str]
) -> Response[Any]:
    """change, cancel, keep, pause, resume, redeem, end-coupon."""
    visit = await open_visit(request, services, "plans.write")
    form = await visit.form()
    tenant = await asyncio.to_thread(services.accounts.tenants.get, customer)
    lifecycle, coupons = services.billing.lifecycle, services.billing.closing.coupons
    when: Any = "now" if form.get("when") == "now" else "period_end"
    refund: Any = "none" if form.get("refund") == "none" else "prorate"
    try:
        if action == "change":
            await lifecycle.assign(visit.actor, tenant, form.get("plan", ""), when=when, refund=refund)
        elif action == "cancel":
            await lifecycle.cancel(visit.actor, tenant, when=when, refund=refund)
        elif action == "keep":
            await lifecycle.keep(visit.actor, tenant)
        elif action == "pause":
            await lifecycle.pause(visit.actor, tenant, day_ns(form.get("until", ""), "until"))
        elif action == "resume":
            await lifecycle.resume(visit.actor, tenant)
        elif action == "redeem":
            await asyncio.to_thread(coupons.redeem, visit.actor, tenant, form.get("code", ""))
        elif action == "end-coupon":
            await asyncio.to_thread(coupons.end, visit.actor, tenant, form.get("code", ""))
        else:
            raise MintageError("not_found", "There is no such change.", "Go back to the page.")
    except MintageError as error:
        if error.code == "not_found" and action not in _ACTIONS:
            raise
        return await _show(visit, tenant, given=form, problem=error)
    return visit.go(f"/console/customers/{tenant.handle}/subscription", "subscription_changed")


_ACTIONS: Final = ("change", "cancel", "keep", "pause", "resume", "redeem", "end-coupon")
HANDLERS: Final[list[Any]] = [subscriptions_page, subscription_page, change_subscription]
