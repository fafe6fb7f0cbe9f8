"""The OpenAI door: /v1/chat/completions, /v1/completions, /v1/models, and the receipts of what they cost."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from mintage.base import MintageError, Request
from mintage.gateway import Caller, Conversation, Gateway, Replay, cut_error
from mintage.protocols import openai
from mintage.server.exchange import Exchange, HttpRequest
from mintage.server.listener import Handler
from mintage.server.receipts import answer_lines, receipt_headers, receipt_json

_JSON: Final = (b"content-type", b"application/json")
_EVENTS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # a proxy that gathers events would make a stream useless
)
Decode = Callable[[bytes], Request]
Send = Callable[[Exchange, Conversation, bytes], None]
Handling = Coroutine[Any, Any, None] | None


class OpenAIDoor:
    """Handlers for the HTTP server. Every failure leaves as OpenAI's own error body."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        return {
            ("POST", "/v1/chat/completions"): self.chat,
            ("POST", "/v1/completions"): self.completions,
            ("GET", "/v1/models"): self.models,
        }

    def prefixes(self) -> list[tuple[str, Handler]]:
        return [("/v1/models/", self.model), ("/v1/receipts/", self.receipt)]

    def chat(self, http: HttpRequest, exchange: Exchange) -> Handling:
        return self._take(http, exchange, openai.decode_chat)

    def completions(self, http: HttpRequest, exchange: Exchange) -> Handling:
        return self._take(http, exchange, openai.decode_completion)

    def models(self, http: HttpRequest, exchange: Exchange) -> None:
        caller = self._identify(http)
        routes = self._gateway.snapshot.visible_routes(caller)
        exchange.send(200, [_JSON], openai.encode_models([(r.model, r.created_s, r.owner) for r in routes]))

    def model(self, http: HttpRequest, exchange: Exchange) -> None:
        caller = self._identify(http)
        route = self._gateway.snapshot.route(caller, unquote(http.path.removeprefix("/v1/models/")))
        exchange.send(200, [_JSON], openai.encode_model(route.model, route.created_s, route.owner))

    def receipt(self, http: HttpRequest, exchange: Exchange) -> None:
        """What one request used and cost, for the project that made it and nobody else."""
        caller = self._identify(http)
        request_id = unquote(http.path.removeprefix("/v1/receipts/"))
        exchange.send(200, [_JSON], msgspec.json.encode(receipt_json(self._gateway.log, caller, request_id)))

    # One request

    def _take(self, http: HttpRequest, exchange: Exchange, decode: Decode) -> Handling:
        """What can pass through as bytes does so on callbacks, at once; the rest becomes a task."""
        if http.header(b"idempotency-key") is not None:
            return self._serve(http, exchange, decode)
        caller = self._identify(http)
        request = decode(http.body)
        gateway = self._gateway
        if not gateway.relays(caller, request.model, openai.DIALECT):
            return self._serve(http, exchange, decode, request)
        conversation, durable = gateway.admit_relay(caller, request, size_bytes=len(http.body))
        exchange.on_disconnect = conversation.reader_left
        conversation.relay(http.body, _output(exchange, conversation, self._send), durable)
        return None

    async def _serve(
        self, http: HttpRequest, exchange: Exchange, decode: Decode, request: Request | None = None
    ) -> None:
        replay_key: tuple[str, str] | None = None
        payload_hash = ""
        conversation: Conversation | None = None
        try:
            caller = self._identify(http)
            if (key := http.header(b"idempotency-key")) is not None:
                replay_key = (caller.tenant_id, key.decode("latin-1"))
                payload_hash = hashlib.sha256(http.body).hexdigest()
                replay = await self._gateway.replay(caller, replay_key[1], payload_hash)
                if replay is not None:
                    replay_key = None
                    exchange.send(replay.status, [*replay.headers, (b"idempotent-replayed", b"true")], replay.body)
                    return
            if request is None:
                request = decode(http.body)
            conversation = await self._gateway.admit(caller, request, size_bytes=len(http.body))
            if replay_key is not None:
                conversation.idempotency_key, conversation.payload_hash = replay_key[1], payload_hash
            await self._answer(http, exchange, conversation, replay_key)
        except MintageError as error:
            _send_error(exchange, error, conversation)
        finally:
            if replay_key is not None:  # a no-op once the answer was finished
                self._gateway.replays.abandon(*replay_key)

    def _identify(self, http: HttpRequest) -> Caller:
        return self._gateway.identify(bearer_key(http))

    async def _answer(
        self, http: HttpRequest, exchange: Exchange, conversation: Conversation, replay_key: tuple[str, str] | None
    ) -> None:
        exchange.on_disconnect = conversation.reader_left
        if exchange.disconnected:
            conversation.release("the reader left before dispatch")
            return
        try:
            if self._gateway.relays(conversation.caller, conversation.request.model, openai.DIALECT):
                await self._relay(http.body, exchange, conversation, replay_key)
            elif conversation.request.stream:
                await self._stream(exchange, conversation)
            else:
                await self._whole(exchange, conversation, replay_key)
        except asyncio.CancelledError:
            if not conversation.was_cut:
                raise
            _send_error(exchange, cut_error(), conversation)
        if replay_key is not None and conversation.receipt is not None:
            self._gateway.replays.finish(*replay_key, conversation.id, None)

    async def _stream(self, exchange: Exchange, conversation: Conversation) -> None:
        encoder = openai.StreamEncoder(
            conversation.request,
            id=_wire_id(conversation),
            created_s=conversation.started_ns // 1_000_000_000,
            model=conversation.request.model,
        )
        async with aclosing(conversation.events()) as events:
            async for event in events:
                if not exchange.started:  # not before the engine has begun: until then a failure has its own status
                    exchange.start(200, [*_EVENTS, *receipt_headers(conversation)])
                if data := encoder.encode(event):
                    exchange.write(data)
                if exchange.paused:
                    await exchange.drain()
        exchange.write(encoder.end())
        exchange.end()

    async def _whole(self, exchange: Exchange, conversation: Conversation, replay_key: tuple[str, str] | None) -> None:
        answer = await conversation.answer()
        body = openai.encode_answer(
            conversation.request, answer, id=_wire_id(conversation), created_s=conversation.started_ns // 1_000_000_000
        )
        self._send(exchange, conversation, body, replay_key)

    async def _relay(
        self, raw: bytes, exchange: Exchange, conversation: Conversation, replay_key: tuple[str, str] | None
    ) -> None:
        """Bytes through, as in _take, for a request whose idempotency key had to be looked up first."""
        conversation.relay(raw, _output(exchange, conversation, partial(self._send, replay_key=replay_key)))
        await conversation.ended

    def _send(
        self,
        exchange: Exchange,
        conversation: Conversation,
        body: bytes,
        replay_key: tuple[str, str] | None = None,
    ) -> None:
        if replay_key is not None:
            headers = [_JSON, *receipt_headers(conversation)]
            self._gateway.replays.finish(*replay_key, conversation.id, Replay(200, headers, body))
        exchange.send(200, answer_lines(conversation), body)


