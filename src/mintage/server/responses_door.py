"""OpenAI's responses: POST /v1/responses, whole or streamed, and its count of input tokens."""

from __future__ import annotations

from collections.abc import Mapping

from mintage.base import Answer, MintageError, Request
from mintage.gateway import Conversation, Gateway
from mintage.protocols.openai import responses
from mintage.server.answering import JSON, Answering, Handling
from mintage.server.exchange import Exchange, HttpRequest
from mintage.server.listener import Handler
from mintage.server.openai_door import OpenAIVoice


class ResponseVoice(OpenAIVoice):
    def __init__(self) -> None:
        self._repeated: dict[str, object] = {}

    def decode(self, http: HttpRequest) -> Request:
        request, self._repeated = responses.decode_response_body(http.body)
        return request

    def encoder(self, conversation: Conversation) -> responses.StreamEncoder:
        return responses.StreamEncoder(self._frame(conversation))

    def whole(self, conversation: Conversation, answer: Answer) -> bytes:
        return responses.encode_response(self._frame(conversation), answer)

    def _frame(self, conversation: Conversation) -> responses.Frame:
        return responses.Frame(
            conversation.request,
            self._repeated,
            id="resp" + conversation.id[3:],
            created_s=conversation.started_ns // 1_000_000_000,
            model=conversation.request.model,
        )


class ResponsesDoor:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._answering = Answering(gateway)

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        return {("POST", "/v1/responses"): self.respond, ("POST", "/v1/responses/input_tokens"): self.count}

    def prefixes(self) -> list[tuple[str, Handler]]:
        return [("/v1/responses/", self.kept)]

    def respond(self, http: HttpRequest, exchange: Exchange) -> Handling:
        return self._answering.serve(http, exchange, ResponseVoice())

    async def count(self, http: HttpRequest, exchange: Exchange) -> None:
        caller = self._answering.identify(http)
        tokens = await self._gateway.count_tokens(caller, responses.decode_response_count(http.body))
        exchange.send(200, [JSON], responses.encode_response_count(tokens))

    def kept(self, http: HttpRequest, exchange: Exchange) -> None:
        """Responses are answered and forgotten: what a customer's users say is theirs."""
        self._answering.identify(http)
        raise MintageError("not_found", "There is no such response: none is kept.", "Keep the answer you were sent.")
