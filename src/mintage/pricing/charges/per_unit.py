"""One rate for every unit: pay as you go on any metric - tokens, runs, page views, GPU hours, days of work."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, ClassVar

from msgspec import Meta

from mintage.pricing.charges.base import QuantityCharge, State, Step, per_unit_step
from mintage.pricing.rates import Rate


class PerUnit(QuantityCharge, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="per_unit"):
    """Quantity x rate."""

    states: ClassVar[frozenset[State]] = frozenset({"additive"})

    rate: Annotated[Rate, Meta(description="Price of the units.")]

    def check(self) -> None:
        self.check_rate(self.rate)

    def price_quantity(self, quantity: Fraction) -> list[Step]:
        return [per_unit_step("units", "用量", quantity, self.rate.exact)] if quantity else []

    def marginal_rates(self) -> tuple[Fraction, ...]:
        return (self.rate.exact,)
