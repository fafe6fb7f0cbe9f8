"""POST /v1/events: usage that a customer's own systems report, with the customer's key. One event, many, or CSV."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from mintage.base import MintageError
from mintage.billing import EventIntake
from mintage.gateway import Gateway
from mintage.server.dialects import api_key
from mintage.server.exchange import Exchange, HttpRequest
from mintage.server.listener import Handler, plain_error

_JSON: Final = [(b"content-type", b"application/json")]


class EventsDoor:
    """A failure is {"error": {"code", "message", "hint", "param", "details"}}: nothing of that body was recorded."""

    def __init__(self, gateway: Gateway, intake: EventIntake) -> None:
        self._gateway = gateway
        self._intake = intake

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        return {("POST", "/v1/events"): self.record}

    async def record(self, http: HttpRequest, exchange: Exchange) -> None:
        try:
            caller = self._gateway.identify(api_key(http), http)
            media = (http.header(b"content-type") or b"").decode("latin-1")
            recorded = await self._intake.record(
                http.body, media, tenant_id=caller.tenant_id, project_id=caller.project_id
            )
        except MintageError as error:
            status, headers, _ = plain_error(error, http)
            exchange.send(status, headers, _error_body(error))
            return
        exchange.send(200, _JSON, msgspec.json.encode(recorded))


def _error_body(error: MintageError) -> bytes:
    shown = {"code": error.code, "message": error.message, "hint": error.hint, "param": error.param}
    return msgspec.json.encode({"error": {**shown, "details": error.details}})
