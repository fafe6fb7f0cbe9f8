"""What every engine offers, whatever answers behind it: a local runtime, an upstream provider, a script in a test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Coroutine
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

from mintage.base import Event, Operation, Request, Usage, UsageReported
from mintage.engines.http_connection import Call, ResponseSink


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What one model can do on one engine. None means: the engine does not say, so nothing is refused for it."""

    model: str
    operations: frozenset[Operation] = frozenset({"chat", "completion"})
    context_tokens: int | None = None  # input and output together, of one answer
    max_output_tokens: int | None = None
    default_output_tokens: int | None = None  # what the engine writes at most when a request names no limit
    exact_count: bool = False  # count_tokens() is the number that will be reported; else it is an upper bound
    tools: bool = False
    json_object: bool = False
    json_schema: bool = False
    logprobs: bool = False
    top_logprobs_max: int = 0
    images: bool = False
    audio: bool = False
    n_max: int = 1
    languages: tuple[str, ...] = ()  # ISO 639-1 codes the model was made for; () is unknown
    embedding_dimensions: int | None = None


HealthState = Literal["stopped", "starting", "ready", "busy", "failed"]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """One engine at one moment. ready and busy both mean alive: busy refuses new work with a retry-after."""

    state: HealthState
    running: int = 0  # answers being written
    waiting: int = 0  # requests in the queue
    capacity: int | None = None  # answers that can be written at once
    detail: str = ""

    @property
    def alive(self) -> bool:
        return self.state in ("ready", "busy")


class EventStream(Protocol):
    """The events of one answer, in the order that base/answer.py promises. An async generator is one.

    Leaving it early without aclose() leaks the engine's slot until the garbage collector comes: always close it, with
    contextlib.aclosing or in a finally.
    """

    def __aiter__(self) -> AsyncIterator[Event]: ...

    def __anext__(self) -> Awaitable[Event]: ...

    def aclose(self) -> Coroutine[Any, Any, None]:
        """Stop the answer and free what it held. Returns once the engine works on it no more. Safe to call twice."""
        ...


@runtime_checkable
class MeteredStream(Protocol):
    """A stream whose engine knows at any moment what the answer has used: for answers that are cut."""

    def consumed(self) -> UsageReported | None:
        """Exact by the engine's own count, and final once aclose() has returned. None: it used nothing at all."""
        ...


@runtime_checkable
class Engine(Protocol):
    """One runtime or provider, with any number of models.

    `stream` may raise MintageError at the first event: engine_busy (429, with retry_after_s), model_not_found,
    unsupported, invalid_request, context_length_exceeded (always before any output), upstream_failed,
    upstream_timeout. After the first event only upstream_failed, upstream_timeout and shutting_down are left.
    """

    @property
    def name(self) -> str:
        """The provider's name in costs and metrics, for example `openai`; `own` compute has its model's name."""
        ...

    @property
    def local(self) -> bool:
        """True: our own compute, costed by engine_ms. False: costed by the provider's price book."""
        ...

    @property
    def dialect(self) -> str | None:
        """The wire protocol that its `relay` passes through unchanged, for example `openai`; None has no relay."""
        ...

    @property
    def models(self) -> tuple[str, ...]:
        """The names that a request's `model` may have here."""
        ...

    def capabilities(self, model: str) -> Capabilities:
        """Raises MintageError model_not_found."""
        ...

    async def count_tokens(self, request: Request) -> int:
        """Input tokens as the model will read them, template included; see Capabilities.exact_count."""
        ...

    def stream(self, request: Request) -> EventStream:
        """Answer a request, streamed whatever `request.stream` says. Nothing runs before the first `anext`."""
        ...

    async def start(self) -> None:
        """Load or connect. Safe to call twice."""
        ...

    async def close(self) -> None:
        """Cut what still runs (shutting_down) and free everything. Safe to call twice."""
        ...

    async def health(self) -> Health: ...


@runtime_checkable
class MeasuringEngine(Protocol):
    """An engine that knows before it answers what an embedding, a moderation, speech or a transcription will use."""

    async def measure(self, request: Request) -> Usage:
        """At most this, in the meters that the answer's usage will report (input_tokens, characters, audio_ms).

        Raises MintageError invalid_request for what cannot be read, unsupported for what the model does not do.
        """
        ...


class RelayEngine(Engine, Protocol):
    """An engine whose `dialect` a client may speak too: its bytes can pass through."""

    def relay(self, operation: Operation, body: bytes, sink: ResponseSink) -> Call:
        """Send body, already in the upstream's dialect and under its model name; sink takes the response.

        Raises MintageError at once where the upstream has no room; else every failure comes through the sink.
        """
        ...
