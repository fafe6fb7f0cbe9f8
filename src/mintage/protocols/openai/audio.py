"""The bodies of /v1/audio/speech, /transcriptions and /translations, as they are asked and as they are answered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Final, Literal, cast, get_args

from msgspec import Meta, Struct

from mintage.base import (
    Audio,
    AudioDelta,
    Event,
    MintageError,
    Request,
    Segment,
    Speech,
    Transcription,
    Usage,
    UsageReported,
)
from mintage.protocols.multipart import Form, parse_form
from mintage.protocols.openai.errors import error_frame
from mintage.protocols.strict_json import convert, encode_json, invalid, parse_json

_Format = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
MEDIA_TYPES: Final[dict[str, bytes]] = {
    "mp3": b"audio/mpeg",
    "opus": b"audio/ogg",
    "aac": b"audio/aac",
    "flac": b"audio/flac",
    "wav": b"audio/wav",
    "pcm": b"audio/pcm",
}
TranscriptFormat = Literal["json", "text", "srt", "verbose_json", "vtt"]
_FILE_FORMATS: Final = frozenset(("flac", "mp3", "mp4", "mpeg", "mpga", "m4a", "ogg", "wav", "webm"))
_KNOWN: Final = frozenset(
    ("model", "language", "prompt", "response_format", "temperature", "timestamp_granularities", "stream",
     "chunking_strategy")
)  # fmt: skip


class _VoiceId(Struct, forbid_unknown_fields=True):
    id: Annotated[str, Meta(min_length=1, max_length=128)]


class SpeechBody(Struct, kw_only=True, forbid_unknown_fields=True):
    model: Annotated[str, Meta(min_length=1, max_length=256)]
    input: Annotated[str, Meta(min_length=1, max_length=4096)]
    voice: Annotated[str, Meta(min_length=1, max_length=128)] | _VoiceId
    instructions: Annotated[str, Meta(max_length=4096)] | None = None
    response_format: _Format | None = None
    speed: Annotated[float, Meta(ge=0.25, le=4)] | None = None
    stream_format: Literal["audio"] | None = None


def decode_speech_body(raw: bytes) -> Request:
    """Raises invalid_json, invalid_request or unsupported. The sound is streamed as it is made."""
    unsupported = {"stream_format": "The sound itself is streamed: leave it out."}
    body = convert(parse_json(raw), SpeechBody, unsupported)
    return Request(
        operation="speech",
        model=body.model,
        prompts=(body.input,),
        speech=Speech(
            voice=body.voice if isinstance(body.voice, str) else body.voice.id,
            format=body.response_format or "mp3",
            speed=body.speed or 1.0,
            instructions=body.instructions or "",
        ),
        stream=True,
    )


def decode_transcription_form(
    content_type: bytes, body: bytes, *, translate: bool = False
) -> tuple[Request, TranscriptFormat]:
    """(the request, how the transcript is written). Raises invalid_request or unsupported."""
    form = parse_form(content_type, body)
    for name in form.fields:
        if name not in _KNOWN:
            raise invalid(f"Unknown parameter: '{name[:64]}'.", "Leave it out.", name[:64], "unknown_parameter")
    written = form.one("response_format") or "json"
    if written not in get_args(TranscriptFormat):
        raise MintageError(
            "unsupported",
            f"Transcripts are not written as {written[:32]!r}.",
            f"Use one of {', '.join(get_args(TranscriptFormat))}.",
            param="response_format",
        )
    if form.one("temperature") not in (None, "0", "0.0"):
        raise MintageError("unsupported", "Transcripts are the likeliest.", "Leave it out.", param="temperature")
    granularities = form.fields.get("timestamp_granularities", [])
    if unknown := [name for name in granularities if name not in ("word", "segment")]:
        raise invalid(f"{unknown[0][:32]!r} is no granularity.", "Use word or segment.", "timestamp_granularities")
    stream = _flag(form, "stream")
    if stream and (written != "json" or translate):
        raise MintageError("unsupported", "A stream is told as JSON.", "Leave out one.", param="response_format")
    request = Request(
        operation="transcription",
        model=_model(form),
        transcription=Transcription(
            audio=_audio(form),
            language=form.one("language") or "",
            prompt=form.one("prompt") or "",
            translate=translate,
            word_times="word" in granularities,
        ),
        stream=stream,
    )
    return request, cast("TranscriptFormat", written)


def encode_transcript(segments: Sequence[Segment], usage: Usage, written: TranscriptFormat) -> tuple[bytes, bytes]:
    """(content type, body). Times that no engine told are 0."""
    text = "".join([segment.text for segment in segments]).strip()
    if written == "text":
        return b"text/plain; charset=utf-8", text.encode("utf-8", "replace") + b"\n"
    if written in ("srt", "vtt"):
        return b"text/plain; charset=utf-8", _subtitles(segments, written).encode("utf-8", "replace")
    body: dict[str, object] = {"text": text}
    if written == "verbose_json":
        body |= {
            "task": "transcribe",
            "duration": usage.audio_ms / 1000,
            "language": next((segment.language for segment in segments if segment.language), ""),
            "segments": [_segment(segment, index) for index, segment in enumerate(segments)],
        }
        if words := [word for segment in segments for word in segment.words]:
            body["words"] = [{"word": w.text, "start": w.start_ms / 1000, "end": w.end_ms / 1000} for w in words]
    body["usage"] = {"type": "duration", "seconds": math.ceil(usage.audio_ms / 1000)}
    return b"application/json", encode_json(body)


class TranscriptEncoder:
    """From events to the server-sent events of a streamed transcript."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def encode(self, event: Event) -> bytes:
        if isinstance(event, Segment) and event.text:
            self._texts.append(event.text)
            return _event({"type": "transcript.text.delta", "delta": event.text})
        if isinstance(event, UsageReported):
            return _event({"type": "transcript.text.done", "text": "".join(self._texts).strip()})
        return b""

    def end(self) -> bytes:
        return b""

    def error(self, error: MintageError) -> bytes:
        return error_frame(error)


