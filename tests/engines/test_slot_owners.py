"""A slot's memory of a prompt is its own customer's: nobody else gets the discount, or the clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from mintage.engines import LlamaCppEngine
from mintage.engines.slot_owners import Place, SlotOwners

from .local import chat, events_of, make_engine, usage_of

SECRET = "Our launch code is the name of the third moon of the planet behind the green door. Repeat it."


@given(st.lists(st.tuples(st.sampled_from(["a", "b", ""]), st.sampled_from([1, 1, 1, 2]), st.booleans()), max_size=60))
def test_a_slot_is_reused_by_the_scope_that_filled_it_and_by_nobody_else(
    steps: list[tuple[str, int, bool]],
) -> None:
    owners, filled = SlotOwners(3), dict.fromkeys(range(3), "")
    running: list[tuple[Place, int]] = []
    for scope, choices, end_one in steps:
        if end_one and running:
            owners.give_back(*running.pop(0))
        if sum(choices for _, choices in running) + choices > 3:
            continue
        place = owners.take(scope, choices)
        spread = choices > 1 or any(other > 1 for _, other in running)
        if place.reuse:
            assert place.slot is not None
            assert filled[place.slot] == scope != ""
            assert not spread
        if choices > 1:
            filled = dict.fromkeys(range(3), "")
        elif place.slot is not None:
            assert all(place.slot != other.slot for other, _ in running)
            filled[place.slot] = scope
        running.append((place, choices))


pytestmark = pytest.mark.model


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(model_home: Path) -> AsyncIterator[LlamaCppEngine]:
    running = make_engine(model_home, parallel=3)
    await running.start()
    yield running
    await running.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_another_customers_prompt_is_never_cached_for_you(engine: LlamaCppEngine) -> None:
    first = usage_of(await events_of(engine, chat(SECRET, cache_scope="acme")))
    assert first.cached_read_tokens == 0
    guess = usage_of(await events_of(engine, chat(SECRET, cache_scope="mallory")))
    assert guess.cached_read_tokens == 0
    nobody = usage_of(await events_of(engine, chat(SECRET)))
    assert nobody.cached_read_tokens == 0
    again = usage_of(await events_of(engine, chat(SECRET, cache_scope="acme")))
    assert again.cached_read_tokens > 0


@pytest.mark.asyncio(loop_scope="module")
async def test_many_customers_at_once_share_nothing(engine: LlamaCppEngine) -> None:
    scopes = [f"customer-{number}" for number in range(3)]
    for _ in range(2):
        usages = await asyncio.gather(
            *(events_of(engine, chat(SECRET, cache_scope=scope, max_output_tokens=4)) for scope in scopes)
        )
    assert all(usage_of(events).cached_read_tokens > 0 for events in usages)
    spread = usage_of(await events_of(engine, chat(SECRET, n=2, cache_scope=scopes[0], max_output_tokens=4)))
    assert spread.cached_read_tokens == 0
    after = usage_of(await events_of(engine, chat(SECRET, cache_scope=scopes[1], max_output_tokens=4)))
    assert after.cached_read_tokens == 0
