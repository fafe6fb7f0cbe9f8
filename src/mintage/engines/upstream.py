"""An upstream: a provider, or a server of our own such as vLLM, in any dialect that we speak.

Two ways through it: `stream` translates to canonical events, `relay` passes bytes for the gateway's byte path.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator
from typing import Final, Self

import msgspec

from mintage.base import AnswerStarted, Event, MintageError, Operation, Request, Settings, UsageReported
from mintage.engines.http_client import HttpClient, ResponseStream
from mintage.engines.http_connection import Call, ResponseSink
from mintage.engines.protocol import Capabilities, EventStream, Health
from mintage.engines.shares import EngineShares
from mintage.engines.upstream_media import media_events
from mintage.engines.upstream_wire import WIRES, headers_of
from mintage.protocols import openai
from mintage.registry import ModelEntry, Upstream

_WRITTEN: Final = ("chat", "completion")
_ERROR_BODY_BYTES: Final = 64 * 1024
_LAST_BYTES_S: Final = 0.5  # after the last event: a body that ends lets its connection be kept
_IMAGE_TOKENS: Final = 16_384
_TEMPLATE_TOKENS: Final = 64


class UpstreamEngine:
    """One model of one upstream, over its own pool of connections. Use it on one event loop.

    `name` is the provider's, as in the price book; the only model is the provider's name for it. The key goes into
    the prepared heads and nowhere else. Redirects are refused, private addresses too unless the entry allows them.
    An upstream of our own machines (own_compute) is `local`: its answers are costed by their share of its time, so
    they are counted here and do not pass as bytes.
    """

    def __init__(
        self,
        upstream: Upstream,
        api_key: str = "",
        *,
        context_tokens: int | None = None,
        connections: int = 256,
        connect_timeout_s: float = 10,
        silence_timeout_s: float = 120,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.name = upstream.provider
        self.models = (upstream.model,)
        self.upstream = upstream
        self.local = upstream.own_compute
        self.dialect = None if upstream.own_compute else upstream.dialect
        self._context_tokens = context_tokens
        self._wire = wire = WIRES[upstream.dialect]
        self._shares = EngineShares(time.monotonic_ns) if upstream.own_compute else None
        self._client = HttpClient(
            upstream.base_url,
            name=upstream.provider,
            connections=connections,
            connect_timeout_s=upstream.connect_timeout_s or connect_timeout_s,
            silence_timeout_s=upstream.idle_timeout_s or silence_timeout_s,
            first_byte_timeout_s=upstream.first_byte_timeout_s,
            allow_private=upstream.allow_private,
            ssl_context=ssl_context,
        )
        self._api_key = api_key
        headers = headers_of(wire, upstream.auth, api_key)
        self._paths: dict[Operation, str] = {
            operation: path.replace("{model}", upstream.model)
            for operation, path in wire.paths.items()
            if operation in upstream.operations
        }
        self._heads = {op: self._client.prepare("POST", path, headers) for op, path in self._paths.items()}
        self._running = 0
        self._trouble = ""

    @classmethod
    def from_settings(cls, entry: ModelEntry, api_key: str, settings: Settings) -> Self:
        """For an entry of the registry that has an upstream."""
        if entry.upstream is None:
            raise MintageError("invalid_request", f"The model {entry.name!r} has no upstream.", "It runs locally.")
        return cls(
            entry.upstream,
            api_key,
            context_tokens=entry.context_tokens,
            connections=settings.upstream_connections,
            connect_timeout_s=settings.upstream_connect_timeout_s,
            silence_timeout_s=settings.upstream_timeout_s,
        )

    def capabilities(self, model: str) -> Capabilities:
        upstream = self.upstream
        if model != upstream.model:
            raise MintageError("model_not_found", f"This upstream has no model {model!r}.", f"It has {upstream.model}.")
        return Capabilities(
            model=model,
            operations=frozenset(self._paths),
            context_tokens=self._context_tokens,
            max_output_tokens=upstream.max_output_tokens,
            tools=upstream.tools,
            json_object=upstream.json_schema,
            json_schema=upstream.json_schema,
            logprobs=upstream.logprobs,
            top_logprobs_max=20 if upstream.logprobs else 0,
            images=upstream.images,
            audio=upstream.audio or "transcription" in self._paths,
            n_max=upstream.n_max,
        )

    async def count_tokens(self, request: Request) -> int:
        """An upper bound: a token of every tokenizer in use covers at least one byte of what is sent."""
        body = openai.encode_request(request, self.upstream.model)
        return len(body) + _TEMPLATE_TOKENS + body.count(b'"image_url"') * _IMAGE_TOKENS

    def stream(self, request: Request) -> EventStream:
        """upstream_id of AnswerStarted is the provider's request id, by which it can be asked about an answer."""
        return self._counted(self._written(request) if request.operation in _WRITTEN else self._media(request))

    async def _counted(self, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        """Keeps the figures of health(), and the time that an answer takes of a machine of ours."""
        shares = self._shares
        mark = shares.enter() if shares is not None else 0.0
        self._running += 1
        try:
            async for event in events:
                if shares is not None and type(event) is UsageReported:
                    yield msgspec.structs.replace(event, engine_ms=shares.share_ms(mark))
                else:
                    yield event
            self._trouble = ""
        except MintageError as error:
            self._trouble = error.code
            raise
        finally:
            self._running -= 1
            if shares is not None:
                shares.leave(mark)
            await events.aclose()

    async def _written(self, request: Request) -> AsyncGenerator[Event, None]:
        head = self._head(request.operation)
        response = await self._send(head, self._wire.encode(request, self.upstream))
        try:
            decoder = self._wire.decoder()
            async for data in response:
                for event in decoder.feed(data):
                    yield _with_request_id(event, response) if type(event) is AnswerStarted else event
                if getattr(decoder, "done", False):
                    await _drain(response)
                    return
            for event in decoder.close():
                yield _with_request_id(event, response) if type(event) is AnswerStarted else event
        finally:
            await response.aclose()

    def _media(self, request: Request) -> AsyncGenerator[Event, None]:
        self._head(request.operation)

        async def send(request: Request, content_type: bytes, body: bytes) -> ResponseStream:
            headers = headers_of(self._wire, self.upstream.auth, self._api_key, content_type)
            return await self._send(self._client.prepare("POST", self._paths[request.operation], headers), body)

        return media_events(send, request, self.upstream.dialect)

    async def _send(self, head: bytes, body: bytes) -> ResponseStream:
        """Returns with the head of a 200. Raises what any other says; the connection is closed then."""
        response = ResponseStream()
        try:
            response.call = self._client.send(head, body, response)
            status = (await response.started).status
            if status != 200:
                raise openai.decode_error(status, response.headers, await _read_some(response))
        except BaseException:
            await response.aclose()
            raise
        return response

    def relay(self, operation: Operation, body: bytes, sink: ResponseSink) -> Call:
        """Send body as it is; it names the upstream's model already. Failures come through the sink."""
        return self._client.send(self._head(operation), body, sink)

    def _head(self, operation: Operation) -> bytes:
        head = self._heads.get(operation)
        if head is None:
            raise MintageError("unsupported", f"This upstream does not do {operation}.", "Choose another model.")
        return head

    async def start(self) -> None:
        """Connections are opened when they are needed."""

    async def close(self) -> None:
        await self._client.close()

    async def health(self) -> Health:
        """detail is the code of the last failure, until an answer succeeds."""
        return Health(state="ready", running=self._running, detail=self._trouble)


def _with_request_id(event: AnswerStarted, response: ResponseStream) -> AnswerStarted:
    request_id = response.header(b"x-request-id") or response.header(b"request-id")
    if not request_id:
        return event
    return msgspec.structs.replace(event, upstream_id=request_id.decode("latin-1")[:128])


async def _read_some(response: ResponseStream) -> bytes:
    """The beginning of an error's body: enough to read what is wrong."""
    body = b""
    async for data in response:
        body += data
        if len(body) >= _ERROR_BODY_BYTES:
            break
    return body


async def _drain(response: ResponseStream) -> None:
    """Read on to the end of the body, which follows at once, so that the connection is kept."""
    try:
        async with asyncio.timeout(_LAST_BYTES_S):
            async for _ in response:
                pass
    except (TimeoutError, MintageError):
        return  # the answer is whole; aclose() gives the connection up
