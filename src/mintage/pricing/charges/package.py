"""Packages (资源包): units are sold by the box; a box that is opened is paid."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Literal

from msgspec import Meta

from mintage.pricing.charges.base import QuantityCharge, Step, number, per_unit_step
from mintage.pricing.metric import round_units


class Package(QuantityCharge, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="package"):
    """price x whole packages of what exceeds free_units."""

    size: Annotated[Decimal, Meta(description="Units in a package.")]
    price_each: Annotated[Decimal, Meta(description="Price of a package.")]
    free_units: Annotated[Decimal, Meta(description="Units of the period before the first package.")] = Decimal(0)
    round: Annotated[Literal["up", "down"], Meta(description="A package begun is paid, or only a package used up.")] = (
        "up"
    )

    def check(self) -> None:
        if not self.size:
            raise ValueError("size is 0")

    def price_quantity(self, quantity: Fraction) -> list[Step]:
        paid = max(quantity - Fraction(self.free_units), Fraction(0))
        boxes = Fraction(round_units(paid / Fraction(self.size), self.round))
        if not boxes:
            return []
        size = number(Fraction(self.size))
        return [per_unit_step(f"packages of {size}", f"资源包（每包 {size}）", boxes, Fraction(self.price_each))]

    def marginal_rates(self) -> tuple[Fraction, ...]:
        return (Fraction(self.price_each) / Fraction(self.size),)
