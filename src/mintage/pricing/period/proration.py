"""A part of a period pays a part of its price: by days, by seconds, or by a year of months of equal length."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import Literal

import msgspec

from mintage.base import MintageError
from mintage.pricing.metric import Span

Proration = Literal["none", "days", "seconds", "fixed_30"]


def days_share(first: date, after: date, period_first: date, period_after: date) -> Fraction:
    """Calendar days of the part over those of the period."""
    _check(period_first <= first <= after <= period_after)
    return Fraction((after - first).days, (period_after - period_first).days)


def fixed_days(first: date, after: date, days: int = 30) -> int:
    """Days between two dates if every month had so many: a day number past it counts as its last."""
    months = (after.year - first.year) * 12 + after.month - first.month
    return months * days + min(after.day, days) - min(first.day, days)


def fixed_share(first: date, after: date, months: int = 1, days: int = 30) -> Fraction:
    """The part over a period of so many months of equal length."""
    _check(first <= after)
    return Fraction(fixed_days(first, after, days), months * days)


def seconds_share(part: Span, period: Span) -> Fraction:
    """Time over time, exact to the nanosecond."""
    _check(period.start_ns <= part.start_ns and part.end_ns <= period.end_ns)
    return Fraction(part.length_ns, period.length_ns)


class Switch(msgspec.Struct, frozen=True):
    """What a change of plan in mid-period credits and charges, in currency units, both as they are booked."""

    credit: Fraction
    charge: Fraction

    @property
    def net(self) -> Fraction:
        return self.charge - self.credit


def switch(old: Fraction, new: Fraction, remaining: Fraction) -> Switch:
    """The unused part of the old price back, the same part of the new price due. Prices are after discounts."""
    return Switch(old * remaining, new * remaining)


def _check(inside: bool) -> None:
    if not inside:
        raise MintageError("invalid_request", "The part is not inside its period.", "Check the dates.")
