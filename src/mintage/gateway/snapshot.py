"""What the hot path knows: keys, plans and routes as one immutable snapshot, swapped whole when the desk changes it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mintage.base import Cost, MintageError, Usage
from mintage.engines import Capabilities, Engine
from mintage.gateway.limits import KeyLimits
from mintage.gateway.scopes import Budget, Scope
from mintage.pricing import Policies, RateCard

if TYPE_CHECKING:
    from mintage.gateway.attempts import RoutePlan

#: (usage, engine_ms, at_ns) -> what it cost us. Fixed when the snapshot is built, so that it cannot fail at settle.
Costing = Callable[[Usage, float, int], Cost]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as one key of one project. limits is the one mutable part: it outlives snapshots."""

    key_id: str
    tenant_id: str
    project_id: str
    wallet_id: str
    currency: str
    card: RateCard
    policies: Policies
    limits: KeyLimits
    models: frozenset[str] | None = None  # None: every model
    expires_ns: int | None = None
    product: str = "api"
    scope: Scope | None = None  # where from and for what; None: anything
    budgets: tuple[Budget, ...] = ()  # the key's own, its project's and its customer's
    credits: tuple[tuple[str, frozenset[str]], ...] = ()  # (wallet, models): they pay first, for what fits them
    features: frozenset[str] | None = None  # what requests may ask for beside text; None: anything


@dataclass(frozen=True, slots=True)
class Route:
    """One public model name and what answers for it; with a plan, the other fields are of its first target."""

    model: str
    engine: Engine
    upstream_model: str
    capabilities: Capabilities
    costing: Costing
    owner: str = "mintage"
    created_s: int = 0
    plan: RoutePlan | None = None  # several upstreams, or several attempts


@dataclass(frozen=True, slots=True)
class Snapshot:
    version: int = 0
    callers: dict[bytes, Caller] = field(default_factory=dict)  # by SHA-256 digest of the key
    routes: dict[str, Route] = field(default_factory=dict)
    blocked: dict[bytes, MintageError] = field(default_factory=dict)  # good keys that may buy nothing, and why

    def identify(self, key: bytes, now_ns: int) -> Caller:
        """The caller of a key. A digest is looked up, so timing tells nothing about the key itself."""
        digest = hashlib.sha256(key).digest()
        caller = self.callers.get(digest)
        if caller is None:
            if (reason := self.blocked.get(digest)) is not None:
                raise MintageError(reason.code, reason.message, reason.hint)
            raise MintageError(
                "unauthenticated", "The API key is not valid.", "Check it, or ask your provider for a new one."
            )
        if caller.expires_ns is not None and caller.expires_ns <= now_ns:
            raise MintageError("unauthenticated", "The API key has expired.", "Ask your provider for a new one.")
        return caller

    def route(self, caller: Caller, model: str) -> Route:
        """The route of a model that this caller may use; one it may not use looks like one that does not exist."""
        route = self.routes.get(model)
        if route is None or (caller.models is not None and model not in caller.models):
            raise MintageError(
                "model_not_found",
                f"The model {model[:80]!r} does not exist or is not open to this key.",
                "GET /v1/models lists what this key may use.",
                param="model",
            )
        return route

    def visible_routes(self, caller: Caller) -> list[Route]:
        return [r for r in self.routes.values() if caller.models is None or r.model in caller.models]
