"""Rules of time: parts of periods, changes of plan, anchors, billing days, minimums and thresholds of a period."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any, Final

from mintage.pricing.calculator.numbers import exact, text, whole
from mintage.pricing.metric import Span
from mintage.pricing.period import (
    Thresholds,
    allocate_discount,
    billable_after_discount,
    days_share,
    first_cycle_date,
    fixed_share,
    local_day,
    maximum_discounts,
    minimum_true_up,
    period_start,
    progressive_invoices,
    round_places,
    seconds_share,
    switch,
)
from mintage.pricing.usage_file import to_ns
from mintage.pricing.words import Period

Inputs = dict[str, Any]
_LENGTHS: Final[dict[str, tuple[Period, int]]] = {  # word -> (period, how many of it)
    "week": ("week", 1),
    "month": ("month", 1),
    "quarter": ("quarter", 1),
    "year": ("year", 1),
}


def _day(value: str) -> date:
    return date.fromisoformat(str(value)[:10])


def _instant(value: str) -> int:
    moment = datetime.fromisoformat(value)
    return to_ns(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _length(words: str) -> tuple[Period, int, int]:
    """`3 months`: the period to count in, how many, and months of it (0 for weeks)."""
    count, _, word = words.strip().partition(" ")
    if not count.isdigit():
        count, word = "1", words.strip()
    period, times = _LENGTHS[word.removesuffix("ly").rstrip("s")]
    number = int(count) * times
    return period, number, number * {"week": 0, "month": 1, "quarter": 3, "year": 12}[period]


def proration_days_ratio(inputs: Inputs) -> str:
    """fixed_days: every month has so many; without it, calendar days."""
    start, end = _day(inputs["period_start"]), _day(inputs["end"])
    period, number, months = _length(inputs.get("period", "1 month"))
    if days := inputs.get("fixed_days"):
        share = fixed_share(start, end, months=max(months, 1), days=int(days))
    else:
        share = days_share(start, end, start, period_start(start, period, number))
    return text(round_places(share, int(inputs.get("scale", 9))))


def proration_days(inputs: Inputs) -> str:
    return whole(exact(inputs["amount_minor"]) * Fraction(int(inputs["days"]), int(inputs["period_days"])))


def proration_switch(inputs: Inputs) -> Inputs:
    done = switch(exact(inputs["old"]), exact(inputs["new"]), exact(inputs["fraction_remaining"]))
    return {"credit": text(-done.credit), "charge": text(done.charge), "net": text(done.net)}


def proration_switch_seconds(inputs: Inputs) -> Inputs:
    start, at, end = (_instant(inputs[name]) for name in ("period_start", "at", "period_end"))
    remaining = seconds_share(Span(at, end), Span(start, end))
    done = switch(exact(inputs["old_minor"]), exact(inputs["new_minor"]), remaining)
    return {"credit": whole(done.credit), "charge": whole(done.charge)}


def _discounted(amount: int, discount: list[Any] | None) -> Fraction:
    """discount: ["pct", 50], ["fixed", minor units] or None."""
    if discount is None:
        return exact(amount)
    kind, value = discount
    if kind == "pct":
        return exact(amount) * (100 - exact(value)) / 100
    return exact(amount - allocate_discount(int(value), [amount])[0])


def proration_switch_discount(inputs: Inputs) -> Inputs:
    old = _discounted(int(inputs["old_minor"]), inputs.get("old_discount"))
    new = _discounted(int(inputs["new_minor"]), inputs.get("new_discount"))
    done = switch(old, new, exact(inputs["fraction_remaining"]))
    return {"credit": whole(done.credit), "charge": whole(done.charge)}


def monthly_anchor(inputs: Inputs) -> list[str]:
    start, day = _day(inputs["start"]), int(inputs["anchor_day"])
    return [period_start(start, "month", i + 1, anchor_day=day).isoformat() for i in range(int(inputs["count"]))]


def first_billing_cycle_date(inputs: Inputs) -> str:
    return first_cycle_date(_day(inputs["start"]), int(inputs["anchor_day"])).isoformat()


def customer_local_billing_day(inputs: Inputs) -> str:
    return local_day(_instant(inputs["utc"]), inputs["tz"]).isoformat()


def min_commitment(inputs: Inputs) -> Inputs:
    charges = exact(inputs["charges"])
    true_up = minimum_true_up(charges, exact(inputs["minimum"]))
    return {"true_up": text(true_up), "total": text(charges + true_up)}


def prorated_min_commitment_true_up(inputs: Inputs) -> str:
    share = Fraction(int(inputs["days"]), int(inputs["period_days"]))
    return whole(minimum_true_up(exact(inputs["plan_minor"]) * share, exact(inputs["commitment_minor"]), share))


def max_spend(inputs: Inputs) -> Inputs:
    lines = [exact(line) for line in inputs["lines"]]
    cuts = maximum_discounts(lines, exact(inputs["maximum"]), exact(inputs.get("previously_billed", 0)))
    return {"discounts": [text(cut) for cut in cuts], "billed": text(sum(lines) - sum(cuts))}


def usage_discount_progressive(inputs: Inputs) -> Inputs:
    parts = [exact(part) for part in inputs["invoices"]]
    return {"billable": [text(part) for part in billable_after_discount(parts, exact(inputs["discount_units"]))]}


def progressive_billing(inputs: Inputs) -> Inputs:
    amounts = [exact(event) * exact(inputs["unit_price_minor"]) for event in inputs["events"]]
    named = inputs.get("thresholds_minor") or [inputs["threshold_minor"]]
    recurring = inputs.get("recurring_minor")
    thresholds = Thresholds(tuple(exact(amount) for amount in named), None if recurring is None else exact(recurring))
    invoices = progressive_invoices(thresholds, amounts)
    fees = sum(amounts, Fraction(0)) + exact(inputs.get("subscription_minor", 0))
    credit = sum(invoices, Fraction(0))
    return {
        "threshold_invoices": [text(invoice) for invoice in invoices],
        "final_fees": text(fees),
        "progressive_credit": text(credit),
        "final_total": text(fees - credit),
    }


RULES: Final[dict[str, Callable[[Inputs], Any]]] = {
    rule.__name__: rule
    for rule in (
        proration_days_ratio,
        proration_days,
        proration_switch,
        proration_switch_seconds,
        proration_switch_discount,
        monthly_anchor,
        first_billing_cycle_date,
        customer_local_billing_day,
        min_commitment,
        prorated_min_commitment_true_up,
        max_spend,
        usage_discount_progressive,
        progressive_billing,
    )
}
