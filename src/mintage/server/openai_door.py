"""The OpenAI door: /v1/chat/completions, /v1/completions, and the receipts of what they cost.

Where engine and client speak this one dialect, bytes pass through on callbacks; the rest is answering.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar
from urllib.parse import unquote

import msgspec

from mintage.base import Answer, MintageError, Request
from mintage.gateway import Conversation, trace_parent
from mintage.protocols import openai
from mintage.server.answering import EVENTS, JSON, Answering, Handling, Headers, Voice
from mintage.server.dialects import ErrorParts, api_key
from mintage.server.exchange import Exchange, HttpRequest
from mintage.server.listener import Handler
from mintage.server.receipts import answer_lines, receipt_headers, receipt_json


class OpenAIVoice(Voice):
    """What every operation of this dialect has in common."""

    def error(self, error: MintageError, request_id: str | None) -> ErrorParts:
        return openai.encode_error(error, request_id)


class _Written(OpenAIVoice):
    """Chat and completions."""

    read: ClassVar[staticmethod[[bytes], Request]]

    def decode(self, http: HttpRequest) -> Request:
        return type(self).read(http.body)

    def encoder(self, conversation: Conversation) -> openai.StreamEncoder:
        return openai.StreamEncoder(
            conversation.request,
            id=_wire_id(conversation),
            created_s=conversation.started_ns // 1_000_000_000,
            model=conversation.request.model,
        )

    def whole(self, conversation: Conversation, answer: Answer) -> bytes:
        created_s = conversation.started_ns // 1_000_000_000
        return openai.encode_answer(conversation.request, answer, id=_wire_id(conversation), created_s=created_s)


class Chat(_Written):
    read = staticmethod(openai.decode_chat)


class Completion(_Written):
    read = staticmethod(openai.decode_completion)


class OpenAIDoor(Answering):
    """Handlers for the HTTP server. Every failure leaves as OpenAI's own error body."""

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        return {
            ("POST", "/v1/chat/completions"): self.chat,
            ("POST", "/v1/completions"): self.completions,
        }

    def prefixes(self) -> list[tuple[str, Handler]]:
        return [("/v1/receipts/", self.receipt)]

    def chat(self, http: HttpRequest, exchange: Exchange) -> Handling:
        return self._take(http, exchange, Chat)

    def completions(self, http: HttpRequest, exchange: Exchange) -> Handling:
        return self._take(http, exchange, Completion)

    def receipt(self, http: HttpRequest, exchange: Exchange) -> None:
        """What one request used and cost, for the project that made it and nobody else."""
        caller = self.identify(http)
        request_id = unquote(http.path.removeprefix("/v1/receipts/"))
        exchange.send(200, [JSON], msgspec.json.encode(receipt_json(self._gateway.log, caller, request_id)))

    def _take(self, http: HttpRequest, exchange: Exchange, voice: type[_Written]) -> Handling:
        """What can pass through as bytes does so on callbacks, at once; the rest becomes a task."""
        if http.header(b"idempotency-key") is not None:
            return self.serve(http, exchange, voice())
        gateway = self._gateway
        caller = gateway.identify(api_key(http), http)
        request = voice.read(http.body)
        if not gateway.relays(caller, request.model, openai.DIALECT):
            return self.serve(http, exchange, voice(), request)
        conversation, durable = gateway.admit_relay(caller, request, size_bytes=len(http.body))
        if gateway.spans is not None:
            conversation.trace_parent = trace_parent(http.header(b"traceparent"))
        exchange.on_disconnect = conversation.reader_left
        conversation.relay(http.body, _output(exchange, conversation), durable)
        return None

    async def passed(
        self, http: HttpRequest, exchange: Exchange, conversation: Conversation, send: Callable[[Headers, bytes], None]
    ) -> bool:
        """Bytes through, as in _take, for a request whose idempotency key had to be looked up first."""
        if not self._gateway.relays(conversation.caller, conversation.request.model, openai.DIALECT):
            return False
        conversation.relay(http.body, _output(exchange, conversation, send))
        await conversation.ended
        return True


class _WholeOutput:
    """The client's side of a relayed answer. paused, begin and write are for streams."""

    __slots__ = ("_conversation", "_exchange", "_send")
    paused = False

    def __init__(
        self, exchange: Exchange, conversation: Conversation, send: Callable[[Headers, bytes], None] | None
    ) -> None:
        self._exchange = exchange
        self._conversation = conversation
        self._send = send

    def begin(self) -> None: ...

    def write(self, data: bytes) -> None: ...

    def finish(self, data: bytes) -> None:
        if self._send is None:
            self._exchange.send(200, answer_lines(self._conversation), data)
        else:
            self._send([JSON], data)

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
        self._exchange.start(200, [*EVENTS, *receipt_headers(self._conversation)])
        self._exchange.on_writable = self._conversation.resume

    def finish(self, data: bytes) -> None:
        self._exchange.write(data)
        self._exchange.end()

    def fail(self, error: MintageError) -> None:
        _send_error(self._exchange, error, self._conversation)


def _output(
    exchange: Exchange, conversation: Conversation, send: Callable[[Headers, bytes], None] | None = None
) -> _WholeOutput | _StreamOutput:
    if conversation.request.stream:
        return _StreamOutput(exchange, conversation)
    return _WholeOutput(exchange, conversation, send)


def _wire_id(conversation: Conversation) -> str:
    prefix = "chatcmpl" if conversation.request.operation == "chat" else "cmpl"
    return prefix + conversation.id[3:].replace("_", "-")


def _send_error(exchange: Exchange, error: MintageError, conversation: Conversation) -> None:
    """As a whole answer if nothing was sent yet; else as a last frame on a connection that is then cut."""
    if exchange.started:
        exchange.write(openai.error_frame(error))
        exchange.cut()
        return
    exchange.send(*openai.encode_error(error, conversation.id))
