"""The upstream engine against scripted providers."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest

from mintage.base import (
    AnswerStarted,
    ChoiceFinished,
    Event,
    Image,
    Message,
    MintageError,
    Request,
    Text,
    TextDelta,
    Usage,
    UsageReported,
)
from mintage.engines import Engine, ResponseHead, UpstreamEngine
from mintage.registry import Upstream

KEY = "sk-upstream-secret-key"
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: req_abc\r\ntransfer-encoding: chunked\r\n\r\n"
)


def request_for(text: str = "Hi", **fields: object) -> Request:
    message = Message("user", (Text(text),))
    return Request(operation="chat", model="gpt-x", messages=(message,), **fields)  # type: ignore[arg-type]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(**fields: object) -> bytes:
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-x-2026", **fields}
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


def delta(text: str) -> bytes:
    return event(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": None}])


END = event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
USAGE = event(
    choices=[],
    usage={"prompt_tokens": 20, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 8}},
)
DONE = b"data: [DONE]\n\n"
WHOLE = delta("Héllo ") + delta("世界🌍") + END + USAGE + DONE


@dataclass
class Provider:
    """Answers every request with the same bytes; notes what it was asked."""

    answer: bytes
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    connections: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:-2])}
                body = await reader.readexactly(int(headers["content-length"]))
                self.requests.append((lines[0], headers, body))
                writer.write(self.answer)
                await writer.drain()
        self.left.set()
        writer.close()


@contextlib.asynccontextmanager
async def engine_for(provider: Provider, **options: object) -> AsyncIterator[UpstreamEngine]:
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    upstream = Upstream(
        provider="acme", model="gpt-x", base_url=f"http://127.0.0.1:{port}/v1", allow_private=True, max_output_tokens=99
    )
    engine = UpstreamEngine(upstream, KEY, context_tokens=4096, **options)  # type: ignore[arg-type]
    try:
        yield engine
    finally:
        await engine.close()
        server.close()
        await server.wait_closed()


async def read(engine: UpstreamEngine, request: Request) -> list[Event]:
    async with aclosing(engine.stream(request)) as stream:
        return [event async for event in stream]


async def test_a_stream_becomes_events_with_the_providers_usage_and_request_id() -> None:
    provider = Provider(HEAD + chunk(WHOLE) + b"0\r\n\r\n")
    async with engine_for(provider) as engine:
        assert isinstance(engine, Engine)
        events = await read(engine, request_for(max_output_tokens=5))
    assert events == [
        AnswerStarted(model="gpt-x-2026", upstream_id="req_abc"),
        TextDelta("Héllo "),
        TextDelta("世界🌍"),
        ChoiceFinished("stop"),
        UsageReported(usage=Usage(input_tokens=12, cached_read_tokens=8, output_tokens=5)),
    ]
    line, headers, body = provider.requests[0]
    assert line == "POST /v1/chat/completions HTTP/1.1"
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["accept-encoding"] == "identity"
    sent = json.loads(body)
    assert (sent["model"], sent["stream"], sent["stream_options"]) == ("gpt-x", True, {"include_usage": True})


async def test_bytes_may_be_cut_anywhere() -> None:
    provider = Provider(HEAD + b"".join(chunk(WHOLE[i : i + 1]) for i in range(len(WHOLE))) + b"0\r\n\r\n")
    async with engine_for(provider) as engine:
        events = await read(engine, request_for())
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "Héllo 世界🌍"


async def test_the_connection_is_kept_after_a_whole_answer() -> None:
    provider = Provider(HEAD + chunk(WHOLE) + b"0\r\n\r\n")
    async with engine_for(provider) as engine:
        for _ in range(3):
            await read(engine, request_for())
        assert (await engine.health()).running == 0
    assert (len(provider.requests), provider.connections) == (3, 1)


async def test_completions_go_to_their_own_path() -> None:
    text = b'data: {"id":"c","model":"m","choices":[{"index":0,"text":"ok","finish_reason":"stop"}],"usage":'
    text += b'{"prompt_tokens":1,"completion_tokens":1}}\n\n' + DONE
    provider = Provider(HEAD + chunk(text) + b"0\r\n\r\n")
    async with engine_for(provider) as engine:
        events = await read(engine, Request(operation="completion", model="gpt-x", prompts=("Hi",)))
    assert TextDelta("ok") in events
    assert provider.requests[0][0].startswith("POST /v1/completions ")


async def test_leaving_midway_hangs_up_on_the_provider() -> None:
    provider = Provider(HEAD + chunk(delta("one ")) + chunk(delta("two ")))
    async with engine_for(provider) as engine:
        stream = engine.stream(request_for())
        seen = [await anext(stream) for _ in range(3)]
        assert seen[-1] == TextDelta("two ")
        assert (await engine.health()).running == 1
        await stream.aclose()
        async with asyncio.timeout(5):
            await provider.left.wait()
        assert (await engine.health()).running == 0


@pytest.mark.parametrize(
    ("status", "headers", "body", "code"),
    [
        (b"401 Unauthorized", b"", {"error": {"message": f"Incorrect API key {KEY}"}}, "upstream_failed"),
        (b"403 Forbidden", b"", {"error": {"message": "no"}}, "upstream_failed"),
        (b"404 Not Found", b"", {"error": {"code": "model_not_found"}}, "upstream_failed"),
        (b"429 Too Many", b"retry-after: 7\r\n", {"error": {"message": "slow down"}}, "engine_busy"),
        (b"400 Bad", b"", {"error": {"code": "context_length_exceeded", "message": "x"}}, "context_length_exceeded"),
        (b"400 Bad", b"", {"error": {"message": "bad temperature", "param": "temperature"}}, "invalid_request"),
        (b"500 Oops", b"", {"error": {"message": "x"}}, "upstream_failed"),
        (b"503 Busy", b"", {}, "unavailable"),
        (b"302 Found", b"location: http://169.254.169.254/latest\r\n", {}, "upstream_failed"),
        (b"200 OK", b"content-type: text/html\r\n", {"not": "a stream"}, "upstream_failed"),
    ],
)
async def test_refusals_of_a_provider_are_told_without_its_secrets(
    status: bytes, headers: bytes, body: dict[str, object], code: str
) -> None:
    raw = json.dumps(body).encode()
    provider = Provider(b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n%b" % (status, headers, len(raw), raw))
    async with engine_for(provider) as engine:
        with pytest.raises(MintageError) as caught:
            await read(engine, request_for())
        assert (await engine.health()).detail == code
    assert caught.value.code == code
    assert KEY not in repr(caught.value) + repr(caught.value.details)
    assert len(provider.requests) == 1
    if code == "engine_busy":
        assert caught.value.retry_after_s == 7


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + chunk(delta("half an ans")) + b"0\r\n\r\n",
        HEAD + chunk(delta("half") + END) + b"0\r\n\r\n",
        HEAD + chunk(delta("half") + b'data: {"error":{"message":"overloaded","code":529}}\n\n') + b"0\r\n\r\n",
        HEAD + chunk(delta("half") + b"data: {broken\n\n") + b"0\r\n\r\n",
        HEAD + chunk(DONE) + b"0\r\n\r\n",
    ],
)
async def test_an_answer_that_is_not_whole_is_an_error(answer: bytes) -> None:
    async with engine_for(Provider(answer)) as engine:
        with pytest.raises(MintageError) as caught:
            await read(engine, request_for())
    assert caught.value.code in ("upstream_failed", "unavailable")


async def test_a_provider_that_falls_silent() -> None:
    async with engine_for(Provider(HEAD + chunk(delta("one "))), silence_timeout_s=0.1) as engine:
        stream = engine.stream(request_for())
        assert [type(await anext(stream)) for _ in range(2)] == [AnswerStarted, TextDelta]
        with pytest.raises(MintageError) as caught:
            await anext(stream)
    assert caught.value.code == "upstream_timeout"


async def test_a_provider_that_is_not_there_or_private() -> None:
    closed = Upstream(provider="acme", model="m", base_url="http://127.0.0.1:9/v1", allow_private=True)
    private = Upstream(provider="acme", model="m", base_url="https://localhost/v1")
    for upstream, code in ((closed, "upstream_failed"), (private, "permission_denied")):
        engine = UpstreamEngine(upstream, KEY)
        with pytest.raises(MintageError) as caught:
            await read(engine, request_for())
        assert caught.value.code == code
        assert KEY not in repr(caught.value)
        await engine.close()


class Sink:
    def __init__(self) -> None:
        self.head: ResponseHead | None = None
        self.data = b""
        self.ended = asyncio.Event()

    def on_head(self, head: ResponseHead) -> None:
        self.head = head

    def on_data(self, data: bytes) -> None:
        self.data += data

    def on_end(self) -> None:
        self.ended.set()

    def on_error(self, error: MintageError) -> None:
        raise error


async def test_relay_passes_bytes_as_they_are() -> None:
    provider = Provider(HEAD + chunk(WHOLE) + b"0\r\n\r\n")
    body = b'{"model":"gpt-x",  "weird": true}'
    async with engine_for(provider) as engine:
        sink = Sink()
        engine.relay("chat", body, sink)
        async with asyncio.timeout(5):
            await sink.ended.wait()
    assert sink.head is not None
    assert (sink.head.status, sink.head.header(b"x-request-id"), sink.data) == (200, b"req_abc", WHOLE)
    assert provider.requests[0][2] == body


async def test_what_this_upstream_does_not_have() -> None:
    async with engine_for(Provider(b"")) as engine:
        with pytest.raises(MintageError) as caught:
            engine.capabilities("other")
        assert caught.value.code == "model_not_found"
        for ask in (
            lambda: engine.relay("embedding", b"{}", Sink()),
            lambda: engine.stream(Request(operation="embedding", model="gpt-x", prompts=("a",))).asend(None),
        ):
            with pytest.raises(MintageError) as caught:
                await ask()  # type: ignore[misc]
            assert caught.value.code == "unsupported"


async def test_what_it_can_do_and_how_much_it_may_read() -> None:
    async with engine_for(Provider(b"")) as engine:
        able = engine.capabilities("gpt-x")
        assert (able.context_tokens, able.max_output_tokens, able.exact_count) == (4096, 99, False)
        assert await engine.count_tokens(request_for("中文" * 10)) > 60
        picture = Message("user", (Image(url="https://example.com/a.png"),))
        assert await engine.count_tokens(Request(operation="chat", model="gpt-x", messages=(picture,))) > 16_000


async def test_closing_cuts_what_runs() -> None:
    async with engine_for(Provider(HEAD + chunk(delta("one ")))) as engine:
        stream = engine.stream(request_for())
        await anext(stream)
        await anext(stream)
        await engine.close()
        with pytest.raises(MintageError) as caught:
            await anext(stream)
        assert caught.value.code == "shutting_down"
        with pytest.raises(MintageError) as caught:
            await read(engine, request_for())
        assert caught.value.code == "shutting_down"
