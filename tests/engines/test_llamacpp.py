"""The local engine with the real default model: what it answers."""

import json
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from mintage.base import (
    AnswerStarted,
    Image,
    Message,
    MintageError,
    OutputFormat,
    Request,
    Sampling,
    Text,
    TextDelta,
    Tool,
)
from mintage.engines import Engine, LlamaCppEngine, MeteredStream

from .local import MODEL, chat, completion, events_of, make_engine, reason_of, report_of, text_of, usage_of

pytestmark = [pytest.mark.model, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(model_home: Path) -> AsyncIterator[LlamaCppEngine]:
    running = make_engine(model_home)
    await running.start()
    yield running
    await running.close()


async def test_it_is_an_engine(engine: LlamaCppEngine) -> None:
    assert isinstance(engine, Engine)
    assert isinstance(engine.stream(chat()), MeteredStream)
    able = engine.capabilities(MODEL)
    assert (able.context_tokens, able.exact_count, able.n_max, able.languages) == (512, True, 2, ("en",))
    assert (await engine.health()).state == "ready"


async def test_a_stream_starts_tells_finishes_and_reports(engine: LlamaCppEngine) -> None:
    events = await events_of(engine, chat())
    started = events[0]
    assert isinstance(started, AnswerStarted)
    assert started.model == MODEL
    assert started.fingerprint == "fp_b179c9523d0e"
    assert "1" in text_of(events)
    assert usage_of(events).output_tokens == 24
    assert reason_of(events) == "length"
    assert report_of(events).engine_ms > 0
    assert not report_of(events).estimated
    assert "model.gguf" not in repr(events)


async def test_the_same_seed_gives_the_same_answer(engine: LlamaCppEngine) -> None:
    greedy = [text_of(await events_of(engine, chat("Name a colour."))) for _ in range(2)]
    assert greedy[0] == greedy[1]
    random = Sampling(temperature=1.5, seed=11)
    sampled = [text_of(await events_of(engine, chat("Tell me a story.", sampling=random))) for _ in range(2)]
    assert sampled[0] == sampled[1]
    other = Sampling(temperature=1.5, seed=12)
    assert text_of(await events_of(engine, chat("Tell me a story.", sampling=other))) != sampled[0]


async def test_a_stream_says_what_a_whole_answer_says(engine: LlamaCppEngine) -> None:
    whole = await events_of(engine, chat(stream=False))
    streamed = await events_of(engine, chat(stream=True, include_usage=True))
    assert text_of(whole) == text_of(streamed)
    assert usage_of(whole).completion_tokens == usage_of(streamed).completion_tokens
    assert usage_of(whole).prompt_tokens == usage_of(streamed).prompt_tokens


CONVERSATION = Request(
    operation="chat",
    model=MODEL,
    messages=(
        Message("system", (Text("Be brief."),)),
        Message("user", (Text("One"), Text("Two"))),
        Message("assistant", (Text("Yes."),)),
        Message("user", (Text("Three"),)),
    ),
    max_output_tokens=1,
)
PICTURE = Message("user", (Image(data=b"x", media_type="image/png"),))


@pytest.mark.parametrize(
    "request_",
    [
        chat("Hello"),
        chat("中文 🌟 été"),
        chat("a\x00b <|im_end|> <|im_start|>system"),
        chat(""),
        CONVERSATION,
        chat("Hello", n=2),
        chat("Hello", output=OutputFormat(kind="json_object")),
        completion("Once upon a time"),
        completion("One", "Two two two", "三"),
        completion("a", n=2),
    ],
    ids=lambda request: request.operation,
)
async def test_the_count_before_is_the_usage_after(engine: LlamaCppEngine, request_: Request) -> None:
    counted = await engine.count_tokens(request_)
    assert counted == usage_of(await events_of(engine, request_)).prompt_tokens > 0


async def test_a_prompt_read_before_is_reported_as_cached(engine: LlamaCppEngine) -> None:
    request = chat("Why does the tide turn twice a day? " * 5, max_output_tokens=1, cache_scope="ten")
    await events_of(engine, request)
    usage = usage_of(await events_of(engine, request))
    assert usage.cached_read_tokens > 40
    assert usage.cached_read_tokens + usage.input_tokens == await engine.count_tokens(request)


async def test_several_choices_are_told_apart_and_the_prompt_counts_once(engine: LlamaCppEngine) -> None:
    request = chat("Tell me a story.", n=2, sampling=Sampling(temperature=1.5, seed=3))
    events = await events_of(engine, request)
    assert text_of(events, 0) != text_of(events, 1)
    assert {reason_of(events, 0), reason_of(events, 1)} == {"length"}
    assert usage_of(events).output_tokens == 48
    assert usage_of(events).prompt_tokens == await engine.count_tokens(chat("Tell me a story."))


async def test_completions_number_their_choices_by_prompt(engine: LlamaCppEngine) -> None:
    events = await events_of(engine, completion("The sky is", "Water is", n=2, echo=True))
    texts = [text_of(events, choice) for choice in range(4)]
    assert [text.startswith(("The sky is", "Water is")[i // 2]) for i, text in enumerate(texts)] == [True] * 4
    assert all(len(text) > len("The sky is ") for text in texts)
    assert usage_of(events).output_tokens == 32
    assert isinstance(events[0], AnswerStarted)


SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}, "people": {"type": "integer"}},
    "required": ["city", "people"],
    "additionalProperties": False,
}


async def test_a_json_schema_is_obeyed(engine: LlamaCppEngine) -> None:
    output = OutputFormat(kind="json_schema", name="place", schema=SCHEMA)
    events = await events_of(engine, chat("Tell me about Paris as JSON.", output=output, max_output_tokens=120))
    answer = json.loads(text_of(events))
    assert set(answer) == {"city", "people"}
    assert isinstance(answer["people"], int)
    assert reason_of(events) == "stop"


@pytest.mark.parametrize("words", ["你好，世界", "🌍👨‍👩‍👧🇫🇷", "naïve café ½ Ωμέγα", "\u202eنص عربي"])
async def test_characters_of_several_tokens_arrive_whole(engine: LlamaCppEngine, words: str) -> None:
    output = OutputFormat(kind="json_schema", name="word", schema={"type": "string", "enum": [words]})
    events = await events_of(engine, chat("Say it.", output=output, max_output_tokens=100))
    assert json.loads(text_of(events)) == words
    deltas = [event.text for event in events if isinstance(event, TextDelta)]
    assert "\ufffd" not in "".join(deltas)
    assert usage_of(events).output_tokens > len(words) / 2


async def test_a_stop_sequence_ends_the_answer_and_is_not_in_it(engine: LlamaCppEngine) -> None:
    events = await events_of(engine, chat("Count from 1 to 9.", stop=("4",), max_output_tokens=60))
    assert "3" in text_of(events)
    assert "4" not in text_of(events)
    assert reason_of(events) == "stop"


async def test_logprobs_come_with_their_tokens(engine: LlamaCppEngine) -> None:
    events = await events_of(engine, chat(logprobs=True, top_logprobs=3))
    tokens = [token for event in events if isinstance(event, TextDelta) for token in event.logprobs]
    assert "".join(token.token for token in tokens) == text_of(events)
    for token in tokens:
        assert token.logprob <= 0
        assert len(token.top) == 3
        assert [t.logprob for t in token.top] == sorted((t.logprob for t in token.top), reverse=True)
    assert math.exp(tokens[0].top[0].logprob) > 0.1


async def test_the_samplers_reach_the_model(engine: LlamaCppEngine) -> None:
    usual = text_of(await events_of(engine, chat("Count from 1 to 9.", max_output_tokens=6)))
    banned = Sampling(temperature=0, logit_bias={"33": -100.0})  # the token `1`
    assert usual.startswith("1")
    assert "1" not in text_of(await events_of(engine, chat("Count from 1 to 9.", sampling=banned, max_output_tokens=6)))
    narrow = Sampling(temperature=2.0, top_k=1, seed=5)
    assert text_of(await events_of(engine, chat("Count from 1 to 9.", sampling=narrow, max_output_tokens=6))) == usual
    loud = Sampling(
        temperature=0.7, top_p=0.5, min_p=0.1, seed=-(2**63), frequency_penalty=1.0, presence_penalty=1.0,
        repetition_penalty=1.3,
    )  # fmt: skip
    assert text_of(await events_of(engine, chat(sampling=loud)))


async def test_a_prompt_longer_than_the_window_is_refused_before_anything_is_written(engine: LlamaCppEngine) -> None:
    request = chat("word " * 600)
    assert await engine.count_tokens(request) > 600
    with pytest.raises(MintageError) as caught:
        await anext(engine.stream(request))
    assert (caught.value.code, caught.value.status) == ("context_length_exceeded", 400)
    assert caught.value.details == {"input_tokens": await engine.count_tokens(request), "context_tokens": 512}


async def test_an_answer_ends_where_the_window_does(engine: LlamaCppEngine) -> None:
    request = chat("word " * 450, max_output_tokens=400, sampling=Sampling(temperature=0, logit_bias={"2": -100.0}))
    events = await events_of(engine, request)
    usage = usage_of(events)
    assert reason_of(events) == "length"
    assert 511 <= usage.prompt_tokens + usage.completion_tokens <= 513


@pytest.mark.parametrize(
    ("request_", "code", "param"),
    [
        (chat(output=OutputFormat(kind="json_schema", name="x", schema={"$ref": "#/nope"})), "invalid_request",
         "response_format"),
        (chat(output=OutputFormat(kind="json_schema", name="x", schema={"enum": ["x" * 100] * 200})), "invalid_request",
         "response_format"),
        (chat(tools=(Tool(name="weather"),)), "unsupported", "tools"),
        (chat(n=3), "unsupported", "n"),
        (completion("a", suffix="b"), "unsupported", "suffix"),
        (completion("a", echo=True, logprobs=True), "unsupported", "logprobs"),
        (completion(), "invalid_request", "prompt"),
        (completion("a", ""), "invalid_request", "prompt"),
        (completion(*["a"] * 65), "invalid_request", "prompt"),
        (Request(operation="embedding", model=MODEL, prompts=("a",)), "unsupported", "model"),
        (Request(operation="chat", model="other", messages=(Message("user", (Text("a"),)),)), "model_not_found", None),
        (Request(operation="chat", model=MODEL, messages=(PICTURE,)), "unsupported", None),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
async def test_what_cannot_be_done_is_refused_by_name(
    engine: LlamaCppEngine, request_: Request, code: str, param: str | None
) -> None:
    with pytest.raises(MintageError) as caught:
        await events_of(engine, request_)
    assert (caught.value.code, caught.value.param) == (code, param)
    assert "model.gguf" not in repr(caught.value)
    assert (await engine.health()).running == 0
    assert await events_of(engine, chat(max_output_tokens=1))


async def test_a_stream_that_was_refused_stays_ended(engine: LlamaCppEngine) -> None:
    stream = engine.stream(chat(n=3))
    with pytest.raises(MintageError):
        await anext(stream)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert stream.consumed() is None
