"""A share of amounts: of each payment, order or sale, or of the period's total in graduated steps."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, ClassVar

from msgspec import Meta

from mintage.pricing.charges.base import (
    ONE_HUNDRED,
    ChargeFields,
    QuantityCharge,
    State,
    Step,
    flat_step,
    number,
    per_unit_step,
)
from mintage.pricing.charges.graduated import TieredCharge, tier_words
from mintage.pricing.charges.tiers import PercentTier, check_tiers, tier_parts
from mintage.pricing.metric import Event, Metric, Span
from mintage.pricing.words import PositiveInt


class Percentage(
    ChargeFields, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="percentage"
):
    """percent of each event's amount plus a fixed fee, after free events or a free amount, within bounds per event.

    Events are taken in order of time. The free part ends with free_events events or free_amount in all, whichever
    comes first; the event that uses up free_amount pays its fixed fee and its share of what is over. With neither,
    nothing is free. A period whose amounts are all 0 costs nothing.
    """

    states: ClassVar[frozenset[State]] = frozenset({"additive"})

    metric: Annotated[Metric, Meta(description="The amount of an event.")]
    percent: Annotated[Decimal, Meta(description="Of the amount.")]
    fixed_per_event: Annotated[Decimal, Meta(description="For each event that is not free.")] = Decimal(0)
    free_events: Annotated[PositiveInt | None, Meta(description="Events of a period that are free.")] = None
    free_amount: Annotated[Decimal | None, Meta(description="Amount of a period that is free.")] = None
    minimum_per_event: Annotated[Decimal | None, Meta(description="Least charge of an event that is not free.")] = None
    maximum_per_event: Annotated[Decimal | None, Meta(description="Greatest charge of an event.")] = None

    def check(self) -> None:
        if self.metric.aggregate != "sum":
            raise ValueError("percentage takes each event's amount: aggregate is sum")

    def price(self, events: Sequence[Event], span: Span) -> tuple[Fraction, list[Step]]:
        mine = sorted(
            (event for event in events if event.kind == self.metric.kind and span.holds(event.at_ns)),
            key=lambda event: (event.at_ns, event.id),
        )
        amounts = [self.metric.convert(self.metric.of(event)) for event in mine]
        return sum(amounts, Fraction(0)), self.price_amounts(amounts)

    def price_amounts(self, amounts: Sequence[Fraction]) -> list[Step]:
        """The working for amounts in their order."""
        if not any(amounts):
            return []
        paid = self._paid(amounts)
        share = Fraction(self.percent) / ONE_HUNDRED
        fixed = Fraction(self.fixed_per_event)
        steps = [per_unit_step(f"{self.percent}% of amounts", f"金额的 {self.percent}%", sum(paid, Fraction(0)), share)]
        if fixed:
            steps.append(per_unit_step("fixed fee of an event", "每笔固定费", Fraction(len(paid)), fixed))
        adjusted = sum((self._within(amount * share + fixed) - amount * share - fixed for amount in paid), Fraction(0))
        if adjusted:
            steps.append(flat_step("minimum and maximum of an event", "每笔最低与封顶调整", adjusted))
        return [step for step in steps if step.amount]

    def _paid(self, amounts: Sequence[Fraction]) -> list[Fraction]:
        """What is left of each event that is not wholly free."""
        events_left = self.free_events or None
        amount_left = Fraction(self.free_amount) if self.free_amount else None
        free = events_left is not None or amount_left is not None
        paid = []
        for amount in amounts:
            free = free and events_left != 0
            if not free:
                paid.append(amount)
                continue
            if events_left is not None:
                events_left -= 1
            if amount_left is None:
                continue
            if amount < amount_left:
                amount_left -= amount
            else:
                paid.append(amount - amount_left)
                free = False
        return paid

    def _within(self, amount: Fraction) -> Fraction:
        if self.minimum_per_event is not None:
            amount = max(amount, Fraction(self.minimum_per_event))
        return amount if self.maximum_per_event is None else min(amount, Fraction(self.maximum_per_event))


class GraduatedPercentage(
    TieredCharge, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="graduated_percentage"
):
    """Each part of the period's amount at its own tier's percentage, plus the flat amount of every tier entered."""

    tiers: Annotated[tuple[PercentTier, ...], Meta(min_length=1, max_length=100, description="Lowest first.")]

    def check(self) -> None:
        check_tiers(self.tiers)

    def price_quantity(self, quantity: Fraction) -> list[Step]:
        if quantity == 0 and self.zero_usage == "zero":
            return []
        steps = []
        for index, part in enumerate(tier_parts(self.tiers, quantity, self.reach(self.tiers, quantity))):
            tier = self.tiers[index]
            en, zh = tier_words(self.tiers, index)
            if part and tier.percent:
                share = Fraction(tier.percent) / ONE_HUNDRED
                steps.append(per_unit_step(f"{tier.percent}% of {en}", f"{zh}的 {tier.percent}%", part, share))
            if tier.flat:
                steps.append(flat_step(f"{en}, flat", f"{zh}固定费", Fraction(tier.flat)))
        return steps


class RevenueShare(
    QuantityCharge, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="revenue_share"
):
    """A share of what the partner's attested revenue (or saving) exceeds a base, within the charge's own bounds."""

    percent: Annotated[Decimal, Meta(description="Of what exceeds the base.")]
    base: Annotated[Decimal, Meta(description="Revenue of a period that is not shared.")] = Decimal(0)

    def price_quantity(self, quantity: Fraction) -> list[Step]:
        shared = max(quantity - Fraction(self.base), Fraction(0))
        if not shared:
            return []
        share = Fraction(self.percent) / ONE_HUNDRED
        over = f" above {number(Fraction(self.base))}" if self.base else ""
        return [
            per_unit_step(f"{self.percent}% of revenue{over}", f"收入超出基数部分的 {self.percent}%", shared, share)
        ]
