"""Plans: what is sold and for how much, every version of it, and writing one, with the linter looking over it."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from litestar import Response, get
from litestar.params import FromPath

from mintage.base import ATTOS_PER_UNIT, MintageError
from mintage.console import figures
from mintage.console.door import AnyRequest, Services
from mintage.console.table import NOTHING, Cell, Column, Empty, Table, code, link, moment, quoted, state, words
from mintage.console.visit import Visit, open_visit
from mintage.pricing import Plan, Rate

_METERS: Final = ("input_tokens", "cached_read_tokens", "output_tokens")


@get("/console/plans")
async def plans_page(request: AnyRequest, services: Services) -> Response[bytes]:
    visit = await open_visit(request, services, "plans.read")
    t, cursor = visit.t, visit.query("cursor") or None
    page = await asyncio.to_thread(services.billing.plans.page, cursor=cursor)
    subscriptions = await asyncio.to_thread(services.billing.subscriptions.all_current)
    having: dict[str, int] = {}
    for one in subscriptions.values():
        having[one.plan] = having.get(one.plan, 0) + 1
    now_ns = services.clock.now_ns()
    table = Table(
        caption=t("nav.plans"),
        columns=[
            Column(t("plan.name"), wide=True),
            Column(t("plan.id"), keep=2),
            Column(t("customers.funding"), keep=2),
            Column(t("plan.period"), keep=1),
            Column(t("customer.currency"), keep=1),
            Column(t("nav.customers"), numeric=True),
            Column(t("plan.since"), keep=1),
        ],
        rows=[
            [
                link(row.name, f"/console/plans/{row.plan_id}"),
                code(row.plan_id),
                words(t(f"customers.{row.funding}")),
                words(t(f"plan.per_{row.period}")),
                words(row.currency),
                words(figures.count(having.get(row.plan_id, 0))),
                _since(visit, row.effective_ns, now_ns),
            ]
            for row in page.items
        ],
        empty=Empty(
            t("plan.none"), t("plan.none_text"), command="mintage plan apply plan.toml", href="/console/plans/new",
            action=t("plan.write"),
        ),
        next_href=visit.link(cursor=page.next_cursor) if page.next_cursor else "",
        first_href=visit.link() if cursor else "",
    )  # fmt: skip
    return visit.render("plans.html", "plans", t("nav.plans"), {"table": table})


def _since(visit: Visit, effective_ns: int, now_ns: int) -> Cell:
    if effective_ns > now_ns:
        return state(visit.t("plan.scheduled"), "wait")
    return moment(effective_ns, day_only=True)


@get("/console/plans/{plan_id:str}")
async def plan_page(request: AnyRequest, services: Services, plan_id: FromPath[str]) -> Response[bytes]:
    """The version in force, or another that the address names, and all there were."""
    visit = await open_visit(request, services, "plans.read")
    t = visit.t
    history = await asyncio.to_thread(services.billing.plans.history, plan_id)
    chosen = visit.query("version") or history[-1].version_id
    if chosen not in {row.version_id for row in history}:
        raise MintageError("not_found", "The plan has no such version.", "Choose one of the list.")
    plan = (await asyncio.to_thread(services.billing.plans.version, chosen)).plan
    versions = Table(
        caption=t("plan.versions"),
        columns=[Column(t("plan.version"), wide=True), Column(t("plan.effective")), Column(t("plan.applied"), keep=2)],
        rows=[
            [
                link(row.version_id, f"/console/plans/{plan_id}?version={row.version_id}"),
                moment(row.effective_ns),
                moment(row.applied_ns),
            ]
            for row in reversed(history)
        ],
        empty=Empty("", ""),
    )
    values = {
        "plan": plan,
        "plan_name": plan.name.in_language(t.language),
        "prices": price_table(visit, plan),
        "versions": versions,
        "version_id": chosen,
        "fees": [figures.money(int(fee.amount * 10**9), plan.currency) for fee in plan.fees],
    }
    return visit.render("plan.html", "plans", plan.name.en, values)


def price_table(visit: Visit, plan: Plan) -> Table:
    """What a plan charges per use. For customers too."""
    t = visit.t
    return Table(
        caption=t("plan.prices"),
        columns=[Column(t("nav.models"), wide=True), *(Column(t.meter(meter), numeric=True) for meter in _METERS),
                 Column(t("plan.other_meters"), keep=1)],
        rows=[
            [words(price.model), *(_rate(visit, price.rates().get(meter), plan.currency) for meter in _METERS),
             words(", ".join(t.meter(meter) for meter in price.rates() if meter not in _METERS))]
            for price in plan.prices
        ],
        empty=Empty(t("plan.no_prices"), t("plan.no_prices_text")),
    )  # fmt: skip


def _rate(visit: Visit, rate: Rate | None, currency: str) -> Cell:
    if rate is None:
        return NOTHING
    per_million = rate.exact * 1_000_000 * ATTOS_PER_UNIT
    return quoted(figures.money_attos(int(per_million), currency), small=visit.t("plan.per_million"))


HANDLERS: Final[list[Any]] = [plans_page, plan_page]
