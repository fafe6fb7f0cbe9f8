"""The billing periods of a workload, and in which of them each customer is billed."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Final

import msgspec

from mintage.base import MintageError
from mintage.lab.workload import Workload
from mintage.pricing import Plan, Span
from mintage.pricing.period import local_day, period_of, period_start, span_of
from mintage.pricing.words import Period

PERIODS_LIMIT: Final = 600
CELLS_LIMIT: Final = 50_000_000


class Calendar(msgspec.Struct, frozen=True, kw_only=True):
    """Whole periods of the calendar, in one zone, from the workload's first event to its last."""

    period: Period
    zone: str
    spans: tuple[Span, ...]

    @property
    def starts(self) -> list[int]:
        return [span.start_ns for span in self.spans]


def calendar_of(workload: Workload, period: Period = "month", zone: str = "UTC") -> Calendar:
    """Raises MintageError("invalid_request") for an empty workload or more than 600 periods."""
    low, high = workload.query("SELECT min(at_ns), max(at_ns) FROM {w}")[0]
    if low is None:
        raise MintageError("invalid_request", "The workload has no rows.", "Import another.")
    first_day, last_day = local_day(low, zone), local_day(high, zone)
    anchor = first_day - timedelta(days=first_day.weekday()) if period == "week" else date(first_day.year, 1, 1)
    index, _, _ = period_of(first_day, anchor, period)
    last, _, _ = period_of(last_day, anchor, period)
    if last - index >= PERIODS_LIMIT:
        raise MintageError("invalid_request", f"The workload has more than {PERIODS_LIMIT} periods.", "Split it.")
    spans = tuple(
        span_of(period_start(anchor, period, i), period_start(anchor, period, i + 1), zone)
        for i in range(index, last + 1)
    )
    return Calendar(period=period, zone=zone, spans=spans)


class Roll(msgspec.Struct, frozen=True):
    """Cells of (customer, period): every customer from the period of its first event to that of its last.

    cells are in order of customer, then period; offset[c] + p - first[c] finds one.
    """

    customers: list[str]
    first: Any  # int64 per customer
    count: Any  # int64 per customer
    offset: Any  # int64 per customer
    cells: int

    def cell_customers(self) -> Any:
        """The customer's number of each cell."""
        import numpy as np

        return np.repeat(np.arange(len(self.customers)), self.count)

    def cell_periods(self) -> Any:
        import numpy as np

        return np.arange(self.cells) - np.repeat(self.offset - self.first, self.count)


def roll_of(workload: Workload, calendar: Calendar) -> Roll:
    import numpy as np

    found = workload.arrays("SELECT customer, min(at_ns) AS low, max(at_ns) AS high FROM {w} GROUP BY ALL ORDER BY ALL")
    edges = np.array(calendar.starts, dtype=np.int64)
    first = np.searchsorted(edges, found["low"], side="right") - 1
    count = np.searchsorted(edges, found["high"], side="right") - first
    total = int(count.sum())
    if total > CELLS_LIMIT:
        raise MintageError("invalid_request", f"More than {CELLS_LIMIT:,} bills.", "Filter the workload.")
    offset = np.concatenate([[0], np.cumsum(count)[:-1]]).astype(np.int64)
    return Roll([str(name) for name in found["customer"]], first, count, offset, total)


def plan_calendar(plan: Plan, workload: Workload, zone: str) -> Calendar:
    return calendar_of(workload, plan.period, zone)
