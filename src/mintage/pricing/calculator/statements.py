"""Rules of a bill's end: rounding, sharing out, credits, and the order of discount, prepayment and tax."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from fractions import Fraction
from typing import Any, Final

from mintage.pricing.calculator.numbers import exact, text, whole
from mintage.pricing.period import (
    CreditGrant,
    StatementLine,
    Terms,
    allocate_discount,
    burn,
    buy_credits,
    compute_statement,
    round_lines,
    round_places,
    split_two_ways,
)
from mintage.pricing.policies import BillingPolicy
from mintage.pricing.usage_file import to_ns

Inputs = dict[str, Any]


def _cents(value: int) -> str:
    return text(Fraction(value, 100))


def round_currency(inputs: Inputs) -> str:
    if inputs.get("mode", "half_up") != "half_up":
        raise ValueError("money is rounded half_up")
    if "places" in inputs:
        return text(round_places(exact(inputs["amount"]), int(inputs["places"])))
    line = StatementLine(id="amount", amount=exact(inputs["amount"]))
    return _cents(compute_statement([line], Terms(), inputs["currency"]).total)


def sum_of_rounded_lines(inputs: Inputs) -> str:
    return text(round_lines([exact(line) for line in inputs["lines"]], int(inputs["places"])))


def round_half_away(inputs: Inputs) -> str:
    return whole(exact(inputs["amount"]))


def wallet_topup(inputs: Inputs) -> Inputs:
    amount, bought = buy_credits(exact(inputs["credits"]), exact(inputs["rate"]), int(inputs["places"]))
    return {"amount": text(amount), "credits": text(bought)}


def credit_purchase_cost_basis(inputs: Inputs) -> str:
    places = int(inputs.get("places", 2))
    return text(buy_credits(exact(inputs["credits"]), exact(inputs["per_unit_cost"]), places)[0])


def _moment(value: Any) -> int:
    """A number as it is, a date or time as nanoseconds; 0 for none."""
    if value is None:
        return 0
    try:
        return int(value)
    except ValueError:
        return to_ns(datetime.fromisoformat(str(value)).astimezone())


def credit_burndown(inputs: Inputs) -> Inputs:
    grants = [
        CreditGrant(
            id=grant["id"],
            balance=exact(grant["balance"]),
            priority=int(grant.get("priority", 0)),
            created_ns=_moment(grant.get("created")),
            granted=grant.get("kind") == "granted",
            expires_ns=_moment(grant["expires"]) if grant.get("expires") is not None else None,
        )
        for grant in inputs["grants"]
    ]
    order = [key.strip() for key in inputs.get("order", "priority,expires,created").split(",")]
    done = burn(grants, exact(inputs["usage"]), at_ns=_moment(inputs.get("at")), order=order)
    taken = dict(done.taken)
    left = {grant.id: text(grant.balance - taken.get(grant.id, Fraction(0))) for grant in grants}
    return {"balances": left, "overage": text(done.overage)}


def allocate_fixed_discount(inputs: Inputs) -> list[int]:
    return allocate_discount(int(inputs["discount"]), [int(amount) for amount in inputs["amounts"]])


def split_invoice_2d(inputs: Inputs) -> Inputs:
    """Rows and columns add up; a tie goes to the earlier row."""
    charges, taxes = split_two_ways(int(inputs["charge"]), int(inputs["tax"]), [int(row) for row in inputs["splits"]])
    return {"charges": [str(cell) for cell in charges], "taxes": [str(cell) for cell in taxes]}


def invoice_pipeline(inputs: Inputs) -> Any:
    """With `order` one line and the total; else lines with coupons, an invoice coupon, wallet credits, tax."""
    if "order" in inputs:
        steps = [step.strip() for step in inputs["order"].split(",")]
        terms = Terms(
            discount_amount=exact(inputs.get("coupon", 0)),
            prepaid=exact(inputs.get("prepaid", 0)),
            tax_percent=exact(inputs["tax_pct"]),
        )
        line = StatementLine(id="fees", amount=exact(inputs["fees"]))
        before = "prepaid" in steps and "tax" in steps and steps.index("prepaid") < steps.index("tax")
        policy = BillingPolicy(prepaid="before_tax" if before else "after_tax")
        return _cents(compute_statement([line], terms, "USD", policy).total)
    lines = [
        StatementLine(id=line["id"], amount=exact(line["amount"]), discount_percent=exact(line.get("coupon_pct", 0)))
        for line in inputs["lines"]
    ]
    terms = Terms(
        discount_amount=exact(inputs.get("invoice_coupon", 0)),
        prepaid=exact(inputs.get("wallet_credits", 0)),
        tax_percent=exact(inputs["tax_pct"]),
    )
    before = bool(inputs.get("credits_reduce_tax_base", False))
    done = compute_statement(lines, terms, "USD", BillingPolicy(prepaid="before_tax" if before else "after_tax"))
    named = {"coupons": "discount", "taxable": "taxable", "tax": "tax", "total": "total"}
    return {"subtotal": _cents(done.subtotal), **{name: _cents(getattr(done, field)) for name, field in named.items()}}


def prepaid_credit_cap(inputs: Inputs) -> Inputs:
    """Minor units. Credit never pays more than the total, whatever the fees' own caps would add up to."""
    fees = [exact(fee) / 100 for fee in inputs["fee_precise"]]
    credit = exact(inputs["credits_minor"]) / 100 if "credits_minor" in inputs else Fraction(10**9)
    lines = [StatementLine(id=str(place), amount=fee) for place, fee in enumerate(fees)]
    done = compute_statement(lines, Terms(prepaid=credit, tax_percent=exact(inputs["tax_pct"])), "USD")
    return {
        "fees": str(done.subtotal),
        "tax": str(done.tax),
        "total": str(done.taxable + done.tax),
        "credits_applied": str(done.prepaid),
    }


RULES: Final[dict[str, Callable[[Inputs], Any]]] = {
    rule.__name__: rule
    for rule in (
        round_currency,
        sum_of_rounded_lines,
        round_half_away,
        wallet_topup,
        credit_purchase_cost_basis,
        credit_burndown,
        allocate_fixed_discount,
        split_invoice_2d,
        invoice_pipeline,
        prepaid_credit_cap,
    )
}
