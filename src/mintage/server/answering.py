"""One request through the canonical nouns, whatever dialect asks: admitted, answered, encoded, settled once.

A Voice is one operation of one dialect: it says how the body is read and how the answer is written. What every
operation shares (the hold, replays of an idempotency key, a reader who leaves, an error in the middle) is here.
"""

from __future__ import annotations

import asyncio
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any, Final, Protocol

from mintage.base import Answer, Embedding, Event, MintageError, Request, UsageReported
from mintage.gateway import Caller, Conversation, Gateway, Replay, cut_error, trace_parent
from mintage.server.dialects import ErrorParts, api_key
from mintage.server.exchange import Exchange, HttpRequest
from mintage.server.receipts import receipt_headers

Handling = Coroutine[Any, Any, None] | None
Headers = list[tuple[bytes, bytes]]
JSON: Final = (b"content-type", b"application/json")
EVENTS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # a proxy that gathers events would make a stream useless
)


class Encoder(Protocol):
    """What writes a stream: see the StreamEncoder of any dialect."""

    def encode(self, event: Event) -> bytes: ...

    def end(self) -> bytes: ...

    def error(self, error: MintageError) -> bytes: ...


class Voice(ABC):
    """One operation of one dialect. A subclass says what differs; an instance serves one request."""

    writing: Encoder | None = None  # the encoder of the stream that has begun

    @property
    def stream_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        return EVENTS

    @abstractmethod
    def decode(self, http: HttpRequest) -> Request:
        """The body as a request. Raises MintageError."""

    @abstractmethod
    def error(self, error: MintageError, request_id: str | None) -> ErrorParts:
        """An error in the dialect's words."""

    def encoder(self, conversation: Conversation) -> Encoder:
        raise MintageError("unsupported", "This is not answered as a stream.", "Leave `stream` out.", param="stream")

    def whole(self, conversation: Conversation, answer: Answer) -> bytes:
        raise MintageError("unsupported", "This is only answered as a stream.", "Set `stream`.", param="stream")

    def headers(self, conversation: Conversation) -> Headers:
        return receipt_headers(conversation)

    async def respond(self, conversation: Conversation) -> tuple[Headers, bytes]:
        """The whole answer, settled: its own headers and its body. What is not written token by token overrides it."""
        return [JSON], self.whole(conversation, await conversation.answer())


class Answering:
    """Answers requests of any Voice."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def identify(self, http: HttpRequest) -> Caller:
        return self._gateway.identify(api_key(http), http)

    async def serve(self, http: HttpRequest, exchange: Exchange, voice: Voice, request: Request | None = None) -> None:
        """Every failure leaves in the voice's own words."""
        replay_key: tuple[str, str] | None = None
        payload_hash = ""
        conversation: Conversation | None = None
        gateway = self._gateway
        try:
            caller = self.identify(http)
            if (key := http.header(b"idempotency-key")) is not None:
                replay_key = (caller.tenant_id, key.decode("latin-1"))
                payload_hash = _payload_hash(http)
                replay = await gateway.replay(caller, replay_key[1], payload_hash)
                if replay is not None:
                    replay_key = None
                    exchange.send(replay.status, [*replay.headers, (b"idempotent-replayed", b"true")], replay.body)
                    return
            if request is None:
                request = voice.decode(http)
            conversation = await gateway.admit(caller, request, size_bytes=len(http.body))
            if gateway.spans is not None:
                conversation.trace_parent = trace_parent(http.header(b"traceparent"))
            if replay_key is not None:
                conversation.idempotency_key, conversation.payload_hash = replay_key[1], payload_hash
            await self._answer(http, exchange, voice, conversation, replay_key)
        except MintageError as error:
            fail(exchange, voice, error, conversation)
        finally:
            if replay_key is not None:  # a no-op once the answer was finished
                gateway.replays.abandon(*replay_key)

    async def _answer(
        self,
        http: HttpRequest,
        exchange: Exchange,
        voice: Voice,
        conversation: Conversation,
        replay_key: tuple[str, str] | None,
    ) -> None:
        exchange.on_disconnect = conversation.reader_left
        if exchange.disconnected:
            conversation.release("the reader left before dispatch")
            return

        def send(headers: Headers, body: bytes) -> None:
            if replay_key is not None:
                kept = Replay(200, [*headers, *voice.headers(conversation)], body)
                self._gateway.replays.finish(*replay_key, conversation.id, kept)
            exchange.send(200, [*headers, *voice.headers(conversation)], body)

        try:
            if not await self.passed(http, exchange, conversation, send):
                if conversation.request.stream:
                    await _stream(exchange, voice, conversation)
                else:
                    send(*await voice.respond(conversation))
        except asyncio.CancelledError:
            if not conversation.was_cut:
                raise
            fail(exchange, voice, cut_error(), conversation)
        if replay_key is not None and conversation.receipt is not None:
            self._gateway.replays.finish(*replay_key, conversation.id, None)

    async def passed(
        self, http: HttpRequest, exchange: Exchange, conversation: Conversation, send: Callable[[Headers, bytes], None]
    ) -> bool:
        """Whether a door has passed the bytes through, because engine and client speak one dialect."""
        return False


async def _stream(exchange: Exchange, voice: Voice, conversation: Conversation) -> None:
    encoder = voice.writing = voice.encoder(conversation)
    async with aclosing(conversation.events()) as events:
        async for event in events:
            data = encoder.encode(event)
            if not exchange.started:  # not before the engine has begun: until then a failure has its own status
                exchange.start(200, [*voice.stream_headers, *voice.headers(conversation)])
            if data:
                exchange.write(data)
            if exchange.paused:
                await exchange.drain()
    exchange.write(encoder.end())
    exchange.end()


def fail(exchange: Exchange, voice: Voice, error: MintageError, conversation: Conversation | None) -> None:
    """As a whole answer if nothing was sent yet; else as a last frame on a connection that is then cut."""
    if exchange.started:
        exchange.write(voice.writing.error(error) if voice.writing is not None else b"")
        exchange.cut()
        return
    exchange.send(*voice.error(error, conversation.id if conversation is not None else None))


def _payload_hash(http: HttpRequest) -> str:
    """Of the body and the path: one key for two operations is a conflict."""
    return hashlib.sha256(http.body).hexdigest()


async def embeddings(conversation: Conversation) -> tuple[list[bytes], UsageReported]:
    """One vector per text, in order, and what they used, settled. Raises upstream_failed if one is missing."""
    vectors: dict[int, bytes] = {}
    reported: UsageReported | None = None
    async for event in conversation.events():
        if isinstance(event, Embedding):
            vectors[event.choice] = event.vector
        elif isinstance(event, UsageReported):
            reported = event
    if reported is None or len(vectors) != len(conversation.request.prompts):
        raise MintageError("upstream_failed", "A vector is missing.", "Ask again.")
    return [vector for _, vector in sorted(vectors.items())], reported
