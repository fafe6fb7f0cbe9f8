import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.base import MintageError
from mintage.gateway.limits import Gcra, KeyLimits

SECOND_NS = 1_000_000_000


def test_a_minutes_worth_may_come_at_once_and_then_at_the_rate() -> None:
    limiter = Gcra(60)
    assert [limiter.take(1, 0) for _ in range(60)] == [0.0] * 60
    assert limiter.take(1, 0) == pytest.approx(1.0)
    assert limiter.take(1, SECOND_NS) == 0.0


def test_one_request_larger_than_the_window_passes_when_nothing_is_in_use() -> None:
    limiter = Gcra(100)
    assert limiter.take(250, 0) == 0.0
    assert limiter.take(1, 0) > 60


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 5 * SECOND_NS)), min_size=1, max_size=80))
def test_no_window_lets_more_than_two_minutes_worth_through(steps: list[tuple[int, int]]) -> None:
    limiter, now_ns, taken = Gcra(120), 0, []
    for units, pause_ns in steps:
        now_ns += pause_ns
        if limiter.take(units, now_ns) == 0.0:
            taken.append((now_ns, units))
    for start_ns, _ in taken:
        inside = sum(units for at_ns, units in taken if start_ns <= at_ns < start_ns + 60 * SECOND_NS)
        assert inside <= 2 * 120 + 40


def test_the_refusal_says_how_long_to_wait_and_takes_nothing() -> None:
    limits = KeyLimits(10, 100)
    limits.admit(100, 0)
    with pytest.raises(MintageError) as refusal:
        limits.admit(10, 0)
    assert refusal.value.code == "rate_limited"
    assert refusal.value.retry_after_s == pytest.approx(6.0)
    assert limits.requests is not None
    assert limits.requests.remaining(0) == 9


def test_an_estimate_is_corrected_when_the_usage_is_known() -> None:
    limits = KeyLimits(None, 100)
    limits.admit(80, 0)
    assert limits.tokens is not None
    limits.done(-70)
    assert limits.tokens.remaining(0) == 90


def test_only_so_many_requests_are_open_at_once() -> None:
    limits = KeyLimits(None, None, 2)
    limits.admit(1, 0)
    limits.admit(1, 0)
    with pytest.raises(MintageError, match="open at once"):
        limits.admit(1, 0)
    limits.done(0)
    limits.admit(1, 0)
