"""Charges as lines: on each stretch of quantities the price is intercept + rate x quantity."""

from __future__ import annotations

from fractions import Fraction

import msgspec

from mintage.pricing.charges import Allowance, Graduated, PerUnit, QuantityCharge, Volume


class Segment(msgspec.Struct, frozen=True):
    """Above start, up to and including end (None: without end)."""

    start: Fraction
    end: Fraction | None
    intercept: Fraction
    rate: Fraction

    def at(self, quantity: Fraction) -> Fraction:
        return self.intercept + self.rate * quantity


def segments_of(charge: QuantityCharge) -> list[Segment]:
    """Empty for charges that are no lines."""
    if isinstance(charge, PerUnit):
        return [Segment(Fraction(0), None, Fraction(0), charge.rate.exact)]
    if isinstance(charge, Allowance):
        included = Fraction(charge.included)
        over = Fraction(0) if charge.overage is None else charge.overage.exact
        found = [Segment(included, None, -included * over, over)] if charge.overage is not None else []
        return [Segment(Fraction(0), included, Fraction(0), Fraction(0)), *found]
    if isinstance(charge, Graduated | Volume):
        return _tier_segments(charge)
    return []


def _tier_segments(charge: Graduated | Volume) -> list[Segment]:
    found: list[Segment] = []
    start, base = Fraction(0), Fraction(0)
    for tier in charge.tiers:
        end = None if tier.up_to is None else Fraction(tier.up_to)
        intercept = Fraction(tier.flat)
        if isinstance(charge, Graduated):
            intercept += base - tier.exact * start
        found.append(Segment(start, end, intercept, tier.exact))
        if end is not None:
            start, base = end, found[-1].at(end)
    return found
