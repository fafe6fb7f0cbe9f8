"""Embeddings, moderations, speech and transcriptions of an upstream: the bodies it takes, the answers it gives."""

from __future__ import annotations

import binascii
import struct
from base64 import b64decode
from typing import Annotated, Final
from uuid import uuid4

import msgspec
from msgspec import Meta, Struct

from mintage.base import Embedding, Event, MintageError, Moderation, Request, Segment, Usage, UsageReported, Word
from mintage.protocols.openai.usage import parse_usage
from mintage.protocols.strict_json import encode_json
from mintage.protocols.upstream_errors import unreadable

_Index = Annotated[int, Meta(ge=0, le=100_000)]
_Seconds = Annotated[float, Meta(ge=0, le=1e6)]
_BYTES_PER_TOKEN: Final = 4
_NULL: Final = msgspec.Raw(b"null")


class _Vector(Struct):
    embedding: str | list[float]
    index: _Index = 0


class _Embeddings(Struct):
    data: list[_Vector]
    usage: msgspec.Raw = _NULL


class _Verdict(Struct):
    category_scores: dict[str, float]
    categories: dict[str, bool | None] = {}


class _Verdicts(Struct):
    results: list[_Verdict]


class _WordWire(Struct):
    word: str
    start: _Seconds = 0.0
    end: _Seconds = 0.0


class _SegmentWire(Struct):
    text: str
    start: _Seconds = 0.0
    end: _Seconds = 0.0


class _Transcript(Struct):
    text: str
    language: str = ""
    duration: _Seconds | None = None
    segments: list[_SegmentWire] = []
    words: list[_WordWire] | None = None


_embeddings = msgspec.json.Decoder(_Embeddings).decode
_verdicts = msgspec.json.Decoder(_Verdicts).decode
_transcript = msgspec.json.Decoder(_Transcript, strict=False).decode
_DECODE_ERRORS: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)


def encode_media_request(request: Request, model: str) -> tuple[bytes, bytes]:
    """(content type, body) for POST /embeddings, /moderations, /audio/speech or /audio/transcriptions."""
    if request.operation == "transcription":
        return _multipart(request, model)
    body: dict[str, object] = {"model": model}
    if request.operation == "speech":
        speech = request.speech
        if speech is None:
            raise MintageError("invalid_request", "Speech needs a voice.", "Name one.", param="voice")
        body |= {"input": request.prompts[0], "voice": speech.voice, "response_format": speech.format}
        if speech.speed != 1.0:
            body["speed"] = speech.speed
        if speech.instructions:
            body["instructions"] = speech.instructions
    else:
        body["input"] = list(request.prompts)
        if request.operation == "embedding":
            body["encoding_format"] = "base64"
            if request.dimensions is not None:
                body["dimensions"] = request.dimensions
            if request.end_user is not None:
                body["user"] = request.end_user
    return b"application/json", encode_json(body)


def _multipart(request: Request, model: str) -> tuple[bytes, bytes]:
    wanted = request.transcription
    if wanted is None:
        raise MintageError("invalid_request", "There is no audio to transcribe.", "Send a file.", param="file")
    timed = wanted.word_times or model.startswith("whisper")
    fields = {"model": model, "response_format": "verbose_json" if timed else "json"}
    if wanted.language:
        fields["language"] = wanted.language
    if wanted.prompt:
        fields["prompt"] = wanted.prompt
    if wanted.word_times:
        fields["timestamp_granularities[]"] = "word"
    edge = uuid4().hex.encode()
    parts = [
        b'--%b\r\ncontent-disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (edge, name.encode(), value.encode())
        for name, value in fields.items()
    ]
    suffix = "".join(c for c in wanted.audio.format if c.isalnum())[:8] or "wav"
    head = b'--%b\r\ncontent-disposition: form-data; name="file"; filename="audio.%b"\r\n' % (edge, suffix.encode())
    parts.append(head + b"content-type: application/octet-stream\r\n\r\n" + wanted.audio.data + b"\r\n")
    return b"multipart/form-data; boundary=" + edge, b"".join(parts) + b"--%b--\r\n" % edge


def decode_embeddings(raw: bytes, request: Request) -> list[Event]:
    """One vector per text, in order, then the usage. Raises upstream_failed for fewer, more, or none."""
    try:
        wire = _embeddings(raw)
        vectors = {item.index: _floats(item.embedding) for item in wire.data}
    except (*_DECODE_ERRORS, struct.error, OverflowError, binascii.Error, ValueError):
        raise unreadable("what are no embeddings") from None
    if sorted(vectors) != list(range(len(request.prompts))):
        raise unreadable("not one embedding per text")
    events: list[Event] = [Embedding(vectors[index], index) for index in range(len(vectors))]
    usage = parse_usage(wire.usage)
    if usage is None:
        return [*events, _estimated(request)]
    return [*events, UsageReported(usage=Usage(input_tokens=usage.prompt_tokens))]


def _floats(value: str | list[float]) -> bytes:
    if isinstance(value, list):
        return struct.pack(f"<{len(value)}f", *value)
    data = b64decode(value, validate=True)
    if not data or len(data) % 4:
        raise ValueError("no 32-bit floats")
    return data


def decode_moderations(raw: bytes, request: Request) -> list[Event]:
    """One verdict per text. No provider says how much it read."""
    try:
        results = _verdicts(raw).results
    except _DECODE_ERRORS:
        raise unreadable("no moderation") from None
    if len(results) != len(request.prompts):
        raise unreadable("not one verdict per text")
    events: list[Event] = [
        Moderation(
            scores={name: min(max(score, 0.0), 1.0) for name, score in verdict.category_scores.items()},
            flagged=frozenset(name for name, flagged in verdict.categories.items() if flagged),
            choice=index,
        )
        for index, verdict in enumerate(results)
    ]
    return [*events, _estimated(request)]


def decode_transcript(raw: bytes, bound_ms: int) -> list[Event]:
    """The segments, then the length of the audio: as the provider measured it, else bound_ms, marked."""
    try:
        wire = _transcript(raw)
    except _DECODE_ERRORS:
        raise unreadable("no transcript") from None
    words = tuple(Word(word.word, _ms(word.start), _ms(word.end)) for word in wire.words or ())
    pieces = wire.segments or [_SegmentWire(wire.text, 0.0, wire.duration or 0.0)]
    events: list[Event] = [
        Segment(
            text=piece.text,
            start_ms=_ms(piece.start),
            end_ms=_ms(piece.end),
            language=wire.language,
            words=words if number == 0 else (),
        )
        for number, piece in enumerate(pieces)
    ]
    known = wire.duration is not None
    audio_ms = min(_ms(wire.duration), bound_ms) if wire.duration is not None else bound_ms
    return [*events, UsageReported(usage=Usage(audio_ms=audio_ms), estimated=not known)]


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _estimated(request: Request) -> UsageReported:
    tokens = sum(len(prompt.encode()) for prompt in request.prompts) // _BYTES_PER_TOKEN
    return UsageReported(usage=Usage(input_tokens=max(1, tokens)), estimated=True)
