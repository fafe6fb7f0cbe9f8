"""A local chat engine: OpenVINO GenAI with continuous batching, over the same GGUF files as llama.cpp.

One thread steps all answers at once. It runs in a process of its own (host.py): loading takes seconds, and the library
keeps what it allocates.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any, Final

from mintage.base import (
    AnswerStarted,
    ChoiceFinished,
    Event,
    FinishReason,
    MintageError,
    Request,
    TextDelta,
    Usage,
    UsageReported,
)
from mintage.engines.host_frames import HostConfig
from mintage.engines.protocol import Capabilities, EventStream, Health, HealthState
from mintage.engines.shares import EngineShares
from mintage.engines.slots import Slots

_CACHE_GIB: Final = 1
_CHOICES_MAX: Final = 1
_STOP_STRINGS_MAX: Final = 16


class _Answer:
    """One answer between the thread that writes it and the loop that reads it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, prompt: str, config: Any) -> None:
        self.loop = loop
        self.prompt = prompt
        self.config = config
        self.handle: Any = None
        self.tokens: deque[list[int]] = deque()
        self.reason = ""
        self.error: MintageError | None = None
        self.cancelled = False
        self.arrival = asyncio.Event()

    def wake(self) -> None:
        self.loop.call_soon_threadsafe(self.arrival.set)


