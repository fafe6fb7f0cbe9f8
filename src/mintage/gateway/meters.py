"""What the gateway counts about itself, as plain integers: an update costs nanoseconds, and /metrics reads them."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mintage.gateway.conversation import Conversation

#: Upper edges of the latency histograms in milliseconds.
LATENCY_EDGES_MS: Final = (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000)
_MODELS_LIMIT: Final = 512


class ModelMeters:
    """Counts of one model's settled requests."""

    __slots__ = (
        "charge_nanos",
        "cost_nanos",
        "first_token_ms_buckets",
        "first_token_ms_sum",
        "input_tokens",
        "latency_ms_buckets",
        "latency_ms_sum",
        "output_tokens",
        "requests",
    )

    def __init__(self) -> None:
        self.requests = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.charge_nanos = 0
        self.cost_nanos = 0
        self.latency_ms_sum = 0.0
        self.latency_ms_buckets = [0] * (len(LATENCY_EDGES_MS) + 1)
        self.first_token_ms_sum = 0.0
        self.first_token_ms_buckets = [0] * (len(LATENCY_EDGES_MS) + 1)


class GatewayMeters:
    """Monotonic since the process started. A restart begins at zero, as Prometheus expects."""

    def __init__(self) -> None:
        self.models: dict[str, ModelMeters] = {}
        self.refusals: Counter[str] = Counter()  # by error code: nothing was held
        self.failures: Counter[str] = Counter()  # by error code: the engine failed
        self.cut = 0

    def refused(self, code: str) -> None:
        self.refusals[code] += 1

    def failed(self, code: str) -> None:
        self.failures[code] += 1

    def ended(self, conversation: Conversation) -> None:
        """Called once for every conversation that was held."""
        if conversation.was_cut:
            self.cut += 1
        receipt, usage = conversation.receipt, conversation.usage
        if receipt is None or usage is None:
            return
        meters = self.models.get(conversation.request.model)
        if meters is None:
            if len(self.models) >= _MODELS_LIMIT:
                return
            meters = self.models[conversation.request.model] = ModelMeters()
        meters.requests += 1
        meters.input_tokens += usage.prompt_tokens
        meters.output_tokens += usage.completion_tokens
        meters.charge_nanos += receipt.posted_nanos
        meters.cost_nanos += receipt.cost_nanos
        latency_ms = conversation.latency_ms()
        meters.latency_ms_sum += latency_ms
        meters.latency_ms_buckets[bisect_left(LATENCY_EDGES_MS, latency_ms)] += 1
        if (first_token_ms := conversation.first_token_ms()) is not None:
            meters.first_token_ms_sum += first_token_ms
            meters.first_token_ms_buckets[bisect_left(LATENCY_EDGES_MS, first_token_ms)] += 1
