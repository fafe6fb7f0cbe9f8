"""From which quantity on a price does not pay for its cost."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from mintage.pricing.charges import Package, QuantityCharge
from mintage.pricing.lint.finding import first_integer_above
from mintage.pricing.segments import Segment, segments_of

_BOXES: Final = 1_000  # a package that loses nothing in so many boxes from there on is taken to lose nothing
_ONE: Final = Fraction(1)


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
