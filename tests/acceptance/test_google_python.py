"""The official google-genai SDK for Python, unmodified. Its answers come from a provider of another dialect."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pydantic
import pytest
from google import genai
from google.genai import errors, types

from .strict import read_strictly

HELLO = "Hello, wörld 你好 😀"
MakeClient = Callable[..., genai.Client]
both_plans = pytest.mark.parametrize("key", ["rich", "shaped"])


@pytest.fixture
def client_of(shop: Any) -> Iterator[MakeClient]:
    clients: list[genai.Client] = []

    def make(key: str = "rich") -> genai.Client:
        options = types.HttpOptions(base_url=shop.url, retry_options=types.HttpRetryOptions(attempts=1))
        clients.append(genai.Client(api_key=shop.keys.get(key, key), http_options=options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def usage_of(answer: types.GenerateContentResponse) -> tuple[int | None, ...]:
    usage = answer.usage_metadata
    assert usage is not None
    return (usage.prompt_token_count, usage.cached_content_token_count, usage.candidates_token_count)


@both_plans
def test_generate(client_of: MakeClient, shop: Any, key: str) -> None:
    answer = client_of(key).models.generate_content(
        model="say",
        contents="Hi",
        config=types.GenerateContentConfig(system_instruction="Be kind.", max_output_tokens=20, temperature=0.5),
    )
    assert answer.text == HELLO
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert usage_of(answer) == (12, 4, 5)
    assert answer.model_version == "say"
    assert answer.sdk_http_response is not None and answer.sdk_http_response.headers is not None
    headers = answer.sdk_http_response.headers
    assert headers["x-mintage-charge"] == "0.000029 USD"
    assert shop.receipt(headers["x-request-id"], key)["usage"]["input_tokens"] == 8
    sent = shop.provider.received("say")[-1]["body"]
    assert sent["messages"][0] == {"role": "system", "content": "Be kind."}
    assert (sent["temperature"], sent["max_completion_tokens"]) == (0.5, 20)


def post(shop: Any, path: str, body: dict[str, Any], key: str = "rich") -> httpx.Response:
    return httpx.post(f"{shop.url}{path}", headers={"x-goog-api-key": shop.keys[key]}, json=body)


BODY: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


@both_plans
def test_what_is_on_the_wire(shop: Any, key: str) -> None:
    """The SDK's types say which names there are; a whole answer, a stream of events and an array hold the same."""
    whole = post(shop, "/v1beta/models/say:generateContent", BODY, key)
    events = post(shop, "/v1beta/models/say:streamGenerateContent?alt=sse", BODY, key)
    array = post(shop, "/v1/models/say:streamGenerateContent", BODY, key)
    assert "[DONE]" not in events.text
    assert events.text.endswith("\n\n")
    datas = [frame.removeprefix("data: ") for frame in events.text[:-2].split("\n\n")]
    chunks = [json.loads(data) for data in datas]
    assert [chunk["candidates"] for chunk in array.json()] == [chunk["candidates"] for chunk in chunks]
    for body in (whole.text, *datas):
        read_strictly(types.GenerateContentResponse, body)
    texts = [part["text"] for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]]
    assert "".join(texts) == HELLO == whole.json()["candidates"][0]["content"]["parts"][0]["text"]
    assert chunks[-1]["usageMetadata"] == whole.json()["usageMetadata"]
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"


@both_plans
def test_stream(client_of: MakeClient, key: str) -> None:
    chunks = list(client_of(key).models.generate_content_stream(model="say", contents="Hi"))
    assert "".join(chunk.text or "" for chunk in chunks) == HELLO
    assert usage_of(chunks[-1]) == (12, 4, 5)


@both_plans
@pytest.mark.parametrize("streamed", [False, True])
def test_the_sdk_runs_tools(client_of: MakeClient, key: str, streamed: bool) -> None:
    cities: list[str] = []

    def weather(city: str) -> str:
        """The weather in a city."""
        cities.append(city)
        return {"Paris": "sunny", "Rome": "windy"}[city]

    chat = client_of(key).chats.create(model="tools", config=types.GenerateContentConfig(tools=[weather]))
    if streamed:
        text = "".join(chunk.text or "" for chunk in chat.send_message_stream("Hi"))
    else:
        text = chat.send_message("Hi").text or ""
    assert text == "It is sunny and windy."
    assert cities == ["Paris", "Rome"]


