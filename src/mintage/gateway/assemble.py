"""Building a snapshot: keys joined with plans and wallets, models joined with engines and costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final

import msgspec

from mintage.base import Cost, MintageError, Operation, Usage
from mintage.billing import KeyRecord, KeySnapshot
from mintage.engines import Capabilities, Engine
from mintage.gateway.attempts import RoutePlan, Target
from mintage.gateway.breaker import Breaker
from mintage.gateway.limits import KeyLimits
from mintage.gateway.scopes import Budget, Scope
from mintage.gateway.snapshot import Caller, Costing, Route, Snapshot
from mintage.pricing import CostBook, RateCard, compute_cost
from mintage.registry import ModelEntry

_SUSPENDED: Final = MintageError(
    "permission_denied", "This account is suspended.", "Ask your provider to open it again."
)
_PAUSED: Final = MintageError("permission_denied", "This account is paused.", "Ask your provider to resume it.")
_EXHAUSTED: Final = MintageError(
    "budget_exceeded", "What the plan includes in this period is used up.", "Upgrade, or wait for the next period."
)
_NO_PLAN: Final = MintageError(
    "permission_denied", "This account has no plan, so nothing has a price.", "Ask your provider for a plan."
)

#: What an operation uses, in the ways in which providers bill it: one of them has to have a price.
_PROBES: Final[dict[str, tuple[Usage, ...]]] = {
    "chat": (Usage(input_tokens=1, output_tokens=1),),
    "embedding": (Usage(input_tokens=1),),
    "moderation": (Usage(input_tokens=1),),
    "speech": (Usage(characters=1),),
    "transcription": (Usage(audio_ms=1000),),
}


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
        return msgspec.structs.replace(compute_cost(price_per_hour, engine_ms, currency), usage=usage)

    return cost


def provider_book(
    book: CostBook, provider: str, model: str, at_ns: int, operations: Iterable[Operation] = ("chat",)
) -> Costing:
    """The provider's own price. Raises unpriceable now, rather than when a request has to be settled."""
    for operation in operations:
        _check_priced(book, provider, model, _PROBES.get(operation, _PROBES["chat"]), at_ns)

    def cost(usage: Usage, engine_ms: float, at_ns: int) -> Cost:
        return book.cost(provider, model, usage, at_ns)

    return cost


def _check_priced(book: CostBook, provider: str, model: str, probes: tuple[Usage, ...], at_ns: int) -> None:
    """Raises unpriceable, if none of the ways to bill an operation has a price."""
    for number, probe in enumerate(probes, 1):
        try:
            book.cost(provider, model, probe, at_ns)
        except MintageError:
            if number == len(probes):
                raise
        else:
            return


def build_routes(
    offers: Iterable[Offer], own: Costing, book: CostBook, now_ns: int
) -> tuple[dict[str, Route], dict[str, MintageError]]:
    """Routes by public name, and the models that cannot be sold, with the reason."""
    sold: dict[str, Route] = {}
    refused: dict[str, MintageError] = {}
    for offer in offers:
        try:
            local = offer.engine.local
            capabilities = offer.engine.capabilities(offer.upstream_model)
            costing = (
                own
                if local
                else provider_book(book, offer.engine.name, offer.upstream_model, now_ns, capabilities.operations)
            )
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


def add_plans(
    sold: dict[str, Route],
    refused: dict[str, MintageError],
    entries: Iterable[ModelEntry],
    breakers: dict[str, Breaker],
) -> None:
    """Add the routes that have several upstreams, or several attempts, to what is sold.

    breakers is kept by the caller from snapshot to snapshot, so that a change of the desk closes none. A target that
    cannot be sold is left out; a route without any is refused with the reason.
    """
    for entry in entries:
        if (spec := entry.route) is None:
            continue
        targets = tuple(
            Target(sold[one.model], breakers.setdefault(one.model, Breaker()), one.weight)
            for one in spec.targets
            if one.model in sold and sold[one.model].plan is None
        )
        if not targets:
            refused[entry.name] = refused.get(spec.targets[0].model) or MintageError(
                "unavailable", "None of its models can be sold.", "`mintage models list` says why."
            )
            continue
        dialects = {target.route.engine.dialect for target in targets}
        plan = RoutePlan(spec, targets, dialects.pop() if len(dialects) == 1 else None)
        sold[entry.name] = dataclasses.replace(
            targets[0].route,
            model=entry.name,
            capabilities=_union([target.route.capabilities for target in targets]),
            created_s=entry.created_ns // 1_000_000_000,
            plan=plan,
        )


