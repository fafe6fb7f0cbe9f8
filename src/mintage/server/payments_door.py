"""POST /webhooks/stripe: a payment provider's signed messages. There is no key: the signature says who speaks.

Anything but 200 makes the provider send the message again. A message that is refused for good (it names no order of
ours, another amount) is answered 200 with its outcome, for it would be refused for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from mintage.base import MintageError
from mintage.billing.payments import Payments
from mintage.server.exchange import Exchange, HttpRequest
from mintage.server.listener import Handler, plain_error

BODY_MAX_BYTES: Final = 1 << 20
_JSON: Final = [(b"content-type", b"application/json")]


class PaymentsDoor:
    def __init__(self, payments: Payments) -> None:
        self._payments = payments

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        return {("POST", "/webhooks/stripe"): self.stripe}

    async def stripe(self, http: HttpRequest, exchange: Exchange) -> None:
        try:
            if len(http.body) > BODY_MAX_BYTES:
                raise MintageError("payload_too_large", "No provider's message is that large.", "It is not acted on.")
            signature = (http.header(b"stripe-signature") or b"").decode("latin-1")
            outcome = await self._payments.notice("stripe", bytes(http.body), signature)
        except MintageError as error:
            exchange.send(*plain_error(error, http))
            return
        exchange.send(200, _JSON, msgspec.json.encode({"outcome": outcome}))
