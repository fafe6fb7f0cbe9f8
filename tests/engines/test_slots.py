import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.base import MintageError
from mintage.engines import Slots


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_so_many_run_so_many_wait_and_the_rest_are_told_when_to_come_back() -> None:
    slots = Slots(2, queue_limit=1)
    await slots.acquire()
    await slots.acquire()
    third = asyncio.create_task(slots.acquire())
    await settle()
    assert (slots.running, slots.waiting, third.done()) == (2, 1, False)
    with pytest.raises(MintageError) as caught:
        await slots.acquire()
    assert (caught.value.code, caught.value.status) == ("engine_busy", 429)
    assert 1 <= (caught.value.retry_after_s or 0) <= 60
    slots.release(1, held_s=5)
    await third
    assert (slots.running, slots.waiting) == (2, 0)


async def test_the_time_to_wait_follows_how_long_answers_take() -> None:
    slots = Slots(1, queue_limit=0)
    waits = []
    for held_s in (0.1, 30):
        for _ in range(50):
            await slots.acquire()
            slots.release(1, held_s)
        await slots.acquire()
        with pytest.raises(MintageError) as caught:
            await slots.acquire()
        waits.append(caught.value.retry_after_s)
        slots.release(1, held_s)
    assert waits == [1.0, pytest.approx(30, abs=1)]


async def test_whoever_needs_more_slots_is_not_overtaken_for_ever() -> None:
    slots = Slots(2, queue_limit=8)
    await slots.acquire()
    order: list[str] = []

    async def want(name: str, count: int) -> None:
        await slots.acquire(count)
        order.append(name)
        slots.release(count, 1)

    tasks = [asyncio.create_task(want("both", 2)), asyncio.create_task(want("one", 1))]
    await settle()
    assert order == []  # `one` would fit, but `both` was first
    slots.release(1, 1)
    await asyncio.gather(*tasks)
    assert order == ["both", "one"]


async def test_closing_refuses_those_who_wait_and_those_who_come() -> None:
    slots = Slots(1, queue_limit=8)
    await slots.acquire()
    waiting = asyncio.create_task(slots.acquire())
    await settle()
    slots.close(MintageError("shutting_down", "Closed."))
    for attempt in (waiting, slots.acquire()):
        with pytest.raises(MintageError) as caught:
            await attempt
        assert caught.value.code == "shutting_down"


@given(
    capacity=st.integers(1, 4),
    actions=st.lists(st.tuples(st.sampled_from(["take", "cancel", "end"]), st.integers(1, 4)), max_size=40),
)
async def test_no_slot_is_lost_or_lent_twice(capacity: int, actions: list[tuple[str, int]]) -> None:
    slots = Slots(capacity, queue_limit=5)
    holding: list[int] = []
    tasks: list[asyncio.Task[None]] = []

    async def take(count: int) -> None:
        await slots.acquire(count)
        holding.append(count)

    for action, number in actions:
        if action == "take":
            tasks.append(asyncio.create_task(take(min(number, capacity))))
        elif action == "cancel" and tasks:
            tasks[number % len(tasks)].cancel()
        elif holding:
            slots.release(holding.pop(number % len(holding)), 1)
        if number % 2:  # else the next action comes in the same moment
            await settle()
            assert slots.running == sum(holding) <= capacity
    await settle()
    while holding or slots.waiting:
        slots.release(holding.pop(), 1)
        await settle()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(r, MintageError | asyncio.CancelledError | None) for r in results)
    assert (slots.running, slots.waiting) == (0, 0)
