"""One answer of the local engine: a thread that writes it, a loop that reads it, and an end for both."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from mintage.base import AnswerStarted, Event, MintageError, Request, TextDelta, Usage, UsageReported
from mintage.engines.llamacpp_runtime import CallKind
from mintage.engines.llamacpp_wire import CallReader, call_bodies, explain_raised, failed
from mintage.engines.slot_owners import Place

if TYPE_CHECKING:
    from mintage.engines.llamacpp import LlamaCppEngine


class LlamaStream:
    """The events of one answer. Its worker thread fills the inbox and wakes the loop once for what came meanwhile.

    The inbox needs no limit of its own: it holds at most what the context window does.
    """

    def __init__(self, engine: LlamaCppEngine, request: Request) -> None:
        self._engine = engine
        self._request = request
        self.job: asyncio.Future[None] | None = None
        self._ended = False  # the job is done, and its slot is free for the next
        self._ready: deque[Event] = deque()
        self._inbox: deque[tuple[int, str]] = deque()  # (number of the call, chunk)
        self._readers: list[CallReader] = []
        self._bodies: list[str] = []
        self._arrival: asyncio.Future[None] | None = None
        self._wake_sent = False
        self._cancelled = False
        self._closed = False
        self._error: MintageError | None = None
        self._engine_ms: float | None = None  # set when the work has ended
        self._mark: float | None = None
        self._began = False
        self._reported = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def __aiter__(self) -> LlamaStream:
        return self

    async def __anext__(self) -> Event:
        if self._closed:
            raise StopAsyncIteration
        if not self._began:
            await self._begin()
        while not self._ready:
            if self._reported:
                raise StopAsyncIteration
            await self._more()
        return self._ready.popleft()

    async def aclose(self) -> None:
        """Stop writing and wait until the slot is free: at most one token, or one step of reading the prompt."""
        self._closed = True
        self.cancel()
        if self.job is not None and not self.job.done():
            await asyncio.wait([self.job])

    def cancel(self, error: MintageError | None = None) -> None:
        """Tell the worker to stop; error is what a reader who is still there gets."""
        self._cancelled = True
        self._error = self._error or error
        self._wake()

    def consumed(self) -> UsageReported | None:
        """What the answer used so far, by the engine's own count; final after aclose(). None: it never ran."""
        if not self._readers:
            return None
        self._read_inbox()
        return self._usage_report()

    def _usage_report(self) -> UsageReported:
        usage = sum((reader.usage for reader in self._readers), Usage())
        engine_ms, mark = self._engine_ms, self._mark
        if engine_ms is None:
            engine_ms = 0.0 if mark is None else self._engine.shares.share_ms(mark, self._request.n)
        return UsageReported(usage=usage, engine_ms=engine_ms)

    # On the loop

    async def _begin(self) -> None:
        self._began = True
        try:
            await self._dispatch()
        except BaseException:
            self._closed = True  # nothing more will come; aclose() still stops what runs
            raise

    async def _dispatch(self) -> None:
        engine, request = self._engine, self._request
        engine.check(request)
        call_bodies(request)  # what cannot be said to the engine is refused before the queue
        await engine.slots.acquire(request.n)
        began_ns = engine.clock.monotonic_ns()
        place = engine.owners.take(request.cache_scope, request.n)
        try:
            self._bodies = call_bodies(request, slot=place.slot, reuse=place.reuse)
            self._loop = asyncio.get_running_loop()
            self._readers = [CallReader(i * request.n) for i in range(len(self._bodies))]
            self.job = engine.submit(self)
        except BaseException:
            engine.owners.give_back(place, request.n)
            engine.slots.release(request.n, 0)
            raise
        engine.running.add(self)
        self.job.add_done_callback(lambda _: self._on_done(began_ns, place))
        while not (self._ready or self._reported):  # what is refused is raised before AnswerStarted is handed over
            await self._more()
        if request.echo:
            choices = [
                (prompt, i * request.n + k) for i, prompt in enumerate(request.prompts) for k in range(request.n)
            ]
            self._ready.extendleft(TextDelta(prompt, choice) for prompt, choice in reversed(choices))
        self._ready.appendleft(AnswerStarted(model=request.model, fingerprint=engine.fingerprint))

    async def _more(self) -> None:
        """Wait until there is something to hand over, or raise why there will be nothing."""
        self._read_inbox()
        if self._ready:
            return
        if self._error is not None:
            raise self._error
        if self._ended:
            self._report()
            return
        self._arrival = asyncio.get_running_loop().create_future()
        await self._arrival

    def _on_done(self, began_ns: int, place: Place) -> None:
        engine = self._engine
        self._ended = True
        engine.running.discard(self)
        engine.owners.give_back(place, self._request.n)
        engine.slots.release(self._request.n, (engine.clock.monotonic_ns() - began_ns) / 1e9)
        self._wake()

    def _wake(self) -> None:
        self._wake_sent = False
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def _read_inbox(self) -> None:
        while self._inbox:
            number, chunk = self._inbox.popleft()
            try:
                self._ready += self._readers[number].read(chunk)
            except MintageError as error:
                self._error = error
                self._cancelled = True

    def _report(self) -> None:
        if any(reader.finished < self._request.n for reader in self._readers):
            raise failed()
        self._reported = True
        self._ready.append(self._usage_report())

    # In the worker's thread

    def work(self) -> None:
        """Run all calls of this answer, one prompt after the other."""
        shares, weight = self._engine.shares, self._request.n
        mark = self._mark = shares.enter(weight)
        try:
            kind: CallKind = "chat" if self._request.operation == "chat" else "completion"
            for number, body in enumerate(self._bodies):
                if self._cancelled:
                    return
                self._engine.runtime.call(kind, body, partial(self._on_chunk, number))
        except MintageError as error:
            self._error = error
        except Exception as error:  # the library's own errors, as ours
            self._error = explain_raised(error)
        finally:
            self._engine_ms = shares.leave(mark, weight)

    def _on_chunk(self, number: int, chunk: str) -> bool:
        """True stops the answer. Must not raise: the library would swallow it and go on."""
        if self._cancelled:
            return True
        self._inbox.append((number, chunk))
        if not self._wake_sent and self._loop is not None:
            self._wake_sent = True
            try:
                self._loop.call_soon_threadsafe(self._wake)
            except RuntimeError:  # the loop is gone, and with it the reader
                self._cancelled = True
        return False
