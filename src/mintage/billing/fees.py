"""What a period owes beside its usage: flat fees, and what is missing to the plan's minimum. Pure arithmetic.

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
from mintage.pricing.period import days_share, fixed_share, local_day, minimum_true_up, seconds_share


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
    """The part of `whole` attos that a stretch of the period pays.

    none: all of it to the plan that the period ends with. seconds: by time. days: by local days, a day counts for the
    plan that it ends with. fixed_30: by days as if every month had 30 (30/360), a whole period in full.
    """
    since = _share_until(stretch.start_ns, rule, period, zone)
    until = _share_until(stretch.end_ns, rule, period, zone)
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


def minimum_line(version: PriceVersion, rated_attos: int) -> OwedLines | None:
    """What lifts the period to the plan's minimum; None when it is reached."""
    if version.plan.minimum is None:
        return None
    charged = Fraction(rated_attos, ATTOS_PER_UNIT)
    missing = to_attos(minimum_true_up(charged, Fraction(version.plan.minimum)))
    if not missing:
        return None
    line = RatedLine(meter="minimum", quantity=1, rate_attos=missing, attos=missing)
    return OwedLines(version=version, lines=(line,))


def to_attos(amount: Decimal | Fraction) -> int:
    """Currency units, at most 18 places, exactly."""
    return int(Fraction(amount) * ATTOS_PER_UNIT)
