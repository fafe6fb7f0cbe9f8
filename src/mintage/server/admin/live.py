"""The live feed: each settled or refused request as it becomes durable, to any number of watchers, none of whom can
slow the others or the log: a watcher that reads too slowly loses the oldest and is told how many.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec

from mintage.base import MintageError, Usage
from mintage.books import CommitLog, Entry, Expired, Released, Settled

WATCHERS_MAX: Final = 64
WAITING_MAX: Final = 1000
KEEP_ALIVE_S: Final = 15.0


class LiveRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request that ended. outcome: ok, cut or failed; released or expired ended without a charge."""

    seq: int
    at_ns: int
    request_id: str
    tenant_id: str
    outcome: str
    model: str = ""
    key_id: str = ""
    product: str = ""
    usage: Usage = Usage()
    currency: str = ""
    charge_nanos: int = 0
    cost_nanos: int = 0
    margin_nanos: int = 0
    balance_nanos: int = 0
    latency_ms: float = 0.0
    estimated: bool = False


def live_request(entry: Entry) -> LiveRequest | None:
    """None for what is no end of a request."""
    body = entry.body
    if isinstance(body, Settled):
        cost_nanos = sum(cost.nanos for cost in body.costs if cost.currency == body.currency)
        charge_nanos = 0 if body.replay_of else body.posted_nanos
        return LiveRequest(
            seq=entry.seq,
            at_ns=body.at_ns,
            request_id=body.hold_id,
            tenant_id=body.tenant_id,
            outcome=body.outcome,
            model=body.model,
            key_id=body.key_id,
            product=body.product,
            usage=body.usage,
            currency=body.currency,
            charge_nanos=charge_nanos,
            cost_nanos=cost_nanos,
            margin_nanos=charge_nanos - cost_nanos,
            balance_nanos=body.balance_nanos,
            latency_ms=body.latency_ms,
            estimated=body.estimated,
        )
    if isinstance(body, Released | Expired):
        return LiveRequest(
            seq=entry.seq,
            at_ns=body.at_ns,
            request_id=body.hold_id,
            tenant_id=body.tenant_id,
            outcome="released" if isinstance(body, Released) else "expired",
        )
    return None


class _Watcher:
    def __init__(self) -> None:
        self.waiting: deque[LiveRequest] = deque(maxlen=WAITING_MAX)
        self.lost = 0
        self.news = asyncio.Event()

    def offer(self, request: LiveRequest) -> None:
        self.lost += len(self.waiting) == WAITING_MAX
        self.waiting.append(request)
        self.news.set()


class LiveFeed:
    """Subscribes to the log when the first watcher comes."""

    def __init__(self, log: CommitLog) -> None:
        self._log = log
        self._watchers: set[_Watcher] = set()
        self._subscribed = False

    def _on_commit(self, entries: Sequence[Entry]) -> None:
        if not self._watchers:
            return
        for request in filter(None, map(live_request, entries)):
            for watcher in self._watchers:
                watcher.offer(request)

    def watch(self) -> AsyncIterator[bytes]:
        """Server-sent events, until the reader leaves. Raises rate_limited when there are too many watchers."""
        if len(self._watchers) >= WATCHERS_MAX:
            raise MintageError("rate_limited", f"{WATCHERS_MAX} feeds are open.", "Close one.", retry_after_s=5)
        if not self._subscribed:
            self._log.subscribe(self._on_commit)
            self._subscribed = True
        watcher = _Watcher()
        self._watchers.add(watcher)
        return self._events(watcher)

    async def _events(self, watcher: _Watcher) -> AsyncIterator[bytes]:
        try:
            yield b": live\n\n"
            while True:
                try:
                    await asyncio.wait_for(watcher.news.wait(), KEEP_ALIVE_S)
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                watcher.news.clear()
                if watcher.lost:
                    yield b'event: lost\ndata: {"requests":%d}\n\n' % watcher.lost
                    watcher.lost = 0
                while watcher.waiting:
                    request = watcher.waiting.popleft()
                    yield b"event: request\nid: %d\ndata: %s\n\n" % (request.seq, msgspec.json.encode(request))
        finally:
            self._watchers.discard(watcher)
