"""Other people's money: marketplace commission, mark-up on cost, and pools that are shared out to creators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, ClassVar

from msgspec import Meta

from mintage.base import MintageError
from mintage.pricing.charges.base import ONE_HUNDRED, ChargeFields, QuantityCharge, State, Step, per_unit_step
from mintage.pricing.metric import Event, Metric, Span, count


class Commission(
    ChargeFields, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="commission"
):
    """take_percent of the value of orders, less what the payment processor keeps of them.

    The rest of each order belongs to its seller: payout_of() says how much.
    """

    states: ClassVar[frozenset[State]] = frozenset({"additive"})

    metric: Annotated[Metric, Meta(description="The value of an order.")]
    take_percent: Annotated[Decimal, Meta(description="Our share of an order.")]
    processor_percent: Annotated[Decimal, Meta(description="The processor's share of an order.")] = Decimal(0)
    processor_fixed: Annotated[Decimal, Meta(description="The processor's fee of an order.")] = Decimal(0)

    def check(self) -> None:
        if self.take_percent > ONE_HUNDRED:
            raise ValueError(f"take_percent {self.take_percent} is above 100")

    def price(self, events: Sequence[Event], span: Span) -> tuple[Fraction, list[Step]]:
        orders = [event for event in events if event.kind == self.metric.kind and span.holds(event.at_ns)]
        value = self.metric.convert(count(self.metric, orders, span))
        take, keeps = Fraction(self.take_percent) / ONE_HUNDRED, Fraction(self.processor_percent) / ONE_HUNDRED
        steps = [
            per_unit_step(f"{self.take_percent}% of orders", f"订单金额的 {self.take_percent}%", value, take),
            per_unit_step("payment processor, share", "支付通道费率", value, -keeps),
            per_unit_step(
                "payment processor, per order", "支付通道每笔费", Fraction(len(orders)), -Fraction(self.processor_fixed)
            ),
        ]
        return value, [step for step in steps if step.amount]

    def payout_of(self, value: Fraction) -> Fraction:
        """What the seller gets of orders of this value."""
        return value * (1 - Fraction(self.take_percent) / ONE_HUNDRED)


class Markup(QuantityCharge, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="markup"):
    """What we paid, plus a percentage. The metric counts cost in the plan's currency, e.g. values = ["cost"]."""

    states: ClassVar[frozenset[State]] = frozenset({"additive"})

    percent: Annotated[Decimal, Meta(description="On top of cost; 20 charges 1.20 for a cost of 1.")]

    def price_quantity(self, quantity: Fraction) -> list[Step]:
        if not quantity:
            return []
        share = Fraction(self.percent) / ONE_HUNDRED
        return [
            per_unit_step("cost", "成本", quantity, Fraction(1)),
            per_unit_step(f"mark-up of {self.percent}%", f"加价 {self.percent}%", quantity, share),
        ]


class Pool(QuantityCharge, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="pool"):
    """A share of a pool of money, paid OUT to its creators by their part of the pool's usage: a negative charge.

    It depends on every creator at once, so it is shared out in a second pass over the totals: share_out().
    """

    states: ClassVar[frozenset[State]] = frozenset({"period_total", "cross_customer"})

    percent: Annotated[Decimal, Meta(description="Of the pool's money that goes to creators.")]

    def check(self) -> None:
        if self.percent > ONE_HUNDRED:
            raise ValueError(f"percent {self.percent} is above 100: it would pay out more than the pool")

    def price_quantity(self, quantity: Fraction) -> list[Step]:
        if not quantity:
            return []
        raise MintageError(
            "unpriceable",
            f"Charge {self.id} shares a pool among creators: one customer's usage does not determine it.",
            "Use share_out with the pool's amount and every creator's units.",
        )

    def share_out(self, pool: Fraction, units: Mapping[str, Fraction]) -> dict[str, list[Step]]:
        """creator -> working with a negative amount. The shares add up to percent of the pool exactly."""
        everything = sum(units.values(), Fraction(0))
        if not everything:
            return {creator: [] for creator in units}
        each = -pool * Fraction(self.percent) / ONE_HUNDRED / everything
        return {
            creator: [per_unit_step("share of the pool", "分润池份额", count_, each)] if count_ else []
            for creator, count_ in units.items()
        }
