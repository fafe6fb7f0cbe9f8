"""The local engine with the real default model: how it runs, stops, waits and costs."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from mintage.base import MintageError
from mintage.engines import LlamaCppEngine, LlamaSettings
from mintage.registry import Registry

from .local import chat, completion, events_of, make_engine, report_of, text_of, until_running, usage_of

pytestmark = [pytest.mark.model, pytest.mark.asyncio(loop_scope="module")]
LONG = "Write a long story about the sea."


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(model_home: Path) -> AsyncIterator[LlamaCppEngine]:
    running = make_engine(model_home)
    await running.start()
    yield running
    await running.close()


async def test_leaving_an_answer_frees_its_slot_and_tells_what_it_used(engine: LlamaCppEngine) -> None:
    stream = engine.stream(chat(LONG, max_output_tokens=400))
    seen = [await anext(stream) for _ in range(6)]
    assert (await engine.health()).running == 1
    so_far = stream.consumed()
    await stream.aclose()
    assert (await engine.health()).running == 0
    used = stream.consumed()
    assert used is not None
    assert used.usage.prompt_tokens == await engine.count_tokens(chat(LONG))
    assert len(seen) - 1 <= used.usage.output_tokens < 100
    assert so_far is not None
    assert 0 < so_far.engine_ms <= used.engine_ms
    assert so_far.usage.output_tokens <= used.usage.output_tokens
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    await stream.aclose()
    assert stream.consumed() == used


async def test_a_cancelled_reader_stops_the_engine(engine: LlamaCppEngine) -> None:
    task = asyncio.create_task(events_of(engine, chat(LONG, max_output_tokens=400)))
    await until_running(engine, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await engine.health()).running == 0


async def test_reading_a_prompt_stops_between_two_steps(engine: LlamaCppEngine) -> None:
    request = chat("stone river cloud " * 150)
    stream = engine.stream(request)
    first = asyncio.create_task(anext(stream))
    await until_running(engine, 1)
    first.cancel()
    await stream.aclose()
    used = stream.consumed()
    assert used is not None
    assert used.usage.prompt_tokens < await engine.count_tokens(request)
    assert used.usage.output_tokens == 0


async def test_a_stream_that_was_never_read_used_nothing(engine: LlamaCppEngine) -> None:
    stream = engine.stream(chat())
    await stream.aclose()
    assert stream.consumed() is None
    assert (await engine.health()).running == 0


async def test_a_full_queue_refuses_with_a_time_to_come_back(engine: LlamaCppEngine) -> None:
    running = [asyncio.create_task(events_of(engine, chat(max_output_tokens=40))) for _ in range(4)]
    await until_running(engine, 2)
    health = await engine.health()
    assert (health.state, health.waiting, health.capacity) == ("busy", 2, 2)
    with pytest.raises(MintageError) as caught:
        await events_of(engine, chat())
    assert (caught.value.code, caught.value.status) == ("engine_busy", 429)
    assert (caught.value.retry_after_s or 0) >= 1
    running[-1].cancel()  # one that still waits
    results = await asyncio.gather(*running, return_exceptions=True)
    assert [isinstance(result, list) for result in results] == [True, True, True, False]
    assert (await engine.health()).waiting == 0


async def test_the_shares_of_answers_sum_to_the_time_the_engine_was_busy(engine: LlamaCppEngine) -> None:
    before_ms = engine.shares.busy_ms
    requests = [chat(max_output_tokens=10), chat(max_output_tokens=30), completion("a", "b", max_output_tokens=5)]
    answers = await asyncio.gather(*(events_of(engine, request) for request in requests))
    cut = engine.stream(chat(LONG, max_output_tokens=300))
    await anext(cut)
    await cut.aclose()
    used = cut.consumed()
    assert used is not None
    total_ms = sum(report_of(events).engine_ms for events in answers) + used.engine_ms
    assert total_ms == pytest.approx(engine.shares.busy_ms - before_ms, rel=1e-6)


async def test_its_own_door_is_shut(engine: LlamaCppEngine) -> None:
    process = psutil.Process()
    listening = [c for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert listening == []
    door = engine.runtime.door
    assert door.parent.stat().st_mode & 0o077 == 0
    bodies = {
        "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1},
        "/completion": {"prompt": "hi"},
        "/tokenize": {"content": "hi"},
        "/slots/0?action=erase": {},
    }
    for path, body in bodies.items():
        assert await knock(door, path, json.dumps(body), b"") == b"401"
        assert await knock(door, path, json.dumps(body), b"Authorization: Bearer guess\r\n") == b"401"
    assert await engine.count_tokens(chat()) > 0


async def knock(door: Path, path: str, body: str, header: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(door)
    writer.write(
        b"POST %b HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\nConnection: close\r\n\r\n%b"
        % (path.encode(), header, len(body), body.encode())
    )
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.split(b" ")[1]


async def test_eight_at_once_are_eight_answers(model_home: Path) -> None:
    engine = make_engine(model_home, parallel=8, context_tokens=256, queue_limit=8)
    await engine.start()
    try:
        alone = [await events_of(engine, chat(f"Say the number {i}.")) for i in range(2)]
        together = await asyncio.gather(*(events_of(engine, chat(f"Say the number {i}.")) for i in range(10)))
        assert [text_of(events) for events in together[:2]] == [text_of(events) for events in alone]
        assert all(usage_of(events).output_tokens for events in together)
        assert len({text_of(events) for events in together}) > 5
    finally:
        await engine.close()


async def test_it_starts_and_stops_clean_beside_another(engine: LlamaCppEngine, model_home: Path) -> None:
    process, other = psutil.Process(), engine
    threads = threading.active_count()
    before = process.num_threads(), process.num_fds()
    for _ in range(4):
        engine = make_engine(model_home)
        with pytest.raises(MintageError) as caught:
            await events_of(engine, chat())
        assert caught.value.code == "unavailable"
        await engine.start()
        await engine.start()
        folder = engine.runtime.door.parent
        assert await events_of(engine, chat(max_output_tokens=2))
        await engine.close()
        await engine.close()
        assert not folder.exists()
        assert (await engine.health()).state == "stopped"
        with pytest.raises(MintageError) as caught:
            await events_of(engine, chat())
        assert caught.value.code == "shutting_down"
    assert threading.active_count() == threads
    assert process.num_threads() <= before[0] + 1  # the last native thread may still be on its way out
    assert process.num_fds() == before[1]
    assert await events_of(other, chat(max_output_tokens=2))


async def test_closing_cuts_what_runs_and_refuses_what_waits(model_home: Path) -> None:
    engine = make_engine(model_home, parallel=1)
    await engine.start()
    stream = engine.stream(chat(LONG, max_output_tokens=400))
    await anext(stream)
    waiting = asyncio.create_task(events_of(engine, chat()))
    await asyncio.sleep(0)
    await engine.close()
    with pytest.raises(MintageError) as caught:
        async for _ in stream:
            pass
    assert caught.value.code == "shutting_down"
    used = stream.consumed()
    assert used is not None
    assert used.usage.output_tokens >= 1
    with pytest.raises(MintageError) as caught:
        await waiting
    assert caught.value.code == "shutting_down"


async def test_weights_that_cannot_be_loaded_say_so(model_home: Path, tmp_path: Path) -> None:
    weights = tmp_path / "model.gguf"
    weights.write_bytes(Registry(model_home).weights("smollm2-135m").read_bytes()[:3_000_000])
    engine = LlamaCppEngine(
        Registry(model_home).get("smollm2-135m"), LlamaSettings(weights=weights, context_tokens=128, parallel=1)
    )
    with pytest.raises(MintageError) as caught:
        await engine.start()
    assert caught.value.code == "invalid_request"
    assert str(tmp_path) not in str(caught.value)
    assert (await engine.health()).state == "failed"
    await engine.close()
