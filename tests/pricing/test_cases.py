"""Worked examples that other billing systems publish, each with its source, against our arithmetic."""

import json
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from mintage.base import Usage
from mintage.pricing import Names, Price, Rate, compile_plan, freeze_plan
from mintage.pricing.charges import (
    Block,
    Graduated,
    GraduatedPercentage,
    Package,
    Percentage,
    PercentTier,
    Tier,
    TieredBlocks,
    Volume,
    amount_between,
    total,
)
from mintage.pricing.metric import Event, Metric, Span
from mintage.pricing.period import (
    CreditGrant,
    StatementLine,
    Terms,
    Thresholds,
    allocate_discount,
    billable_after_discount,
    burn,
    buy_credits,
    compute_statement,
    days_share,
    first_cycle_date,
    fixed_share,
    local_day,
    maximum_discounts,
    minimum_true_up,
    period_start,
    progressive_invoices,
    round_lines,
    round_places,
    seconds_share,
    split_two_ways,
    switch,
)
from mintage.pricing.policies import BillingPolicy

from .strategies import simple_plan

CASES = json.loads((Path(__file__).parent / "cases" / "rating.json").read_text("utf-8"))
NAMES = Names(en="x")
METRIC = Metric(values=("units",))
Inputs = dict[str, Any]


def F(value: Any) -> Fraction:
    return Fraction(str(value))


def text(value: Fraction | int) -> str:
    """As the cases write numbers: no trailing zeros."""
    exact = Decimal(Fraction(value).numerator) / Decimal(Fraction(value).denominator)
    return format(exact.normalize(), "f") if exact else "0"


def minor(value: Fraction) -> str:
    return text(round_places(value, 0))


def tiers(inputs: Inputs) -> tuple[Tier, ...]:
    return tuple(
        Tier(
            up_to=None if tier["up_to"] is None else Decimal(tier["up_to"]),
            per_unit=Decimal(tier["unit"]) if "unit" in tier else None,
            flat=Decimal(tier.get("flat", "0")),
        )
        for tier in inputs["tiers"]
    )


def graduated(inputs: Inputs) -> str:
    charge = Graduated(id="x", name=NAMES, metric=METRIC, tiers=tiers(inputs), zero_usage=inputs["zero_usage"])
    quantity = F(inputs["quantity"])
    if before := inputs.get("already_billed_quantity"):
        return text(amount_between(charge, F(before), quantity))
    return text(total(charge.price_quantity(quantity)))


def volume(inputs: Inputs) -> str:
    charge = Volume(id="x", name=NAMES, metric=METRIC, tiers=tiers(inputs), zero_usage=inputs["zero_usage"])
    return text(total(charge.price_quantity(F(inputs["quantity"]))))


def package(inputs: Inputs) -> str:
    charge = Package(
        id="x",
        name=NAMES,
        metric=METRIC,
        size=Decimal(inputs["package_size"]),
        round=inputs["round"],
        price_each=Decimal(inputs["package_amount"]),
        free_units=Decimal(inputs.get("free_units", "0")),
    )
    return text(total(charge.price_quantity(F(inputs["quantity"]))))


def tier_blocks(inputs: Inputs) -> str:
    blocks = tuple(
        Block(size=Decimal(block["size"]), price=Decimal(block["price"]), max_blocks=int(block["max_blocks"]))
        for block in inputs["blocks"]
    )
    charge = TieredBlocks(
        id="x", name=NAMES, metric=METRIC, blocks=blocks, policy=inputs["policy"].lower(), past_last="last_tier"
    )
    return text(total(charge.price_quantity(F(inputs["quantity"]))))


def convert_then_unit(inputs: Inputs) -> str:
    metric = Metric(
        values=("units",),
        divide_by=Decimal(inputs["divide_by"]),
        round=inputs["round"],
        free_units=Decimal(inputs["usage_discount"]),
    )
    return text(metric.convert(F(inputs["quantity"])) * F(inputs["unit"]))


