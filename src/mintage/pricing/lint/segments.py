"""Charges as lines: on each stretch of quantities the price is intercept + rate x quantity."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import msgspec

from mintage.pricing.charges import Allowance, Graduated, Package, PerUnit, QuantityCharge, Volume
from mintage.pricing.lint.finding import first_integer_above

_BOXES: Final = 1_000  # a package that loses nothing in so many boxes from there on is taken to lose nothing
_ONE: Final = Fraction(1)


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


def first_below(segments: list[Segment], cost: Fraction, budget: Fraction, least: Fraction = _ONE) -> Fraction | None:
    """The least whole quantity, from `least` on, whose price plus a fixed budget is below `cost` a unit."""
    for segment in segments:
        start = max(first_integer_above(segment.start), least)
        slope, gap = cost - segment.rate, segment.intercept + budget
        if gap < slope * start:
            found = start
        elif slope > 0:
            found = first_integer_above(gap / slope)
        else:
            continue
        if segment.end is None or found <= segment.end:
            return found
    return None


def first_loss(charge: QuantityCharge, cost: Fraction, budget: Fraction, least: Fraction = _ONE) -> Fraction | None:
    """The least whole quantity, from `least` on, at which charge and budget do not pay for `cost` a unit."""
    if isinstance(charge, Package):
        return _first_loss_of_packages(charge, cost, budget, least)
    return first_below(segments_of(charge), cost, budget, least)


def _first_loss_of_packages(charge: Package, cost: Fraction, budget: Fraction, least: Fraction) -> Fraction | None:
    """Within a box the price stands still, so each box is tried, from where the line under all boxes meets the cost.

    Rounding up, box k ends at free + k x size and costs k x price; rounding down, it starts there.
    """
    size, each, free = Fraction(charge.size), Fraction(charge.price_each), Fraction(charge.free_units)
    late = 0 if charge.round == "up" else 1
    under = Segment(Fraction(0), None, -each * (free / size + late), each / size)
    start = first_below([under], cost, budget, least)
    if start is None or not cost:
        start = least
    box = max(0, int((start - free) // size) - 1)
    for boxes in range(box, box + _BOXES):
        end = free + size * (boxes + late)
        begin = end - size if boxes else Fraction(0)
        first = first_integer_above(begin) if not late else Fraction(-(-begin // 1))
        found = max(first, least, first_integer_above((each * boxes + budget) / cost) if cost else end + 1)
        if found < end or (found == end and not late):
            return found
    return None
