"""Prices below cost: which meter, and from which usage on it is not paid for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction

import msgspec

from mintage.pricing.charges import QuantityCharge
from mintage.pricing.charges.base import number
from mintage.pricing.lint.finding import Finding, first_integer_above, money, quantity
from mintage.pricing.lint.losses import first_below, first_loss
from mintage.pricing.live import meters_of
from mintage.pricing.match import pattern_matches
from mintage.pricing.plan import Plan, Price
from mintage.pricing.scalar import meter_rates
from mintage.pricing.segments import Segment

#: model -> meter -> currency units that one unit costs us.
Costs = Mapping[str, Mapping[str, Fraction]]


class _Judged(msgspec.Struct, frozen=True):
    """What a model's meters cost. budget: paid each period beside the usage; floor: least amount of a period."""

    model: str
    costs: Mapping[str, Fraction]
    budget: Fraction
    floor: Fraction


def lint_costs(plan: Plan, costs: Costs) -> Iterator[Finding]:
    """Meters that charges of the period count are judged there, the others at the prices; fees pay for both."""
    budget = sum((Fraction(fee.amount) for fee in plan.fees if fee.every == "period"), Fraction(0))
    floor = Fraction(plan.minimum or 0)
    counted = {meter for charge in plan.charges for meter in meters_of(charge)}
    for index, price in enumerate(plan.prices):
        for model, rates in costs.items():
            if pattern_matches(price.model, model):
                judged = {meter: cost for meter, cost in rates.items() if meter not in counted}
                least = meter_rates(price, _least_factor(plan, model), {})
                yield from _price(price, f"prices[{index}]", least, _Judged(model, judged, budget, floor))
    for index, charge in enumerate(plan.charges):
        if isinstance(charge, QuantityCharge):
            yield from _charge(charge, f"charges[{index}]", costs, (budget, floor))


def _least_factor(plan: Plan, model: str) -> Fraction:
    """What a rate is multiplied with when every adjustment that lowers it applies."""
    factor = Fraction(1)
    for item in plan.adjustments:
        if pattern_matches(item.model, model):
            factor *= min(Fraction(item.factor), Fraction(1))
    return factor


def _price(price: Price, path: str, rates: Mapping[str, Fraction], costs: _Judged) -> Iterator[Finding]:
    """rates: meter -> the least that one unit sells at."""
    model, budget = costs.model, costs.budget
    own = Fraction(price.minimum or 0)
    for meter, cost in costs.costs.items():
        rate = rates.get(meter)
        if rate is None:
            continue
        least = _paid_up_to(cost, own + budget, costs.floor)
        at = first_below([Segment(Fraction(0), None, Fraction(0), rate)], cost, budget, least)
        if price.maximum is not None:
            capped = first_below([_flat(price.maximum)], cost, budget, least)
            at = capped if at is None else min(at, capped or at)
        if at is not None:
            yield _finding(f"{path}.{meter}", (model, meter), rate, cost, at)


def _charge(charge: QuantityCharge, path: str, costs: Costs, paid: tuple[Fraction, Fraction]) -> Iterator[Finding]:
    """The dearest mix of models and meters that one unit of the charge may stand for."""
    worst: tuple[Fraction, str, str] | None = None
    for model, rates in costs.items():
        if not pattern_matches(charge.where.get("model", "*"), model):
            continue
        for meter, units in meters_of(charge).items():
            if meter in rates and units:
                worst = max(worst or (Fraction(-1), "", ""), (rates[meter] / units, model, meter))
    if worst is None:
        return
    cost, model, meter = worst
    budget, floor = paid
    least = _paid_up_to(cost, Fraction(charge.minimum or 0) + budget, floor)
    at = first_loss(charge, cost, budget, least)
    if charge.maximum is not None:
        capped = first_below([_flat(charge.maximum)], cost, budget, least)
        at = capped if at is None else min(at, capped or at)
    if at is not None:
        rates_of = charge.marginal_rates() or (Fraction(0),)
        yield _finding(path, (model, meter), min(rates_of), cost, at)


def _flat(amount: Decimal) -> Segment:
    return Segment(Fraction(0), None, Fraction(amount), Fraction(0))


def _paid_up_to(cost: Fraction, *floors: Fraction) -> Fraction:
    """The first whole quantity that costs more than each of these amounts."""
    return max(first_integer_above(floor / cost) for floor in floors) if cost else Fraction(1)


def _finding(path: str, what: tuple[str, str], rate: Fraction, cost: Fraction, at: Fraction) -> Finding:
    model, meter = what
    return Finding(
        code="below_cost",
        severity="warning",
        path=path,
        at=quantity(at),
        unit=meter,
        en=f"{meter} of {model} sell at {money(rate)} and cost {money(cost)} each: a loss from {number(at)} on.",
        zh=f"{model} 的 {meter} 售价 {money(rate)}、成本 {money(cost)}：从 {number(at)} 起亏损。",
    )