def percentage(inputs: Inputs) -> str:
    charge = Percentage(
        id="x",
        name=NAMES,
        metric=METRIC,
        percent=Decimal(inputs["rate_pct"]),
        fixed_per_event=Decimal(inputs["fixed_per_event"]),
        free_events=int(inputs["free_events"]) if "free_events" in inputs else None,
        free_amount=Decimal(inputs["free_amount"]) if "free_amount" in inputs else None,
    )
    events = [Event(at_ns=i, values={"units": Decimal(value)}) for i, value in enumerate(inputs["events"])]
    quantity, steps = charge.price(events, Span(0, 100))
    assert quantity == sum(F(value) for value in inputs["events"])
    return text(total(steps))


def graduated_percentage(inputs: Inputs) -> str:
    listed = tuple(
        PercentTier(
            up_to=None if tier["up_to"] is None else Decimal(tier["up_to"]),
            percent=Decimal(tier["rate_pct"]),
            flat=Decimal(tier.get("flat", "0")),
        )
        for tier in inputs["tiers"]
    )
    charge = GraduatedPercentage(id="x", name=NAMES, metric=METRIC, tiers=listed)
    return text(total(charge.price_quantity(F(inputs["quantity"]))))


def min_commitment(inputs: Inputs) -> Inputs:
    true_up = minimum_true_up(F(inputs["charges"]), F(inputs["minimum"]))
    return {"true_up": text(true_up), "total": text(F(inputs["charges"]) + true_up)}


def max_spend(inputs: Inputs) -> Inputs:
    lines = [F(line) for line in inputs["lines"]]
    cuts = maximum_discounts(lines, F(inputs["maximum"]), F(inputs["previously_billed"]))
    return {"discounts": [text(cut) for cut in cuts], "billed": text(sum(lines) - sum(cuts))}


def prorated_min_commitment_true_up(inputs: Inputs) -> str:
    share = Fraction(inputs["days"], inputs["period_days"])
    return minor(minimum_true_up(inputs["plan_minor"] * share, F(inputs["commitment_minor"]), share))


def usage_discount_progressive(inputs: Inputs) -> Inputs:
    left = billable_after_discount([F(part) for part in inputs["invoices"]], F(inputs["discount_units"]))
    return {"billable": [text(part) for part in left]}


def progressive_billing(inputs: Inputs) -> Inputs:
    amounts = [F(event) * F(inputs["unit_price_minor"]) for event in inputs["events"]]
    invoices = progressive_invoices(Thresholds((F(inputs["threshold_minor"]),)), amounts)
    fees, credit = sum(amounts) + inputs["subscription_minor"], sum(invoices)
    return {
        "threshold_invoices": [text(invoice) for invoice in invoices],
        "final_fees": text(fees),
        "progressive_credit": text(credit),
        "final_total": text(fees - credit),
    }


def proration_days_ratio(inputs: Inputs) -> str:
    start, end = date.fromisoformat(inputs["period_start"]), date.fromisoformat(inputs["end"])
    if days := inputs.get("fixed_days"):
        share = fixed_share(start, end, days=days)
    else:
        share = days_share(start, end, start, period_start(start, "month", 1))
    return text(round_places(share, inputs["scale"]))


def proration_days(inputs: Inputs) -> str:
    return minor(inputs["amount_minor"] * Fraction(inputs["days"], inputs["period_days"]))


def proration_switch(inputs: Inputs) -> Inputs:
    done = switch(F(inputs["old"]), F(inputs["new"]), F(inputs["fraction_remaining"]))
    return {"credit": text(-done.credit), "charge": text(done.charge), "net": text(done.net)}


def instant_ns(value: str) -> int:
    return int(datetime.fromisoformat(value).timestamp()) * 10**9


def proration_switch_seconds(inputs: Inputs) -> Inputs:
    start, at, end = (instant_ns(inputs[name]) for name in ("period_start", "at", "period_end"))
    done = switch(F(inputs["old_minor"]), F(inputs["new_minor"]), seconds_share(Span(at, end), Span(start, end)))
    return {"credit": minor(done.credit), "charge": minor(done.charge)}


