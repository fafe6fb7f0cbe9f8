"""The nouns between pricing, the books and billing: a hold, a charge, a cost, a settlement.

They are plain data so that rooms of one floor need not know each other.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from mintage.base.usage import Usage


class RatedLine(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """quantity of one meter at one rate. attos = exact amount in 1e-18 currency units.

    array_like: the commit log stores lines as they are, without names.
    """

    meter: str
    quantity: int
    rate_attos: int
    attos: int


class Charge(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one request costs the customer, exact. price_id names the immutable price version it was rated by."""

    price_id: str
    currency: str
    attos: int
    lines: tuple[RatedLine, ...] = ()


class Cost(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one attempt cost us. provider is an upstream's name, or `own` for our own compute."""

    provider: str
    price_id: str
    currency: str
    attos: int
    usage: Usage = Usage()
    engine_ms: float = 0.0
    upstream_id: str = ""  # the provider's own id of the request, for reconciliation


class Hold(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Funds set aside before dispatch: an upper bound of the charge. Its id is the request's id."""

    id: str
    tenant_id: str
    wallet_id: str
    currency: str
    amount_nanos: int
    created_ns: int
    lease_until_ns: int  # wall clock; after it the sweeper resolves the hold
    key_id: str = ""
    model: str = ""


Outcome = Literal["ok", "cut", "failed"]


class Settlement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The one terminal record of a request: usage, charge and costs, posted together or not at all."""

    hold_id: str
    tenant_id: str
    project_id: str
    wallet_id: str
    key_id: str
    model: str
    product: str  # "api" for plain API traffic
    occurred_ns: int
    usage: Usage
    charge: Charge
    costs: tuple[Cost, ...] = ()
    outcome: Outcome = "ok"
    estimated: bool = False
    end_user: str | None = None
    operation: str = "chat"
    latency_ms: float = 0.0
    first_token_ms: float | None = None
    idempotency_key: str | None = None
    payload_hash: str = ""


class Receipt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the books answered to a settlement. posted_nanos is the integer part, with the carried remainder."""

    hold_id: str
    posted_nanos: int
    cost_nanos: int
    currency: str
    balance_nanos: int  # spendable money of the wallet afterwards: balance, without open holds deducted
    held_nanos: int
    shortfall_nanos: int = 0  # the part of the charge that a prepaid wallet could not pay
    replayed: bool = False  # the hold was settled before: this is the first result again
