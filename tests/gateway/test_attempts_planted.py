"""The checks of test_attempts.py, held against machines with a bug in them: each is caught."""

import random

import pytest

from mintage.base import MintageError
from mintage.gateway import Breaker, Target
from mintage.gateway import attempts as attempts_module
from mintage.gateway.attempts import Attempts

from . import test_attempts as checks

SEEDS = range(60)


def _outcomes(rng: random.Random) -> list[tuple[str, int, float | None]]:
    codes = ("ok", *checks.RETRYABLE, *checks.RETRYABLE, *checks.ELSEWHERE, *checks.FINAL)
    return [
        (rng.choice(codes), rng.randrange(5 * checks.S), rng.choice((None, rng.uniform(0.1, 30)))) for _ in range(12)
    ]


def run_checks() -> None:
    """The property and the examples, on many runs."""
    for seed in SEEDS:
        rng = random.Random(seed)
        checks.test_no_run_breaks_its_limits.hypothesis.inner_test(  # type: ignore[attr-defined]
            _outcomes(rng), rng.randint(1, 4), rng.randint(1, 8), rng.uniform(0.5, 30),
            rng.choice(("ordered", "weighted")), seed,
        )  # fmt: skip
    checks.test_retry_after_is_honoured_by_this_request_and_by_the_next()
    checks.test_what_one_cannot_do_is_asked_of_another_and_of_it_never_again()
    checks.test_nothing_is_tried_again_after_a_part_was_sent()
    checks.test_costs_of_failed_attempts_are_kept_with_their_records()
    checks.test_retries_are_a_share_of_requests()
    checks.test_a_breaker_opens_lets_one_probe_through_and_closes_by_its_success()


def test_without_a_bug_the_checks_pass() -> None:
    run_checks()


def _forget_rests(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Breaker, "rest", lambda self, now_ns, wait_s: None)


def _forget_the_deadline(patch: pytest.MonkeyPatch) -> None:
    original = Attempts.__init__

    def init(self: Attempts, *arguments: object) -> None:
        original(self, *arguments)  # type: ignore[arg-type]
        self._deadline_ns = 10**18

    patch.setattr(Attempts, "__init__", init)


def _try_again_after_sending(patch: pytest.MonkeyPatch) -> None:
    original = Attempts.failed

    def failed(self: Attempts, error: MintageError, now_ns: int, cost: object = None) -> bool:
        self.sent = False
        return original(self, error, now_ns, cost)  # type: ignore[arg-type]

    patch.setattr(Attempts, "failed", failed)


def _lose_costs(patch: pytest.MonkeyPatch) -> None:
    original = Attempts.failed
    patch.setattr(Attempts, "failed", lambda self, error, now_ns, cost=None: original(self, error, now_ns))


def _ask_again_what_it_cannot_do(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(attempts_module, "_ELSEWHERE", frozenset())
    patch.setattr(attempts_module, "_FAILURES", attempts_module._FAILURES | set(checks.ELSEWHERE))


def _retry_what_is_final(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(attempts_module, "_FAILURES", attempts_module._FAILURES | set(checks.FINAL))


def _retry_without_a_budget(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("mintage.gateway.breaker.RetryBudget.take", lambda self: True)


def _one_attempt_too_many(patch: pytest.MonkeyPatch) -> None:
    original = Attempts.__init__

    def init(self: Attempts, *arguments: object) -> None:
        original(self, *arguments)  # type: ignore[arg-type]
        self._left += 1

    patch.setattr(Attempts, "__init__", init)


def _let_every_probe_through(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Breaker, "enter", lambda self, now_ns: None)


def _reverse_the_order(patch: pytest.MonkeyPatch) -> None:
    def order(targets: list[Target], strategy: str, rng: random.Random) -> list[Target]:
        return list(targets)[::-1]

    patch.setattr(attempts_module, "order", order)


@pytest.mark.parametrize(
    "bug",
    [
        _forget_rests, _forget_the_deadline, _try_again_after_sending, _lose_costs, _ask_again_what_it_cannot_do,
        _retry_what_is_final, _retry_without_a_budget, _one_attempt_too_many, _let_every_probe_through,
        _reverse_the_order,
    ],
)  # fmt: skip
def test_each_planted_bug_is_caught(bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        run_checks()