def discounted(amount: int, discount: list[Any] | None) -> Fraction:
    if discount is None:
        return F(amount)
    kind, value = discount
    return F(amount) * (100 - F(value)) / 100 if kind == "pct" else F(amount - allocate_discount(value, [amount])[0])


def proration_switch_discount(inputs: Inputs) -> Inputs:
    old = discounted(inputs["old_minor"], inputs["old_discount"])
    new = discounted(inputs["new_minor"], inputs["new_discount"])
    done = switch(old, new, F(inputs["fraction_remaining"]))
    return {"credit": minor(done.credit), "charge": minor(done.charge)}


def monthly_anchor(inputs: Inputs) -> list[str]:
    start = date.fromisoformat(inputs["start"])
    days = [period_start(start, "month", i + 1, anchor_day=inputs["anchor_day"]) for i in range(inputs["count"])]
    return [day.isoformat() for day in days]


def first_billing_cycle_date(inputs: Inputs) -> str:
    return first_cycle_date(date.fromisoformat(inputs["start"]), inputs["anchor_day"]).isoformat()


def customer_local_billing_day(inputs: Inputs) -> str:
    return local_day(instant_ns(inputs["utc"]), inputs["tz"]).isoformat()


def round_currency(inputs: Inputs) -> str:
    statement = compute_statement([StatementLine(id="x", amount=F(inputs["amount"]))], Terms(), inputs["currency"])
    assert inputs["mode"] == "half_up"
    return text(Fraction(statement.total, 10 ** inputs["places"]))


def sum_of_rounded_lines(inputs: Inputs) -> str:
    return text(round_lines([F(line) for line in inputs["lines"]], inputs["places"]))


def round_half_away(inputs: Inputs) -> str:
    return minor(F(inputs["amount"]))


def wallet_topup(inputs: Inputs) -> Inputs:
    amount, bought = buy_credits(F(inputs["credits"]), F(inputs["rate"]), inputs["places"])
    return {"amount": text(amount), "credits": text(bought)}


def allocate_fixed_discount(inputs: Inputs) -> list[int]:
    return allocate_discount(inputs["discount"], inputs["amounts"])


def split_invoice_2d(inputs: Inputs) -> None:
    charges, taxes = split_two_ways(inputs["charge"], inputs["tax"], inputs["splits"])
    assert (sum(charges), sum(taxes)) == (inputs["charge"], inputs["tax"])
    assert [sum(row) for row in zip(charges, taxes, strict=True)] == inputs["splits"]
    for cell, row in zip(charges, inputs["splits"], strict=True):
        assert abs(cell - Fraction(inputs["charge"] * row, sum(inputs["splits"]))) < 1


def invoice_pipeline(inputs: Inputs) -> Any:
    if "order" in inputs:
        terms = Terms(
            discount_amount=F(inputs["coupon"]), prepaid=F(inputs["prepaid"]), tax_percent=F(inputs["tax_pct"])
        )
        line = StatementLine(id="fees", amount=F(inputs["fees"]))
        return text(Fraction(compute_statement([line], terms, "USD", BillingPolicy(prepaid="before_tax")).total, 100))
    lines = [
        StatementLine(id=line["id"], amount=F(line["amount"]), discount_percent=F(line.get("coupon_pct", 0)))
        for line in inputs["lines"]
    ]
    assert inputs["credits_reduce_tax_base"] is False
    terms = Terms(
        discount_amount=F(inputs["invoice_coupon"]),
        prepaid=F(inputs["wallet_credits"]),
        tax_percent=F(inputs["tax_pct"]),
    )
    done = compute_statement(lines, terms, "USD")
    shown = {
        "subtotal": done.subtotal,
        "coupons": done.discount,
        "taxable": done.taxable,
        "tax": done.tax,
        "total": done.total,
    }
    return {name: text(Fraction(cents, 100)) for name, cents in shown.items()}


