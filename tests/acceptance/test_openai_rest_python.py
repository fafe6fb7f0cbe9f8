"""The official openai SDK for Python, unmodified: responses, embeddings, moderations, audio, and Azure's addresses."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pydantic
import pytest
from openai.types import CreateEmbeddingResponse, ModerationCreateResponse
from openai.types.audio import Transcription, TranscriptionVerbose
from openai.types.responses import Response, ResponseStreamEvent

from .strict import read_strictly

HELLO = "Hello, wörld 你好 😀"
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}
MakeClient = Callable[..., openai.OpenAI]
both_plans = pytest.mark.parametrize("key", ["rich", "shaped"])


@pytest.fixture
def client_of(shop: Any) -> Iterator[MakeClient]:
    clients: list[openai.OpenAI] = []

    def make(key: str = "rich", **options: Any) -> openai.OpenAI:
        clients.append(openai.OpenAI(base_url=shop.base_url, api_key=shop.keys.get(key, key), **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


# Responses


@both_plans
def test_response(client_of: MakeClient, shop: Any, key: str) -> None:
    raw = client_of(key).responses.with_raw_response.create(
        model="say", input="Hi", instructions="Be kind.", max_output_tokens=20, metadata={"a": "b"}, user="u1"
    )
    answer = read_strictly(Response, raw.text)
    assert raw.parse().output_text == HELLO == answer.output_text
    assert (answer.status, answer.model, answer.instructions) == ("completed", "say", "Be kind.")
    assert answer.metadata == {"a": "b"}
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.input_tokens_details.cached_tokens) == (12, 4)
    assert answer.usage.output_tokens == 5
    assert raw.headers["x-mintage-charge"] == "0.000029 USD"
    sent = shop.provider.received("say")[-1]["body"]
    assert sent["messages"][0] == {"role": "system", "content": "Be kind."}


def events_of(shop: Any, body: dict[str, Any], key: str = "rich") -> list[tuple[str, dict[str, Any]]]:
    answer = httpx.post(
        f"{shop.base_url}/responses",
        headers={"authorization": f"Bearer {shop.keys[key]}"},
        json={"input": "Hi", "stream": True, **body},
    )
    assert answer.text.endswith("\n\n") and "[DONE]" not in answer.text
    pairs = [frame.split("\n") for frame in answer.text[:-2].split("\n\n")]
    for _, data in pairs:
        read_strictly(ResponseStreamEvent, data.removeprefix("data: "))
    return [(event.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for event, data in pairs]


@both_plans
def test_events_are_named_numbered_and_in_order(shop: Any, key: str) -> None:
    found = events_of(shop, {"model": "say"}, key)
    names = [name for name, _ in found]
    assert [data["type"] for _, data in found] == names
    assert [data["sequence_number"] for _, data in found] == list(range(len(found)))
    deltas = names.count("response.output_text.delta")
    assert names == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
        *["response.output_text.delta"] * deltas,
        "response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed",
    ]  # fmt: skip
    final = found[-1][1]["response"]
    assert final["output"][0]["content"][0]["text"] == HELLO
    assert final["usage"]["total_tokens"] == 17


@both_plans
def test_reasoning_is_told_to_those_who_asked(shop: Any, client_of: MakeClient, key: str) -> None:
    found = events_of(shop, {"model": "think", "reasoning": {"effort": "low", "summary": "auto"}}, key)
    kinds = [item["type"] for item in found[-1][1]["response"]["output"]]
    assert kinds == ["reasoning", "message"]
    assert "response.reasoning_summary_text.delta" in [name for name, _ in found]
    silent = client_of(key).responses.create(model="think", input="Hi")
    assert [item.type for item in silent.output] == ["message"]
    assert silent.usage is not None and silent.usage.output_tokens_details.reasoning_tokens == 2


@both_plans
@pytest.mark.parametrize("streamed", [False, True])
def test_tools_round_trip(client_of: MakeClient, shop: Any, key: str, streamed: bool) -> None:
    client = client_of(key)

    def ask(items: list[Any]) -> Response:
        if not streamed:
            return client.responses.create(model="tools", input=items, tools=[WEATHER])
        with client.responses.stream(model="tools", input=items, tools=[WEATHER]) as stream:
            return stream.get_final_response()

    items: list[Any] = [{"role": "user", "content": "Hi"}]
    first = ask(items)
    calls = [item for item in first.output if item.type == "function_call"]
    assert [json.loads(call.arguments) for call in calls] == [{"city": "Paris"}, {"city": "Rome"}]
    weather = {"Paris": "sunny", "Rome": "windy"}
    results = [
        {
            "type": "function_call_output",
            "call_id": call.call_id,
            "output": weather[json.loads(call.arguments)["city"]],
        }
        for call in calls
    ]
    assert ask([*items, *first.output, *results]).output_text == "It is sunny and windy."
    if streamed:
        events_of(shop, {"model": "tools", "tools": [WEATHER]}, key)


class Person(pydantic.BaseModel):
    name: str
    age: int


def test_structured_output(client_of: MakeClient) -> None:
    answer = client_of().responses.parse(model="json-schema", input="Who?", text_format=Person)
    assert answer.output_parsed == Person(name="Ada", age=36)


def test_counting(client_of: MakeClient) -> None:
    assert client_of().responses.input_tokens.count(model="say", input="Hi").input_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("key", "fields", "error", "code", "param"),
    [
        ("mk-nobody", {}, openai.AuthenticationError, "invalid_api_key", None),
        ("rich", {"model": "gpt-99"}, openai.NotFoundError, "model_not_found", "model"),
        ("poor", {}, openai.RateLimitError, "insufficient_quota", None),
        ("rich", {"temperature": 9}, openai.BadRequestError, "invalid_value", "temperature"),
        ("rich", {"previous_response_id": "resp_1"}, openai.BadRequestError, "unsupported_parameter", None),
        ("rich", {"tools": [{"type": "web_search"}]}, openai.BadRequestError, "unsupported_parameter", "tools[0].type"),
        ("rich", {"input": [{"role": "bot", "content": ""}]}, openai.BadRequestError, "invalid_value", "input[0].role"),
        ("rich", {"extra_body": {"frobnicate": 1}}, openai.BadRequestError, "unknown_parameter", "frobnicate"),
    ],
)
def test_refusals(
    client_of: MakeClient,
    key: str,
    fields: Any,
    error: type[openai.APIError],
    code: str,
    param: str | None,
    stream: bool,
) -> None:
    with pytest.raises(error) as info:
        client_of(key).responses.create(**{"model": "say", "input": "Hi", "stream": stream, **fields})
    assert type(info.value) is error
    assert info.value.code == code
    assert param is None or info.value.param == param


def test_a_cut_stream_is_an_error_and_not_a_short_answer(client_of: MakeClient) -> None:
    words: list[str] = []

    def read() -> None:
        stream = client_of().responses.create(model="cut", input="Hi", stream=True)
        words.extend(event.delta for event in stream if event.type == "response.output_text.delta")

    with pytest.raises((openai.APIError, httpx.TransportError)):
        read()
    assert "".join(words).strip() == "one two three"


# What does not write


@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_embeddings(client_of: MakeClient, shop: Any, encoding: Any) -> None:
    options = {} if encoding is None else {"encoding_format": encoding}
    raw = client_of().embeddings.with_raw_response.create(model="embed", input=["four", "eightful"], **options)
    parsed = raw.parse()
    wire = json.loads(raw.text)
    if encoding == "base64":
        assert struct.unpack("<3f", base64.b64decode(wire["data"][1]["embedding"])) == (2.0, -0.5, 1.0)
    else:
        assert [list(item.embedding) for item in parsed.data] == [[1.0, -0.5, 1.0], [2.0, -0.5, 1.0]]
    if encoding == "float":
        read_strictly(CreateEmbeddingResponse, raw.text)
    assert (parsed.model, parsed.usage.prompt_tokens) == ("embed", 9)
    assert raw.headers["x-mintage-charge"] == "0.000009 USD"


def test_moderations(client_of: MakeClient) -> None:
    raw = client_of().moderations.with_raw_response.create(model="moderate", input=["hi", "kill"])
    found = read_strictly(ModerationCreateResponse, raw.text).results
    assert [result.flagged for result in found] == [False, True]
    assert found[1].categories.violence and found[1].category_scores.violence == 0.9


def test_speech(client_of: MakeClient, shop: Any) -> None:
    with client_of().audio.speech.with_streaming_response.create(
        model="speak", voice="alloy", input="Hello!"
    ) as answer:
        assert answer.headers["content-type"] == "audio/mpeg"
        request_id = answer.headers["x-request-id"]
        assert answer.read() == b"ID3\x00soundalloy"
    assert shop.receipt(request_id)["usage"] == {"characters": 6, "requests": 1}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("text", "Hello, wörld.\n"),
        ("srt", "1\n00:00:00,000 --> 00:00:01,500\nHello,\n\n2\n00:00:01,500 --> 00:00:02,250\nwörld.\n"),
        ("vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHello,\n\n00:00:01.500 --> 00:00:02.250\nwörld.\n"),
    ],
)
def test_transcripts_as_text(client_of: MakeClient, written: Any, expected: str) -> None:
    file = ("a.wav", b"RIFFsound")
    assert client_of().audio.transcriptions.create(model="transcribe", file=file, response_format=written) == expected


def test_transcripts(client_of: MakeClient, shop: Any) -> None:
    transcriptions, file = client_of().audio.transcriptions, ("a.mp3", b"sound" * 2000)
    plain = transcriptions.with_raw_response.create(model="transcribe", file=file, language="en")
    assert read_strictly(Transcription, plain.text).text == "Hello, wörld."
    assert shop.receipt(plain.headers["x-request-id"])["usage"] == {"audio_ms": 2250, "requests": 1}
    verbose = transcriptions.with_raw_response.create(model="transcribe", file=file, response_format="verbose_json")
    found = read_strictly(TranscriptionVerbose, verbose.text, extensions=frozenset({"task"}))
    assert found.duration == 2.25 and [segment.end for segment in found.segments or ()] == [1.5, 2.25]
    events = list(transcriptions.create(model="transcribe", file=file, stream=True))
    assert "".join(e.delta for e in events if e.type == "transcript.text.delta") == "Hello, wörld."
    assert events[-1].type == "transcript.text.done" and events[-1].text == "Hello, wörld."


# Azure OpenAI


def test_azure_deployments(shop: Any) -> None:
    with openai.AzureOpenAI(
        azure_endpoint=shop.url, api_key=shop.keys["rich"], api_version="2025-04-01-preview"
    ) as client:
        answer = client.chat.completions.create(model="say", messages=[{"role": "user", "content": "Hi"}])
        assert answer.choices[0].message.content == HELLO
        stream = client.chat.completions.create(model="say", messages=[{"role": "user", "content": "Hi"}], stream=True)
        assert "".join(c.choices[0].delta.content or "" for c in stream if c.choices) == HELLO
        assert client.embeddings.create(model="embed", input="four").data[0].embedding == [1.0, -0.5, 1.0]
        transcript = client.audio.transcriptions.create(model="transcribe", file=("a.wav", b"RIFFsound"))
        assert transcript.text == "Hello, wörld."
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="nope", messages=[{"role": "user", "content": "Hi"}])


def test_azure_v1_and_a_deployment_without_a_model(shop: Any) -> None:
    with openai.OpenAI(base_url=f"{shop.url}/openai/v1/", api_key=shop.keys["rich"]) as client:
        assert client.responses.create(model="say", input="Hi").output_text == HELLO
        assert client.models.retrieve("say").id == "say"
    answer = httpx.post(
        f"{shop.url}/openai/deployments/say/chat/completions?api-version=2024-10-21",
        headers={"api-key": shop.keys["rich"]},
        json={"messages": [{"role": "user", "content": "Hi"}]},
    )
    assert answer.json()["choices"][0]["message"]["content"] == HELLO