class OpenVinoEngine:
    """One model. Chats and completions; no tools and no log-probabilities."""

    local = True
    dialect = None

    def __init__(self, config: HostConfig) -> None:
        self.name = config.entry.name
        self.models = (self.name,)
        self._config = config
        trained = config.entry.context_tokens
        self._context_tokens = min(config.context_tokens, trained) if trained else config.context_tokens
        self._slots = Slots(config.parallel, config.queue_limit)
        self._shares = EngineShares(time.monotonic_ns)
        self._state: HealthState = "stopped"
        self._pipeline: Any = None
        self._tokenizer: Any = None
        self._incoming: deque[_Answer] = deque()
        self._work = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def capabilities(self, model: str) -> Capabilities:
        if model != self.name:
            raise MintageError("model_not_found", f"This engine has no model {model!r}.", f"It has {self.name}.")
        return Capabilities(
            model=model,
            context_tokens=self._context_tokens,
            max_output_tokens=self._context_tokens - 1,
            exact_count=True,
            n_max=_CHOICES_MAX,
            languages=self._config.entry.languages,
        )

    async def start(self) -> None:
        if self._state == "ready":
            return
        self._state = "starting"
        try:
            await asyncio.to_thread(self._load)
        except RuntimeError as error:
            self._state = "failed"
            raise MintageError(
                "invalid_request", "OpenVINO cannot load these weights.", "Run the model with llamacpp instead."
            ) from error
        self._thread = threading.Thread(target=self._run, name=f"openvino-{self.name}", daemon=True)
        self._thread.start()
        self._state = "ready"

    def _load(self) -> None:
        import openvino_genai

        scheduler = openvino_genai.SchedulerConfig()
        scheduler.max_num_seqs = self._config.parallel
        scheduler.cache_size = _CACHE_GIB
        scheduler.enable_prefix_caching = False  # what one customer sent must not speed up another
        threads = self._config.threads or max(1, (os.cpu_count() or 2) - 1)
        self._pipeline = openvino_genai.ContinuousBatchingPipeline(
            self._config.path, scheduler, "CPU", {"INFERENCE_NUM_THREADS": threads}
        )
        self._tokenizer = self._pipeline.get_tokenizer()

    async def close(self) -> None:
        self._slots.close(MintageError("shutting_down", "The engine is shutting down.", "Try again in a moment."))
        self._stopping, self._state = True, "stopped"
        self._work.set()

    async def health(self) -> Health:
        slots = self._slots
        return Health(state=self._state, running=slots.running, waiting=slots.waiting, capacity=slots.capacity)

    async def count_tokens(self, request: Request) -> int:
        return await asyncio.to_thread(lambda: self._count(self._prompt(request)))

    def _count(self, prompt: str) -> int:
        return int(self._tokenizer.encode(prompt, add_special_tokens=False).input_ids.shape[1])

    def _prompt(self, request: Request) -> str:
        if request.tools or request.output.kind != "text" or request.logprobs or request.n > _CHOICES_MAX:
            raise MintageError(
                "unsupported", "This model writes one plain answer.", "Leave tools, formats and n out.", param="tools"
            )
        if request.operation == "completion":
            if len(request.prompts) != 1:
                raise MintageError("unsupported", "This model reads one prompt at a time.", param="prompt")
            return request.prompts[0]
        messages = [{"role": message.role, "content": message.text} for message in request.messages]
        return str(self._tokenizer.apply_chat_template(messages, add_generation_prompt=True))

    def stream(self, request: Request) -> EventStream:
        return self._stream(request)

    async def _stream(self, request: Request) -> AsyncGenerator[Event, None]:
        if self._state != "ready":
            raise MintageError("unavailable", "The engine is not ready.", "Try again soon.", retry_after_s=2)
        prompt = await asyncio.to_thread(self._prompt, request)
        read = await asyncio.to_thread(self._count, prompt)
        if read >= self._context_tokens:
            raise MintageError(
                "context_length_exceeded",
                f"The prompt has {read} tokens; the model's window has {self._context_tokens}.",
                "Shorten the conversation.",
                param="messages",
                details={"input_tokens": read, "context_tokens": self._context_tokens},
            )
        await self._slots.acquire()
        began, mark = time.monotonic(), self._shares.enter()
        answer = _Answer(asyncio.get_running_loop(), prompt, self._generation(request, read))
        self._incoming.append(answer)
        self._work.set()
        try:
            yield AnswerStarted(model=request.model)
            written: list[int] = []
            shown = ""
            while True:
                await answer.arrival.wait()
                answer.arrival.clear()
                while answer.tokens:
                    written += answer.tokens.popleft()
                if answer.error is not None:
                    raise answer.error
                text = self._tokenizer.decode(written)
                if answer.reason or not text.endswith("\ufffd"):  # half a character waits for its other half
                    if len(text) > len(shown):
                        yield TextDelta(text[len(shown) :])
                    shown = text
                if answer.reason:
                    break
            yield ChoiceFinished(_reason(answer.reason))
            usage = Usage(input_tokens=read, output_tokens=len(written))
            yield UsageReported(usage=usage, engine_ms=self._shares.share_ms(mark))
        finally:
            answer.cancelled = True
            self._shares.leave(mark)
            self._slots.release(1, time.monotonic() - began)

    def _generation(self, request: Request, read: int) -> Any:
        import openvino_genai

        config = openvino_genai.GenerationConfig()
        room = self._context_tokens - read
        config.max_new_tokens = min(request.max_output_tokens or room, room)
        config.set_eos_token_id(self._tokenizer.get_eos_token_id())
        sampling = request.sampling
        temperature = 0.2 if sampling.temperature is None else sampling.temperature
        config.do_sample = temperature > 0
        if config.do_sample:
            config.temperature = temperature
            if sampling.top_p is not None:
                config.top_p = sampling.top_p
            if sampling.top_k is not None and sampling.top_k > 0:
                config.top_k = sampling.top_k
            if sampling.seed is not None:
                config.rng_seed = sampling.seed & 0xFFFF_FFFF
        if sampling.repetition_penalty is not None:
            config.repetition_penalty = sampling.repetition_penalty
        if request.stop:
            config.stop_strings = set(request.stop[:_STOP_STRINGS_MAX])
        return config

    # In the thread

    def _run(self) -> None:
        number = 0
        running: list[_Answer] = []
        while not self._stopping:
            while self._incoming:
                answer = self._incoming.popleft()
                number += 1
                try:
                    answer.handle = self._pipeline.add_request(number, answer.prompt, answer.config)
                    running.append(answer)
                except RuntimeError:
                    answer.error = _failed()
                    answer.wake()
            if not running:
                self._work.clear()
                if not self._incoming:
                    self._work.wait()
                continue
            try:
                self._pipeline.step()
            except RuntimeError:
                for answer in running:
                    answer.error = _failed()
                    answer.wake()
                running = []
                continue
            running = [answer for answer in running if self._read(answer)]

    def _read(self, answer: _Answer) -> bool:
        """Hand over what the step wrote; whether there will be more."""
        handle = answer.handle
        if answer.cancelled:
            handle.cancel()
            return False
        while handle.can_read():
            for output in handle.read().values():
                answer.tokens.append(list(output.generated_ids))
                finish = output.finish_reason.name
                if finish != "NONE":
                    answer.reason = finish
        answer.wake()
        return not answer.reason


def _reason(name: str) -> FinishReason:
    return "length" if name == "LENGTH" else "stop"


def _failed() -> MintageError:
    return MintageError("upstream_failed", "The local engine failed.", "Try again.")