def graduated_plus_tax(inputs: Inputs) -> Inputs:
    line = StatementLine(id="x", amount=F(graduated(inputs)))
    done = compute_statement([line], Terms(tax_percent=F(inputs["tax_pct"])), "USD")
    shown = {"subtotal": done.subtotal, "tax": done.tax, "total": done.total}
    return {name: text(Fraction(cents, 100)) for name, cents in shown.items()}


def prepaid_credit_cap(inputs: Inputs) -> Inputs:
    lines = [StatementLine(id=str(i), amount=F(fee) / 100) for i, fee in enumerate(inputs["fee_precise"])]
    done = compute_statement(lines, Terms(prepaid=F(1000), tax_percent=F(inputs["tax_pct"])), "USD")
    assert done.total == 0
    return {
        "fees": str(done.subtotal),
        "tax": str(done.tax),
        "total": str(done.taxable + done.tax),
        "credits_applied": str(done.prepaid),
    }


def credit_purchase_cost_basis(inputs: Inputs) -> str:
    return text(buy_credits(F(inputs["credits"]), F(inputs["per_unit_cost"]), 2)[0])


def credit_burndown(inputs: Inputs) -> Inputs:
    grants = [
        CreditGrant(
            id=grant["id"],
            balance=F(grant["balance"]),
            priority=grant.get("priority", 0),
            created_ns=int(grant.get("created", 0)),
            granted=grant.get("kind") == "granted",
            expires_ns=int(grant["expires"]) if grant.get("expires") else None,
        )
        for grant in inputs["grants"]
    ]
    done = burn(grants, F(inputs["usage"]), order=inputs["order"].split(","))
    taken = dict(done.taken)
    return {
        "balances": {grant.id: text(grant.balance - taken.get(grant.id, Fraction(0))) for grant in grants},
        "overage": text(done.overage),
    }


def token_cost(inputs: Inputs) -> Inputs:
    rates = inputs["rates_per_million"]
    price = Price(
        model="m",
        input_tokens=Rate(per_million=Decimal(rates["input"])),
        output_tokens=Rate(per_million=Decimal(rates["output"])),
        cached_read_tokens=Rate(per_million=Decimal(rates["cache_read"])),
    )
    tokens = inputs["tokens"]
    usage = Usage(input_tokens=tokens["input"], cached_read_tokens=tokens["cache_read"], output_tokens=tokens["output"])
    card = compile_plan(freeze_plan(simple_plan(prices=(price,)), applied_ns=0))
    exact = Fraction(card.rate("m", usage).attos, 10**18)
    return {"exact": text(exact), "rounded": text(round_places(exact, 6))}


RULES: dict[str, Callable[[Inputs], Any]] = {
    rule.__name__: rule
    for rule in (
        graduated,
        volume,
        package,
        tier_blocks,
        convert_then_unit,
        percentage,
        graduated_percentage,
        min_commitment,
        max_spend,
        prorated_min_commitment_true_up,
        usage_discount_progressive,
        progressive_billing,
        proration_days_ratio,
        proration_days,
        proration_switch,
        proration_switch_seconds,
        proration_switch_discount,
        monthly_anchor,
        first_billing_cycle_date,
        customer_local_billing_day,
        round_currency,
        sum_of_rounded_lines,
        round_half_away,
        wallet_topup,
        allocate_fixed_discount,
        split_invoice_2d,
        invoice_pipeline,
        graduated_plus_tax,
        prepaid_credit_cap,
        credit_purchase_cost_basis,
        credit_burndown,
        token_cost,
    )
}
HELD_BY_THE_LOG = {"two_phase", "hold_then_settle"}


@pytest.mark.parametrize("case", [c for c in CASES if c["model"] not in HELD_BY_THE_LOG], ids=lambda case: case["id"])
def test_a_published_example(case: Inputs) -> None:
    result = RULES[case["model"]](case["inputs"])
    if result is not None:
        assert result == case["expected"]


def test_every_example_names_its_source_and_has_a_rule() -> None:
    assert all(case["source"] for case in CASES)
    assert {case["model"] for case in CASES} == RULES.keys() | HELD_BY_THE_LOG
