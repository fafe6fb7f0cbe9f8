"""One request's attempts: which upstream is tried next, after which wait, when it is over. No I/O, no clock of its own.

A round tries every upstream that may be tried, in the route's order, each at once after the other failed. When the
round is over, the next one begins after a pause (exponential, with full jitter, never earlier than an upstream asked
for), as far as attempts, time and the route's retry budget reach. Once anything was sent to the customer, the attempt
is the last one.
Source of the jitter: M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from mintage.base import Cost, MintageError
from mintage.gateway.breaker import Breaker, RetryBudget
from mintage.registry import RouteSpec

if TYPE_CHECKING:
    from mintage.gateway.snapshot import Route

_NS: Final = 1_000_000_000
#: The upstream failed: another attempt may do better, there or elsewhere.
_FAILURES: Final = frozenset(("upstream_failed", "upstream_timeout", "unavailable", "internal"))
#: This upstream cannot do it, another one may: a smaller window, a model it does not have.
_ELSEWHERE: Final = frozenset(("model_not_found", "unsupported", "context_length_exceeded", "not_found"))
_BUSY: Final = "engine_busy"


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """One upstream of a route. The breaker is shared by all routes and outlives snapshots."""

    route: Route
    breaker: Breaker
    weight: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class RoutePlan:
    """How a route chooses among its targets. dialect: what all of them speak, so that bytes may pass; else None."""

    spec: RouteSpec
    targets: tuple[Target, ...]
    dialect: str | None = None
    budget: RetryBudget = field(default_factory=RetryBudget)


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt, for the request log. started_ms counts from admission; code is why it failed."""

    target: str
    provider: str
    started_ms: float
    took_ms: float
    outcome: str  # ok, failed, cut
    code: str = ""
    upstream_id: str = ""
    cost_attos: str = ""  # of a failed attempt, as text: it passes 64 bits
    currency: str = ""


class Try(msgspec.Struct, frozen=True):
    target: Target


class Wait(msgspec.Struct, frozen=True):
    seconds: float


class Stop(msgspec.Struct, frozen=True):
    error: MintageError


