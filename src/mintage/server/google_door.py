"""The Google door: /v1beta/models/MODEL:generateContent and its sisters, and the same under /v1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

from mintage.base import Answer, MintageError, Request
from mintage.gateway import Conversation, Gateway
from mintage.protocols import google
from mintage.server.answering import EVENTS, JSON, Answering, Handling, Headers, Voice, embeddings
from mintage.server.dialects import ErrorParts, query_of
from mintage.server.exchange import Exchange, HttpRequest
from mintage.server.listener import Handler

_ARRAY: Final = (JSON, (b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))


class _GoogleVoice(Voice):
    def __init__(self, model: str) -> None:
        self._model = model

    def error(self, error: MintageError, request_id: str | None) -> ErrorParts:
        return google.encode_error(error, request_id)


class _Generate(_GoogleVoice):
    def __init__(self, model: str, *, stream: bool, sse: bool) -> None:
        super().__init__(model)
        self._stream = stream
        self._sse = sse

    @property
    def stream_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        return EVENTS if self._sse else _ARRAY

    def decode(self, http: HttpRequest) -> Request:
        return google.decode_generate(http.body, self._model, stream=self._stream)

    def encoder(self, conversation: Conversation) -> google.StreamEncoder:
        return google.StreamEncoder(conversation.request, id=conversation.id, model=self._model, sse=self._sse)

    def whole(self, conversation: Conversation, answer: Answer) -> bytes:
        return google.encode_answer(conversation.request, answer, id=conversation.id, model=self._model)


class _Embed(_GoogleVoice):
    def __init__(self, model: str, *, batch: bool) -> None:
        super().__init__(model)
        self._batch = batch

    def decode(self, http: HttpRequest) -> Request:
        return google.decode_embed(http.body, self._model, batch=self._batch)

    async def respond(self, conversation: Conversation) -> tuple[Headers, bytes]:
        vectors, reported = await embeddings(conversation)
        return [JSON], google.encode_embeddings(vectors, reported.usage, batch=self._batch)


class GoogleDoor:
    """Handlers for the HTTP server. Every failure leaves as Google's own error body."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._answering = Answering(gateway)
        self._verbs: Final[dict[str, Callable[[HttpRequest, Exchange, str], Handling]]] = {
            "generateContent": self._generate,
            "streamGenerateContent": self._stream,
            "countTokens": self._count,
            "embedContent": self._embed,
            "batchEmbedContents": self._embed_batch,
        }

    def prefixes(self, model: Handler) -> list[tuple[str, Handler]]:
        """model: what answers a GET of one model, in whatever dialect."""

        def dispatch(http: HttpRequest, exchange: Exchange) -> Handling:
            return self.call(http, exchange) if http.method == "POST" else model(http, exchange)

        return [("/v1/models/", dispatch), ("/v1beta/models/", dispatch)]

    def call(self, http: HttpRequest, exchange: Exchange) -> Handling:
        name, _, verb = unquote(http.path.partition("/models/")[2]).rpartition(":")
        handler = self._verbs.get(verb)
        if handler is None or not name:
            raise MintageError("not_found", "There is no such method.", f"It has {', '.join(self._verbs)}.")
        return handler(http, exchange, name)

    def _generate(self, http: HttpRequest, exchange: Exchange, model: str) -> Handling:
        return self._answering.serve(http, exchange, _Generate(model, stream=False, sse=False))

    def _stream(self, http: HttpRequest, exchange: Exchange, model: str) -> Handling:
        sse = query_of(http).get("alt") == "sse"
        return self._answering.serve(http, exchange, _Generate(model, stream=True, sse=sse))

    async def _count(self, http: HttpRequest, exchange: Exchange, model: str) -> None:
        caller = self._answering.identify(http)
        tokens = await self._gateway.count_tokens(caller, google.decode_count_body(http.body, model))
        exchange.send(200, [JSON], google.encode_count(tokens))

    def _embed(self, http: HttpRequest, exchange: Exchange, model: str) -> Handling:
        return self._answering.serve(http, exchange, _Embed(model, batch=False))

    def _embed_batch(self, http: HttpRequest, exchange: Exchange, model: str) -> Handling:
        return self._answering.serve(http, exchange, _Embed(model, batch=True))
