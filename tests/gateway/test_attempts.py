"""The machine that chooses the next attempt, by itself: whatever upstreams do, it keeps its promises."""

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.base import Cost, MintageError, Usage
from mintage.engines import Capabilities
from mintage.gateway import Breaker, BreakerRules, Route, RoutePlan, Target
from mintage.gateway.attempts import Attempts, Stop, Try, Wait, order
from mintage.gateway.breaker import RetryBudget
from mintage.registry import RouteSpec, RouteTarget

S = 1_000_000_000
RETRYABLE = ("upstream_failed", "upstream_timeout", "unavailable", "engine_busy")
ELSEWHERE = ("model_not_found", "context_length_exceeded")
FINAL = ("invalid_request", "shutting_down")


class Named:
    """All that an attempt's record reads of an engine."""

    def __init__(self, name: str) -> None:
        self.name = name


def make_plan(names: str, **fields: object) -> RoutePlan:
    spec = RouteSpec(targets=tuple(RouteTarget(model=name) for name in names), **fields)  # type: ignore[arg-type]
    return RoutePlan(
        spec,
        tuple(
            Target(Route(name, Named(name), name, Capabilities(model=name), no_cost), Breaker())  # type: ignore[arg-type]
            for name in names
        ),
    )


def no_cost(usage: Usage, engine_ms: float, at_ns: int) -> Cost:
    return Cost(provider="p", price_id="p", currency="USD", attos=1)


def begin(plan: RoutePlan, seed: int = 0, now_ns: int = 0) -> Attempts:
    return Attempts(plan, plan.targets, now_ns, random.Random(seed))


def error(code: str, retry_after_s: float | None = None) -> MintageError:
    return MintageError(code, code, retry_after_s=retry_after_s)


