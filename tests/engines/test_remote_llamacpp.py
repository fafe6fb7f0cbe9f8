"""The local chat engine in a process of its own: the same answers, the same money."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mintage.base import MintageError, TextDelta, UsageReported
from mintage.engines import HostConfig, RemoteEngine
from mintage.registry import Registry

from .local import MODEL, chat, events_of, text_of, usage_of

pytestmark = pytest.mark.model


@pytest.fixture
async def engine(model_home: Path) -> AsyncIterator[RemoteEngine]:
    registry = Registry(model_home)
    config = HostConfig(
        entry=registry.get(MODEL), path=str(registry.weights(MODEL)), parallel=2, context_tokens=512, queue_limit=2
    )
    engine = RemoteEngine(config)
    await engine.start()
    yield engine
    await engine.close()


async def test_it_answers_counts_and_reports_as_in_this_process(engine: RemoteEngine) -> None:
    request = chat("What is the capital of France?")
    counted = await engine.count_tokens(request)
    events = await events_of(engine, request)  # type: ignore[arg-type]
    assert text_of(events)
    assert usage_of(events).prompt_tokens == counted
    assert usage_of(events).output_tokens > 0
    assert engine.capabilities(MODEL).exact_count


async def test_an_answer_that_is_cut_is_counted_to_the_token(engine: RemoteEngine) -> None:
    stream = engine.stream(chat("Count from 1 to 100.", max_output_tokens=200))
    seen = 0
    async for event in stream:
        if isinstance(event, TextDelta):
            seen += 1
            if seen == 5:
                break
    await stream.aclose()
    consumed = stream.consumed()
    assert isinstance(consumed, UsageReported)
    assert 5 <= consumed.usage.output_tokens < 200
    assert consumed.usage.prompt_tokens == await engine.count_tokens(chat("Count from 1 to 100."))
    assert (await engine.health()).running == 0


async def test_a_prompt_that_does_not_fit_is_refused_with_its_numbers(engine: RemoteEngine) -> None:
    with pytest.raises(MintageError) as caught:
        await events_of(engine, chat("word " * 2_000))  # type: ignore[arg-type]
    assert caught.value.code == "context_length_exceeded"
    assert caught.value.details["context_tokens"] == 512
