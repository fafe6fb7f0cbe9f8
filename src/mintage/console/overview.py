"""The figures of one period: from the ledger, plus what the log holds beyond it, so that they are of this moment.

The ledger follows the log by a watermark. Reading it, then adding the entries after its watermark, gives exactly what
the ledger will say once it has caught up. The last hour is finer than the ledger's days and comes from the log alone.
"""

from __future__ import annotations

import asyncio
from copy import copy
from datetime import date, timedelta
from typing import Final, Literal, get_args

import msgspec

from mintage.base import MintageError
from mintage.books import ProfitAndLoss, Settled
from mintage.console.follower import HOUR_NS, MINUTE_NS, Follower, Sums, TenantSums, movements
from mintage.console.services import ConsoleServices

Period = Literal["hour", "today", "week", "month", "all"]
Step = Literal["minute", "hour", "day", "month"]
PERIODS: Final[tuple[Period, ...]] = get_args(Period)
DEFAULT_PERIOD: Final[Period] = "today"
_DAYS: Final[dict[Period, int]] = {"today": 1, "week": 7, "month": 30}
_STEPS: Final[dict[Period, Step]] = {
    "hour": "minute",
    "today": "hour",
    "week": "day",
    "month": "day",
    "all": "month",
}
DAY_NS: Final = 86_400 * 10**9
_CHUNK: Final = 5_000
_TAIL_CHUNKS: Final = 20
_TRIES: Final = 5


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the page says in numbers, of one period.

    by_bucket: number of the minute, hour, day since the epoch, or 12 * year + month - 1, as `step` says.
    chart_from_ns: where the chart begins, if it cannot show the whole period.
    """

    period: Period
    step: Step
    seq: int
    at_ns: int
    by_tenant: TenantSums
    by_bucket: dict[int, dict[str, Sums]]
    chart_from_ns: int | None = None

    def by_currency(self) -> dict[str, Sums]:
        totals: dict[str, Sums] = {}
        for (_, currency), sums in self.by_tenant.items():
            totals.setdefault(currency, Sums()).add(sums.revenue_nanos, sums.cost_nanos, sums.requests)
        return totals


class Overview:
    """Asks the books. Answers are kept while no new entry came and the clock is in the same minute."""

    def __init__(self, services: ConsoleServices, follower: Follower) -> None:
        self._services = services
        self._follower = follower
        self._known: dict[Period, Figures] = {}
        self._locks = {period: asyncio.Lock() for period in PERIODS}

    async def figures(self, period: Period) -> Figures:
        async with self._locks[period]:
            seq = await self._follower.catch_up()
            now_ns = self._services.clock.now_ns()
            known = self._known.get(period)
            if known is not None and known.seq == seq and known.at_ns // MINUTE_NS == now_ns // MINUTE_NS:
                return known
            if period == "hour":
                fresh = self._last_hour(now_ns)
            else:
                fresh = await asyncio.to_thread(self._from_ledger, period, now_ns)
                if period == "today":
                    await self._follower.catch_up()  # the ledger may have been read further than the follower was
                    fresh = self._with_hours(fresh)
            self._known[period] = fresh
            return fresh

    def _last_hour(self, now_ns: int) -> Figures:
        by_tenant: TenantSums = {}
        by_bucket: dict[int, dict[str, Sums]] = {}
        for minute, tenants in self._follower.minutes.items():
            if minute > now_ns // MINUTE_NS - 60:
                by_bucket[minute] = _by_currency(tenants)
                for key, sums in tenants.items():
                    by_tenant.setdefault(key, Sums()).add(sums.revenue_nanos, sums.cost_nanos, sums.requests)
        begun_ns = self._follower.minutes_since_ns
        return Figures(
            period="hour", step="minute", seq=self._follower.seq, at_ns=now_ns, by_tenant=by_tenant,
            by_bucket=by_bucket, chart_from_ns=begun_ns if begun_ns and begun_ns > now_ns - 60 * MINUTE_NS else None,
        )  # fmt: skip

    def _with_hours(self, figures: Figures) -> Figures:
        """Today by the hour, which is finer than the ledger: as far back as the follower remembers."""
        midnight_ns = figures.at_ns - figures.at_ns % DAY_NS
        hours = self._follower.hours
        by_bucket = {
            hour: {currency: copy(one) for currency, one in sums.items()}
            for hour, sums in hours.items()
            if hour * HOUR_NS >= midnight_ns
        }
        begun_ns = self._follower.since_ns
        return msgspec.structs.replace(
            figures, by_bucket=by_bucket, chart_from_ns=begun_ns if begun_ns and begun_ns > midnight_ns else None
        )

    def _from_ledger(self, period: Period, now_ns: int) -> Figures:
        """In a thread: reads the database. Repeats when the ledger moved on in between."""
        services, step = self._services, _STEPS[period]
        today = now_ns // DAY_NS
        first_day = None if period == "all" else today + 1 - _DAYS[period]
        start_ns = None if first_day is None else first_day * DAY_NS
        for _ in range(_TRIES):
            mark = services.ledger.watermark()
            tenants = services.reader.profit_and_loss(start_ns, by=("tenant_id",))
            days = [] if period == "today" else services.reader.profit_and_loss(start_ns, by=("day",))
            if services.ledger.watermark() == mark:
                break
        else:
            raise MintageError("unavailable", "The ledger moves too fast to be read.", "Try again.", retry_after_s=1)
        by_tenant = {(str(row.group["tenant_id"]), row.currency): _sums(row) for row in tenants}
        by_bucket: dict[int, dict[str, Sums]] = {}
        for row in days:
            _add(by_bucket, _bucket(int(row.group["day"]), step), row.currency, _sums(row))
        seq, as_of_ns = mark, now_ns
        for chunk in range(_TAIL_CHUNKS):
            entries = services.log.entries(seq, _CHUNK)
            for entry in entries:
                body = entry.body
                if isinstance(body, Settled) and (first_day is None or body.occurred_ns // DAY_NS >= first_day):
                    for currency, *moved in movements(body):
                        by_tenant.setdefault((body.tenant_id, currency), Sums()).add(*moved)
                        _add(by_bucket, _bucket(body.occurred_ns // DAY_NS, step), currency, Sums(*moved))
            if entries:
                seq = entries[-1].seq
            if len(entries) < _CHUNK:
                break
            if chunk == _TAIL_CHUNKS - 1:  # the ledger is far behind: say so by the time that the figures are of
                as_of_ns = entries[-1].at_ns
        return Figures(period=period, step=step, seq=seq, at_ns=as_of_ns, by_tenant=by_tenant, by_bucket=by_bucket)


def _sums(row: ProfitAndLoss) -> Sums:
    return Sums(row.revenue_nanos, row.cost_nanos, row.entries)


def _add(buckets: dict[int, dict[str, Sums]], bucket: int, currency: str, sums: Sums) -> None:
    known = buckets.setdefault(bucket, {}).setdefault(currency, Sums())
    known.add(sums.revenue_nanos, sums.cost_nanos, sums.requests)


def _by_currency(tenants: TenantSums) -> dict[str, Sums]:
    totals: dict[str, Sums] = {}
    for (_, currency), sums in tenants.items():
        totals.setdefault(currency, Sums()).add(sums.revenue_nanos, sums.cost_nanos, sums.requests)
    return totals


def _bucket(day: int, step: Step) -> int:
    """A day since the epoch as the chart's bucket: itself, or its month."""
    return month_of(day) if step == "month" else day


def month_of(day: int) -> int:
    """12 * year + month - 1 of a day since the epoch, UTC."""
    at = date(1970, 1, 1) + timedelta(days=day)
    return 12 * at.year + at.month - 1


def check_period(text: str | None) -> Period:
    """The period that a query names; the default for none. Raises invalid_request."""
    if text is None:
        return DEFAULT_PERIOD
    if text not in PERIODS:
        raise MintageError("invalid_request", "There is no such period.", f"Use {', '.join(PERIODS)}.", param="period")
    return text
