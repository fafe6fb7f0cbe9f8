"""The chart of a period: every bucket in order, empty ones included, with a sentence for each. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec

from mintage.console import figures as text
from mintage.console.figures import money
from mintage.console.follower import HOUR_NS, MINUTE_NS, Sums
from mintage.console.i18n import Translator
from mintage.console.overview import DAY_NS, Figures, Step, month_of

_MONTHS_LIMIT: Final = 60


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """The chart. times are seconds since the epoch, amounts nanos; captions is one sentence per bucket."""

    step: Step
    currency: str
    symbol: str
    times: list[int]
    revenue: list[int]
    cost: list[int]
    captions: list[str]
    peak: str
    summary: str
    since: str


def series(figures: Figures, currency: str, t: Translator) -> Series:
    """Every bucket of the period in order, empty ones included."""
    times = _times(figures)
    points = [figures.by_bucket.get(bucket, {}).get(currency, Sums()) for bucket, _ in times]
    captions = [
        t(
            "chart.point",
            when=_moment(seconds, figures.step),
            revenue=money(point.revenue_nanos, currency).text,
            cost=money(point.cost_nanos, currency).text,
            margin=money(point.revenue_nanos - point.cost_nanos, currency).text,
        )
        for (_, seconds), point in zip(times, points, strict=True)
    ]
    best = max(range(len(points)), key=lambda index: points[index].revenue_nanos, default=None)
    peak = "" if best is None or not points[best].revenue_nanos else money(points[best].revenue_nanos, currency).text
    step = t(f"chart.by_{figures.step}")
    return Series(
        step=figures.step,
        currency=currency,
        symbol=text.symbol_of(currency),
        times=[seconds for _, seconds in times],
        revenue=[point.revenue_nanos for point in points],
        cost=[point.cost_nanos for point in points],
        captions=captions,
        peak=peak,
        summary=t("chart.summary", step=step, peak=peak, when=_moment(times[best][1], figures.step))
        if peak and best is not None
        else t("chart.summary_empty"),
        since=_since(figures, t),
    )


def _since(figures: Figures, t: Translator) -> str:
    """Told when less than the whole period is at hand. The last hour has no other source than the chart's own."""
    if figures.chart_from_ns is None:
        return ""
    key = "chart.begins" if figures.period == "hour" else "chart.since"
    return t(key, time=text.clock_time(figures.chart_from_ns))


def _times(figures: Figures) -> list[tuple[int, int]]:
    """(bucket, seconds since the epoch at which it begins) from the period's begin to now."""
    now_ns = figures.at_ns
    if figures.step == "minute":
        last = now_ns // MINUTE_NS
        return [(bucket, bucket * 60) for bucket in range(last - 59, last + 1)]
    if figures.step == "hour":
        first = now_ns // DAY_NS * (DAY_NS // HOUR_NS)
        return [(bucket, bucket * 3_600) for bucket in range(first, first + DAY_NS // HOUR_NS)]
    today = now_ns // DAY_NS
    if figures.step == "day":
        days = 7 if figures.period == "week" else 30
        return [(day, day * 86_400) for day in range(today - days + 1, today + 1)]
    last = month_of(today)
    first = max(min([*figures.by_bucket, last - 5]), last - _MONTHS_LIMIT + 1)
    return [
        (month, int(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp()))
        for month in range(first, last + 1)
    ]


def _moment(seconds: int, step: Step) -> str:
    at = datetime.fromtimestamp(seconds, UTC)
    return at.strftime({"minute": "%H:%M", "hour": "%H:%M", "day": "%Y-%m-%d", "month": "%Y-%m"}[step])
