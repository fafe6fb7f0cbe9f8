"""One upstream's health as requests see it: a circuit breaker, and the rest that it asked for.

Closed: everything goes through, and the last outcomes are kept. Too many failures among them open it: nothing is sent
for a while that doubles each time. Then one request at a time may try (half-open); its success closes the circuit.
A 429 is no failure: the upstream lives and said when it will listen again.
Source: M. Nygard, Release It!, 2nd edition, section 5.2.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal

import msgspec

BreakerState = Literal["closed", "open", "half_open"]
_REST_MAX_NS: Final = 60 * 1_000_000_000
_NS: Final = 1_000_000_000


class BreakerRules(msgspec.Struct, frozen=True, kw_only=True):
    """Opens when, of the last `window` outcomes, at least `failures_min` and `failed_share` failed."""

    window: int = 20
    failures_min: int = 5
    failed_share: float = 0.5
    open_s: float = 10.0
    open_max_s: float = 160.0
    probe_s: float = 120.0  # a probe that has not ended by then is taken for lost


class Breaker:
    """Shared by all requests to one upstream; times are of the monotonic clock. Used on one event loop."""

    __slots__ = ("_failed", "_open_ns", "_open_until_ns", "_outcomes", "_probe_until_ns", "_rest_until_ns", "_rules")

    def __init__(self, rules: BreakerRules | None = None) -> None:
        self._rules = rules or BreakerRules()
        self._outcomes: deque[bool] = deque(maxlen=self._rules.window)  # True: failed
        self._failed = 0
        self._open_ns = 0  # how long it was opened last; 0 while closed
        self._open_until_ns = 0
        self._probe_until_ns = 0
        self._rest_until_ns = 0

    def state(self, now_ns: int) -> BreakerState:
        if not self._open_ns:
            return "closed"
        return "open" if now_ns < self._open_until_ns else "half_open"

    def free_at_ns(self, now_ns: int) -> int:
        """When a request may be sent: now_ns or earlier means at once."""
        at_ns = self._rest_until_ns
        if self._open_ns:
            at_ns = max(at_ns, self._open_until_ns, self._probe_until_ns)
        return at_ns

    def enter(self, now_ns: int) -> None:
        """A request is sent; only where free_at_ns allows. It ends with exactly one of the three below."""
        if self._open_ns:
            self._probe_until_ns = now_ns + int(self._rules.probe_s * _NS)

    def succeeded(self) -> None:
        if self._open_ns:
            self._open_ns = self._probe_until_ns = self._failed = 0
            self._outcomes.clear()
        self._note(False)

    def failed(self, now_ns: int) -> None:
        if self._open_ns:
            if now_ns >= self._open_until_ns:  # the probe; late ends of older requests change nothing
                self._open(now_ns, min(2 * self._open_ns, int(self._rules.open_max_s * _NS)))
            return
        self._note(True)
        rules = self._rules
        if self._failed >= rules.failures_min and self._failed >= rules.failed_share * len(self._outcomes):
            self._open(now_ns, int(rules.open_s * _NS))

    def abandoned(self) -> None:
        """It was ended from our side: that says nothing about the upstream."""
        self._probe_until_ns = 0

    def rest(self, now_ns: int, wait_s: float) -> None:
        """The upstream asked to be left alone for so long."""
        self._probe_until_ns = 0
        self._rest_until_ns = max(self._rest_until_ns, now_ns + min(int(wait_s * _NS), _REST_MAX_NS))

    def _open(self, now_ns: int, for_ns: int) -> None:
        self._open_ns, self._open_until_ns, self._probe_until_ns = for_ns, now_ns + for_ns, 0

    def _note(self, failed: bool) -> None:
        if len(self._outcomes) == self._outcomes.maxlen:
            self._failed -= self._outcomes[0]
        self._outcomes.append(failed)
        self._failed += failed


class RetryBudget:
    """Retries as a share of requests, so that a failing upstream is not buried under them.

    Each request pays `share` in, each retry takes 1 out; `least` is there from the start and is what it may fall by.
    """

    __slots__ = ("_limit", "_share", "_tokens")

    def __init__(self, share: float = 0.2, least: float = 10.0) -> None:
        self._share = share
        self._limit = 10 * least
        self._tokens = least

    def requested(self) -> None:
        self._tokens = min(self._tokens + self._share, self._limit)

    def take(self) -> bool:
        """Whether a retry may be made; it is counted then."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
