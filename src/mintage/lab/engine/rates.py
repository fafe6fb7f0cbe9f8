"""Sums times rates, exactly: integers of the greatest unit that divides every rate, checked against overflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from mintage.base import ATTOS_PER_UNIT
from mintage.lab.engine.aggregate import Totals
from mintage.pricing.vector import common_unit

SAFE: Final = 2**62
ContextRates = Sequence[Mapping[str, Fraction]]


def unit_of(rates: ContextRates) -> Fraction | None:
    """The greatest amount that divides every rate; None unless it is a whole number of attos (1e-18)."""
    unit = common_unit(rate for each in rates for rate in each.values())
    return unit if (unit * ATTOS_PER_UNIT).denominator == 1 else None


def cell_attos(totals: Totals, rates: ContextRates, unit: Fraction) -> list[int]:
    """Attos of each bill: the sum over its groups of meter x rate. rates: one mapping a context, currency units."""
    counts = cell_units(totals, rates, unit)
    each = int(unit * ATTOS_PER_UNIT)
    return [int(count) * each for count in counts.tolist()]


def cell_units(totals: Totals, rates: ContextRates, unit: Fraction) -> Any:
    """The same as multiples of `unit`: int64 where no step can overflow, else Python integers."""
    import numpy as np

    table = {meter: [int(each.get(meter, Fraction(0)) / unit) for each in rates] for meter in totals.sums}
    bound = sum(
        int(abs(totals.sums[meter].astype(float)).sum() * 1.0001 + 1) * max(map(abs, column), default=0)
        for meter, column in table.items()
    )
    kind: Any = np.int64 if bound < SAFE else object
    due = np.zeros(len(totals.cell), dtype=kind)
    for meter, column in table.items():
        if any(column):
            due += totals.sums[meter].astype(kind) * np.array(column, dtype=kind)[totals.context]
    found = np.zeros(totals.cells, dtype=kind)
    np.add.at(found, totals.cell, due)
    return found