@dataclass
class Run:
    """Drives a machine as the gateway does: it waits when told to, and an attempt takes the time it is given."""

    plan: RoutePlan
    seed: int = 0
    now_ns: int = 0
    tried: list[tuple[str, int]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    ended: str = ""

    def go(self, outcomes: list[tuple[str, int, float | None]]) -> "Run":
        attempts = begin(self.plan, self.seed, self.now_ns)
        for code, took_ns, retry_after_s in [*outcomes, ("ok", 0, None)]:
            step = attempts.next(self.now_ns)
            while isinstance(step, Wait):
                assert step.seconds > 0
                self.waits.append(step.seconds)
                self.now_ns += round(step.seconds * S)
                step = attempts.next(self.now_ns)
            if isinstance(step, Stop):
                self.ended = step.error.code
                break
            self.tried.append((step.target.route.model, self.now_ns))
            assert step.target.breaker.state(self.now_ns) != "open"
            self.now_ns += took_ns
            if code == "ok":
                attempts.succeeded(self.now_ns)
                self.ended = "ok"
                break
            if not attempts.failed(error(code, retry_after_s), self.now_ns):
                self.ended = code
                break
        with pytest.raises(RuntimeError):  # whatever ended it, nothing follows
            attempts.next(self.now_ns)
            attempts.next(self.now_ns)
        assert len(attempts.records) == len(self.tried)
        return self

    @property
    def names(self) -> str:
        return "".join(name for name, _ in self.tried)


OUTCOMES = st.lists(
    st.tuples(
        st.sampled_from(("ok", *RETRYABLE, *ELSEWHERE, *FINAL)),
        st.integers(0, 5 * S),
        st.none() | st.floats(0.1, 30),
    ),
    max_size=12,
)


@given(
    OUTCOMES, st.integers(1, 4), st.integers(1, 8), st.floats(0.5, 30), st.sampled_from(("ordered", "weighted")),
    st.integers(0, 2**32),
)  # fmt: skip
def test_no_run_breaks_its_limits(
    outcomes: list[tuple[str, int, float | None]],
    targets: int,
    most: int,
    budget_s: float,
    strategy: str,
    seed: int,
) -> None:
    plan = make_plan("abcd"[:targets], attempts_max=most, budget_s=budget_s, strategy=strategy)
    run = Run(plan, seed).go(outcomes)
    assert run.ended
    assert len(run.tried) <= most
    for _, began_ns in run.tried:
        assert began_ns <= budget_s * S + 1
    excluded: set[str] = set()
    resting: dict[str, float] = {}
    for (name, began_ns), (code, took_ns, retry_after_s) in zip(run.tried, outcomes, strict=False):
        assert name not in excluded
        assert began_ns + 1 >= resting.get(name, 0)
        if code in ELSEWHERE:
            excluded.add(name)
        if code == "engine_busy":
            resting[name] = began_ns + took_ns + (retry_after_s or 1.0) * S
        if code in FINAL:
            assert run.ended == code
    first_round = run.names[:targets]
    assert len(set(first_round)) == len(first_round)  # everyone once, before anyone twice
    if strategy == "ordered":
        assert first_round == "abcd"[: len(first_round)]


def test_the_next_upstream_is_asked_at_once_and_the_first_again_only_after_a_pause() -> None:
    run = Run(make_plan("ab", attempts_max=4)).go([("upstream_failed", 0, None)] * 3)
    assert run.names == "abab"
    assert [at for _, at in run.tried][:2] == [0, 0]
    assert run.ended == "ok"
    assert len(run.waits) == 1
    assert 0 < run.waits[0] <= 0.25


def test_what_one_cannot_do_is_asked_of_another_and_of_it_never_again() -> None:
    run = Run(make_plan("ab", attempts_max=8)).go(
        [("context_length_exceeded", 0, None), ("upstream_failed", 0, None), ("upstream_failed", 0, None)]
    )
    assert run.names == "abbb"


def test_a_mistake_of_the_customer_is_told_at_once() -> None:
    run = Run(make_plan("ab")).go([("invalid_request", 0, None)])
    assert (run.names, run.ended) == ("a", "invalid_request")


def test_retry_after_is_honoured_by_this_request_and_by_the_next() -> None:
    plan = make_plan("a", attempts_max=2)
    run = Run(plan).go([("engine_busy", 0, 7.0)])
    assert run.tried == [("a", 0), ("a", 7 * S)]
    run = Run(plan, now_ns=7 * S).go([("engine_busy", 0, 3.0)])
    later = Run(plan, now_ns=8 * S).go([])
    assert later.tried[0][1] == run.tried[1][1]


def test_a_rest_longer_than_the_budget_refuses_with_the_time_to_wait() -> None:
    plan = make_plan("a", budget_s=5)
    Run(plan).go([("engine_busy", 0, 50.0)])
    attempts = begin(plan, now_ns=1 * S)
    step = attempts.next(1 * S)
    assert isinstance(step, Stop)
    assert step.error.code == "unavailable"
    assert step.error.retry_after_s == pytest.approx(49, abs=0.1)


def test_nothing_is_tried_again_after_a_part_was_sent() -> None:
    attempts = begin(make_plan("ab"))
    assert isinstance(attempts.next(0), Try)
    attempts.sent = True
    assert not attempts.failed(error("upstream_failed"), 1)


def test_costs_of_failed_attempts_are_kept_with_their_records() -> None:
    attempts = begin(make_plan("ab"))
    attempts.next(0)
    cost = Cost(provider="a", price_id="x", currency="USD", attos=12 * 10**20, upstream_id="req_1")
    assert attempts.failed(error("upstream_failed"), 2_000_000, cost)
    attempts.next(2_000_000)
    attempts.succeeded(5_000_000)
    assert attempts.costs == [cost]
    failed, well = attempts.records
    assert (failed.outcome, failed.code, failed.cost_attos, failed.upstream_id) == (
        "failed", "upstream_failed", str(12 * 10**20), "req_1",
    )  # fmt: skip
    assert (well.target, well.outcome, well.started_ms, well.took_ms) == ("b", "ok", 2.0, 3.0)


def test_weights_are_shares() -> None:
    plan = make_plan("ab")
    targets = [Target(plan.targets[0].route, Breaker(), 3), Target(plan.targets[1].route, Breaker(), 1)]
    rng = random.Random(7)
    first = Counter(order(targets, "weighted", rng)[0].route.model for _ in range(4_000))
    assert 0.72 < first["a"] / 4_000 < 0.78


def test_retries_are_a_share_of_requests() -> None:
    plan = make_plan("a", attempts_max=2, backoff_s=0)
    tried = sum(len(Run(plan, seed).go([("engine_busy", 0, 0.000_001)]).tried) for seed in range(1_000))
    assert 1_200 <= tried <= 1_215  # every request once, a fifth of them again, and ten to begin with


# The breaker


def fail(breaker: Breaker, times: int, now_ns: int = 0) -> None:
    for _ in range(times):
        breaker.enter(now_ns)
        breaker.failed(now_ns)


def test_a_breaker_opens_lets_one_probe_through_and_closes_by_its_success() -> None:
    breaker = Breaker()
    fail(breaker, 4)
    assert breaker.free_at_ns(0) <= 0
    fail(breaker, 1)
    assert breaker.state(0) == "open"
    assert breaker.free_at_ns(0) == 10 * S
    now = 10 * S
    assert breaker.state(now) == "half_open"
    assert breaker.free_at_ns(now) <= now
    breaker.enter(now)
    assert breaker.free_at_ns(now) > now  # one probe at a time
    breaker.succeeded()
    assert breaker.state(now) == "closed"
    fail(breaker, 4, now)
    assert breaker.state(now) == "closed"  # old failures are forgotten


def test_a_failed_probe_opens_it_for_twice_as_long_and_an_abandoned_one_for_nobody() -> None:
    breaker = Breaker(BreakerRules(open_s=10, open_max_s=30))
    fail(breaker, 5)
    fail(breaker, 1, 10 * S)
    assert breaker.free_at_ns(10 * S) == 30 * S
    breaker.enter(30 * S)
    breaker.abandoned()
    assert breaker.free_at_ns(30 * S) <= 30 * S
    fail(breaker, 1, 30 * S)
    assert breaker.free_at_ns(30 * S) == 60 * S  # no longer than open_max_s


def test_a_lost_probe_does_not_keep_it_shut_for_ever() -> None:
    breaker = Breaker(BreakerRules(probe_s=5))
    fail(breaker, 5)
    breaker.enter(10 * S)
    assert breaker.free_at_ns(12 * S) == 15 * S


def test_failures_among_many_successes_open_nothing() -> None:
    breaker = Breaker()
    for number in range(200):
        breaker.enter(0)
        if number % 3:
            breaker.succeeded()
        else:
            breaker.failed(0)
    assert breaker.state(0) == "closed"


@given(st.lists(st.sampled_from(("ok", "failed", "cut", "rest", "wait")), max_size=80))
def test_a_breaker_always_lets_someone_through_in_time(events: list[str]) -> None:
    breaker, now = Breaker(), 0
    for event in events:
        if event == "wait":
            now += 3 * S
            continue
        free = breaker.free_at_ns(now)
        assert free - now <= 160 * S
        if free > now:
            continue
        breaker.enter(now)
        if event == "ok":
            breaker.succeeded()
        elif event == "failed":
            breaker.failed(now)
        elif event == "cut":
            breaker.abandoned()
        else:
            breaker.rest(now, 5)


def test_a_budget_never_saves_up_without_end() -> None:
    budget = RetryBudget(share=0.5, least=2)
    for _ in range(1_000):
        budget.requested()
    assert sum(budget.take() for _ in range(1_000)) == 20