@both_plans
def test_thoughts(client_of: MakeClient, key: str) -> None:
    config = types.GenerateContentConfig(thinking_config=types.ThinkingConfig(include_thoughts=True))
    answer = client_of(key).models.generate_content(model="think", contents="Hi", config=config)
    assert answer.candidates is not None and answer.candidates[0].content is not None
    parts = answer.candidates[0].content.parts or []
    assert [(part.text, bool(part.thought)) for part in parts] == [("Let me see.", True), ("Four.", False)]
    assert answer.usage_metadata is not None
    assert (answer.usage_metadata.candidates_token_count, answer.usage_metadata.thoughts_token_count) == (3, 2)
    silent = client_of(key).models.generate_content(model="think", contents="Hi")
    assert silent.text == "Four."


class Person(pydantic.BaseModel):
    name: str
    age: int


def test_structured_output_and_images(client_of: MakeClient, shop: Any) -> None:
    answer = client_of().models.generate_content(
        model="json-schema",
        contents=[types.Part.from_bytes(data=b"png", mime_type="image/png"), "Who?"],
        config=types.GenerateContentConfig(response_mime_type="application/json", response_schema=Person),
    )
    assert answer.parsed == Person(name="Ada", age=36)
    sent = shop.provider.received("json_schema")[-1]["body"]
    schema = sent["response_format"]["json_schema"]["schema"]
    assert schema["type"] == "object"
    assert {name: field["type"] for name, field in schema["properties"].items()} == {"name": "string", "age": "integer"}
    assert sent["messages"][0]["content"][0]["image_url"]["url"] == "data:image/png;base64,cG5n"


def test_models_and_counting(client_of: MakeClient, shop: Any) -> None:
    client = client_of()
    listed = {model.name for model in client.models.list(config={"page_size": 5})}
    assert {"models/say", "models/tools", "models/think"} <= listed
    model = client.models.get(model="say")
    assert (model.name, model.input_token_limit) == ("models/say", 20_000)
    assert "generateContent" in (model.supported_actions or [])
    counted = client.models.count_tokens(model="say", contents="Hi")
    assert (counted.total_tokens or 0) > 0
    assert httpx.get(f"{shop.url}/v1beta/models?key={shop.keys['rich']}").json()["models"]


async def test_async(client_of: MakeClient) -> None:
    stream = await client_of().aio.models.generate_content_stream(model="say", contents="Hi")
    assert "".join([chunk.text or "" async for chunk in stream]) == HELLO


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("key", "fields", "status", "name"),
    [
        ("mk-nobody", {}, 401, "UNAUTHENTICATED"),
        ("rich", {"model": "gemini-99"}, 404, "NOT_FOUND"),
        ("poor", {}, 429, "RESOURCE_EXHAUSTED"),
        ("rich", {"config": {"temperature": 9}}, 400, "INVALID_ARGUMENT"),
        ("rich", {"config": {"tools": [{"google_search": {}}]}}, 400, "INVALID_ARGUMENT"),
        ("rich", {"config": {"http_options": {"extra_body": {"frobnicate": 1}}}}, 400, "INVALID_ARGUMENT"),
        ("rich", {"model": "long"}, 400, "INVALID_ARGUMENT"),
        ("rich", {"model": "busy"}, 429, "RESOURCE_EXHAUSTED"),
    ],
)
def test_refusals(
    client_of: MakeClient, key: str, fields: dict[str, Any], status: int, name: str, stream: bool
) -> None:
    models = client_of(key).models
    request: Any = {"model": "say", "contents": "Hi", **fields}
    with pytest.raises(errors.ClientError) as info:
        list(models.generate_content_stream(**request)) if stream else models.generate_content(**request)
    assert (info.value.code, info.value.status) == (status, name)
    assert info.value.message


@pytest.mark.parametrize("model", ["broken", "garbage"])
def test_a_failing_provider(client_of: MakeClient, model: str) -> None:
    with pytest.raises(errors.ServerError) as info:
        client_of().models.generate_content(model=model, contents="Hi")
    assert "sk-live" not in str(info.value)


def test_a_cut_stream_is_an_error_and_not_a_short_answer(client_of: MakeClient) -> None:
    words: list[str] = []

    def read() -> None:
        stream = client_of().models.generate_content_stream(model="cut", contents="Hi")
        words.extend(chunk.text or "" for chunk in stream)

    with pytest.raises(errors.APIError):
        read()
    assert "".join(words).strip() == "one two three"


def test_unknown_paths_are_told_in_the_dialect(shop: Any) -> None:
    for path in ("/v1beta/nothing", "/v1beta/models/nope", "/v1beta/models/say:predict"):
        method = "POST" if ":" in path else "GET"
        answer = httpx.request(
            method, f"{shop.url}{path}", headers={"x-goog-api-key": shop.keys["rich"]}, content=b"{}"
        )
        assert (answer.status_code, answer.json()["error"]["status"]) == (404, "NOT_FOUND")
