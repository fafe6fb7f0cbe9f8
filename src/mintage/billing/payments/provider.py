"""What a payment provider does, whoever it is. Its methods block: they run in threads."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's message, verified. reference: the payment's own id there; order_id: ours, as the provider keeps it.

    amount_nanos: of `paid` what was paid; of `refunded` all that was paid back so far; of `disputed` what was lost.
    """

    event_id: str
    kind: Literal["paid", "failed", "refunded", "disputed", "saved", "other"]
    type: str
    order_id: str = ""
    reference: str = ""
    remote_id: str = ""
    currency: str = ""
    amount_nanos: int = 0
    fee_nanos: int = 0
    customer: str = ""
    method: str = ""
    label: str = ""
    problem: str = ""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What to collect: the order's id is the idempotency key at the provider."""

    order_id: str
    tenant_id: str
    name: str
    email: str
    currency: str
    amount_nanos: int
    description: str
    customer: str = ""  # the provider's own id of the customer, if there is one already


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A page where the customer pays."""

    remote_id: str
    url: str


class Charged(msgspec.Struct, frozen=True, kw_only=True):
    reference: str
    paid: bool
    problem: str = ""


class Provider(Protocol):
    """Errors are MintageError: below 500 is a refusal; 502 and above mean that nobody knows, and it is asked again."""

    name: str

    def checkout(self, asked: Asked, *, success_url: str, cancel_url: str) -> Opened: ...

    def charge(self, asked: Asked, method: str) -> Charged: ...

    def refund(self, reference: str, currency: str, amount_nanos: int, key: str) -> str: ...

    def read(self, payload: bytes, signature: str) -> Notice: ...
