import math

from hypothesis import given
from hypothesis import strategies as st

from mintage.base import ManualClock
from mintage.engines import EngineShares

#: (seconds that pass before, which of five answers begins or ends)
STEPS = st.lists(st.tuples(st.floats(0, 100), st.integers(0, 4)), max_size=60)


@given(steps=STEPS, weights=st.lists(st.integers(1, 8), min_size=5, max_size=5))
def test_the_shares_of_all_answers_sum_to_the_time_the_engine_was_busy(
    steps: list[tuple[float, int]], weights: list[int]
) -> None:
    clock = ManualClock()
    shares = EngineShares(clock.monotonic_ns)
    running: dict[int, float] = {}
    total = busy = 0.0
    for wait_s, answer in [*steps, *((1.0, answer) for answer in range(5))]:
        clock.advance(wait_s)
        busy += round(wait_s * 1e9) / 1e6 if running else 0
        if answer in running:
            total += shares.leave(running.pop(answer), weights[answer])
        elif (wait_s, answer) in steps:
            running[answer] = shares.enter(weights[answer])
    clock.advance(1)
    busy += 1000 if running else 0
    total += sum(shares.leave(mark, weights[answer]) for answer, mark in running.items())
    assert math.isclose(total, busy, rel_tol=1e-9, abs_tol=1e-6)
    assert math.isclose(shares.busy_ms, busy, rel_tol=1e-9, abs_tol=1e-6)


def test_two_at_once_share_each_second_and_one_alone_pays_it() -> None:
    clock = ManualClock()
    shares = EngineShares(clock.monotonic_ns)
    first = shares.enter()
    clock.advance(1)
    second = shares.enter(weight=3)  # one call that writes three answers
    clock.advance(4)
    assert shares.leave(first) == 1000 + 1000
    clock.advance(2)
    assert shares.leave(second, weight=3) == 3000 + 2000
    clock.advance(9)
    assert shares.busy_ms == 7000
