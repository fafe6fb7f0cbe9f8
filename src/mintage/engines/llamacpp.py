"""The local engine: llama.cpp through xllamacpp, several answers at once, cancelled where their readers leave.

Start here, then llamacpp_stream.py (one answer), llamacpp_runtime.py (the library and its door), llamacpp_wire.py (what
goes in and out), slots.py (who waits) and shares.py (what engine time an answer cost).
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self

import msgspec

from mintage.base import Clock, MintageError, Request, Settings, SystemClock
from mintage.engines.llamacpp_runtime import LlamaRuntime, LlamaSettings
from mintage.engines.llamacpp_stream import LlamaStream
from mintage.engines.llamacpp_wire import count_calls, read_count
from mintage.engines.protocol import Capabilities, Health, HealthState
from mintage.engines.shares import EngineShares
from mintage.engines.slot_owners import SlotOwners
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
        self.owners = SlotOwners(settings.parallel)
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


def _unsupported(what: str, param: str) -> MintageError:
    return MintageError("unsupported", f"This model {what}.", "Leave it out, or choose another model.", param=param)


def _shutting_down() -> MintageError:
    return MintageError("shutting_down", "The engine is shutting down.", "Try again in a moment.", retry_after_s=2)
