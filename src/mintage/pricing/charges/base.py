"""What all charges of a period share: what they count, over which events, and how they show their working."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

from mintage.base import MintageError
from mintage.pricing.match import Dimensions
from mintage.pricing.metric import Event, Metric, Span, count
from mintage.pricing.rates import TIME_WORDS, RateFields
from mintage.pricing.words import Conditions, Names, Slug

#: How a profit model's bill depends on what happened; combinations are normal.
State = Literal["additive", "period_total", "interval", "cumulative", "path", "choice", "cross_customer"]
ZeroUsage = Literal["first_tier_flat", "zero"]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One line of working: quantity x rate = amount, in currency units, exact. A flat amount has quantity 1."""

    en: str
    zh: str
    quantity: Fraction
    rate: Fraction
    amount: Fraction


def per_unit_step(en: str, zh: str, quantity: Fraction, rate: Fraction) -> Step:
    return Step(en=en, zh=zh, quantity=quantity, rate=rate, amount=quantity * rate)


def flat_step(en: str, zh: str, amount: Fraction) -> Step:
    return Step(en=en, zh=zh, quantity=Fraction(1), rate=amount, amount=amount)


def total(steps: Sequence[Step]) -> Fraction:
    return sum((step.amount for step in steps), Fraction(0))


def number(value: Fraction) -> str:
    """A quantity for people: thousands separated, at most six places."""
    if value.denominator == 1:
        return f"{value.numerator:,}"
    return f"{Decimal(value.numerator) / Decimal(value.denominator):,.6f}".rstrip("0").rstrip(".")


def past_the_last_tier(charge_id: str, quantity: Fraction, last: Fraction) -> MintageError:
    """Usage that no tier prices is an error: a bill that silently leaves it out is too low."""
    return MintageError(
        "unpriceable",
        f"Charge {charge_id} prices up to {number(last)} units; the period has {number(quantity)}.",
        "Give the last tier no up_to.",
        details={"charge": charge_id},
    )


class ChargeFields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """One charge of a period. Each group of events is counted and priced on its own."""

    states: ClassVar[frozenset[State]] = frozenset({"period_total"})

    id: Annotated[Slug, Meta(description="Name within the plan; invoice lines keep it.")]
    name: Annotated[Names, Meta(description="What the invoice line says.")]
    where: Annotated[Conditions, Meta(description="Only events with these dimensions; `*` is any text.")] = (
        msgspec.field(default_factory=dict)
    )
    group_by: Annotated[
        tuple[Slug, ...], Meta(max_length=4, description="Count and price each value of these dimensions on its own.")
    ] = ()
    minimum: Annotated[Decimal | None, Meta(description="Least amount of a period, per group.")] = None
    maximum: Annotated[Decimal | None, Meta(description="Greatest amount of a period, per group.")] = None

    def __post_init__(self) -> None:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")
        self.check()

    def check(self) -> None:
        """Raise ValueError if the charge contradicts itself."""

    def price(self, events: Sequence[Event], span: Span) -> tuple[Fraction, list[Step]]:
        """(charged units, working) of one group of events. Raises MintageError if no price applies."""
        raise NotImplementedError

    def limit_steps(self, amount: Fraction) -> list[Step]:
        """What lifts an amount to the charge's minimum or lowers it to its maximum."""
        if self.minimum is not None and amount < self.minimum:
            return [flat_step("up to the minimum", "补足最低收费", Fraction(self.minimum) - amount)]
        if self.maximum is not None and amount > self.maximum:
            return [flat_step("down to the maximum", "封顶减免", Fraction(self.maximum) - amount)]
        return []


class QuantityCharge(ChargeFields, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """A charge that is a function of one number: the quantity of the period."""

    metric: Annotated[Metric, Meta(description="What is counted.")]
    live: Annotated[
        Literal["first_tier", "dearest", "none"],
        Meta(
            description="What a request is charged before the period's total is known: the first tier's rate, the "
            "dearest one, or nothing. Closing the period charges or credits the difference."
        ),
    ] = "first_tier"

    def price(self, events: Sequence[Event], span: Span) -> tuple[Fraction, list[Step]]:
        quantity = self.metric.convert(count(self.metric, events, span))
        return quantity, self.price_quantity(quantity)

    def price_quantity(self, quantity: Fraction) -> list[Step]:
        """The working for so many charged units. Raises MintageError("unpriceable") past the last tier."""
        raise NotImplementedError

    def marginal_rates(self) -> tuple[Fraction, ...]:
        """Rates of one more unit, first to last: what a request may cost before the period's total is known."""
        return ()

    def live_rate(self, dimensions: Dimensions) -> Fraction:
        """Currency units for one charged unit of a request with these dimensions, until the period is closed."""
        rates = self.marginal_rates()
        if self.live == "none" or not rates:
            return Fraction(0)
        return rates[0] if self.live == "first_tier" else max(rates)

    def check_rate(self, rate: RateFields) -> None:
        timed = [name for name in self.metric.values if name.endswith("_ms")]
        if rate.word in TIME_WORDS and (not timed or len(timed) != len(self.metric.values)):
            raise ValueError(f"{rate.word} prices time, but {', '.join(self.metric.values) or 'events'} is not in ms")


def amount_between(charge: QuantityCharge, before: Fraction, quantity: Fraction) -> Fraction:
    """What `quantity` more units cost after `before`: price(before + quantity) - price(before).

    This is how a period is billed in parts: the parts add up to the whole.
    """
    return total(charge.price_quantity(before + quantity)) - total(charge.price_quantity(before))


ONE_HUNDRED: Final = Fraction(100)
