"""OpenTelemetry: a span per request and per attempt by the GenAI semantic conventions, sent by OTLP over HTTP.

Off until `otel_endpoint` is set. Spans carry who, which model, how much and what it earned; never a prompt, an answer
or a key. They are gathered and sent by the SDK's own thread: a collector that is away costs spans, never requests.
Conventions: https://opentelemetry.io/docs/specs/semconv/gen-ai/
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from mintage.base import MintageError, Settings, Usage
from mintage.gateway import AttemptRecord, Conversation, TraceParent

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

_log: Final = logging.getLogger("mintage.telemetry")
_NO_USAGE: Final = Usage()
#: Our operations by the names that the conventions know; others keep their own.
_OPERATIONS: Final = {"chat": "chat", "completion": "text_completion", "embedding": "embeddings"}
#: Providers by the conventions' names.
_PROVIDERS: Final = {
    "azure": "azure.ai.openai",
    "google": "gcp.gemini",
    "bedrock": "aws.bedrock",
    "mistral": "mistral_ai",
}
_SEND_TIMEOUT_S: Final = 10
_QUEUE_SPANS: Final = 8_192


class Telemetry:
    """The gateway's SpanSink."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import trace

        self._trace = trace
        self._provider = provider
        self._tracer = provider.get_tracer("mintage")

    def ended(self, conversation: Conversation, outcome: str) -> None:
        try:
            self._ended(conversation, outcome)
        except Exception:  # a span is never worth a request
            _log.exception("a span was lost")

    def _ended(self, conversation: Conversation, outcome: str) -> None:
        started_ns = conversation.started_ns
        took_ns = int(conversation.latency_ms() * 1e6)
        request = conversation.request
        operation = _OPERATIONS.get(request.operation, request.operation)
        kinds = self._trace.SpanKind
        attributes = _attributes(conversation, operation, outcome)
        span = self._tracer.start_span(
            f"{operation} {request.model}",
            self._parent(conversation.trace_parent),
            kinds.SERVER,
            attributes,
            start_time=started_ns,
        )
        if conversation.failure:
            span.set_status(self._trace.StatusCode.ERROR)
        here = self._trace.set_span_in_context(span)
        if (first_ms := conversation.first_token_ms()) is not None:
            span.add_event("first token", timestamp=started_ns + int(first_ms * 1e6))
        for record in _attempts(conversation, outcome, took_ns):
            self._attempt(record, here, operation, conversation)
        span.end(started_ns + took_ns)

    def _attempt(self, record: AttemptRecord, here: Context, operation: str, conversation: Conversation) -> None:
        began_ns = conversation.started_ns + int(record.started_ms * 1e6)
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": _provider(record.provider),
            "gen_ai.request.model": record.target,
            "mintage.outcome": record.outcome,
        }
        if record.upstream_id:
            attributes["gen_ai.response.id"] = record.upstream_id
        if record.code:
            attributes["error.type"] = record.code
        span = self._tracer.start_span(
            f"{operation} {record.target}", here, self._trace.SpanKind.CLIENT, attributes, start_time=began_ns
        )
        if record.outcome == "failed":
            span.set_status(self._trace.StatusCode.ERROR)
        span.end(began_ns + int(record.took_ms * 1e6))

    def _parent(self, parent: TraceParent | None) -> Context | None:
        if parent is None:
            return None
        trace = self._trace
        flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if parent.sampled else trace.TraceFlags.DEFAULT)
        remote = trace.SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=flags)
        context: Context = trace.set_span_in_context(trace.NonRecordingSpan(remote))
        return context

    def close(self) -> None:
        """Send what waits, for a few seconds at most."""
        self._provider.shutdown()


def open_telemetry(settings: Settings) -> Telemetry | None:
    """None where it is off. Raises MintageError if it is on and the libraries are not installed."""
    endpoint = settings.otel_endpoint
    if not endpoint:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError as error:
        raise MintageError(
            "not_installed",
            "Telemetry is on, and OpenTelemetry is not installed.",
            'Install it with `pip install "mintage[telemetry]"`, or unset otel_endpoint.',
        ) from error
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.otel_sample_ratio)),
        resource=Resource.create({"service.name": settings.otel_service_name}),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=_SEND_TIMEOUT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=_QUEUE_SPANS))
    return Telemetry(provider)


def _attributes(conversation: Conversation, operation: str, outcome: str) -> dict[str, Any]:
    request, caller = conversation.request, conversation.caller
    usage, receipt = conversation.usage or _NO_USAGE, conversation.receipt
    sampling = request.sampling
    said: dict[str, Any] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "mintage",
        "gen_ai.request.model": request.model,
        "gen_ai.response.id": conversation.id,
        "gen_ai.response.model": request.model,
        "gen_ai.request.temperature": sampling.temperature,
        "gen_ai.request.top_p": sampling.top_p,
        "gen_ai.request.top_k": sampling.top_k,
        "gen_ai.request.seed": sampling.seed,
        "gen_ai.request.max_tokens": request.max_output_tokens,
        "gen_ai.request.stream": request.stream or None,
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_read_tokens or None,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens or None,
        "mintage.tenant_id": caller.tenant_id,
        "mintage.project_id": caller.project_id,
        "mintage.key_id": caller.key_id,
        "mintage.outcome": outcome,
        "mintage.usage.estimated": conversation.estimated,
    }
    if conversation.failure:
        said["error.type"] = conversation.failure
    if receipt is not None:
        said["mintage.currency"] = receipt.currency
        said["mintage.charge_nanos"] = receipt.posted_nanos
        said["mintage.cost_nanos"] = receipt.cost_nanos
        said["mintage.margin_nanos"] = receipt.posted_nanos - receipt.cost_nanos
    return {name: value for name, value in said.items() if value is not None}


def _attempts(conversation: Conversation, outcome: str, took_ns: int) -> list[AttemptRecord]:
    """Every attempt of a route with a plan; where there is no plan, the one there was."""
    if conversation.attempts is not None:
        return conversation.attempts.records
    if outcome == "released" and not conversation.failure:
        return []
    route = conversation.route
    return [
        AttemptRecord(
            target=route.upstream_model,
            provider=route.engine.name,
            started_ms=0.0,
            took_ms=took_ns / 1e6,
            outcome="failed" if conversation.failure else outcome,
            code=conversation.failure,
            upstream_id=conversation.upstream_id,
        )
    ]


def _provider(name: str) -> str:
    return _PROVIDERS.get(name, name)
