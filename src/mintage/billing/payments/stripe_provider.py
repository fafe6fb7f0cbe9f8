"""Stripe, by its official client: hosted checkout, saved methods, refunds, disputes, signed messages."""

from __future__ import annotations

from typing import Any, Final

from mintage.base import MintageError, currency_exponent
from mintage.billing.payments.provider import Asked, Charged, Notice, Opened

TIMEOUT_S: Final = 30.0
#: Where Stripe counts in other minor units than ISO 4217: https://docs.stripe.com/currencies#special-cases
_TWO_PLACES: Final = frozenset(("ISK", "UGX"))


def _unit(currency: str) -> int:
    """Nanos of what Stripe counts in."""
    places = 2 if currency in _TWO_PLACES else currency_exponent(currency)
    return int(10 ** (9 - places))


def to_minor_units(nanos: int, currency: str) -> int:
    """Raises invalid_request for less than a minor unit."""
    whole, rest = divmod(nanos, _unit(currency))
    if rest or whole <= 0:
        raise MintageError(
            "invalid_request", f"{currency} has no such small amounts.", "Round the amount.", param="amount"
        )
    return whole


def from_minor_units(units: int, currency: str) -> int:
    return units * _unit(currency)


class StripeProvider:
    """api_key and webhook_secret come from the vault. base_url is another address than Stripe's own, for tests."""

    name = "stripe"

    def __init__(self, api_key: str, webhook_secret: str, *, base_url: str | None = None) -> None:
        try:
            import stripe
        except ImportError as error:
            raise MintageError(
                "unsupported", "The Stripe client is not installed.", "pip install 'mintage[billing]'"
            ) from error
        self._stripe = stripe
        self._secret = webhook_secret
        self._client = stripe.StripeClient(
            api_key,
            base_addresses={"api": base_url} if base_url else {},
            max_network_retries=2,
            http_client=stripe.RequestsClient(timeout=TIMEOUT_S),
        )

    def _call(self, what: Any, *arguments: Any, key: str = "") -> Any:
        try:
            return what(*arguments, {"idempotency_key": key} if key else {})
        except self._stripe.CardError as error:
            raise MintageError(
                "invalid_request", f"The card was refused: {error.user_message}", "Use another."
            ) from error
        except self._stripe.InvalidRequestError as error:
            raise MintageError(
                "invalid_request", f"Stripe refused: {error.user_message or error}", "See Stripe's log."
            ) from error
        except self._stripe.StripeError as error:
            raise MintageError(
                "upstream_failed", f"Stripe could not be asked: {type(error).__name__}.", "It is tried again."
            ) from error

    def checkout(self, asked: Asked, *, success_url: str, cancel_url: str) -> Opened:
        metadata = {"order_id": asked.order_id, "tenant_id": asked.tenant_id}
        unit = {
            "currency": asked.currency.lower(),
            "unit_amount": to_minor_units(asked.amount_nanos, asked.currency),
            "product_data": {"name": asked.description},
        }
        params: dict[str, Any] = {
            "mode": "payment",
            "line_items": [{"quantity": 1, "price_data": unit}],
            "success_url": success_url,
            "cancel_url": cancel_url,
            "client_reference_id": asked.order_id,
            "metadata": metadata,
            "payment_intent_data": {"metadata": metadata, "setup_future_usage": "off_session"},
        }
        if asked.customer:
            params["customer"] = asked.customer
        else:
            params["customer_creation"] = "always"
            if asked.email:
                params["customer_email"] = asked.email
        session = self._call(self._client.v1.checkout.sessions.create, params, key=asked.order_id)
        return Opened(remote_id=session.id, url=session.url)

    def charge(self, asked: Asked, method: str) -> Charged:
        params = {
            "amount": to_minor_units(asked.amount_nanos, asked.currency),
            "currency": asked.currency.lower(),
            "customer": asked.customer,
            "payment_method": method,
            "off_session": True,
            "confirm": True,
            "description": asked.description,
            "metadata": {"order_id": asked.order_id, "tenant_id": asked.tenant_id},
        }
        intent = self._call(self._client.v1.payment_intents.create, params, key=asked.order_id)
        return Charged(reference=intent.id, paid=intent.status == "succeeded", problem=str(intent.status))

    def refund(self, reference: str, currency: str, amount_nanos: int, key: str) -> str:
        params = {"payment_intent": reference, "amount": to_minor_units(amount_nanos, currency)}
        return str(self._call(self._client.v1.refunds.create, params, key=key).id)

    def read(self, payload: bytes, signature: str) -> Notice:
        """Raises permission_denied for a signature that is wrong or old, invalid_json for what is no message."""
        try:
            event = self._stripe.Webhook.construct_event(payload, signature, self._secret)
        except self._stripe.SignatureVerificationError as error:
            raise MintageError(
                "permission_denied", "The message is not signed by Stripe.", "Check the webhook secret."
            ) from error
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            raise MintageError("invalid_json", "The message is no event of Stripe.", "It is not acted on.") from error
        try:
            return self._notice(event.id, event.type, event.to_dict()["data"]["object"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise MintageError("invalid_request", "The event lacks a field.", "Stripe's log shows it.") from error

    def _notice(self, event_id: str, type_: str, thing: dict[str, Any]) -> Notice:
        order_id = str((thing.get("metadata") or {}).get("order_id", ""))
        currency = str(thing.get("currency") or "").upper()
        match type_:
            case "checkout.session.completed" | "checkout.session.async_payment_succeeded":
                return Notice(
                    kind="paid" if thing.get("payment_status") == "paid" else "other",
                    order_id=order_id,
                    reference=str(thing.get("payment_intent") or ""),
                    remote_id=str(thing["id"]),
                    amount_nanos=from_minor_units(int(thing["amount_total"]), currency),
                    customer=str(thing.get("customer") or ""),
                    event_id=event_id,
                    type=type_,
                    currency=currency,
                )
            case "payment_intent.succeeded":
                return Notice(
                    kind="paid",
                    order_id=order_id,
                    reference=str(thing["id"]),
                    amount_nanos=from_minor_units(int(thing["amount_received"]), currency),
                    customer=str(thing.get("customer") or ""),
                    method=str(thing.get("payment_method") or ""),
                    event_id=event_id,
                    type=type_,
                    currency=currency,
                )
            case "payment_intent.payment_failed":
                problem = str((thing.get("last_payment_error") or {}).get("message") or "refused")
                return Notice(
                    kind="failed",
                    order_id=order_id,
                    reference=str(thing["id"]),
                    problem=problem,
                    event_id=event_id,
                    type=type_,
                    currency=currency,
                )
            case "charge.refunded":
                return Notice(
                    kind="refunded",
                    reference=str(thing["payment_intent"]),
                    amount_nanos=from_minor_units(int(thing["amount_refunded"]), currency),
                    event_id=event_id,
                    type=type_,
                    currency=currency,
                )
            case "charge.dispute.closed":
                return Notice(
                    kind="disputed" if thing.get("status") == "lost" else "other",
                    reference=str(thing["payment_intent"]),
                    remote_id=str(thing["id"]),
                    amount_nanos=from_minor_units(int(thing["amount"]), currency),
                    event_id=event_id,
                    type=type_,
                    currency=currency,
                )
        return Notice(kind="other", event_id=event_id, type=type_, currency=currency)
