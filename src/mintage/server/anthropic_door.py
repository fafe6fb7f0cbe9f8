"""The Anthropic door: /v1/messages, whole or streamed, and its count_tokens."""

from __future__ import annotations

from collections.abc import Mapping

from mintage.base import Answer, MintageError, Request
from mintage.gateway import Conversation, Gateway
from mintage.protocols import anthropic
from mintage.server.answering import JSON, Answering, Handling, Headers, Voice
from mintage.server.dialects import ErrorParts
from mintage.server.exchange import Exchange, HttpRequest
from mintage.server.listener import Handler
from mintage.server.receipts import receipt_headers

_BYTES_PER_TOKEN = 4  # a first guess for message_start, where no engine has counted; message_delta tells what is billed


class Messages(Voice):
    def decode(self, http: HttpRequest) -> Request:
        return anthropic.decode_messages_body(http.body)

    def encoder(self, conversation: Conversation) -> anthropic.StreamEncoder:
        counted = conversation.input_tokens
        return anthropic.StreamEncoder(
            conversation.request,
            id=_wire_id(conversation),
            model=conversation.request.model,
            input_tokens=conversation.prompt_bytes // _BYTES_PER_TOKEN if counted is None else counted,
        )

    def whole(self, conversation: Conversation, answer: Answer) -> bytes:
        return anthropic.encode_answer(
            conversation.request, answer, id=_wire_id(conversation), model=conversation.request.model
        )

    def error(self, error: MintageError, request_id: str | None) -> ErrorParts:
        return anthropic.encode_error(error, request_id)

    def headers(self, conversation: Conversation) -> Headers:
        return [(b"request-id", conversation.id.encode()), *receipt_headers(conversation)]


class AnthropicDoor:
    """Handlers for the HTTP server. Every failure leaves as Anthropic's own error body."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._answering = Answering(gateway)

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        return {
            ("POST", "/v1/messages"): self.messages,
            ("POST", "/v1/messages/count_tokens"): self.count,
        }

    def messages(self, http: HttpRequest, exchange: Exchange) -> Handling:
        return self._answering.serve(http, exchange, Messages())

    async def count(self, http: HttpRequest, exchange: Exchange) -> None:
        """Free: nothing is written. Exact where the model is ours, else the provider's count or an upper bound."""
        caller = self._answering.identify(http)
        tokens = await self._gateway.count_tokens(caller, anthropic.decode_count_body(http.body))
        exchange.send(200, [JSON], anthropic.encode_count(tokens))


def _wire_id(conversation: Conversation) -> str:
    return "msg" + conversation.id[3:]
