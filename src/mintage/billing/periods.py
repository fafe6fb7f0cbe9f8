"""Billing periods: derived from the original anchor date, never from the period before, so that no day is lost.

An anchor on Jan 31 gives Jan 31, Feb 28 (29 in a leap year), Mar 31, Apr 30. A period begins at the first instant of
its first day in the customer's time zone, whatever daylight saving does to that midnight.
"""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

import msgspec

PeriodLength = Literal["week", "month", "quarter", "year"]

_MONTHS: Final[dict[PeriodLength, int]] = {"month": 1, "quarter": 3, "year": 12}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_NS: Final = 86_400_000_000_000


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """From start_ns up to but not including end_ns. index 0 is the period that begins on the anchor."""

    index: int
    start_ns: int
    end_ns: int
    start_day: date
    end_day: date  # the first day of the next period

    @property
    def label(self) -> str:
        """The days as people read them, both inclusive: 2026-01-31/2026-02-27."""
        return f"{self.start_day}/{self.end_day - timedelta(days=1)}"


def local_day(at_ns: int, zone: str) -> date:
    """The calendar day of an instant in a time zone."""
    return (_EPOCH + timedelta(microseconds=at_ns // 1000)).astimezone(ZoneInfo(zone)).date()


def day_start_ns(day: date, zone: str) -> int:
    """The first instant of a day: where clocks skip midnight, the jump; where midnight comes twice, the first."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
    since = midnight.astimezone(UTC) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000


def boundary(anchor: date, length: PeriodLength, index: int) -> date:
    """The first day of period `index`: the anchor's day of the month, or the month's last if it is shorter."""
    if length == "week":
        return anchor + timedelta(weeks=index)
    months = anchor.year * 12 + anchor.month - 1 + index * _MONTHS[length]
    year, month = divmod(months, 12)
    return date(year, month + 1, min(anchor.day, calendar.monthrange(year, month + 1)[1]))


def period(anchor: date, zone: str, length: PeriodLength, index: int) -> Period:
    start, end = boundary(anchor, length, index), boundary(anchor, length, index + 1)
    return Period(
        index=index,
        start_ns=day_start_ns(start, zone),
        end_ns=day_start_ns(end, zone),
        start_day=start,
        end_day=end,
    )


def period_at(anchor: date, zone: str, length: PeriodLength, at_ns: int) -> Period:
    """The period that holds an instant. Before the anchor, indexes are negative."""
    day = local_day(at_ns, zone)
    if length == "week":
        index = (day - anchor).days // 7
    else:
        months = (day.year - anchor.year) * 12 + day.month - anchor.month
        index = months // _MONTHS[length]
    while boundary(anchor, length, index) > day:
        index -= 1
    while boundary(anchor, length, index + 1) <= day:
        index += 1
    return period(anchor, zone, length, index)


def days_between(start_ns: int, end_ns: int) -> int:
    """Whole days, by the clock."""
    return (end_ns - start_ns) // _DAY_NS
