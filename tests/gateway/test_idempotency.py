import asyncio

import pytest

from mintage.base import ManualClock, MintageError
from mintage.gateway import Replay, ReplayStore

from .conftest import Desk, ask

ANSWER = Replay(200, [(b"a", b"b")], b"body")


async def test_the_first_answer_again() -> None:
    store = ReplayStore(ManualClock())
    assert await store.begin("t", "k", "h") is None
    store.finish("t", "k", "req_1", ANSWER)
    assert await store.begin("t", "k", "h") is ANSWER
    assert await store.begin("other", "k", "h") is None


async def test_a_second_try_waits_for_the_first() -> None:
    store = ReplayStore(ManualClock())
    assert await store.begin("t", "k", "h") is None
    second = asyncio.ensure_future(store.begin("t", "k", "h"))
    await asyncio.sleep(0)
    store.finish("t", "k", "req_1", ANSWER)
    assert await second is ANSWER


async def test_another_body_and_a_streamed_answer_are_conflicts() -> None:
    store = ReplayStore(ManualClock())
    assert await store.begin("t", "k", "h") is None
    store.finish("t", "k", "req_1", None)
    with pytest.raises(MintageError, match="another body"):
        await store.begin("t", "k", "other")
    with pytest.raises(MintageError, match="charged before") as caught:
        await store.begin("t", "k", "h")
    assert "req_1" in caught.value.hint


async def test_a_failed_first_try_leaves_the_key_free() -> None:
    store = ReplayStore(ManualClock())
    assert await store.begin("t", "k", "h") is None
    store.abandon("t", "k")
    assert await store.begin("t", "k", "h") is None


async def test_memory_is_bounded_in_time_and_size() -> None:
    clock = ManualClock()
    store = ReplayStore(clock)
    assert await store.begin("t", "old", "h") is None
    store.finish("t", "old", "req_1", ANSWER)
    clock.advance(601)
    assert await store.begin("t", "old", "h") is None
    for i in range(5):
        assert await store.begin("t", f"big{i}", "h") is None
        store.finish("t", f"big{i}", "req", Replay(200, [], b"x" * 10_000_000))
    assert await store.begin("t", "big0", "h") is None
    assert await store.begin("t", "big4", "h") is not None


async def test_the_books_remember_what_the_memory_forgot(desk: Desk) -> None:
    caller = await desk.caller()
    assert await desk.gateway.replay(caller, "k", "hash") is None
    conversation = await desk.gateway.admit(caller, ask())
    conversation.idempotency_key, conversation.payload_hash = "k", "hash"
    await conversation.answer()
    desk.gateway.replays = ReplayStore(desk.clock)  # as after a restart
    with pytest.raises(MintageError) as caught:
        await desk.gateway.replay(caller, "k", "hash")
    assert caught.value.details["request_id"] == conversation.id
    with pytest.raises(MintageError, match="another body"):
        await desk.gateway.replay(caller, "k", "changed")