def _union(able: list[Capabilities]) -> Capabilities:
    """What at least one can do. None of a limit means that it is not known, so the union's is not either."""
    limits = {
        name: None if None in values else max(values)
        for name in ("context_tokens", "max_output_tokens")
        if (values := [getattr(one, name) for one in able])
    }
    flags = {
        name: any(getattr(one, name) for one in able)
        for name in ("tools", "json_object", "json_schema", "logprobs", "images", "audio")
    }
    return msgspec.structs.replace(
        able[0],
        operations=frozenset().union(*(one.operations for one in able)),
        n_max=max(one.n_max for one in able),
        top_logprobs_max=max(one.top_logprobs_max for one in able),
        exact_count=False,
        **limits,
        **flags,
    )


def build_snapshot(
    keys: KeySnapshot,
    cards: Mapping[str, RateCard],
    sold: dict[str, Route],
    limits: dict[str, KeyLimits],
    budgets: Mapping[str, Budget] = MappingProxyType({}),
) -> Snapshot:
    """limits and budgets are kept by the caller from snapshot to snapshot, so that a change of plan resets none."""
    callers: dict[bytes, Caller] = {}
    blocked: dict[bytes, MintageError] = {}
    for key in keys.keys:
        if key.suspended:
            blocked[key.digest] = _SUSPENDED
        elif key.paused:
            blocked[key.digest] = _PAUSED
        elif key.exhausted:
            blocked[key.digest] = _EXHAUSTED
        elif not key.price_id or not key.wallet_id:
            blocked[key.digest] = _NO_PLAN
        else:
            callers[key.digest] = _caller(key, cards[key.price_id], sold, limits, budgets)
    for key_id in limits.keys() - {caller.key_id for caller in callers.values()}:
        del limits[key_id]
    return Snapshot(keys.version, callers, sold, blocked)


def update_budgets(known: dict[str, Budget], keys: Iterable[KeyRecord], now_ns: int) -> list[Budget]:
    """Bring the budgets up to date with the keys; those whose spending has yet to be read."""
    wanted = {id_: (nanos, period) for key in keys for id_, nanos, period in key.budgets}
    for id_ in known.keys() - wanted.keys():
        del known[id_]
    for id_, (nanos, period) in wanted.items():
        if id_ in known:
            known[id_].change(nanos, period, now_ns)
        else:
            known[id_] = Budget(id_, nanos, period, now_ns)
    return [budget for budget in known.values() if not budget.known]


def _caller(
    key: KeyRecord,
    card: RateCard,
    sold: Mapping[str, Route],
    limits: dict[str, KeyLimits],
    budgets: Mapping[str, Budget],
) -> Caller:
    plan = card.policies.limits
    wanted = (
        key.requests_per_minute or plan.requests_per_minute,
        key.tokens_per_minute or plan.tokens_per_minute,
        plan.concurrent_requests,
    )
    known = limits.get(key.key_id)
    if known is None or (known.requests_per_minute, known.tokens_per_minute, known.concurrent) != wanted:
        known = limits[key.key_id] = KeyLimits(*wanted)
    features = card.policies.entitlements.features if key.features is None else key.features
    return Caller(
        key_id=key.key_id,
        tenant_id=key.tenant_id,
        project_id=key.project_id,
        wallet_id=key.wallet_id,
        currency=card.currency,
        card=card,
        policies=card.policies,
        limits=known,
        models=(models := _allowed(key, card, sold)),
        expires_ns=key.expires_ns,
        scope=Scope(key.endpoints, key.ip_ranges) if key.endpoints or key.ip_ranges else None,
        budgets=tuple(budgets[id_] for id_, _, _ in key.budgets) if key.budgets else (),
        credits=_credits(key, models) if key.credits else (),
        features=None if features is None else frozenset(features),
    )


def _allowed(key: KeyRecord, card: RateCard, sold: Mapping[str, Route]) -> frozenset[str]:
    """The models that the plan prices and includes, and the key allows."""
    names = {name for name in sold if card.sells(name)}
    entitled = card.policies.entitlements.models if key.entitled is None else key.entitled
    if entitled is not None:
        names = {name for name in names if any(fnmatchcase(name, pattern) for pattern in entitled)}
    if key.models:
        names = {name for name in names if any(fnmatchcase(name, pattern) for pattern in key.models)}
    return frozenset(names)


def _credits(key: KeyRecord, models: frozenset[str]) -> tuple[tuple[str, frozenset[str]], ...]:
    """Which of the caller's models each of its credits pays for."""
    found = []
    for credit in key.credits:
        if credit.products and "api" not in credit.products:
            continue
        fits = {name for name in models if any(fnmatchcase(name, pattern) for pattern in credit.models)}
        found.append((credit.wallet_id, frozenset(fits) if credit.models else models))
    return tuple(found)
