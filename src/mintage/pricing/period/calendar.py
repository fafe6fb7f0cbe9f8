"""Billing periods from their anchor, in the customer's zone. Jan 31 -> Feb 29 -> Mar 31: the anchor never moves."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mintage.base import MintageError
from mintage.pricing.metric import Span
from mintage.pricing.words import Period

_MONTHS: Final[dict[Period, int]] = {"month": 1, "quarter": 3, "year": 12}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def zone_of(name: str) -> ZoneInfo:
    """Raises MintageError("invalid_request") for a name that the time-zone database lacks."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise MintageError(
            "invalid_request", f"{name[:64]!r} is no time zone.", "Use a name such as Asia/Kolkata.", param="zone"
        ) from error


def on_day(year: int, month: int, day: int) -> date:
    """That day of the month, or the month's last day if it is shorter."""
    return date(year, month, min(day, calendar.monthrange(year, month)[1]))


def add_months(start: date, months: int, anchor_day: int) -> date:
    """The anchor day, so many months after the start's month."""
    index = start.year * 12 + start.month - 1 + months
    return on_day(index // 12, index % 12 + 1, anchor_day)


def period_start(anchor: date, period: Period, index: int, *, anchor_day: int | None = None) -> date:
    """First day of period `index` (0 begins on the anchor). anchor_day: the billing day, if it is not the anchor's."""
    if period == "week":
        return anchor + timedelta(weeks=index)
    if index == 0:
        return anchor
    return add_months(anchor, _MONTHS[period] * index, anchor_day or anchor.day)


def first_cycle_date(start: date, anchor_day: int) -> date:
    """The first billing day on or after the start: a short month bills on its last day."""
    this_month = on_day(start.year, start.month, anchor_day)
    return this_month if this_month >= start else add_months(start, 1, anchor_day)


def local_day(at_ns: int, zone: str) -> date:
    """The customer's calendar day of an instant."""
    return (_EPOCH + timedelta(microseconds=at_ns // 1000)).astimezone(zone_of(zone)).date()


def midnight_ns(day: date, zone: str) -> int:
    """The instant at which the day begins there. Where the clock skips midnight, the first instant after it."""
    local = datetime(day.year, day.month, day.day, tzinfo=zone_of(zone))
    since = local.astimezone(UTC) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000_000


def span_of(first: date, after: date, zone: str) -> Span:
    """From the first day's beginning to the beginning of the day after the last."""
    return Span(midnight_ns(first, zone), midnight_ns(after, zone))


def period_of(day: date, anchor: date, period: Period, *, anchor_day: int | None = None) -> tuple[int, date, date]:
    """(index, first day, day after the last) of the period that a day lies in; the anchor is period 0.

    Raises MintageError("invalid_request") for a day before the anchor.
    """
    if day < anchor:
        raise MintageError("invalid_request", f"{day} is before the anchor {anchor}.", "Ask for a later day.")
    if period == "week":
        index = (day - anchor).days // 7
    else:
        index = ((day.year - anchor.year) * 12 + day.month - anchor.month) // _MONTHS[period] + 1
    while index and period_start(anchor, period, index, anchor_day=anchor_day) > day:
        index -= 1
    first = period_start(anchor, period, index, anchor_day=anchor_day)
    return index, first, period_start(anchor, period, index + 1, anchor_day=anchor_day)
