"""A fee for the part of a period in which its plan was held."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import Final

from mintage.pricing.charges.base import Step, flat_step
from mintage.pricing.metric import Span
from mintage.pricing.period.calendar import local_day
from mintage.pricing.period.proration import Proration, days_share, fixed_share, seconds_share
from mintage.pricing.plan import Fee

_DAYS_OF_A_MONTH: Final = 30.4375


def months_between(first: date, after: date) -> int:
    """Months of a billing period, from its days: 3 for a quarter, 12 for a year, 1 for anything shorter."""
    return max(1, round((after - first).days / _DAYS_OF_A_MONTH))


def share_of(active: Span, span: Span, how: Proration, zone: str) -> Fraction:
    """The part of the period that is paid. By days, the day of a change belongs to what begins on it."""
    if how == "none" or active == span:
        return Fraction(1)
    if how == "seconds":
        return seconds_share(active, span)
    first, after = local_day(span.start_ns, zone), local_day(span.end_ns, zone)
    since, until = local_day(active.start_ns, zone), local_day(active.end_ns, zone)
    if how == "days":
        return days_share(since, until, first, after)
    return min(fixed_share(since, until, months_between(first, after)), Fraction(1))


def fee_steps(fee: Fee, active: Span, span: Span, zone: str, first_period: bool) -> list[Step]:
    """The fee's working; nothing for a fee that is not due."""
    amount = Fraction(fee.amount)
    if fee.every == "once":
        return [flat_step("once", "一次性", amount)] if first_period and amount else []
    share = share_of(active, span, fee.proration, zone)
    if not amount * share:
        return []
    if share == 1:
        return [flat_step("whole period", "整个账期", amount)]
    shown = f"{share.numerator}/{share.denominator}"
    return [Step(en=f"{shown} of the period", zh=f"账期的 {shown}", quantity=share, rate=amount, amount=share * amount)]
