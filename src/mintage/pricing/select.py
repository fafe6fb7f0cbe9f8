"""Which price of a plan applies: model patterns, dimensions, hours of the day, length of the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from mintage.pricing.match import Dimensions, dimensions_match, pattern_matches, specificity
from mintage.pricing.plan import Adjustment, Price
from mintage.pricing.words import DAYS, Window


def candidates(prices: Sequence[Price], model: str) -> list[Price]:
    """The prices whose pattern names the model, most specific first, else in the plan's order."""
    matching = [price for price in prices if pattern_matches(price.model, model)]
    return sorted(matching, key=lambda price: specificity(price.model), reverse=True)


def window_holds(window: Window, at_ns: int) -> bool:
    """Whether the instant lies in the window, by local wall-clock time (so daylight saving moves it)."""
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_ns // 1000)).astimezone(ZoneInfo(window.zone))
    now, weekday = local.time(), local.weekday()
    if window.start < window.end:
        return window.start <= now < window.end and DAYS[weekday] in window.days
    if now >= window.start:
        return DAYS[weekday] in window.days
    return now < window.end and DAYS[weekday - 1] in window.days  # after midnight it is still yesterday's window


def conditions_hold(item: Price | Adjustment, at_ns: int, dimensions: Dimensions) -> bool:
    """Dimensions and hours; the prompt's length is tested by the caller."""
    return dimensions_match(item.where, dimensions) and (item.during is None or window_holds(item.during, at_ns))
