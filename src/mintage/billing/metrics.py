"""Metrics of a subscription business, each from the ledger and the plans alone, with its definition beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal

import msgspec

from mintage.base import NANOS_PER_UNIT
from mintage.billing.plans import Plans
from mintage.billing.subscriptions import Subscriptions
from mintage.books import Ledger
from mintage.pricing import Names, Plan

DAY_NS: Final = 86_400 * 10**9
_MONTHS: Final = {"week": Fraction(12, 52), "month": Fraction(1), "quarter": Fraction(3), "year": Fraction(12)}

DEFINITIONS: Final[dict[str, Names]] = {
    "mrr": Names(
        en="Monthly recurring revenue: period fees, commitments and minimums of every plan in force, not on trial and "
        "not paused, each divided by the months of its period. Usage is not in it.",
        zh="月度经常性收入：所有生效中（非试用、非暂停）方案的周期费、承诺与最低消费，按月折算；不含用量。",
    ),
    "arr": Names(en="Annual recurring revenue: 12 x MRR.", zh="年度经常性收入：12 × MRR。"),
    "revenue": Names(
        en="Income from usage and subscriptions in the month, as the ledger has it.", zh="当月用量与订阅收入（总账）。"
    ),
    "customers": Names(en="Customers with revenue in the month.", zh="当月有收入的客户数。"),
    "nrr": Names(
        en="Net revenue retention: this month's revenue of the customers who had revenue in the month before, over "
        "their revenue then.",
        zh="净收入留存：上月有收入的客户，其当月收入 ÷ 上月收入。",
    ),
    "grr": Names(
        en="Gross revenue retention: the same, but no customer counts for more than its revenue of the month before.",
        zh="毛收入留存：同上，但每个客户不超过其上月收入。",
    ),
    "churn": Names(
        en="Customer churn: customers with revenue in the month before and none in this one, over those before.",
        zh="客户流失率：上月有收入而当月无收入的客户数 ÷ 上月客户数。",
    ),
    "arpa": Names(en="Average revenue per account: revenue over customers.", zh="户均收入：收入 ÷ 客户数。"),
    "gross_margin": Names(
        en="Revenue less the cost of serving it (providers and own compute), over revenue.",
        zh="毛利率：（收入 − 服务成本）÷ 收入。",
    ),
    "ltv": Names(
        en="Lifetime value: ARPA x gross margin / churn; unknown while nobody churns.",
        zh="客户终身价值：户均收入 × 毛利率 ÷ 流失率；无流失时未知。",
    ),
}


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """value: currency units for money, a ratio (1 is 100 %) for ratios, None where there is nothing to divide by."""

    name: str
    unit: Literal["money", "ratio", "count"]
    value: Decimal | None
    definition: Names


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """Of one calendar month (UTC) and currency."""

    month: str
    currency: str
    metrics: list[Metric]


def recurring(plan: Plan) -> Fraction:
    """Currency units a month that the plan brings whatever is used."""
    months = _MONTHS[plan.period]
    fees = sum((Fraction(fee.amount) for fee in plan.fees if fee.every == "period"), Fraction(0))
    floor = max(fees, Fraction(plan.minimum or 0)) / months
    if plan.commitment is not None:
        floor = max(floor, Fraction(plan.commitment.amount) / plan.commitment.periods / months)
    return floor


class MetricsDesk:
    """Blocking, for a thread; ship the log first."""

    def __init__(self, ledger: Ledger, plans: Plans, subscriptions: Subscriptions) -> None:
        self._ledger = ledger
        self._plans = plans
        self._subscriptions = subscriptions

    def month(self, first: date, now_ns: int) -> list[Metrics]:
        """The metrics of the month that begins on `first`, one a currency."""
        start, end, before = _ns(first), _ns(_next(first)), _ns((first - timedelta(days=1)).replace(day=1))
        at_ns = min(end - 1, now_ns)
        mrr = self._mrr(at_ns)
        now, cost = self._revenue(start, end)
        then, _ = self._revenue(before, start)
        currencies = sorted(mrr.keys() | now.keys() | then.keys())
        return [
            Metrics(
                month=str(first)[:7],
                currency=currency,
                metrics=_metrics(
                    mrr.get(currency, Fraction(0)),
                    now.get(currency, {}),
                    then.get(currency, {}),
                    cost.get(currency, 0),
                ),
            )
            for currency in currencies
        ]

    def _mrr(self, at_ns: int) -> dict[str, Fraction]:
        sums: dict[str, Fraction] = {}
        for tenant_id in self._subscriptions.tenants():
            paused = any(pause.holds(at_ns) for pause in self._subscriptions.pauses(tenant_id))
            for row in self._subscriptions.history(tenant_id):
                if row.holds(at_ns) and row.state(at_ns, paused) == "active":
                    plan = self._plans.current(row.plan, at_ns).plan
                    sums[plan.currency] = sums.get(plan.currency, Fraction(0)) + recurring(plan)
        return sums

    def _revenue(self, start_ns: int, end_ns: int) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
        """(currency -> tenant -> revenue, currency -> cost) in nanos."""
        revenue: dict[str, dict[str, int]] = {}
        cost: dict[str, int] = {}
        for row in self._ledger.profit_and_loss(start_ns, end_ns, by=("tenant_id",)):
            tenant_id = str(row.group["tenant_id"])
            cost[row.currency] = cost.get(row.currency, 0) + row.cost_nanos
            if tenant_id and row.revenue_nanos > 0:
                revenue.setdefault(row.currency, {})[tenant_id] = row.revenue_nanos
        return revenue, cost


def _metrics(mrr: Fraction, now: Mapping[str, int], then: Mapping[str, int], cost: int) -> list[Metric]:
    total, customers = sum(now.values()), len(now)
    kept = sum(now.get(name, 0) for name in then)
    gross = sum(min(now.get(name, 0), nanos) for name, nanos in then.items())
    lost = sum(name not in now for name in then)
    base = sum(then.values())
    churn = _ratio(lost, len(then))
    margin = _ratio(total - cost, total)
    arpa = _ratio(total, customers * NANOS_PER_UNIT)
    ltv = arpa * margin / churn if arpa is not None and margin is not None and churn else None
    figures: list[tuple[str, Literal["money", "ratio", "count"], Fraction | None]] = [
        ("mrr", "money", mrr),
        ("arr", "money", mrr * 12),
        ("revenue", "money", Fraction(total, NANOS_PER_UNIT)),
        ("customers", "count", Fraction(customers)),
        ("nrr", "ratio", _ratio(kept, base)),
        ("grr", "ratio", _ratio(gross, base)),
        ("churn", "ratio", churn),
        ("arpa", "money", arpa),
        ("gross_margin", "ratio", margin),
        ("ltv", "money", ltv),
    ]
    return [
        Metric(name=name, unit=unit, value=_shown(value, unit), definition=DEFINITIONS[name])
        for name, unit, value in figures
    ]


def _ratio(part: int, whole: int) -> Fraction | None:
    return Fraction(part, whole) if whole else None


_PLACES: Final[dict[str, Callable[[Fraction], Decimal]]] = {
    "money": lambda value: Decimal(round(value * 10**9)).scaleb(-9),
    "ratio": lambda value: Decimal(round(value * 10**4)).scaleb(-4),
    "count": lambda value: Decimal(round(value)),
}


def _shown(value: Fraction | None, unit: str) -> Decimal | None:
    if value is None:
        return None
    shown = _PLACES[unit](value)
    return Decimal(format(shown.normalize(), "f")) if shown else Decimal(0)


def _next(first: date) -> date:
    return (first + timedelta(days=32)).replace(day=1)


def _ns(day: date) -> int:
    return (datetime(day.year, day.month, day.day, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days * DAY_NS
