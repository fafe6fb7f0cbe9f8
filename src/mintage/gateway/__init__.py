"""One request's life: identify, shape, limit, hold, answer, settle.

In: a key and a canonical Request. Out: a Conversation, whose events end after its settlement is durable.
Whatever costs money comes through here: the doors of the server, products, the playground.
Start with gateway.py (admission), then conversation.py (answer and settlement), then relay.py (bytes through).
"""

from mintage.gateway.assemble import (
    Offer,
    add_plans,
    build_routes,
    build_snapshot,
    own_compute,
    provider_book,
    update_budgets,
)
from mintage.gateway.attempts import AttemptRecord, RoutePlan, Target
from mintage.gateway.breaker import Breaker, BreakerRules
from mintage.gateway.conversation import Conversation
from mintage.gateway.gateway import Gateway
from mintage.gateway.idempotency import Replay, ReplayStore
from mintage.gateway.keep import Keeper
from mintage.gateway.limits import Gcra, KeyLimits
from mintage.gateway.meters import LATENCY_EDGES_MS, GatewayMeters, ModelMeters
from mintage.gateway.relay import RelayOutput, cut_error
from mintage.gateway.request_log import RequestLog
from mintage.gateway.scopes import Budget, Origin, Scope, client_address
from mintage.gateway.snapshot import Caller, Costing, Route, Snapshot
from mintage.gateway.spans import SpanSink, TraceParent, trace_parent

__all__ = [
    "LATENCY_EDGES_MS",
    "AttemptRecord",
    "Breaker",
    "BreakerRules",
    "Budget",
    "Caller",
    "Conversation",
    "Costing",
    "Gateway",
    "GatewayMeters",
    "Gcra",
    "Keeper",
    "KeyLimits",
    "ModelMeters",
    "Offer",
    "Origin",
    "RelayOutput",
    "Replay",
    "ReplayStore",
    "RequestLog",
    "Route",
    "RoutePlan",
    "Scope",
    "Snapshot",
    "SpanSink",
    "Target",
    "TraceParent",
    "add_plans",
    "build_routes",
    "build_snapshot",
    "client_address",
    "cut_error",
    "own_compute",
    "provider_book",
    "trace_parent",
    "update_budgets",
]
