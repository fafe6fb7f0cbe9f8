"""What engines over blocking libraries have in common: a queue, one worker thread, engine time, the life cycle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

from mintage.base import AnswerStarted, Event, MintageError, Operation, Request, Usage, UsageReported
from mintage.engines.protocol import Capabilities, EventStream, Health, HealthState
from mintage.engines.slots import Slots

_END: Final = object()


class BlockingEngine:
    """One model, one answer at a time. A subclass loads it, measures requests and yields events in the thread.

    answer() may leave out AnswerStarted and the engine time: both are added here.
    """

    local = True
    dialect = None
    operations: frozenset[Operation] = frozenset()

    def __init__(self, name: str, queue_limit: int) -> None:
        self.name = name
        self.models = (name,)
        self._slots = Slots(1, queue_limit)
        self._worker: ThreadPoolExecutor | None = None
        self._state: HealthState = "stopped"

    # What a subclass says

    def load(self) -> None:
        """Load the model. Raises MintageError unavailable, ImportError for a library that is not installed."""
        raise NotImplementedError

    def usage_of(self, request: Request) -> Usage:
        """Exact, or a bound where only answering tells. May block; runs in the thread."""
        raise NotImplementedError

    def answer(self, request: Request) -> Iterator[Event]:
        """The events of one answer; runs in the thread, step by step."""
        raise NotImplementedError

    def capabilities(self, model: str) -> Capabilities:
        if model != self.name:
            raise MintageError("model_not_found", f"This engine has no model {model!r}.", f"It has {self.name}.")
        return Capabilities(model=model, operations=self.operations, exact_count=True)

    # The protocol

    async def start(self) -> None:
        if self._state == "ready":
            return
        self._state = "starting"
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"engine-{self.name}")
        try:
            await asyncio.get_running_loop().run_in_executor(self._worker, self.load)
        except BaseException:
            self._state = "failed"
            self._worker.shutdown(wait=False)
            raise
        self._state = "ready"

    async def close(self) -> None:
        self._slots.close(MintageError("shutting_down", "The engine is shutting down.", "Try again in a moment."))
        self._state = "stopped"
        if self._worker is not None:
            self._worker.shutdown(wait=False)

    async def health(self) -> Health:
        return Health(state=self._state, running=self._slots.running, waiting=self._slots.waiting, capacity=1)

    async def count_tokens(self, request: Request) -> int:
        return (await self.measure(request)).input_tokens

    async def measure(self, request: Request) -> Usage:
        self._check(request)
        return await asyncio.get_running_loop().run_in_executor(self._ready(), self.usage_of, request)

    def stream(self, request: Request) -> EventStream:
        return self._stream(request)

    async def _stream(self, request: Request) -> AsyncGenerator[Event, None]:
        self._check(request)
        await self._slots.acquire()
        loop, began = asyncio.get_running_loop(), time.monotonic()
        worked_s = 0.0
        try:
            yield AnswerStarted(model=request.model)
            events = self.answer(request)
            while True:
                step_began = time.monotonic()
                event = await loop.run_in_executor(self._ready(), next, events, _END)
                worked_s += time.monotonic() - step_began
                if isinstance(event, UsageReported):
                    yield msgspec.structs.replace(event, engine_ms=worked_s * 1000)
                elif event is _END:
                    return
                else:
                    yield event  # type: ignore[misc]
        finally:
            self._slots.release(1, time.monotonic() - began)

    def _ready(self) -> ThreadPoolExecutor:
        if self._state != "ready" or self._worker is None:
            raise MintageError("unavailable", "The engine is not ready.", "Try again soon.", retry_after_s=2)
        return self._worker

    def _check(self, request: Request) -> None:
        if request.operation not in self.operations:
            raise MintageError(
                "unsupported", f"This model does not do {request.operation}.", "Choose another model.", param="model"
            )
