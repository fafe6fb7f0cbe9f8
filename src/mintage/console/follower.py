"""The log's newest stretch, in memory: the last requests, the last hour by minute, the last day by hour.

It reads the log when somebody looks and costs the request path nothing. It never holds more than its limits: when it
is too far behind, or has just begun, it starts near the log's end. `since_ns` says from when its hours are whole, and
`minutes_since_ns` its minutes: with very many customers fewer minutes are kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from mintage.base import Clock
from mintage.books import CommitLog, Entry, Expired, Held, Released, Settled

MINUTE_NS: Final = 60 * 10**9
HOUR_NS: Final = 60 * MINUTE_NS
MINUTES_KEPT: Final = 60
HOURS_KEPT: Final = 24
#: Sums of one customer in one minute, all together: beyond it the oldest minutes are forgotten early.
TENANT_MINUTES_KEPT: Final = 40_000
REQUESTS_KEPT: Final = 500
BACKLOG_LIMIT: Final = 20_000
_CHUNK: Final = 1_000


class Sums(msgspec.Struct):
    """Running totals of one currency."""

    revenue_nanos: int = 0
    cost_nanos: int = 0
    requests: int = 0

    def add(self, revenue_nanos: int, cost_nanos: int, requests: int = 1) -> None:
        self.revenue_nanos += revenue_nanos
        self.cost_nanos += cost_nanos
        self.requests += requests


class RequestRecord(msgspec.Struct):
    """What the log has said of one request so far."""

    id: str
    at_ns: int
    tenant_id: str
    model: str
    held: Held | None = None
    end: Settled | Released | Expired | None = None


#: (tenant_id, currency) -> sums
TenantSums = dict[tuple[str, str], Sums]
#: currency -> sums
CurrencySums = dict[str, Sums]


def movements(body: Settled) -> Iterator[tuple[str, int, int, int]]:
    """(currency, revenue_nanos, cost_nanos, requests) of one settlement, as the ledger books it."""
    charged = not body.replay_of
    yield body.currency, body.posted_nanos if charged else 0, 0, int(charged)
    for cost in body.costs:
        yield cost.currency, 0, cost.nanos, 0


class Follower:
    """One per process. catch_up() is the only writer; it runs on the event loop and reads the log in a thread."""

    def __init__(self, log: CommitLog, clock: Clock, *, tenant_minutes_kept: int = TENANT_MINUTES_KEPT) -> None:
        self._log = log
        self._tenant_minutes_kept = tenant_minutes_kept
        self._clock = clock
        self._lock = asyncio.Lock()
        self._begin(0)

    def _begin(self, seq: int) -> None:
        self.seq = seq
        self.since_ns: int | None = 0 if seq == 0 else None
        self.requests: dict[str, RequestRecord] = {}
        self.minutes: dict[int, TenantSums] = {}
        self.hours: dict[int, CurrencySums] = {}
        self.minutes_since_ns = self.since_ns
        self._tenant_minutes = 0

    async def catch_up(self) -> int:
        """Read what was committed since the last time. Returns the seq of the newest entry known."""
        async with self._lock:
            last_seq = await asyncio.to_thread(self._log.last_seq)
            if last_seq - self.seq > BACKLOG_LIMIT:
                self._begin(last_seq - BACKLOG_LIMIT)
            while self.seq < last_seq:
                entries = await asyncio.to_thread(self._log.entries, self.seq, _CHUNK)
                if not entries:
                    break
                self._take(entries)
            self._forget()
            return self.seq

    def _take(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            body = entry.body
            if self.since_ns is None:
                self.since_ns = self.minutes_since_ns = body.at_ns
            if isinstance(body, Held):
                record = RequestRecord(body.hold_id, body.created_ns, body.tenant_id, body.model, held=body)
                self.requests[body.hold_id] = record
            elif isinstance(body, Settled):
                self._settled(body)
            elif isinstance(body, Released | Expired) and (known := self.requests.get(body.hold_id)) is not None:
                known.end = body
            self.seq = entry.seq

    def _settled(self, body: Settled) -> None:
        record = self.requests.get(body.hold_id)
        if record is None:
            record = RequestRecord(body.hold_id, body.occurred_ns, body.tenant_id, body.model)
            self.requests[body.hold_id] = record
        record.end = body
        minute = self.minutes.setdefault(body.occurred_ns // MINUTE_NS, {})
        hour = self.hours.setdefault(body.occurred_ns // HOUR_NS, {})
        self._tenant_minutes -= len(minute)
        for currency, *moved in movements(body):
            minute.setdefault((body.tenant_id, currency), Sums()).add(*moved)
            hour.setdefault(currency, Sums()).add(*moved)
        self._tenant_minutes += len(minute)

    def _forget(self) -> None:
        now_ns = self._clock.now_ns()
        for hour in [hour for hour in self.hours if hour <= now_ns // HOUR_NS - HOURS_KEPT]:
            del self.hours[hour]
        for minute in sorted(self.minutes):
            old = minute <= now_ns // MINUTE_NS - MINUTES_KEPT
            if not old and self._tenant_minutes <= self._tenant_minutes_kept:
                break
            self._tenant_minutes -= len(self.minutes.pop(minute))
            if not old:
                self.minutes_since_ns = (minute + 1) * MINUTE_NS
        surplus = len(self.requests) - REQUESTS_KEPT
        for request_id in list(self.requests)[: max(0, surplus)]:
            del self.requests[request_id]

    def newest(self, limit: int) -> list[RequestRecord]:
        """The requests that began last, newest first."""
        ordered = sorted(self.requests.values(), key=lambda record: record.id, reverse=True)
        return ordered[:limit]
