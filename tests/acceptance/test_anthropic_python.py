"""The official anthropic SDK for Python, unmodified. Its answers come from a provider of another dialect."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx
import pytest
from anthropic.types import Message, MessageTokensCount, ModelInfo, RawMessageStreamEvent
from anthropic.types.shared import ErrorResponse

from .strict import read_strictly

HELLO = "Hello, wörld 你好 😀"
ASK: list[Any] = [{"role": "user", "content": "Hi"}]
WEATHER: Any = {
    "name": "weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
MakeClient = Callable[..., anthropic.Anthropic]
both_plans = pytest.mark.parametrize("key", ["rich", "shaped"])


@pytest.fixture
def client_of(shop: Any) -> Iterator[MakeClient]:
    clients: list[anthropic.Anthropic] = []

    def make(key: str = "rich", **options: Any) -> anthropic.Anthropic:
        clients.append(anthropic.Anthropic(base_url=shop.url, api_key=shop.keys.get(key, key), **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@both_plans
def test_message(client_of: MakeClient, shop: Any, key: str) -> None:
    raw = client_of(key).messages.with_raw_response.create(
        model="say", messages=ASK, max_tokens=20, system="Be kind.", metadata={"user_id": "u1"}
    )
    strict = read_strictly(Message, raw.text())
    answer = raw.parse()
    assert answer == strict
    assert [block.text for block in answer.content if block.type == "text"] == [HELLO]
    assert (answer.stop_reason, answer.stop_sequence, answer.model) == ("end_turn", None, "say")
    assert (answer.usage.input_tokens, answer.usage.cache_read_input_tokens, answer.usage.output_tokens) == (8, 4, 5)
    assert raw.headers["x-mintage-charge"] == "0.000029 USD"
    assert answer._request_id == raw.headers["request-id"]
    assert shop.receipt(raw.headers["request-id"], key)["usage"]["input_tokens"] == 8
    sent = shop.provider.received("say")[-1]["body"]
    assert sent["messages"][0] == {"role": "system", "content": "Be kind."}
    assert (sent["user"], sent["max_completion_tokens"]) == ("u1", 20)


def frames(shop: Any, body: dict[str, Any], key: str = "rich") -> list[tuple[str, str]]:
    """(event, data) of each frame, as they are on the wire."""
    answer = httpx.post(
        f"{shop.url}/v1/messages",
        headers={"x-api-key": shop.keys[key], "anthropic-version": "2023-06-01"},
        json={"max_tokens": 100, "messages": ASK, "stream": True, **body},
    )
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("\n\n")
    pairs = [frame.split("\n") for frame in answer.text[:-2].split("\n\n")]
    return [(event.removeprefix("event: "), data.removeprefix("data: ")) for event, data in pairs]


@both_plans
@pytest.mark.parametrize("model", ["say", "think", "tools"])
def test_frames_come_in_order_and_are_whole(shop: Any, model: str, key: str) -> None:
    found = frames(shop, {"model": model, "tools": [WEATHER]}, key)
    for event, data in found:
        read_strictly(RawMessageStreamEvent, data)
        assert json.loads(data)["type"] == event
    names = [event for event, _ in found]
    assert names[0] == "message_start" and names[-2:] == ["message_delta", "message_stop"]
    open_block = False
    for name in names[1:-2]:
        assert open_block is (name != "content_block_start"), names
        open_block = name != "content_block_stop"
    assert json.loads(found[0][1])["message"]["usage"]["input_tokens"] > 0


@both_plans
def test_stream_with_the_sdks_accumulator(client_of: MakeClient, shop: Any, key: str) -> None:
    with client_of(key).messages.stream(model="say", messages=ASK, max_tokens=20) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == HELLO
    assert (final.usage.input_tokens, final.usage.cache_read_input_tokens, final.usage.output_tokens) == (8, 4, 5)
    assert final.stop_reason == "end_turn"


@both_plans
@pytest.mark.parametrize("streamed", [False, True])
def test_tools_round_trip(client_of: MakeClient, key: str, streamed: bool) -> None:
    client = client_of(key)

    def ask(messages: list[Any]) -> Message:
        request: Any = {"model": "tools", "messages": messages, "tools": [WEATHER], "max_tokens": 50}
        if not streamed:
            return client.messages.create(**request)
        with client.messages.stream(**request) as stream:
            return stream.get_final_message()

    first = ask(ASK)
    assert first.stop_reason == "tool_use"
    calls = [block for block in first.content if block.type == "tool_use"]
    assert [call.input for call in calls] == [{"city": "Paris"}, {"city": "Rome"}]
    weather = {"Paris": "sunny", "Rome": "windy"}
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": weather[str(call.input["city"])]} for call in calls
    ]
    second = ask([*ASK, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}])
    assert [block.text for block in second.content if block.type == "text"] == ["It is sunny and windy."]


@both_plans
def test_thinking(client_of: MakeClient, shop: Any, key: str) -> None:
    answer = client_of(key).messages.create(
        model="think", messages=ASK, max_tokens=2000, thinking={"type": "enabled", "budget_tokens": 1024}
    )
    assert [block.type for block in answer.content] == ["thinking", "text"]
    assert answer.content[0].thinking == "Let me see."  # type: ignore[union-attr]
    assert answer.usage.output_tokens_details is not None
    assert (answer.usage.output_tokens, answer.usage.output_tokens_details.thinking_tokens) == (5, 2)
    assert shop.provider.received("think")[-1]["body"]["reasoning_effort"] == "low"


def test_structured_output_and_images(client_of: MakeClient, shop: Any) -> None:
    image: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "cG5n"}}
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    answer = client_of().messages.create(
        model="json-schema",
        messages=[{"role": "user", "content": [image, {"type": "text", "text": "Who?"}]}],
        max_tokens=50,
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    assert json.loads(answer.content[0].text) == {"name": "Ada", "age": 36}  # type: ignore[union-attr]
    sent = shop.provider.received("json_schema")[-1]["body"]
    assert sent["response_format"]["json_schema"]["schema"] == schema
    assert sent["messages"][0]["content"][0]["image_url"]["url"] == "data:image/png;base64,cG5n"


def test_models_and_counting(client_of: MakeClient, shop: Any) -> None:
    client = client_of()
    listed = {model.id for model in client.models.list(limit=5)}  # the SDK turns the pages
    assert {"say", "tools", "think"} <= listed
    headers = {"x-api-key": shop.keys["rich"], "anthropic-version": "2023-06-01"}
    raw = httpx.get(f"{shop.url}/v1/models/say", headers=headers)
    read_strictly(ModelInfo, raw.content)
    assert client.models.retrieve("say").max_input_tokens == 20_000
    counted = client.messages.with_raw_response.count_tokens(model="say", messages=ASK)
    assert read_strictly(MessageTokensCount, counted.text()).input_tokens > 0


async def test_async(shop: Any) -> None:
    async with anthropic.AsyncAnthropic(base_url=shop.url, api_key=shop.keys["rich"]) as client:
        stream = await client.messages.create(model="say", messages=ASK, max_tokens=20, stream=True)
        text = "".join([e.delta.text async for e in stream if e.type == "content_block_delta"])  # type: ignore[union-attr]
    assert text == HELLO


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("key", "fields", "error", "kind"),
    [
        ("mk-nobody", {}, anthropic.AuthenticationError, "authentication_error"),
        ("rich", {"model": "claude-99"}, anthropic.NotFoundError, "not_found_error"),
        ("poor", {}, anthropic.PaymentRequiredError, "billing_error"),
        ("rich", {"extra_body": {"temperature": 9}}, anthropic.BadRequestError, "invalid_request_error"),
        ("rich", {"messages": [{}]}, anthropic.BadRequestError, "invalid_request_error"),
        ("rich", {"extra_body": {"frobnicate": 1}}, anthropic.BadRequestError, "invalid_request_error"),
        ("rich", {"model": "long"}, anthropic.BadRequestError, "invalid_request_error"),
        (
            "rich",
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            anthropic.BadRequestError,
            "invalid_request_error",
        ),
    ],
)
def test_refusals(
    client_of: MakeClient,
    key: str,
    fields: dict[str, Any],
    error: type[anthropic.APIStatusError],
    kind: str,
    stream: bool,
) -> None:
    request: Any = {"model": "say", "messages": ASK, "max_tokens": 20, "stream": stream, **fields}
    with pytest.raises(error) as info:
        client_of(key).messages.create(**request)
    assert type(info.value) is error
    assert info.value.type == kind
    assert info.value.request_id
    if kind != "request_too_large":
        read_strictly(ErrorResponse, info.value.response.content)


def test_a_busy_provider_is_an_overloaded_one(client_of: MakeClient) -> None:
    with pytest.raises(anthropic.OverloadedError) as info:
        client_of(max_retries=0).messages.create(model="busy", messages=ASK, max_tokens=20)
    assert int(info.value.response.headers["retry-after"]) <= 20


@pytest.mark.parametrize("model", ["broken", "garbage"])
def test_a_failing_provider(client_of: MakeClient, model: str) -> None:
    with pytest.raises(anthropic.InternalServerError) as info:
        client_of(max_retries=0).messages.create(model=model, messages=ASK, max_tokens=20)
    assert info.value.type == "api_error"
    assert "sk-live" not in str(info.value)


def test_a_cut_stream_is_an_error_and_not_a_short_answer(client_of: MakeClient) -> None:
    words: list[str] = []

    def read() -> None:
        with client_of().messages.stream(model="cut", messages=ASK, max_tokens=20) as stream:
            words.extend(stream.text_stream)

    with pytest.raises(anthropic.APIStatusError) as info:
        read()
    assert "".join(words).strip() == "one two three"
    assert info.value.type == "api_error"


def test_unknown_paths_and_models_are_told_in_the_dialect(shop: Any) -> None:
    headers = {"x-api-key": shop.keys["rich"], "anthropic-version": "2023-06-01"}
    for path in ("/v1/models/nope", "/v1/nothing"):
        answer = httpx.get(f"{shop.url}{path}", headers=headers)
        assert answer.status_code == 404
        assert read_strictly(ErrorResponse, answer.content).error.type == "not_found_error"
    answer = httpx.get(f"{shop.url}/v1/models", headers={"anthropic-version": "2023-06-01"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "authentication_error")
