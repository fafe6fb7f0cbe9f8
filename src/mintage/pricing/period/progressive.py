"""Billing in parts while a period runs: thresholds that send an invoice early, free units that are used up once."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import msgspec


class Thresholds(msgspec.Struct, frozen=True):
    """Amounts of a period at which what is owed is invoiced at once; after the last one, every `recurring` more."""

    amounts: tuple[Fraction, ...]
    recurring: Fraction | None = None

    def reached(self, total: Fraction) -> Fraction | None:
        """The highest threshold that a running total has reached."""
        found = max((amount for amount in self.amounts if amount <= total), default=None)
        last = max(self.amounts, default=Fraction(0))
        if self.recurring and total >= last + self.recurring:
            return last + (total - last) // self.recurring * self.recurring
        return found


def progressive_invoices(thresholds: Thresholds, amounts: Sequence[Fraction]) -> list[Fraction]:
    """What is invoiced early, event by event: all that is owed and not invoiced, whenever a threshold is newly reached.

    The closing invoice shows the whole and credits the sum of these.
    """
    invoices: list[Fraction] = []
    total, highest = Fraction(0), Fraction(0)
    for amount in amounts:
        total += amount
        reached = thresholds.reached(total)
        if reached is not None and reached > highest:
            highest = reached
            invoices.append(total - sum(invoices, Fraction(0)))
    return invoices


def billable_after_discount(quantities: Sequence[Fraction], free_units: Fraction) -> list[Fraction]:
    """What is left to pay of each part of a period whose first units are free: they are used up in order."""
    left, billable = free_units, []
    for quantity in quantities:
        used = min(quantity, left)
        left -= used
        billable.append(quantity - used)
    return billable
