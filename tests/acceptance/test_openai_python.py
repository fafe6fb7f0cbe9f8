"""The official openai SDK for Python, unmodified: what works, which exception comes, how often it asks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pydantic
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

HELLO = "Hello, wörld 你好 😀"
ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hi"}]
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Asked:
    """What a client sent, counted at the SDK's own hook: one entry per HTTP request, retries included."""

    def __init__(self) -> None:
        self.retry_counts: list[str] = []

    def __call__(self, request: Any) -> None:
        self.retry_counts.append(request.headers["x-stainless-retry-count"])


@pytest.fixture
def asked() -> Asked:
    return Asked()


MakeClient = Callable[..., openai.OpenAI]


@pytest.fixture
def client_of(shop: Any, asked: Asked) -> Iterator[MakeClient]:
    clients: list[openai.OpenAI] = []

    def make(key: str = "rich", **options: Any) -> openai.OpenAI:
        hooked = openai.DefaultHttpxClient(event_hooks={"request": [asked]})
        secret = shop.keys.get(key, key)
        clients.append(openai.OpenAI(base_url=shop.base_url, api_key=secret, http_client=hooked, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


#: The bytes of `rich` pass through; the answers of `shaped` are decoded, shaped and encoded.
both_paths = pytest.mark.parametrize("key", ["rich", "shaped"])


@both_paths
def test_chat(client_of: MakeClient, shop: Any, key: str) -> None:
    raw = client_of(key).chat.completions.with_raw_response.create(model="say", messages=ASK, max_tokens=20)
    answer = raw.parse()
    assert answer.choices[0].message.content == HELLO
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "say"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (12, 5)
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 4
    assert not answer.usage.model_extra  # what the provider charged us is not the customer's to see
    assert raw.headers["x-mintage-charge"] == "0.000029 USD"  # (12 - 4) x 1 + 4 x 0.25 + 5 x 4 per million
    receipt = shop.receipt(raw.headers["x-request-id"], key)
    assert receipt["usage"] == {"input_tokens": 8, "cached_read_tokens": 4, "output_tokens": 5, "requests": 1}
    sent = shop.provider.received("say")[-1]
    assert sent["key"] == "Bearer provider-key"
    assert sent["body"]["max_completion_tokens"] == 20


@both_paths
@pytest.mark.parametrize("include_usage", [True, False])
def test_stream(client_of: MakeClient, key: str, include_usage: bool) -> None:
    options: Any = {"stream_options": {"include_usage": True}} if include_usage else {}
    stream = client_of(key).chat.completions.create(model="say", messages=ASK, stream=True, **options)
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == HELLO
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    usages = [c.usage for c in chunks if c.usage is not None]
    assert len(usages) == include_usage
    if include_usage:
        assert chunks[-1].choices == []
        assert usages[0].total_tokens == 17
    assert {c.model for c in chunks} == {"say"}


def run_tools(message: Any) -> list[ChatCompletionMessageParam]:
    """The tool messages that answer a message's calls."""
    weather = {"Paris": "sunny", "Rome": "windy"}
    return [
        {"role": "tool", "tool_call_id": call.id, "content": weather[json.loads(call.function.arguments)["city"]]}
        for call in message.tool_calls
    ]


@both_paths
def test_tools_round_trip(client_of: MakeClient, key: str) -> None:
    client = client_of(key)
    first = client.chat.completions.create(model="tools", messages=ASK, tools=[WEATHER], tool_choice="auto")
    assert first.choices[0].finish_reason == "tool_calls"
    message = first.choices[0].message
    assert message.content is None
    conversation: Any = [*ASK, message, *run_tools(message)]
    second = client.chat.completions.create(model="tools", messages=conversation, tools=[WEATHER])
    assert second.choices[0].message.content == "It is sunny and windy."


@both_paths
def test_tools_round_trip_streamed_with_the_sdks_accumulator(client_of: MakeClient, key: str) -> None:
    client = client_of(key)
    with client.chat.completions.stream(model="tools", messages=ASK, tools=[WEATHER]) as stream:
        final = stream.get_final_completion()
    message = final.choices[0].message
    assert [call.function.arguments for call in message.tool_calls or ()] == ['{"city": "Paris"}', '{"city": "Rome"}']
    conversation: Any = [*ASK, message, *run_tools(message)]
    with client.chat.completions.stream(model="tools", messages=conversation, tools=[WEATHER]) as stream:
        assert stream.get_final_completion().choices[0].message.content == "It is sunny and windy."


class Person(pydantic.BaseModel):
    name: str
    age: int


@both_paths
def test_structured_output(client_of: MakeClient, shop: Any, key: str) -> None:
    answer = client_of(key).chat.completions.parse(model="json-schema", messages=ASK, response_format=Person)
    assert answer.choices[0].message.parsed == Person(name="Ada", age=36)
    sent = shop.provider.received("json_schema")[-1]["body"]
    assert sent["response_format"]["json_schema"]["strict"] is True


@both_paths
def test_reasoning(client_of: MakeClient, shop: Any, key: str) -> None:
    raw = client_of(key).chat.completions.with_raw_response.create(model="think", messages=ASK)
    message = raw.parse().choices[0].message
    assert message.content == "Four."
    assert message.reasoning_content == "Let me see."  # type: ignore[attr-defined]
    usage = shop.receipt(raw.headers["x-request-id"], key)["usage"]
    assert (usage["output_tokens"], usage["reasoning_tokens"]) == (3, 2)


def test_completions(client_of: MakeClient) -> None:
    answer = client_of().completions.create(model="completion", prompt="Two and two is")
    assert answer.choices[0].text == " four"


def test_models(client_of: MakeClient) -> None:
    client = client_of()
    assert {"say", "tools"} <= {model.id for model in client.models.list()}
    assert client.models.retrieve("say").owned_by == "openai"


async def test_async(shop: Any) -> None:
    async with openai.AsyncOpenAI(base_url=shop.base_url, api_key=shop.keys["rich"]) as client:
        stream = await client.chat.completions.create(model="say", messages=ASK, stream=True)
        text = "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])
    assert text == HELLO


def caught(error: type[openai.APIError], ask: Callable[[], object]) -> Any:
    with pytest.raises(error) as info:
        ask()
    assert type(info.value) is error
    return info.value


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("key", "fields", "error", "code", "param"),
    [
        ("mk-nobody", {}, openai.AuthenticationError, "invalid_api_key", None),
        ("rich", {"model": "gpt-99"}, openai.NotFoundError, "model_not_found", "model"),
        ("poor", {}, openai.RateLimitError, "insufficient_quota", None),
        ("rich", {"temperature": 9}, openai.BadRequestError, "invalid_value", "temperature"),
        ("rich", {"messages": [{}]}, openai.BadRequestError, "missing_required_parameter", "messages[0].role"),
        ("rich", {"extra_body": {"frobnicate": 1}}, openai.BadRequestError, "unknown_parameter", "frobnicate"),
        ("rich", {"functions": [{"name": "f"}]}, openai.BadRequestError, "unsupported_parameter", "functions"),
        ("rich", {"model": "long"}, openai.BadRequestError, "context_length_exceeded", "messages"),
        ("shaped", {"model": "long"}, openai.BadRequestError, "context_length_exceeded", "messages"),
    ],
)
def test_refusals_are_not_retried(
    client_of: MakeClient,
    asked: Asked,
    key: str,
    fields: dict[str, Any],
    error: type[openai.APIError],
    code: str,
    param: str | None,
    stream: bool,
) -> None:
    request: Any = {"model": "say", "messages": ASK, "stream": stream, **fields}
    found = caught(error, lambda: client_of(key).chat.completions.create(**request))
    assert found.code == code
    if param is not None:
        assert found.param == param
    assert found.request_id
    assert asked.retry_counts == ["0"]


def test_an_empty_wallet_says_what_is_missing(client_of: MakeClient) -> None:
    found = caught(openai.RateLimitError, lambda: client_of("poor").chat.completions.create(model="say", messages=ASK))
    assert found.type == "insufficient_quota"
    assert found.response.headers["x-should-retry"] == "false"


def test_a_rate_limit_says_when_to_come_back(client_of: MakeClient, asked: Asked) -> None:
    client = client_of("hasty", max_retries=0)
    with pytest.raises(openai.RateLimitError) as info:
        for _ in range(3):
            client.chat.completions.create(model="say", messages=ASK)
    assert info.value.code == "rate_limit_exceeded"
    wait_ms = int(info.value.response.headers["retry-after-ms"])
    assert 0 < wait_ms <= 60_000
    assert int(info.value.response.headers["retry-after"]) == -(-wait_ms // 1000)
    assert 2 <= len(asked.retry_counts) <= 3


@pytest.mark.parametrize(
    ("model", "error", "code"),
    [
        ("broken", openai.InternalServerError, "upstream_failed"),
        ("garbage", openai.InternalServerError, "upstream_failed"),
        ("busy", openai.RateLimitError, "engine_overloaded"),
    ],
)
@both_paths
def test_a_failing_provider_is_worth_a_retry(
    client_of: MakeClient, asked: Asked, key: str, model: str, error: type[openai.APIError], code: str
) -> None:
    found = caught(error, lambda: client_of(key, max_retries=1).chat.completions.create(model=model, messages=ASK))
    assert found.code == code
    assert asked.retry_counts == ["0", "1"]
    assert "sk-live" not in str(found)
    assert "org-" not in str(found)


@both_paths
def test_a_cut_stream_is_an_error_and_not_a_short_answer(client_of: MakeClient, shop: Any, key: str) -> None:
    words: list[str] = []

    def read() -> None:
        stream = client_of(key).chat.completions.create(model="cut", messages=ASK, stream=True)
        words.extend(chunk.choices[0].delta.content or "" for chunk in stream)

    with pytest.raises(openai.APIError) as info:
        read()
    assert "".join(words).strip() == "one two three"
    assert info.value.code == "upstream_failed"
    assert len(shop.provider.received("cut")) > 0


@both_paths
def test_wrong_usage_is_estimated(client_of: MakeClient, shop: Any, key: str) -> None:
    raw = client_of(key).chat.completions.with_raw_response.create(model="wrong-usage", messages=ASK)
    assert raw.parse().choices[0].message.content == HELLO
    receipt = shop.receipt(raw.headers["x-request-id"], key)
    assert receipt["estimated"] is True
    assert receipt["usage"]["output_tokens"] > 0
    assert receipt["usage"]["input_tokens"] > 0


def test_a_reader_who_leaves_pays_for_what_was_streamed(client_of: MakeClient, shop: Any) -> None:
    stream = client_of().chat.completions.create(model="slow", messages=ASK, stream=True)
    request_id = stream.response.headers["x-request-id"]
    for _, _ in zip(range(10), stream, strict=False):
        pass
    stream.close()
    shop.wait_until_idle()
    receipt = shop.receipt(request_id)
    assert receipt["outcome"] == "cut"
    assert 9 <= receipt["usage"]["output_tokens"] < 200
