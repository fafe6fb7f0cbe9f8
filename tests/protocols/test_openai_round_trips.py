"""What we write is what we read back: requests, answers and streams, however the bytes are cut."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mintage.base import Answer, ChoiceFinished, Event, Message, RefusalDelta, Request, Text, TextDelta
from mintage.protocols import openai

from .strategies import (
    chat_answers,
    chat_requests,
    chat_streams,
    completion_answers,
    completion_requests,
    splits,
)

CHAT = Request(operation="chat", model="m", messages=(Message("user", (Text("hi"),)),), logprobs=True)
COMPLETION = Request(operation="completion", model="m", prompts=("hi",), logprobs=True)


@given(chat_requests())
def test_a_chat_request_survives_the_upstream_body(request: Request) -> None:
    assert openai.decode_chat(openai.encode_request(request, request.model, keep_reasoning=True)) == request


@given(completion_requests())
def test_a_completion_request_survives_the_upstream_body(request: Request) -> None:
    assert openai.decode_completion(openai.encode_request(request, request.model)) == request


@given(chat_answers())
def test_a_chat_answer_survives(answer: Answer) -> None:
    assert openai.decode_answer(openai.encode_answer(CHAT, answer, id="chatcmpl-1", created_s=1)) == answer


@given(completion_answers())
def test_a_completion_answer_survives(answer: Answer) -> None:
    assert openai.decode_answer(openai.encode_answer(COMPLETION, answer, id="chatcmpl-1", created_s=1)) == answer


def encode_stream(request: Request, events: list[Event]) -> bytes:
    encoder = openai.StreamEncoder(request, id="chatcmpl-1", created_s=1, model="m")
    return b"".join([encoder.encode(event) for event in events]) + encoder.end()


def decode_stream(pieces: list[bytes]) -> list[Event]:
    decoder = openai.StreamDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.close()


@given(st.data(), chat_streams())
def test_a_stream_survives_however_it_is_cut(data: st.DataObject, stream: tuple[Request, list[Event]]) -> None:
    request, events = stream
    pieces = data.draw(splits(encode_stream(request, events)))
    assert decode_stream(pieces) == events


@given(st.data(), chat_streams(), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_line_ends_and_comments_change_nothing(
    data: st.DataObject, stream: tuple[Request, list[Event]], end: bytes
) -> None:
    request, events = stream
    raw = encode_stream(request, events)
    noisy = raw.replace(b"data: ", b": ping\n\nevent: chunk\nid: 7\ndata:").replace(b"\n", end)
    assert decode_stream(data.draw(splits(noisy))) == decode_stream([raw])


@given(chat_streams())
def test_a_completion_stream_keeps_text_and_ends(stream: tuple[Request, list[Event]]) -> None:
    chat, events = stream
    request = msgspec.structs.replace(chat, operation="completion", prompts=("hi",), messages=(), logprobs=False)
    decoded = decode_stream([encode_stream(request, events)])
    assert _texts(decoded) == _texts(events)
    assert [e for e in decoded if isinstance(e, ChoiceFinished)] == [
        msgspec.structs.replace(e, reason="stop" if e.reason == "tool_calls" else e.reason)
        for e in events
        if isinstance(e, ChoiceFinished)
    ]
    assert decoded[-1] == events[-1]


def _texts(events: list[Event]) -> dict[int, str]:
    """What a completion shows of each choice: its text and, for want of a better place, its refusal."""
    texts: dict[int, str] = {}
    for event in events:
        if isinstance(event, TextDelta | RefusalDelta) and event.text:
            texts[event.choice] = texts.get(event.choice, "") + event.text
    return texts
