"""Promises of a least amount: minimums of a period, commitments over a term with discount, overage and true-up."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mintage.pricing.charges.base import ONE_HUNDRED, Step, flat_step, per_unit_step
from mintage.pricing.words import PositiveInt


class Commitment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The customer buys at least `amount` over a term, and gets a discount on it.

    List-price usage x (1 - discount) is set against the amount; usage beyond what the amount buys pays list price x
    overage_percent. What is missing when it falls due is charged as true-up.
    """

    amount: Annotated[Decimal, Meta(description="Committed amount of the whole term, after discount.")]
    periods: Annotated[PositiveInt, Meta(description="Billing periods of a term.")] = 12
    discount_percent: Annotated[Decimal, Meta(description="Off the list price, within the commitment.")] = Decimal(0)
    overage_percent: Annotated[Decimal | None, Meta(description="Of the list price, beyond it; else as within.")] = None
    true_up: Annotated[
        Literal["term_end", "each_period"],
        Meta(description="What is missing is due at the end of the term, or each period its part of the amount."),
    ] = "term_end"

    def __post_init__(self) -> None:
        if self.discount_percent >= ONE_HUNDRED:
            raise ValueError(f"discount_percent is {self.discount_percent}: nothing would be left to commit to")


def commitment_steps(
    commitment: Commitment, usage: Fraction, *, before: Fraction = Fraction(0), period: int = 0
) -> list[Step]:
    """What one period of the term adds up to. Steps total what the customer pays for the period's usage.

    usage: list-price amount of this period. before: of the term's earlier periods. period counts from 0; the last
    one of the term brings the true-up. Over a whole term the steps total max(amount, discounted usage) plus overage.
    """
    factor = 1 - Fraction(commitment.discount_percent) / ONE_HUNDRED
    over_factor = factor
    if commitment.overage_percent is not None:
        over_factor = Fraction(commitment.overage_percent) / ONE_HUNDRED
    spread = commitment.true_up == "each_period"
    amount = Fraction(commitment.amount) / (commitment.periods if spread else 1)
    earlier = Fraction(0) if spread else before
    within_list = max(amount / factor - earlier, Fraction(0))
    within, over = min(usage, within_list), max(usage - within_list, Fraction(0))
    steps = []
    if within:
        steps.append(per_unit_step("usage within the commitment", "承诺内用量", within, factor))
    if over:
        steps.append(per_unit_step("usage beyond the commitment", "超出承诺的用量", over, over_factor))
    if spread or period == commitment.periods - 1:
        missing = amount - min((earlier + usage) * factor, amount)
        if missing:
            steps.append(flat_step("true-up to the commitment", "承诺补差", missing))
    return steps


def minimum_true_up(charges: Fraction, minimum: Fraction, share: Fraction = Fraction(1)) -> Fraction:
    """What lifts charges to a minimum; of a part of a period, to that part of it."""
    return max(minimum * share - charges, Fraction(0))


def maximum_discounts(lines: Sequence[Fraction], maximum: Fraction, before: Fraction = Fraction(0)) -> list[Fraction]:
    """What to take off each line, in order, so that they and what was billed before stay within a maximum."""
    room = max(maximum - before, Fraction(0))
    discounts = []
    for line in lines:
        kept = min(line, room)
        room -= kept
        discounts.append(line - kept)
    return discounts