class _WholeOutput:
    """The client's side of a relayed answer. paused, begin and write are for streams."""

    __slots__ = ("_conversation", "_exchange", "_send")
    paused = False

    def __init__(self, exchange: Exchange, conversation: Conversation, send: Send) -> None:
        self._exchange = exchange
        self._conversation = conversation
        self._send = send

    def begin(self) -> None: ...

    def write(self, data: bytes) -> None: ...

    def finish(self, data: bytes) -> None:
        self._send(self._exchange, self._conversation, data)

    def fail(self, error: MintageError) -> None:
        _send_error(self._exchange, error, self._conversation)


class _StreamOutput:
    """The client's side of a relayed stream."""

    __slots__ = ("_conversation", "_exchange", "write")

    def __init__(self, exchange: Exchange, conversation: Conversation) -> None:
        self._exchange = exchange
        self._conversation = conversation
        self.write = exchange.write

    @property
    def paused(self) -> bool:
        return self._exchange.paused

    def begin(self) -> None:
        self._exchange.start(200, [*_EVENTS, *receipt_headers(self._conversation)])
        self._exchange.on_writable = self._conversation.resume

    def finish(self, data: bytes) -> None:
        self._exchange.write(data)
        self._exchange.end()

    def fail(self, error: MintageError) -> None:
        _send_error(self._exchange, error, self._conversation)


def _output(exchange: Exchange, conversation: Conversation, send: Send) -> _WholeOutput | _StreamOutput:
    if conversation.request.stream:
        return _StreamOutput(exchange, conversation)
    return _WholeOutput(exchange, conversation, send)


def bearer_key(http: HttpRequest) -> bytes:
    """The key of `Authorization: Bearer KEY`. Raises unauthenticated."""
    value = http.header(b"authorization")
    if value is None or value[:7].lower() != b"bearer " or not value[7:].strip():
        raise MintageError(
            "unauthenticated",
            "No API key was sent.",
            "Send it as the header `Authorization: Bearer YOUR_KEY`.",
        )
    return value[7:].strip()


def _wire_id(conversation: Conversation) -> str:
    prefix = "chatcmpl" if conversation.request.operation == "chat" else "cmpl"
    return prefix + conversation.id[3:].replace("_", "-")


def _send_error(exchange: Exchange, error: MintageError, conversation: Conversation | None) -> None:
    """As a whole answer if nothing was sent yet; else as a last frame on a connection that is then cut."""
    if exchange.started:
        exchange.write(openai.error_frame(error))
        exchange.cut()
        return
    request_id = conversation.id if conversation is not None else None
    status, headers, body = openai.encode_error(error, request_id)
    exchange.send(status, headers, body)
