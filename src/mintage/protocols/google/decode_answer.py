"""From Google's whole responses to ours: an Answer, vectors, a count of tokens."""

from __future__ import annotations

import struct

import msgspec
from msgspec import Raw, Struct

from mintage.base import Event
from mintage.protocols.google.answer_wire import NULL
from mintage.protocols.google.stream_decoder import StreamDecoder
from mintage.protocols.upstream_errors import unreadable


class _Vector(Struct):
    values: list[float]


class _Embeddings(Struct, rename="camel"):
    embeddings: list[_Vector]
    usage_metadata: Raw = NULL


class _Total(Struct, rename="camel"):
    total_tokens: int


_embeddings = msgspec.json.Decoder(_Embeddings).decode
_total = msgspec.json.Decoder(_Total).decode


def decode_events(raw: bytes) -> list[Event]:
    """A whole response as the events of its answer. Raises upstream_failed for what is none."""
    decoder = StreamDecoder()
    events: list[Event] = []
    decoder.read(raw, events)
    return events + decoder.close()


def decode_embeddings(raw: bytes) -> tuple[list[bytes], int | None]:
    """(vectors as 32-bit floats, little-endian; the tokens that were read, if it says so). Raises upstream_failed."""
    try:
        wire = _embeddings(raw)
        vectors = [struct.pack(f"<{len(vector.values)}f", *vector.values) for vector in wire.embeddings]
    except (msgspec.MsgspecError, UnicodeError, RecursionError, struct.error, OverflowError):
        raise unreadable("what are no embeddings") from None
    try:
        tokens = msgspec.json.decode(wire.usage_metadata, type=dict[str, object]).get("promptTokenCount")
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        tokens = None
    return vectors, tokens if isinstance(tokens, int) and 0 <= tokens < 2**36 else None


def decode_count(raw: bytes) -> int:
    """What countTokens answered. Raises upstream_failed."""
    try:
        return max(0, _total(raw).total_tokens)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise unreadable("no count of tokens") from None