class Attempts:
    """next() says what to do; after a Try exactly one of failed(), succeeded() and abandoned() is called."""

    __slots__ = (
        "_current", "_deadline_ns", "_excluded", "_last", "_left", "_over", "_pause_until_ns", "_plan", "_random",
        "_round", "_started_ns", "_tried", "_try_ns", "_waiting", "costs", "records", "sent",
    )  # fmt: skip

    def __init__(self, plan: RoutePlan, targets: Sequence[Target], now_ns: int, rng: random.Random) -> None:
        self._plan = plan
        self._random = rng
        self._waiting = order(targets, plan.spec.strategy, rng)
        self._tried: list[Target] = []  # in this round
        self._excluded: set[int] = set()
        self._left = plan.spec.attempts_max
        self._started_ns = now_ns
        self._deadline_ns = now_ns + int(plan.spec.budget_s * _NS)
        self._pause_until_ns = 0
        self._round = 0
        self._last: MintageError | None = None
        self._current: Target | None = None
        self._try_ns = 0
        self._over = False
        self.sent = False  # the customer has seen a part of the answer
        self.costs: list[Cost] = []  # of failed attempts
        self.records: list[AttemptRecord] = []
        plan.budget.requested()

    @property
    def current(self) -> Target | None:
        """What is being tried."""
        return self._current

    def next(self, now_ns: int) -> Try | Wait | Stop:
        """What to do now. A Wait is over when its seconds have passed: then ask again."""
        if self._over or self._current is not None:
            raise RuntimeError("an attempt is running, or there will be none")
        if self._left <= 0:
            return self._stop()
        if now_ns < self._pause_until_ns:
            return Wait((self._pause_until_ns - now_ns) / _NS)
        for target in self._waiting:
            if target.breaker.free_at_ns(now_ns) <= now_ns:
                return self._try(target, now_ns)
        if self._tried:
            return self._next_round(now_ns)
        return self._wait_for_first(now_ns)

    def _try(self, target: Target, now_ns: int) -> Try | Stop:
        if now_ns > self._deadline_ns:
            return self._stop()
        self._waiting.remove(target)
        self._tried.append(target)
        self._current, self._try_ns = target, now_ns
        self._left -= 1
        target.breaker.enter(now_ns)
        return Try(target)

    def _next_round(self, now_ns: int) -> Try | Wait | Stop:
        """Everything was tried: all over again after a pause, if that pays."""
        again = [target for target in (*self._tried, *self._waiting) if id(target) not in self._excluded]
        if not again:
            return self._stop()
        spec = self._plan.spec
        pause_ns = int(self._random.uniform(0, min(spec.backoff_max_s, spec.backoff_s * 2**self._round)) * _NS)
        until_ns = max(now_ns + pause_ns, min(target.breaker.free_at_ns(now_ns) for target in again))
        if until_ns > self._deadline_ns or not self._plan.budget.take():
            return self._stop()
        self._round += 1
        self._tried, self._waiting = [], again
        self._pause_until_ns = until_ns
        return self.next(now_ns) if until_ns <= now_ns else Wait((until_ns - now_ns) / _NS)

    def _wait_for_first(self, now_ns: int) -> Wait | Stop:
        """Nothing may be tried yet: wait for the first that may, if that is within the budget."""
        free_ns = min((target.breaker.free_at_ns(now_ns) for target in self._waiting), default=None)
        if free_ns is None:
            return self._stop()
        wait_s = (free_ns - now_ns) / _NS
        if free_ns > self._deadline_ns:
            self._last = self._last or _none_free(wait_s)
            return self._stop()
        self._pause_until_ns = free_ns
        return Wait(wait_s)

    def failed(self, error: MintageError, now_ns: int, cost: Cost | None = None) -> bool:
        """The attempt failed. True: ask next(). False: it was the last, the customer gets the error.

        cost: what it cost us all the same, if it is not booked otherwise.
        """
        target = self._end("failed", now_ns, error.code, cost)
        if cost is not None:
            self.costs.append(cost)
        if error.code in _FAILURES:
            target.breaker.failed(now_ns)
        elif error.code == _BUSY:
            target.breaker.rest(now_ns, error.retry_after_s or 1.0)
        else:
            target.breaker.succeeded()  # it answered; the answer was no
        if error.code in _ELSEWHERE:
            self._excluded.add(id(target))
        again = error.code in _FAILURES or error.code == _BUSY or error.code in _ELSEWHERE
        if self._last is None or error.code not in _ELSEWHERE:
            self._last = error
        self._over = self.sent or not again
        return not self._over

    def succeeded(self, now_ns: int) -> None:
        self._end("ok", now_ns).breaker.succeeded()
        self._over = True

    def abandoned(self, now_ns: int) -> None:
        """Ended from our side, or while nothing was tried. Safe to call at any time."""
        if self._current is not None:
            self._end("cut", now_ns).breaker.abandoned()
        self._over = True

    def _end(self, outcome: str, now_ns: int, code: str = "", cost: Cost | None = None) -> Target:
        target = self._current
        if target is None:
            raise RuntimeError("no attempt is running")
        self._current = None
        self.records.append(
            AttemptRecord(
                target=target.route.model,
                provider=target.route.engine.name,
                started_ms=round((self._try_ns - self._started_ns) / 1e6, 3),
                took_ms=round((now_ns - self._try_ns) / 1e6, 3),
                outcome=outcome,
                code=code,
                upstream_id=cost.upstream_id if cost else "",
                cost_attos=str(cost.attos) if cost else "",
                currency=cost.currency if cost else "",
            )
        )
        return target

    def _stop(self) -> Stop:
        self._over = True
        return Stop(self._last or _none_free(1.0))


def order(targets: Sequence[Target], strategy: str, rng: random.Random) -> list[Target]:
    """As written, or drawn: each next one with a chance as large as its weight among those that are left."""
    if strategy != "weighted":
        return list(targets)
    left, drawn = list(targets), []
    while left:
        (chosen,) = rng.choices(left, [target.weight for target in left])
        left.remove(chosen)
        drawn.append(chosen)
    return drawn


def _none_free(wait_s: float) -> MintageError:
    return MintageError(
        "unavailable", "No upstream of this model can be asked now.", "Try again in a moment.",
        retry_after_s=max(1.0, min(wait_s, 60.0)),
    )  # fmt: skip
