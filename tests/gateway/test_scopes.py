"""Scoped keys: where from, for what, how much in a period. Money at once never passes a budget together."""

import asyncio
import dataclasses
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.conftest import ask

from mintage.base import MintageError
from mintage.base.addresses import TrustedProxies, parse_networks
from mintage.gateway import Budget, Scope
from mintage.gateway.scopes import period_of, take_all

DAY_NS = 86_400 * 10**9
NOW_NS = 1_767_225_600_000_000_000  # 2026-01-01


@dataclasses.dataclass
class Origin:
    path: str = "/v1/chat/completions"
    peer: tuple[str, int] = ("203.0.113.7", 5000)
    forwarded: bytes | None = None

    def header(self, name: bytes) -> bytes | None:
        return self.forwarded if name == b"x-forwarded-for" else None


def refusal(action):
    with pytest.raises(MintageError) as refused:
        action()
    return refused.value


@pytest.mark.parametrize(
    ("endpoints", "path", "allowed"),
    [
        ((), "/v1/anything", True),
        (("/v1/chat/completions",), "/v1/chat/completions", True),
        (("/v1/chat/completions",), "/v1/chat/completions/x", False),
        (("/v1/chat/*",), "/v1/chat/completions", True),
        (("/v1/chat/*", "/v1/models"), "/v1/models", True),
        (("/v1/chat/*",), "/v1/embeddings", False),
    ],
)
def test_a_key_is_for_its_endpoints(endpoints, path, allowed):
    scope = Scope(endpoints, ())
    if allowed:
        scope.check(Origin(path=path), TrustedProxies())
    else:
        assert refusal(lambda: scope.check(Origin(path=path), TrustedProxies())).code == "permission_denied"


PROXY = TrustedProxies(parse_networks("10.0.0.0/8, ::1"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "allowed"),
    [
        ("203.0.113.7", None, True),
        ("::ffff:203.0.113.7", None, True),
        ("198.51.100.1", None, False),
        ("198.51.100.1", b"203.0.113.7", False),  # nobody believes a stranger
        ("10.0.0.1", b"203.0.113.7", True),
        ("10.0.0.1", b"203.0.113.7, 198.51.100.1", False),  # the left part is what the client wrote itself
        ("10.0.0.1", b"198.51.100.1, 203.0.113.7, 10.9.9.9", True),
        ("10.0.0.1", b"garbage", False),
        ("10.0.0.1", None, False),
        ("", None, False),
    ],
)
def test_a_key_is_for_its_networks(peer, forwarded, allowed):
    scope, origin = Scope((), ("203.0.113.0/24", "2001:db8::/32")), Origin(peer=(peer, 1), forwarded=forwarded)
    if allowed:
        scope.check(origin, PROXY)
    else:
        assert refusal(lambda: scope.check(origin, PROXY)).code == "permission_denied"


def test_who_cannot_say_where_it_is_gets_no_scoped_key():
    for scope in (Scope(("/v1/*",), ()), Scope((), ("0.0.0.0/0",))):
        assert refusal(lambda scope=scope: scope.check(None, TrustedProxies())).code == "permission_denied"


@given(
    st.sampled_from(("day", "week", "month", "ever")),
    st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
)
def test_periods_follow_each_other_without_a_gap(period, at):
    at_ns = int(at.timestamp()) * 10**9
    start, end = period_of(period, at_ns)
    assert start <= at_ns < end
    if period != "ever":
        assert period_of(period, end)[0] == end
        assert period_of(period, end - 1) == (start, end)


def spending(limit, period="day"):
    budget = Budget("key_a", limit, period, NOW_NS)
    budget.load(0)
    return budget


@given(st.integers(0, 1000), st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=30))
def test_what_is_held_and_spent_never_passes_the_budget(limit, requests):
    budget, held = spending(limit), []
    for hold, spent in requests:
        try:
            budget.take(hold, NOW_NS)
        except MintageError as error:
            assert error.code == "budget_exceeded"
            assert budget.spent_nanos + budget.held_nanos + hold > limit
        else:
            held.append((hold, min(hold, spent)))
        assert budget.spent_nanos + budget.held_nanos <= limit
        if len(held) > 2:
            budget.settle(*held.pop(0), NOW_NS)
    for hold, spent in held:
        budget.settle(hold, spent, NOW_NS)
    assert budget.held_nanos == 0
    assert budget.spent_nanos <= limit


def test_a_new_period_begins_at_nothing_and_a_late_settlement_belongs_to_the_old_one():
    budget = spending(100)
    budget.take(60, NOW_NS)
    budget.settle(60, 50, NOW_NS)
    assert refusal(lambda: budget.take(60, NOW_NS)).details["spent_nanos"] == 50
    budget.take(40, NOW_NS + DAY_NS - 1)
    budget.take(60, NOW_NS + DAY_NS)
    budget.settle(40, 40, NOW_NS + DAY_NS - 1)
    assert (budget.spent_nanos, budget.held_nanos) == (0, 60)


def test_unknown_spending_keeps_the_key_shut():
    budget = Budget("key_a", 100, "month", NOW_NS)
    assert refusal(lambda: budget.take(1, NOW_NS)).code == "books_unavailable"
    budget.load(99)
    budget.take(1, NOW_NS)
    budget.change(1000, "day", NOW_NS)
    assert not budget.known


def test_of_two_budgets_both_give_or_none():
    key, project = spending(100), spending(10)
    assert refusal(lambda: take_all((key, project), 50, NOW_NS)).code == "budget_exceeded"
    assert (key.held_nanos, project.held_nanos) == (0, 0)


async def test_a_request_holds_spends_and_gives_back(desk):
    budget = Budget("key_a", 10**9, "month", desk.clock.now_ns())
    budget.load(0)
    caller = dataclasses.replace(await desk.caller(), budgets=(budget,))
    before = desk.balance()
    conversation = await desk.gateway.admit(caller, ask(max_output_tokens=10))
    assert budget.held_nanos == conversation.hold.amount_nanos > 0
    await conversation.answer()
    assert (budget.held_nanos, budget.spent_nanos) == (0, before - desk.balance())
    released = await desk.gateway.admit(caller, ask(max_output_tokens=10))
    released.release("nobody wants it")
    assert (budget.held_nanos, budget.spent_nanos) == (0, before - desk.balance())


async def test_requests_at_once_stay_within_the_budget_and_a_refused_hold_gives_it_back(desk):
    free = await desk.caller()
    conversation = await desk.gateway.admit(free, ask(max_output_tokens=10))
    need = conversation.hold.amount_nanos
    conversation.release("only a measure")
    budget = Budget("key_a", 3 * need, "month", desk.clock.now_ns())
    budget.load(0)
    caller = dataclasses.replace(free, budgets=(budget,))
    answers = await asyncio.gather(
        *(desk.gateway.admit(caller, ask(max_output_tokens=10)) for _ in range(8)), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, MintageError)]
    assert len(refused) == 5
    assert {error.code for error in refused} == {"budget_exceeded"}
    for answer in answers:
        if not isinstance(answer, MintageError):
            answer.release("done")
    assert budget.held_nanos == 0
    poor = dataclasses.replace(await desk.caller("poor", funds=0), budgets=(budget,))
    with pytest.raises(MintageError) as error:
        await desk.gateway.admit(poor, ask(max_output_tokens=10))
    assert error.value.code == "insufficient_funds"
    assert budget.held_nanos == 0
