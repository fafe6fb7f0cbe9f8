"""Files and batches with the official SDKs: OpenAI's files and batches, Anthropic's message batches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import anthropic
import httpx
import openai
import pytest
from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse
from openai.types import Batch, FileObject

from .strict import read_strictly

HELLO = "Hello, wörld 你好 😀"
_WAIT_S = 30


def until(look: Callable[[], Any], ended: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + _WAIT_S
    while not ended(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)  # polling, as the SDKs' documentation does
    return found


@pytest.fixture
def client(shop: Any) -> Any:
    with openai.OpenAI(base_url=shop.base_url, api_key=shop.keys["rich"]) as opened:
        yield opened


def lines_of(*bodies: dict[str, Any], url: str = "/v1/chat/completions") -> bytes:
    lines = [
        {"custom_id": f"line-{number}", "method": "POST", "url": url, "body": body}
        for number, body in enumerate(bodies)
    ]
    return "\n".join(map(json.dumps, lines)).encode()


def chat(model: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Hi"}], **fields}


def test_files(client: Any) -> None:
    raw = client.files.with_raw_response.create(file=("notes.txt", "héllo".encode()), purpose="user_data")
    entry = read_strictly(FileObject, raw.text)
    assert (entry.filename, entry.bytes, entry.purpose) == ("notes.txt", 6, "user_data")
    assert client.files.retrieve(entry.id) == entry
    assert client.files.content(entry.id).read() == "héllo".encode()
    assert entry.id in [found.id for found in client.files.list(purpose="user_data")]
    assert client.files.delete(entry.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(entry.id)


def test_a_file_is_its_projects_and_sealed(shop: Any, client: Any) -> None:
    secret = b"a customer's secret"
    entry = client.files.create(file=("a.jsonl", secret), purpose="batch")
    with openai.OpenAI(base_url=shop.base_url, api_key=shop.keys["shaped"]) as other:
        for ask in (other.files.retrieve, other.files.content, other.files.delete):
            with pytest.raises(openai.NotFoundError):
                ask(entry.id)
    for path in shop.home.rglob("*"):
        assert not path.is_file() or secret not in path.read_bytes(), path


def test_batch(shop: Any, client: Any) -> None:
    data = lines_of(*[chat("say") for _ in range(10)], chat("gpt-99"), chat("say", temperature=9))
    file = client.files.create(file=("in.jsonl", data), purpose="batch")
    raw = client.batches.with_raw_response.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"a": "b"}
    )
    batch = read_strictly(Batch, raw.text)
    done = until(lambda: client.batches.retrieve(batch.id), lambda found: found.status in ("completed", "failed"))
    assert done.status == "completed", done.errors
    assert (done.request_counts.total, done.request_counts.completed, done.request_counts.failed) == (12, 10, 2)
    assert (done.usage.input_tokens, done.usage.input_tokens_details.cached_tokens) == (120, 40)
    assert done.metadata == {"a": "b"}
    answered = [json.loads(line) for line in client.files.content(done.output_file_id).text.splitlines()]
    assert {line["custom_id"] for line in answered} == {f"line-{number}" for number in range(10)}
    assert {line["response"]["body"]["choices"][0]["message"]["content"] for line in answered} == {HELLO}
    for line in answered:
        assert shop.receipt(line["response"]["request_id"])["charge"] == "0.000029 USD"
    failed = [json.loads(line) for line in client.files.content(done.error_file_id).text.splitlines()]
    assert [line["response"]["status_code"] for line in failed] == [404, 400]
    assert batch.id in [found.id for found in client.batches.list(limit=5)]


def test_a_batch_of_vectors(client: Any) -> None:
    data = lines_of({"model": "embed", "input": ["four"]}, url="/v1/embeddings")
    file = client.files.create(file=("in.jsonl", data), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h")
    done = until(lambda: client.batches.retrieve(batch.id), lambda found: found.completed_at)
    [line] = client.files.content(done.output_file_id).text.splitlines()
    assert json.loads(line)["response"]["body"]["data"][0]["embedding"] == [1.0, -0.5, 1.0]


def test_cancelling(client: Any) -> None:
    data = lines_of(*[chat("slow", max_tokens=20) for _ in range(100)])
    file = client.files.create(file=("in.jsonl", data), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    assert client.batches.cancel(batch.id).status in ("cancelling", "cancelled")
    done = until(lambda: client.batches.retrieve(batch.id), lambda found: found.status == "cancelled")
    assert done.request_counts.completed < 100


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not json",
        lines_of(chat("say"), url="/v1/embeddings"),
        lines_of(chat("say")) + b"\n" + lines_of(chat("say")),
    ],
)
def test_a_file_that_is_no_batch_is_refused(client: Any, data: bytes) -> None:
    file = client.files.create(file=("in.jsonl", data), purpose="batch")
    with pytest.raises(openai.BadRequestError) as info:
        client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    assert info.value.param == "input_file_id"


def test_message_batch(shop: Any) -> None:
    params: Any = {"model": "say", "max_tokens": 20, "messages": [{"role": "user", "content": "Hi"}]}
    requests: Any = [
        {"custom_id": "good", "params": params},
        {"custom_id": "bad", "params": params | {"model": "claude-99"}},
    ]
    with anthropic.Anthropic(base_url=shop.url, api_key=shop.keys["rich"]) as client:
        raw = client.messages.batches.with_raw_response.create(requests=requests)
        batch = read_strictly(MessageBatch, raw.text())
        done = until(
            lambda: client.messages.batches.retrieve(batch.id), lambda found: found.processing_status == "ended"
        )
        assert (done.request_counts.succeeded, done.request_counts.errored) == (1, 1)
        results = {result.custom_id: result.result for result in client.messages.batches.results(batch.id)}
        assert results["good"].type == "succeeded"
        assert results["good"].message.content[0].text == HELLO  # type: ignore[union-attr]
        assert results["bad"].type == "errored"
        assert results["bad"].error.error.type == "not_found_error"
        assert batch.id in [found.id for found in client.messages.batches.list(limit=5)]
    lines = httpx.get(
        f"{shop.url}/v1/messages/batches/{batch.id}/results", headers={"x-api-key": shop.keys["rich"]}
    ).text
    for line in lines.splitlines():
        read_strictly(MessageBatchIndividualResponse, line)
