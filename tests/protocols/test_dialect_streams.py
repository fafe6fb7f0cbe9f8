"""Streams of every dialect: what is written is read back, however it is cut, and tool calls that overlap stay apart."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.base import (
    AnswerStarted,
    ChoiceFinished,
    Event,
    MintageError,
    ReasoningDelta,
    Request,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReported,
)
from mintage.protocols import anthropic, google
from mintage.protocols.openai import responses

from .strategies import json_objects, some_text, splits

REQUEST = Request(operation="chat", model="m", stream=True, include_usage=True, reasoning_shown=True)
USAGE = Usage(input_tokens=8, cached_read_tokens=4, output_tokens=3, reasoning_tokens=2)
Said = list[tuple[str, str]]


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[Event], Said]:
    """Events, and what they say: texts, thoughts and calls in order, neighbours of a kind joined."""
    events: list[Event] = []
    said: Said = []
    calls = 0
    for kind in draw(st.lists(st.sampled_from(["text", "thought", "call"]), min_size=1, max_size=6)):
        if kind == "call":
            arguments = json.dumps(draw(json_objects), ensure_ascii=False)
            cut = draw(st.integers(0, len(arguments)))
            events.append(ToolCallDelta(index=calls, id=f"c{calls}", name=f"f{calls}", arguments=arguments[:cut]))
            events.append(ToolCallDelta(index=calls, arguments=arguments[cut:]))
            said.append((f"f{calls}", arguments))
            calls += 1
            continue
        text = draw(some_text)
        events.append(TextDelta(text) if kind == "text" else ReasoningDelta(text))
        if said and said[-1][0] == kind:
            text = said.pop()[1] + text
        said.append((kind, text))
    return events, said


def said_by(events: list[Event]) -> Said:
    said: Said = []
    for event in events:
        if isinstance(event, TextDelta):
            kind, text = "text", event.text
        elif isinstance(event, ReasoningDelta):
            kind, text = "thought", event.text
        elif isinstance(event, ToolCallDelta) and event.name:
            said.append((event.name, event.arguments))
            continue
        elif isinstance(event, ToolCallDelta):
            kind, text = f"f{event.index}", event.arguments
        else:
            continue
        if said and said[-1][0] == kind:
            text = said.pop()[1] + text
        said.append((kind, text))
    return said


def stream(encoder: Any, events: list[Event], finish: Any = "stop") -> bytes:
    whole = [AnswerStarted(model="m"), *events, ChoiceFinished(finish), UsageReported(usage=USAGE)]
    return b"".join([encoder.encode(event) for event in whole]) + encoder.end()


def decode(decoder: Any, pieces: list[bytes]) -> list[Event]:
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.close()


def same_json(left: Said, right: Said) -> bool:
    """Arguments are compared as values: Google carries objects, not their text."""
    if [kind for kind, _ in left] != [kind for kind, _ in right]:
        return False
    pairs = zip(left, right, strict=True)
    return all(a == b if k in ("text", "thought") else json.loads(a) == json.loads(b) for (k, a), (_, b) in pairs)


@given(st.data(), answers())
def test_anthropics_stream_survives(data: st.DataObject, answer: tuple[list[Event], Said]) -> None:
    raw = stream(anthropic.StreamEncoder(REQUEST, id="msg_1", model="m"), answer[0])
    events = decode(anthropic.StreamDecoder(), data.draw(splits(raw)))
    assert same_json(said_by(events), answer[1])
    assert events[-1] == UsageReported(usage=USAGE)


@given(st.data(), answers())
def test_googles_stream_survives(data: st.DataObject, answer: tuple[list[Event], Said]) -> None:
    """Calls come whole, in front of what is said after them."""
    raw = stream(google.StreamEncoder(REQUEST, id="r", model="m"), answer[0])
    events = decode(google.StreamDecoder(), data.draw(splits(raw)))
    assert same_json(said_by(events), answer[1])
    assert events[-1] == UsageReported(usage=USAGE)


@given(answers())
def test_a_response_says_the_same_in_its_events_and_at_its_end(answer: tuple[list[Event], Said]) -> None:
    frame = responses.Frame(REQUEST, {}, id="resp_1", created_s=1, model="m")
    raw = stream(responses.StreamEncoder(frame), answer[0]).decode()
    bodies = [json.loads(part.partition("\ndata: ")[2]) for part in raw.split("\n\n") if part]
    assert [body["sequence_number"] for body in bodies] == list(range(len(bodies)))
    final = bodies[-1]["response"]["output"]
    done = [body["item"] for body in bodies if body["type"] == "response.output_item.done"]
    assert sorted(done, key=lambda item: item["id"]) == sorted(final, key=lambda item: item["id"])
    said: Said = []
    for item in final:
        if item["type"] == "message":
            said.append(("text", item["content"][0]["text"]))
        elif item["type"] == "reasoning":
            said.append(("thought", item["summary"][0]["text"]))
        else:
            said.append((item["name"], item["arguments"]))
    assert same_json(said, answer[1])


def test_calls_whose_fragments_are_mixed_stay_apart() -> None:
    events: list[Event] = [
        ToolCallDelta(index=0, id="a", name="f0", arguments='{"x'),
        ToolCallDelta(index=1, id="b", name="f1", arguments='{"y"'),
        ToolCallDelta(index=0, arguments='":1}'),
        ToolCallDelta(index=1, arguments=":2}"),
    ]
    for encoder, decoder in (
        (anthropic.StreamEncoder(REQUEST, id="msg_1", model="m"), anthropic.StreamDecoder()),
        (google.StreamEncoder(REQUEST, id="r", model="m"), google.StreamDecoder()),
    ):
        found = decode(decoder, [stream(encoder, events, "tool_calls")])
        assert same_json(said_by(found), [("f0", '{"x":1}'), ("f1", '{"y":2}')])


@pytest.mark.parametrize("decoder", [anthropic.StreamDecoder, google.StreamDecoder])
def test_a_stream_that_ends_early_was_cut(decoder: Any) -> None:
    encoder: Any = anthropic.StreamEncoder(REQUEST, id="msg_1", model="m")
    if decoder is google.StreamDecoder:
        encoder = google.StreamEncoder(REQUEST, id="r", model="m")
    raw = encoder.encode(AnswerStarted(model="m")) + encoder.encode(TextDelta("hello"))
    with pytest.raises(MintageError) as info:
        decode(decoder(), [raw])
    assert info.value.code == "upstream_failed"


@pytest.mark.parametrize(
    ("wire", "calls", "finish"),
    [
        ("STOP", True, "tool_calls"),
        ("STOP", False, "stop"),
        ("MAX_TOKENS", True, "length"),
        ("SAFETY", True, "content_filter"),
    ],
)
def test_a_length_is_not_hidden_by_a_call(wire: str, calls: bool, finish: str) -> None:
    parts = [{"functionCall": {"name": "f", "args": {}}}] if calls else [{"text": "a"}]
    body = {"candidates": [{"content": {"parts": parts}, "finishReason": wire}], "usageMetadata": {}}
    events = google.decode_events(json.dumps(body).encode())
    assert ChoiceFinished(finish) in events  # type: ignore[arg-type]


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"])
def test_a_failure_is_not_an_empty_answer(reason: str) -> None:
    body = {"candidates": [{"content": {"parts": []}, "finishReason": reason}]}
    with pytest.raises(MintageError):
        google.decode_events(json.dumps(body).encode())
