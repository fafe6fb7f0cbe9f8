"""Upstreams as they are: cut, failing, lying about usage, or bending the protocol."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mintage.base import (
    AnswerStarted,
    ChoiceFinished,
    Event,
    Message,
    MintageError,
    Reasoning,
    ReasoningDelta,
    Request,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    Usage,
    UsageReported,
)
from mintage.protocols import openai

USAGE = {"prompt_tokens": 8, "completion_tokens": 3, "total_tokens": 11}


def sse(*chunks: Any, done: bool = True) -> bytes:
    data = b"".join([b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks])
    return data + b"data: [DONE]\n\n" if done else data


def delta(finish: str | None = None, index: int = 0, **fields: Any) -> dict[str, Any]:
    return {"id": "c", "model": "m", "choices": [{"index": index, "delta": fields, "finish_reason": finish}]}


def call(
    arguments: object = "",
    *,
    index: int | None = 0,
    id: str | None = None,  # noqa: A002
    name: str | None = None,
) -> dict[str, Any]:
    function = {"arguments": arguments} | ({} if name is None else {"name": name})
    rest = {"id": id, "index": index}
    return {"function": function} | {key: value for key, value in rest.items() if value is not None}


def decode(data: bytes) -> list[Event]:
    decoder = openai.StreamDecoder()
    return decoder.feed(data) + decoder.close()


def calls_of(events: list[Event]) -> list[tuple[str, str]]:
    """(name, arguments) of each call; asserts that each is named once, first, under our own numbering."""
    calls: list[list[str]] = []
    for event in events:
        if isinstance(event, ToolCallDelta):
            if event.name:
                assert event.id
                assert event.index == len(calls)
                calls.append([event.name, ""])
            calls[event.index][1] += event.arguments
    return [(name, arguments) for name, arguments in calls]


@pytest.mark.parametrize(
    "fragments",
    [
        # as the protocol says
        [
            [call(id="a", name="f")],
            [call('{"x":')],
            [call("1}")],
            [call(index=1, id="b", name="g")],
            [call("{}", index=1)],
        ],
        # two fragments of one call in one chunk (vLLM with speculation)
        [[call(id="a", name="f"), call('{"x":')], [call("1}")], [call("{}", index=1, id="b", name="g")]],
        # id and name repeated in every fragment
        [[call('{"x":', id="a", name="f")], [call("1}", id="a", name="f")], [call("{}", index=1, id="b", name="g")]],
        # the same index for two calls
        [[call('{"x":1}', id="a", name="f")], [call("{}", id="b", name="g")]],
        # the same index and no ids (Gemini)
        [[call('{"x":1}', id="", name="f")], [call("{}", id="", name="g")]],
        # no index at all
        [
            [call('{"x":', index=None, id="a", name="f")],
            [call("1}", index=None)],
            [call("{}", index=None, id="b", name="g")],
        ],
        [
            [call('{"x":', index=None, id="a", name="f")],
            [call("{}", index=None, id="b", name="g")],
            [call("1}", index=None, id="a")],
        ],
        # the id before the name
        [[call(id="a")], [call('{"x":', name="f")], [call("1}")], [call("{}", index=1, id="b", name="g")]],
        # the arguments as an object
        [[call({"x": 1}, id="a", name="f")], [call({}, index=1, id="b", name="g")]],
    ],
)
def test_fragments_find_their_call(fragments: list[list[Any]]) -> None:
    events = decode(sse(*[delta(tool_calls=f) for f in fragments], delta("tool_calls")))
    named = [(name, arguments.replace(" ", "")) for name, arguments in calls_of(events)]
    assert named == [("f", '{"x":1}'), ("g", "{}")]
    assert ChoiceFinished("tool_calls") in events


def test_a_call_without_a_name_is_a_failure() -> None:
    with pytest.raises(MintageError, match="tool call without a name"):
        decode(sse(delta(tool_calls=[call("{}", id="a")]), delta("tool_calls")))[0]


def test_length_is_not_hidden_by_a_begun_call() -> None:
    assert ChoiceFinished("length") in decode(sse(delta(tool_calls=[call('{"x', id="a", name="f")]), delta("length")))


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        ("stop", "stop"),
        ("max_tokens", "length"),
        ("function_call", "tool_calls"),
        ("end_turn", "stop"),
        ("SAFETY", "content_filter"),
        ("novel", "stop"),
    ],
)
def test_finish_reasons(wire: str, reason: str) -> None:
    assert ChoiceFinished(reason) in decode(sse(delta(content="a"), delta(wire)))  # type: ignore[arg-type]


@pytest.mark.parametrize("wire", ["error", "abort", "insufficient_system_resource"])
def test_a_finish_that_is_a_failure(wire: str) -> None:
    decoder = openai.StreamDecoder()
    assert TextDelta("a") in decoder.feed(sse(delta(content="a"), delta(wire)))
    with pytest.raises(MintageError) as caught:
        decoder.close()
    assert caught.value.code == "upstream_failed"


def test_reasoning_under_its_names() -> None:
    for field in ("reasoning_content", "reasoning"):
        assert ReasoningDelta("hm") in decode(sse(delta(**{field: "hm"}), delta("stop", content="a")))
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}]
    events = decode(sse(delta(content=parts), delta("stop")))
    assert events[1:3] == [ReasoningDelta("hm"), TextDelta("a")]


def test_one_usage_at_the_end_wherever_it_came() -> None:
    expected = UsageReported(usage=Usage(input_tokens=8, output_tokens=3))
    own_chunk = sse(delta(content="a"), delta("stop"), {"choices": [], "usage": USAGE})
    with_the_end = sse(delta(content="a"), delta("stop") | {"usage": USAGE})
    running = sse(delta(content="a") | {"usage": USAGE | {"completion_tokens": 1}}, delta("stop") | {"usage": USAGE})
    for data in (own_chunk, with_the_end, running):
        events = decode(data)
        assert events[-1] == expected
        assert sum(isinstance(e, UsageReported) for e in events) == 1


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (USAGE, Usage(input_tokens=8, output_tokens=3)),
        (
            USAGE | {"prompt_tokens_details": {"cached_tokens": 6}},
            Usage(input_tokens=2, cached_read_tokens=6, output_tokens=3),
        ),
        (
            USAGE | {"prompt_tokens_details": None, "completion_tokens_details": {}},
            Usage(input_tokens=8, output_tokens=3),
        ),
        (
            USAGE | {"prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 3}},
            Usage(input_tokens=3, cached_read_tokens=2, cache_write_tokens=3, output_tokens=3),
        ),
        (USAGE | {"prompt_tokens_details": {"cached_tokens": 99}}, Usage(cached_read_tokens=8, output_tokens=3)),
        (
            USAGE | {"completion_tokens_details": {"reasoning_tokens": 2}},
            Usage(input_tokens=8, output_tokens=1, reasoning_tokens=2),
        ),
        (USAGE | {"completion_tokens_details": {"reasoning_tokens": 99}}, Usage(input_tokens=8, reasoning_tokens=3)),
        (USAGE | {"prompt_cache_hit_tokens": 5}, Usage(input_tokens=3, cached_read_tokens=5, output_tokens=3)),
        (USAGE | {"cached_tokens": 5}, Usage(input_tokens=3, cached_read_tokens=5, output_tokens=3)),
        # xAI: reasoning beside completion_tokens
        (
            USAGE | {"total_tokens": 31, "completion_tokens_details": {"reasoning_tokens": 20}},
            Usage(input_tokens=8, output_tokens=3, reasoning_tokens=20),
        ),
        # Gemini: reasoning only in the total
        (USAGE | {"total_tokens": 31}, Usage(input_tokens=8, output_tokens=3, reasoning_tokens=20)),
        (USAGE | {"total_tokens": 1}, Usage(input_tokens=8, output_tokens=3)),
        (USAGE | {"cost": 0.1, "prompt_tokens": 8.0}, Usage(input_tokens=8, output_tokens=3)),
    ],
)
def test_usage_is_split_into_disjoint_classes(wire: dict[str, Any], expected: Usage) -> None:
    body = {"choices": [{"message": {"content": "abc"}, "finish_reason": "stop"}], "usage": wire}
    assert openai.decode_answer(json.dumps(body).encode()).usage == expected


@pytest.mark.parametrize(
    ("wire", "input_tokens"),
    [
        (None, 0),
        ({"prompt_tokens": -5, "completion_tokens": 3}, 0),
        ({"prompt_tokens": 8, "completion_tokens": 2**60}, 0),
        ({"prompt_tokens": "many"}, 0),
        ("none", 0),
        ({"prompt_tokens": 8, "completion_tokens": 0}, 8),  # but something was written
    ],
)
def test_usage_that_cannot_be_true_is_estimated(wire: object, input_tokens: int) -> None:
    expected = Usage(input_tokens=input_tokens, output_tokens=2)  # 8 characters, or 2 deltas
    body = {"choices": [{"message": {"content": "12345678"}, "finish_reason": "stop"}], "usage": wire}
    answer = openai.decode_answer(json.dumps(body).encode())
    assert (answer.usage, answer.estimated) == (expected, True)
    streamed = decode(sse(delta(content="1234"), delta(content="5678"), delta("stop"), {"choices": [], "usage": wire}))
    assert streamed[-1] == UsageReported(usage=expected, estimated=True)


def test_an_event_of_several_lines_survives_a_cut_between_cr_and_lf() -> None:
    decoder = openai.StreamDecoder()
    pieces = [b'data: {"choices":[{"index":0,\r', b'\ndata: "delta":{"content":"a"}}]}\r', b"\n\r", b"\n"]
    assert [event for piece in pieces for event in decoder.feed(piece)][1:] == [TextDelta("a")]


def test_an_end_that_is_said_twice_ends_once() -> None:
    events = decode(sse(delta("length", content="a"), delta("stop")))
    assert [event for event in events if isinstance(event, ChoiceFinished)] == [ChoiceFinished("length")]


def test_a_cut_stream_raises() -> None:
    for data in (
        b"",
        sse(delta(content="a"), done=False),
        sse(delta("stop"), done=False),
        sse(delta(content="a"))[:-20],
    ):
        decoder = openai.StreamDecoder()
        decoder.feed(data)
        with pytest.raises(MintageError) as caught:
            decoder.close()
        assert caught.value.code == "upstream_failed"


def test_an_answer_that_is_whole_but_for_done_is_whole() -> None:
    events = decode(sse(delta("stop", content="a") | {"usage": USAGE}, done=False))
    assert events[-2:] == [ChoiceFinished("stop"), UsageReported(usage=Usage(input_tokens=8, output_tokens=3))]


def test_done_without_its_blank_line_counts() -> None:
    events = decode(sse(delta("stop", content="a") | {"usage": USAGE}, done=False) + b"data: [DONE]")
    assert isinstance(events[-1], UsageReported)


def test_an_empty_stream_is_a_failure_not_an_empty_answer() -> None:
    with pytest.raises(MintageError, match="without choices"):
        decode(sse())


@pytest.mark.parametrize(
    "garbage",
    [
        b"data: {oops\n\n",
        b"data: [1]\n\n",
        b'data: "x"\n\n',
        b'data: {"choices":[{"index":-1}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n',
        b"data: " + b"[" * 9000 + b"\n\n",
    ],
)
def test_garbage_comes_after_what_was_good(garbage: bytes) -> None:
    decoder = openai.StreamDecoder()
    assert decoder.feed(sse(delta(content="a"), done=False) + garbage)[1:] == [TextDelta("a")]
    with pytest.raises(MintageError) as caught:
        decoder.feed(b"")
    assert caught.value.code == "upstream_failed"


def test_an_endless_event_is_cut_off() -> None:
    decoder = openai.StreamDecoder()
    with pytest.raises(MintageError, match="without an end"):
        for _ in range(1000):
            decoder.feed(b"x" * 65536)


def test_an_error_event_is_raised_as_what_it_means() -> None:
    decoder = openai.StreamDecoder()
    with pytest.raises(MintageError) as caught:
        decoder.feed(b'data: {"error":{"message":"Rate limit for org-abcdef123456","code":429}}\n\n')
    assert caught.value.code == "engine_busy"
    assert "org-" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (
            400,
            {"message": "This model's maximum context length is 8192 tokens.", "code": None},
            "context_length_exceeded",
        ),
        (400, {"message": "x", "code": "context_length_exceeded"}, "context_length_exceeded"),
        (400, {"message": "Invalid image.", "param": "messages[0]"}, "invalid_request"),
        (422, {"message": "Bad."}, "invalid_request"),
        (401, {"message": "Incorrect API key provided: sk-abcd1234."}, "upstream_failed"),
        (403, {"message": "Forbidden."}, "upstream_failed"),
        (404, {"message": "The model `gpt-x` does not exist."}, "upstream_failed"),
        (408, {}, "upstream_timeout"),
        (413, {}, "payload_too_large"),
        (429, {"message": "Slow down.", "code": "rate_limit_exceeded"}, "engine_busy"),
        (429, {"message": "You exceeded your current quota.", "code": "insufficient_quota"}, "upstream_failed"),
        (500, {}, "upstream_failed"),
        (503, {}, "unavailable"),
        (504, {}, "upstream_timeout"),
        (529, {}, "unavailable"),
        (302, {}, "upstream_failed"),
    ],
)
def test_upstream_failures(status: int, error: dict[str, Any], code: str) -> None:
    headers = [(b"Retry-After", b"3"), (b"X-Request-Id", b"req_up")]
    found = openai.decode_error(status, headers, json.dumps({"error": error}).encode())
    assert found.code == code
    assert found.details["upstream_status"] == status
    assert found.details["upstream_request_id"] == "req_up"
    assert (found.retry_after_s == 3.0) == (code in ("engine_busy", "unavailable"))
    assert "sk-" not in f"{found} {found.details}"


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"error":"x"}', b'{"detail":"x"}', b"[]", b"\xff", b"[" * 9000, b"x" * 10**6]
)
def test_any_failure_body_will_do(body: bytes) -> None:
    assert openai.decode_error(500, {}, body).code == "upstream_failed"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({b"retry-after-ms": b"1500", b"retry-after": b"9"}, 1.5),
        ({b"retry-after": b"nonsense"}, 1.0),
        ({b"retry-after": b"-1"}, 1.0),
        ({b"retry-after": b"inf"}, 1.0),
        ({b"retry-after": b"86400"}, 60.0),
    ],
)
def test_retry_after_is_kept_within_reason(headers: dict[bytes, bytes], seconds: float) -> None:
    assert openai.decode_error(429, headers, b"{}").retry_after_s == seconds


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"choices":[]}',
        b'{"choices":null}',
        b'{"error":{"message":"x"}}',
        b'{"choices":[{"message":{"tool_calls":[{"id":"a"}]}}]}',
        b'{"choices":[{"message":{"content":3}}]}',
        b"<html>",
        b"\xff",
    ],
)
def test_what_is_not_an_answer_is_a_failure(body: bytes) -> None:
    with pytest.raises(MintageError) as caught:
        openai.decode_answer(body)
    assert caught.value.code == "upstream_failed"
    with pytest.raises(MintageError):
        openai.relay_answer(body) if b"tool_calls" not in body and b"content" not in body else openai.decode_answer(
            body
        )


def test_a_whole_answer_with_calls_and_reasoning() -> None:
    message = {"content": None, "reasoning_content": "hm", "tool_calls": [call({"x": 1}, name="f")]}
    body = {"id": "c", "model": "m", "choices": [{"message": message, "finish_reason": "tool_calls"}], "usage": USAGE}
    answer = openai.decode_answer(json.dumps(body).encode())
    reasoning, tool = answer.choices[0].parts
    assert reasoning == Reasoning(text="hm")
    assert isinstance(tool, ToolCall)
    assert tool.id.startswith("call_")
    assert json.loads(tool.arguments) == {"x": 1}


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("The user message of sk-live-abcdef is empty.", "The user message of [removed] is empty."),
        ("Bad org-AbCdEf123; see https://x.example/docs?id=1 now.", "Bad [removed]; see [removed] now."),
        ("A user-defined key-value pair is wrong.", "A user-defined key-value pair is wrong."),
    ],
)
def test_accounts_and_addresses_stay_here_and_words_pass(message: str, shown: str) -> None:
    assert openai.decode_error(400, [], json.dumps({"error": {"message": message}}).encode()).message == shown


def test_what_is_only_ours_is_not_sent_upstream() -> None:
    asked = Request(
        operation="chat",
        model="mint",
        messages=(Message("user", (Text("hi"),)), Message("assistant", (Reasoning(text="hm"), Text("yo")))),
        metadata={"secret": "x"},
        max_output_tokens=5,
    )
    body = json.loads(openai.encode_request(asked, "gpt", output_limit_field="max_tokens", stream=True))
    assert body == {
        "model": "gpt",
        "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}],
        "max_tokens": 5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_results_given_in_a_users_turn_become_tool_messages() -> None:
    turn = Message("user", (ToolResult(call_id="c1", content="42"), Text("go on")))
    body = json.loads(openai.encode_request(Request(operation="chat", model="m", messages=(turn,)), "m"))
    assert body["messages"] == [
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
        {"role": "user", "content": "go on"},
    ]


@pytest.mark.parametrize(
    "asked",
    [
        Request(operation="embedding", model="m"),
        Request(operation="chat", model="m", messages=(Message("user", (ToolCall(id="c", name="f", arguments=""),)),)),
        Request(operation="chat", model="m", messages=(Message("tool", (Text("x"),)),)),
    ],
)
def test_what_this_dialect_cannot_say_is_refused(asked: Request) -> None:
    with pytest.raises(MintageError) as caught:
        openai.encode_request(asked, "m")
    assert caught.value.status == 400


def test_the_start_names_the_upstreams_own_request() -> None:
    first = decode(sse(delta("stop", content="a") | {"system_fingerprint": "fp"}))[0]
    assert first == AnswerStarted(model="m", upstream_id="c", fingerprint="fp")
