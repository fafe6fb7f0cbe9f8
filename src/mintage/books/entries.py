"""What the commit log records: one struct per kind of entry, written as a compact JSON array.

JSON, because amounts in attos pass 64 bits (19 units of a currency) and binary formats stop there; arrays, because
names would double the bytes. A kind may only grow: new fields go to the end and have a default, so that an
old log stays readable. Every body starts with at_ns, the wall clock of the moment it was accepted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from mintage.base import MintageError, Outcome, RatedLine, Receipt, Usage

Funding = Literal["prepaid", "promo", "postpaid"]
TopUpKind = Literal["cash", "promo"]


class WalletOpened(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="wallet"):
    """A wallet was opened, or its credit limit changed."""

    at_ns: int
    wallet_id: str
    tenant_id: str
    currency: str
    funding: Funding
    credit_limit_nanos: int


class ToppedUp(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="top_up"):
    """amount_nanos came in from (source, source_id), which is unique, or went out to it if below zero.

    balance_nanos is the balance afterwards.
    """

    at_ns: int
    wallet_id: str
    tenant_id: str
    currency: str
    amount_nanos: int
    funds: TopUpKind
    source: str
    source_id: str
    memo: str
    balance_nanos: int


class Held(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="hold"):
    """Funds set aside: the fields of base.Hold."""

    at_ns: int
    hold_id: str
    tenant_id: str
    wallet_id: str
    currency: str
    amount_nanos: int
    created_ns: int
    lease_until_ns: int
    key_id: str
    model: str


class CostPosted(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One attempt's cost: exact attos, and the whole nanos posted with the carry of (provider, price_id)."""

    provider: str
    price_id: str
    currency: str
    attos: int
    nanos: int
    usage: Usage
    engine_ms: float
    upstream_id: str = ""


class Settled(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="settle"):
    """The one terminal entry of a served request: usage, charge, costs and balance movement together.

    posted_nanos is the charge in whole nanos; the wallet moved by drawn_nanos = posted_nanos - shortfall_nanos.
    balance_nanos and held_nanos are the wallet's afterwards. replay_of names an earlier hold when this request turned
    out to repeat that hold's idempotency key: nothing is charged then, only costs are booked.
    """

    at_ns: int
    hold_id: str
    tenant_id: str
    project_id: str
    wallet_id: str
    key_id: str
    model: str
    product: str
    occurred_ns: int
    usage: Usage
    price_id: str
    currency: str
    attos: int
    lines: tuple[RatedLine, ...]
    costs: tuple[CostPosted, ...]
    hold_nanos: int
    posted_nanos: int
    shortfall_nanos: int
    balance_nanos: int
    held_nanos: int
    outcome: Outcome
    estimated: bool
    end_user: str | None
    operation: str
    latency_ms: float
    first_token_ms: float | None
    idempotency_key: str | None
    payload_hash: str
    replay_of: str = ""

    @property
    def drawn_nanos(self) -> int:
        return self.posted_nanos - self.shortfall_nanos

    def receipt(self, *, replayed: bool = False) -> Receipt:
        cost_nanos = 0
        for cost in self.costs:
            if cost.currency == self.currency:
                cost_nanos += cost.nanos
        return Receipt(
            hold_id=self.hold_id,
            posted_nanos=self.posted_nanos,
            cost_nanos=cost_nanos,
            currency=self.currency,
            balance_nanos=self.balance_nanos,
            held_nanos=self.held_nanos,
            shortfall_nanos=self.shortfall_nanos,
            replayed=replayed,
        )


class Released(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="release"):
    """The hold ended without a charge: the request was never dispatched, or failed at no cost."""

    at_ns: int
    hold_id: str
    tenant_id: str
    wallet_id: str
    amount_nanos: int
    reason: str


class Expired(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="expire"):
    """The hold outlived its lease: its process died. Nothing is charged."""

    at_ns: int
    hold_id: str
    tenant_id: str
    wallet_id: str
    amount_nanos: int


class UsageEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Usage that a customer or product reports itself. (tenant_id, source, id) is unique for ever.

    A correction is a new event whose supersedes names the id, within the same tenant and source, that it replaces.
    """

    tenant_id: str
    source: str
    id: str
    occurred_ns: int
    usage: Usage = Usage()
    project_id: str = ""
    wallet_id: str = ""
    key_id: str = ""
    model: str = ""
    product: str = ""
    end_user: str | None = None
    properties: dict[str, str] = {}
    supersedes: str | None = None


class Reported(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="event"):
    """A usage event was accepted."""

    at_ns: int
    event: UsageEvent


Body = WalletOpened | ToppedUp | Held | Settled | Released | Expired | Reported


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line of the log. seq counts from 1 without gaps."""

    seq: int
    body: Body

    @property
    def kind(self) -> str:
        """wallet, top_up, hold, settle, release, expire or event."""
        tag = self.body.__struct_config__.tag
        return str(tag)

    @property
    def at_ns(self) -> int:
        return self.body.at_ns


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(list[Body])


def encode_frame(bodies: Sequence[Body]) -> bytes:
    """One commit's bodies as JSON, in order."""
    return _ENCODER.encode(bodies)


def decode_frame(raw: bytes) -> list[Body]:
    """The inverse of encode_frame. Raises MintageError("internal") when the bytes are not a frame."""
    try:
        return _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MintageError("internal", f"The commit log holds an unreadable frame: {error}.") from error


def number(bodies: Sequence[Body], first_seq: int) -> Iterator[Entry]:
    return map(Entry, range(first_seq, first_seq + len(bodies)), bodies)
