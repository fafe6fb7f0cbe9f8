"""A tenant's billing periods: the calendar of pricing, as instants in the customer's time zone.

They are derived from the original anchor day, never from the period before, so that no day is lost: Jan 31 gives
Feb 28 (29 in a leap year), Mar 31, Apr 30.
"""

from __future__ import annotations

from datetime import date
from typing import Literal

import msgspec

from mintage.pricing.period import local_day, midnight_ns, period_of, period_start

PeriodLength = Literal["week", "month", "quarter", "year"]


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """From start_ns up to but not including end_ns. index 0 is the period that begins on the anchor."""

    index: int
    start_ns: int
    end_ns: int
    start_day: date
    end_day: date  # the first day of the next period


def period(anchor: date, zone: str, length: PeriodLength, index: int) -> Period:
    start, end = period_start(anchor, length, index), period_start(anchor, length, index + 1)
    return Period(
        index=index, start_ns=midnight_ns(start, zone), end_ns=midnight_ns(end, zone), start_day=start, end_day=end
    )


def period_at(anchor: date, zone: str, length: PeriodLength, at_ns: int) -> Period:
    """The period that holds an instant. Raises invalid_request for a day before the anchor."""
    index, _, _ = period_of(local_day(at_ns, zone), anchor, length)
    return period(anchor, zone, length, index)