class SpeechEncoder:
    """The sound itself. A failure in the middle can only cut it off."""

    def encode(self, event: Event) -> bytes:
        return event.data if isinstance(event, AudioDelta) else b""

    def end(self) -> bytes:
        return b""

    def error(self, error: MintageError) -> bytes:
        return b""


def _event(fields: dict[str, object]) -> bytes:
    return b"data: " + encode_json(fields) + b"\n\n"


def _model(form: Form) -> str:
    model = form.one("model")
    if not model or len(model) > 256:
        raise invalid("Missing required parameter: 'model'.", "Name the model.", "model", "missing_required_parameter")
    return model


def _flag(form: Form, name: str) -> bool:
    value = (form.one(name) or "false").lower()
    if value not in ("true", "false", "1", "0"):
        raise invalid(f"'{name}' is true or false.", "Send one of them.", name)
    return value in ("true", "1")


def _audio(form: Form) -> Audio:
    name, data = form.files.get("file", ("", b""))
    if not data:
        raise invalid("Missing required parameter: 'file'.", "Send a sound.", "file", "missing_required_parameter")
    ending = name.rpartition(".")[2].lower()
    if ending not in _FILE_FORMATS:
        raise invalid(
            f"The file's ending {ending[:16]!r} is not one of sound.",
            f"Use {', '.join(sorted(_FILE_FORMATS))}.",
            "file",
        )
    return Audio(data=data, format=ending)


def _segment(segment: Segment, index: int) -> dict[str, object]:
    return {
        "id": index,
        "seek": 0,
        "start": segment.start_ms / 1000,
        "end": segment.end_ms / 1000,
        "text": segment.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": 0.0,
        "compression_ratio": 1.0,
        "no_speech_prob": 0.0,
    }


def _subtitles(segments: Sequence[Segment], written: str) -> str:
    comma = "," if written == "srt" else "."
    lines = ["WEBVTT", ""] if written == "vtt" else []
    for index, segment in enumerate(segments, 1):
        times = [_clock(ms, comma) for ms in (segment.start_ms, segment.end_ms)]
        lines += [str(index)] if written == "srt" else []
        lines += [" --> ".join(times), segment.text.strip(), ""]
    return "\n".join(lines)


def _clock(ms: int, comma: str) -> str:
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{comma}{ms:03}"
