"""The local engine: llama.cpp through xllamacpp, several answers at once, cancelled where their readers leave.

Start here, then llamacpp_runtime.py (the library, its threads and its door), llamacpp_wire.py (what goes in and out),
slots.py (who waits) and shares.py (what engine time an answer cost).
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, Self

import msgspec

from mintage.base import (
    AnswerStarted,
    Clock,
    Event,
    MintageError,
    Request,
    Settings,
    SystemClock,
    TextDelta,
    Usage,
    UsageReported,
)
from mintage.engines.llamacpp_runtime import CallKind, LlamaRuntime, LlamaSettings
from mintage.engines.llamacpp_wire import CallReader, call_bodies, count_calls, explain_raised, failed, read_count
from mintage.engines.protocol import Capabilities, Health, HealthState
from mintage.engines.shares import EngineShares
from mintage.engines.slots import Slots
from mintage.registry import ModelEntry

_PROMPTS_MAX: Final = 64
_TOP_LOGPROBS_MAX: Final = 20
#: llama.cpp turns a schema into a grammar on the thread that writes everyone's tokens, in time that grows with the
#: square of its size: on a busy core 8 KiB take up to 2 s, 16 KiB took 9 s, 50 KB took 20 s.
_SCHEMAS_MAX_BYTES: Final = 8 * 1024


class LlamaCppEngine:
    """One local model. Use it on one event loop; its library works in threads of its own, one per running answer."""

    local = True
    dialect = None

    def __init__(
        self,
        entry: ModelEntry,
        settings: LlamaSettings,
        *,
        queue_limit: int = 64,
        clock: Clock | None = None,
    ) -> None:
        self.name = entry.name
        self.models = (entry.name,)
        self.entry = entry
        if entry.context_tokens:  # no further than the model was trained for
            window = min(settings.context_tokens, entry.context_tokens)
            settings = msgspec.structs.replace(settings, context_tokens=window)
        self.settings = settings
        self.clock = clock or SystemClock()
        self.fingerprint = f"fp_{(entry.sha256 or '')[:12]}"
        self.shares = EngineShares(self.clock.monotonic_ns)
        self.runtime = LlamaRuntime(settings)
        self.slots = Slots(settings.parallel, queue_limit)
        self.running: set[LlamaStream] = set()
        self.closing = False
        self._state: HealthState = "stopped"
        self._workers: ThreadPoolExecutor | None = None
        self._lock = asyncio.Lock()

    @classmethod
    def from_settings(cls, entry: ModelEntry, weights: Path, settings: Settings) -> Self:
        """For an entry of the registry that has weights."""
        wanted = LlamaSettings(
            weights=weights,
            context_tokens=settings.context_tokens,
            parallel=settings.engine_parallel,
            threads=settings.engine_threads,
        )
        return cls(entry, wanted, queue_limit=settings.queue_limit)

    def capabilities(self, model: str) -> Capabilities:
        if model != self.name:
            raise MintageError("model_not_found", f"This engine has no model {model!r}.", f"It has {self.name}.")
        context = self.settings.context_tokens
        return Capabilities(
            model=model,
            context_tokens=context,
            max_output_tokens=context - 1,
            exact_count=True,
            tools="tools" in self.entry.chat_template,
            json_object=True,
            json_schema=True,
            logprobs=True,
            top_logprobs_max=_TOP_LOGPROBS_MAX,
            n_max=self.settings.parallel,
            languages=self.entry.languages,
        )

    async def start(self) -> None:
        async with self._lock:
            if self._state == "ready" or self.closing:
                return
            self._state = "starting"
            self._workers = ThreadPoolExecutor(self.settings.parallel, thread_name_prefix=f"llamacpp-{self.name}")
            try:
                await asyncio.get_running_loop().run_in_executor(self._workers, self.runtime.load)
            except MintageError:
                self._state = "failed"
                self._workers.shutdown()
                raise
            self._state = "ready"

    async def close(self) -> None:
        self.closing = True
        self.slots.close(_shutting_down())
        for stream in list(self.running):
            stream.cancel(_shutting_down())
        if jobs := [stream.job for stream in self.running if stream.job is not None]:
            await asyncio.wait(jobs)
        async with self._lock:
            if self._state != "ready" or self._workers is None:
                return
            self._state = "stopped"
            await asyncio.get_running_loop().run_in_executor(self._workers, self.runtime.unload)
            self._workers.shutdown()

    async def health(self) -> Health:
        state = self._state
        if state == "ready" and self.slots.waiting >= self.slots.queue_limit:
            state = "busy"
        return Health(state=state, running=self.slots.running, waiting=self.slots.waiting, capacity=self.slots.capacity)

    async def count_tokens(self, request: Request) -> int:
        """Exact, template included; for several prompts their sum."""
        self.check(request)
        return sum([read_count(await self.runtime.post(path, body)) for path, body in count_calls(request)])

    def stream(self, request: Request) -> LlamaStream:
        """What llama.cpp refuses about a request is raised at the first event, before any token is written."""
        return LlamaStream(self, request)

    def check(self, request: Request) -> None:
        """Raises what this engine can tell about a request without asking llama.cpp."""
        if self.closing:
            raise _shutting_down()
        if self._state != "ready":
            raise MintageError("unavailable", "The engine is not ready.", "Try again soon.", retry_after_s=2)
        able = self.capabilities(request.model)
        if request.operation not in able.operations:
            raise _unsupported(f"does not do {request.operation}", "model")
        if request.n > able.n_max:
            raise _unsupported(f"writes at most {able.n_max} answers at once", "n")
        if request.tools and not able.tools:
            raise _unsupported("was not made to call tools", "tools")
        if request.suffix is not None:
            raise _unsupported("does not fill in between prefix and suffix", "suffix")
        if request.echo and request.logprobs:
            raise _unsupported("does not rate the tokens of a prompt", "logprobs")
        self._check_schemas(request)
        if request.operation == "completion" and not (
            all(request.prompts) and 1 <= len(request.prompts) <= _PROMPTS_MAX
        ):
            raise MintageError(
                "invalid_request", f"This model reads 1 to {_PROMPTS_MAX} prompts, none of them empty.", param="prompt"
            )

    @staticmethod
    def _check_schemas(request: Request) -> None:
        schemas = [request.output.schema, *(tool.parameters for tool in request.tools)]
        size = sum(len(msgspec.json.encode(schema)) for schema in schemas if schema)
        if size > _SCHEMAS_MAX_BYTES:
            raise MintageError(
                "invalid_request",
                f"The JSON schemas take {size} bytes; this model reads {_SCHEMAS_MAX_BYTES}.",
                "Make them simpler.",
                param="response_format" if request.output.schema else "tools",
            )

    def submit(self, stream: LlamaStream) -> asyncio.Future[None]:
        if self._workers is None or self.closing:
            raise _shutting_down()
        return asyncio.get_running_loop().run_in_executor(self._workers, stream.work)


class LlamaStream:
    """The events of one answer. Its worker thread fills the inbox and wakes the loop once for what came meanwhile.

    The inbox needs no limit of its own: it holds at most what the context window does.
    """

    def __init__(self, engine: LlamaCppEngine, request: Request) -> None:
        self._engine = engine
        self._request = request
        self.job: asyncio.Future[None] | None = None
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
        self._bodies = call_bodies(request)
        await engine.slots.acquire(request.n)
        began_ns = engine.clock.monotonic_ns()
        try:
            self._loop = asyncio.get_running_loop()
            self._readers = [CallReader(i * request.n) for i in range(len(self._bodies))]
            self.job = engine.submit(self)
        except BaseException:
            engine.slots.release(request.n, 0)
            raise
        engine.running.add(self)
        self.job.add_done_callback(lambda _: self._on_done(began_ns))
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
        if self.job is not None and self.job.done():
            self._report()
            return
        self._arrival = asyncio.get_running_loop().create_future()
        await self._arrival

    def _on_done(self, began_ns: int) -> None:
        engine = self._engine
        engine.running.discard(self)
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


def _unsupported(what: str, param: str) -> MintageError:
    return MintageError("unsupported", f"This model {what}.", "Leave it out, or choose another model.", param=param)


def _shutting_down() -> MintageError:
    return MintageError("shutting_down", "The engine is shutting down.", "Try again in a moment.", retry_after_s=2)
