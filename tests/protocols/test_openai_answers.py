"""What we answer, to the byte where SDKs care, and what we make of upstreams that bend the protocol."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mintage.base import (
    Answer,
    AnswerStarted,
    Choice,
    ChoiceFinished,
    Event,
    Message,
    MintageError,
    Reasoning,
    ReasoningDelta,
    RefusalDelta,
    Request,
    Text,
    TextDelta,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageReported,
)
from mintage.protocols import openai

USAGE = Usage(input_tokens=5, cached_read_tokens=3, output_tokens=2, reasoning_tokens=1)
WIRE_USAGE = {
    "prompt_tokens": 8,
    "completion_tokens": 3,
    "total_tokens": 11,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 1},
}


def request(**fields: Any) -> Request:
    return Request(**({"operation": "chat", "model": "m", "messages": (Message("user", (Text("hi"),)),)} | fields))


def encode(*parts: Any, **fields: Any) -> dict[str, Any]:
    answer = Answer(model="m", choices=(Choice(parts=parts, finish_reason="stop"),), usage=USAGE)
    return json.loads(openai.encode_answer(request(**fields), answer, id="chatcmpl-1", created_s=7))


def test_a_whole_chat_answer() -> None:
    assert encode(Text("Hello")) == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": WIRE_USAGE,
    }


def test_content_is_null_only_beside_calls_and_refusals() -> None:
    call = ToolCall(id="c", name="f", arguments="{}")
    assert encode()["choices"][0]["message"]["content"] == ""
    assert encode(Reasoning(text="r"))["choices"][0]["message"] == {
        "role": "assistant",
        "content": "",
        "refusal": None,
        "reasoning_content": "r",
    }
    message = encode(call)["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"] == [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


def test_the_shown_model_can_differ_from_the_answering_one() -> None:
    answer = Answer(model="upstream-x", choices=(Choice(parts=(), finish_reason="stop"),), usage=USAGE)
    raw = openai.encode_answer(request(), answer, id="c", created_s=1, model="mint")
    assert b"upstream-x" not in raw
    assert json.loads(raw)["model"] == "mint"


def test_an_echoed_completion_starts_with_its_own_prompt() -> None:
    asked = request(operation="completion", messages=(), prompts=("a: ", "b: "), n=2, echo=True)
    choices = tuple(Choice(parts=(Text(str(i)),), finish_reason="stop") for i in range(4))
    raw = openai.encode_answer(asked, Answer(model="m", choices=choices, usage=USAGE), id="c", created_s=1)
    assert [c["text"] for c in json.loads(raw)["choices"]] == ["a: 0", "a: 1", "b: 2", "b: 3"]


def frames(raw: bytes) -> list[Any]:
    assert raw.endswith(b"\n\n")
    events = raw[:-2].split(b"\n\n")
    assert all(event.startswith(b"data: ") for event in events)
    return [event[6:].decode() if event == b"data: [DONE]" else json.loads(event[6:]) for event in events]


def stream(events: list[Event], **fields: Any) -> list[Any]:
    encoder = openai.StreamEncoder(request(stream=True, **fields), id="chatcmpl-1", created_s=7, model="m")
    return frames(b"".join([encoder.encode(event) for event in events]) + encoder.end())


STREAM: list[Event] = [
    AnswerStarted(model="up"),
    TextDelta("Hel"),
    TextDelta("lo"),
    ChoiceFinished("stop"),
    UsageReported(usage=USAGE),
]


def test_a_stream_begins_with_the_role_and_ends_with_done() -> None:
    first, *rest, done = stream(STREAM)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert [chunk["choices"][0]["delta"] for chunk in rest] == [{"content": "Hel"}, {"content": "lo"}, {}]
    assert [chunk["choices"][0]["finish_reason"] for chunk in rest] == [None, None, "stop"]
    assert done == "[DONE]"
    assert all("usage" not in chunk for chunk in [first, *rest])
    assert {chunk["model"] for chunk in [first, *rest]} == {"m"}


def test_usage_is_null_until_its_own_chunk_without_choices() -> None:
    *chunks, usage, _ = stream(STREAM, include_usage=True)
    assert [chunk["usage"] for chunk in chunks] == [None] * 4
    assert usage["choices"] == []
    assert usage["usage"] == WIRE_USAGE
    assert usage["object"] == "chat.completion.chunk"


def test_every_choice_has_its_role_first() -> None:
    chunks = stream([AnswerStarted(model="m"), TextDelta("b", 1), TextDelta("a", 0)], n=2)[:-1]
    seen: set[int] = set()
    for chunk in chunks:
        choice = chunk["choices"][0]
        assert ("role" in choice["delta"]) == (choice["index"] not in seen)
        seen.add(choice["index"])
    assert seen == {0, 1}


def test_the_role_comes_first_even_if_the_start_was_not_announced() -> None:
    first, second, _ = stream([TextDelta("a")])
    assert first["choices"][0]["delta"]["role"] == "assistant"
    assert second["choices"][0]["delta"] == {"content": "a"}


def test_id_and_name_of_a_call_are_said_once() -> None:
    events: list[Event] = [
        ToolCallDelta(index=0, id="c1", name="f"),
        ToolCallDelta(index=0, arguments='{"a"'),
        ToolCallDelta(index=0, arguments=":1}"),
    ]
    deltas = [chunk["choices"][0]["delta"] for chunk in stream(events)[1:-1]]
    assert deltas == [
        {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]},
    ]


def test_reasoning_refusal_and_length() -> None:
    chunks = stream([ReasoningDelta("hm"), RefusalDelta("no"), ChoiceFinished("length")])[1:-1]
    assert [c["choices"][0]["delta"] for c in chunks] == [{"reasoning_content": "hm"}, {"refusal": "no"}, {}]
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"


def test_logprobs_only_for_those_who_asked() -> None:
    events: list[Event] = [TextDelta("é", 0, (TokenLogprob(token="é", logprob=float("-inf")),))]
    assert stream(events)[1]["choices"][0]["logprobs"] is None
    assert stream(events, logprobs=True)[1]["choices"][0]["logprobs"] == {
        "content": [{"token": "é", "logprob": -9999.0, "bytes": [0xC3, 0xA9], "top_logprobs": []}]
    }


def test_a_streamed_completion() -> None:
    tokens = (TokenLogprob(token="x", logprob=-1.0, top=(TokenLogprob(token="y", logprob=-2.0),)),)
    events: list[Event] = [AnswerStarted(model="m"), TextDelta("ab"), TextDelta("x", 0, tokens), ChoiceFinished("stop")]
    chunks = stream(events, operation="completion", messages=(), prompts=("hi ",), echo=True, logprobs=True)[:-1]
    assert [chunk["object"] for chunk in chunks] == ["text_completion"] * 4
    assert [chunk["choices"][0]["text"] for chunk in chunks] == ["hi ", "ab", "x", ""]
    assert chunks[2]["choices"][0]["logprobs"] == {
        "tokens": ["x"],
        "token_logprobs": [-1.0],
        "top_logprobs": [{"y": -2.0}],
        "text_offset": [5],
    }
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_a_keep_alive_is_an_empty_chunk_after_the_role() -> None:
    encoder = openai.StreamEncoder(request(stream=True), id="c", created_s=1, model="m")
    (first,) = frames(encoder.keep_alive())
    (second,) = frames(encoder.keep_alive())
    assert first["choices"][0]["delta"]["role"] == "assistant"
    assert second["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": None}
    (text,) = frames(encoder.encode(TextDelta("a")))
    assert text["choices"][0]["delta"] == {"content": "a"}


def test_a_failure_inside_a_stream_is_an_error_frame_without_done() -> None:
    encoder = openai.StreamEncoder(request(stream=True), id="c", created_s=1, model="m")
    (frame,) = frames(encoder.error(MintageError("upstream_failed", "It broke.", "Try again.")))
    assert frame == {
        "error": {"message": "It broke. Try again.", "type": "server_error", "param": None, "code": "upstream_failed"}
    }


def test_a_lone_surrogate_from_an_engine_does_not_break_the_stream() -> None:
    assert stream([TextDelta("a\ud800b")])[1]["choices"][0]["delta"]["content"] == "a?b"
    assert encode(Text("a\ud800b"))["choices"][0]["message"]["content"] == "a?b"


def test_the_fingerprint_passes() -> None:
    chunks = stream([AnswerStarted(model="m", fingerprint="fp_1"), TextDelta("a")])
    assert {chunk["system_fingerprint"] for chunk in chunks[:-1]} == {"fp_1"}


def test_models() -> None:
    model = {"id": "m", "object": "model", "created": 7, "owned_by": "mint"}
    assert json.loads(openai.encode_model("m", 7, "mint")) == model
    assert json.loads(openai.encode_models([("m", 7, "mint")])) == {"object": "list", "data": [model]}


def test_a_text_whose_characters_are_split_is_whole_again() -> None:
    raw = "data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": "héé 你好 😀"}}]}, ensure_ascii=False)
    decoder = openai.StreamDecoder()
    events = [e for byte in (raw + "\n\n").encode() for e in decoder.feed(bytes([byte]))]
    assert events[1:] == [TextDelta("héé 你好 😀")]


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_nothing_is_said_of_a_choice_after_done(finish: str) -> None:
    decoder = openai.StreamDecoder()
    chunk = {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": finish}], "usage": WIRE_USAGE}
    data = b"data: " + json.dumps(chunk).encode() + b"\n\ndata: [DONE]\n\n"
    events = decoder.feed(data + data)
    assert events[-2:] == [ChoiceFinished(finish), UsageReported(usage=USAGE)]  # type: ignore[arg-type]
    assert decoder.close() == []
