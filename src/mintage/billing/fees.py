"""What a period owes beside its usage: flat fees, and what is missing to the plan's minimum. Pure arithmetic.

Shares of a fee are taken as differences of cumulative floors, so that the shares of a period add up to the whole fee.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final

import msgspec

from mintage.base import ATTOS_PER_UNIT, RatedLine
from mintage.billing.periods import Period, local_day
from mintage.pricing import Fee, PriceVersion

_FIXED_MONTH: Final = 30


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a period during which one price version's plan was the tenant's."""

    version: PriceVersion
    start_ns: int
    end_ns: int
    first: bool  # the tenant's first stretch ever of this plan: `once` fees are due


class OwedLines(msgspec.Struct, frozen=True, kw_only=True):
    version: PriceVersion
    lines: tuple[RatedLine, ...]

    @property
    def attos(self) -> int:
        return sum(line.attos for line in self.lines)


def fee_lines(stretches: Sequence[Stretch], period: Period, zone: str) -> list[OwedLines]:
    """The fees of a whole period, per price version; meter `fee:N` is the plan's Nth fee, from 0."""
    owed = []
    for stretch in stretches:
        lines = []
        for index, fee in enumerate(stretch.version.plan.fees):
            attos = _fee_attos(fee, stretch, period, zone)
            if attos:
                lines.append(RatedLine(meter=f"fee:{index}", quantity=1, rate_attos=attos, attos=attos))
        if lines:
            owed.append(OwedLines(version=stretch.version, lines=tuple(lines)))
    return owed


def _fee_attos(fee: Fee, stretch: Stretch, period: Period, zone: str) -> int:
    whole = to_attos(fee.amount)
    if fee.every == "once":
        return whole if stretch.first else 0
    return prorate(whole, fee.proration, stretch, period, zone)


def prorate(whole: int, rule: str, stretch: Stretch, period: Period, zone: str) -> int:
    """The share of `whole` that a stretch of the period pays.

    none: all of it to the plan that the period ends with. seconds: by time. days: by local days, a day counts for the
    plan that it ends with. fixed_30: days of a 30-day month, a whole period in full.
    """
    if rule == "none":
        return whole if stretch.end_ns == period.end_ns else 0
    if rule == "seconds":
        since_ns, until_ns = stretch.start_ns - period.start_ns, stretch.end_ns - period.start_ns
        return _share(whole, since_ns, until_ns, period.end_ns - period.start_ns)
    length = (period.end_day - period.start_day).days
    since = (local_day(stretch.start_ns, zone) - period.start_day).days
    until = (local_day(stretch.end_ns, zone) - period.start_day).days
    if rule == "days" or until - since == length:
        return _share(whole, since, until, length)
    return _share(whole, 0, min(until - since, _FIXED_MONTH), _FIXED_MONTH)


def _share(whole: int, since: int, until: int, length: int) -> int:
    return whole * until // length - whole * since // length


def minimum_line(version: PriceVersion, rated_attos: int) -> OwedLines | None:
    """What lifts the period to the plan's minimum; None when it is reached."""
    if version.plan.minimum is None:
        return None
    missing = to_attos(version.plan.minimum) - rated_attos
    if missing <= 0:
        return None
    line = RatedLine(meter="minimum", quantity=1, rate_attos=missing, attos=missing)
    return OwedLines(version=version, lines=(line,))


def to_attos(amount: Decimal) -> int:
    """A plan's amount, at most 12 places, exactly."""
    return int(Fraction(amount) * ATTOS_PER_UNIT)
