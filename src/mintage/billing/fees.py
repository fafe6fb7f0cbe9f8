"""What a period owes beside its usage: flat fees in arrears and ahead. Pure arithmetic.

Shares of a fee are taken as differences of cumulative floors, so that the shares of a period add up to the whole fee.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

import msgspec

from mintage.base import ATTOS_PER_UNIT, RatedLine
from mintage.billing.periods import Period
from mintage.pricing import Fee, PriceVersion
from mintage.pricing.metric import Span
from mintage.pricing.period import days_share, fixed_share, local_day, seconds_share


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a period during which one price version's plan was the tenant's."""

    version: PriceVersion
    start_ns: int
    end_ns: int
    first: bool  # the tenant's first stretch ever of this plan that it pays for: `once` fees are due
    waived: bool = False  # on trial or paused: fees are not due


class OwedLines(msgspec.Struct, frozen=True, kw_only=True):
    version: PriceVersion
    lines: tuple[RatedLine, ...]

    @property
    def attos(self) -> int:
        return sum(line.attos for line in self.lines)


def fee_lines(stretches: Sequence[Stretch], period: Period, zone: str) -> list[OwedLines]:
    """The fees of a whole period that are due at its end, one list a stretch; meter `fee:N` is the plan's Nth fee."""
    owed = []
    for stretch in stretches:
        lines = []
        for index, fee in enumerate(stretch.version.plan.fees):
            if fee.timing == "advance" or stretch.waived:
                continue
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
    """The part of `whole` attos that a stretch of the period pays.

    none: all of it to the plan that the period ends with. seconds: by time. days: by local days, a day counts for the
    plan that it ends with. fixed_30: by days as if every month had 30 (30/360), a whole period in full.
    """
    return part_of(whole, rule, stretch.start_ns, stretch.end_ns, period, zone)


def part_of(whole: int, rule: str, start_ns: int, end_ns: int, period: Period, zone: str) -> int:  # noqa: PLR0917
    """The same for [start, end) of the period: parts that complete each other add up to the whole."""
    since = _share_until(start_ns, rule, period, zone)
    until = _share_until(end_ns, rule, period, zone)
    return math.floor(whole * until) - math.floor(whole * since)


def _share_until(at_ns: int, rule: str, period: Period, zone: str) -> Fraction:
    """The part of the period that is over at an instant: from 0 at its start to 1 at its end."""
    if at_ns in (period.start_ns, period.end_ns):
        return Fraction(at_ns == period.end_ns)
    match rule:
        case "none":
            return Fraction(0)
        case "seconds":
            return seconds_share(Span(period.start_ns, at_ns), Span(period.start_ns, period.end_ns))
        case "days":
            return days_share(period.start_day, local_day(at_ns, zone), period.start_day, period.end_day)
        case _:
            months = round((period.end_day - period.start_day).days / 30.4375)
            return min(fixed_share(period.start_day, local_day(at_ns, zone), max(1, months)), Fraction(1))


def to_attos(amount: Decimal | Fraction) -> int:
    """Currency units, at most 18 places, exactly."""
    return int(Fraction(amount) * ATTOS_PER_UNIT)
