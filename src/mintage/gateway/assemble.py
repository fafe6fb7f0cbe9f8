"""Building a snapshot: keys joined with plans and wallets, models joined with engines and costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fnmatch import fnmatchcase

import msgspec

from mintage.base import Cost, MintageError, Usage
from mintage.engines import Engine
from mintage.gateway.limits import KeyLimits
from mintage.gateway.snapshot import Caller, Costing, Route, Snapshot
from mintage.pricing import CostBook, RateCard, compute_cost


class KeyTerms(msgspec.Struct, frozen=True, kw_only=True):
    """One usable key with everything that its requests need. models: name patterns; empty means all."""

    digest: bytes
    key_id: str
    tenant_id: str
    project_id: str
    wallet_id: str
    price_id: str
    models: tuple[str, ...] = ()
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    expires_ns: int | None = None


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """One model that is for sale: its public name, the engine that answers and the name it has there."""

    model: str
    engine: Engine
    upstream_model: str
    owner: str
    created_s: int


def own_compute(price_per_hour: Decimal, currency: str) -> Costing:
    """The engine's share of an hour of this machine."""

    def cost(usage: Usage, engine_ms: float, at_ns: int) -> Cost:
        return compute_cost(price_per_hour, engine_ms, currency, usage=usage)

    return cost


def provider_book(book: CostBook, provider: str, model: str, at_ns: int) -> Costing:
    """The provider's own price. Raises unpriceable now, rather than when a request has to be settled."""
    book.cost(provider, model, Usage(input_tokens=1, output_tokens=1), at_ns)

    def cost(usage: Usage, engine_ms: float, at_ns: int) -> Cost:
        return book.cost(provider, model, usage, at_ns)

    return cost


def routes(
    offers: Iterable[Offer], own: Costing, book: CostBook, now_ns: int
) -> tuple[dict[str, Route], dict[str, MintageError]]:
    """Routes by public name, and the models that cannot be sold, with the reason."""
    sold: dict[str, Route] = {}
    refused: dict[str, MintageError] = {}
    for offer in offers:
        try:
            local = offer.engine.local
            costing = own if local else provider_book(book, offer.engine.name, offer.upstream_model, now_ns)
            capabilities = offer.engine.capabilities(offer.upstream_model)
        except MintageError as error:
            refused[offer.model] = error
            continue
        sold[offer.model] = Route(
            model=offer.model,
            engine=offer.engine,
            upstream_model=offer.upstream_model,
            capabilities=capabilities,
            costing=costing,
            owner=offer.owner,
            created_s=offer.created_s,
        )
    return sold, refused


def snapshot(
    version: int,
    keys: Iterable[KeyTerms],
    cards: Mapping[str, RateCard],
    sold: dict[str, Route],
    limits: dict[str, KeyLimits],
) -> Snapshot:
    """limits is kept by the caller from snapshot to snapshot, so that a change of plan resets no window."""
    callers: dict[bytes, Caller] = {}
    live: set[str] = set()
    for key in keys:
        card = cards[key.price_id]
        plan = card.policies.limits
        per_minute = (
            key.requests_per_minute or plan.requests_per_minute,
            key.tokens_per_minute or plan.tokens_per_minute,
        )
        known = limits.get(key.key_id)
        if known is None or (known.requests_per_minute, known.tokens_per_minute) != per_minute:
            known = limits[key.key_id] = KeyLimits(*per_minute)
        live.add(key.key_id)
        callers[key.digest] = Caller(
            key_id=key.key_id,
            tenant_id=key.tenant_id,
            project_id=key.project_id,
            wallet_id=key.wallet_id,
            currency=card.currency,
            card=card,
            policies=card.policies,
            limits=known,
            models=_allowed(key, card, sold),
            expires_ns=key.expires_ns,
        )
    for key_id in limits.keys() - live:
        del limits[key_id]
    return Snapshot(version, callers, sold)


def _allowed(key: KeyTerms, card: RateCard, sold: Mapping[str, Route]) -> frozenset[str] | None:
    """The models that the plan prices and the key allows."""
    names = {name for name in sold if card.sells(name)}
    if key.models:
        names = {name for name in names if any(fnmatchcase(name, pattern) for pattern in key.models)}
    return frozenset(names)
