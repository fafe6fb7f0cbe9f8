"""What Anthropic answers: whole messages and stream events, read leniently. Fields that are not known are skipped."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Raw, Struct

from mintage.base import FinishReason

NULL: Final = Raw(b"null")


class BlockWire(Struct):
    """Any content block, and any delta of one."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = NULL
    partial_json: str | None = None
    # Of message_delta
    stop_reason: str | None = None
    stop_sequence: str | None = None


class MessageWire(Struct):
    id: str | None = None
    model: str | None = None
    content: list[BlockWire] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: Raw = NULL
    error: Raw = NULL


class EventWire(Struct):
    type: str = ""
    index: Annotated[int, Meta(ge=0, le=4095)] = 0
    message: MessageWire | None = None
    content_block: BlockWire | None = None
    delta: BlockWire | None = None
    usage: Raw = NULL
    error: Raw = NULL


_REASONS: Final[dict[str, FinishReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_decode_str = msgspec.json.Decoder(str).decode


def finish_reason(wire: str | None) -> FinishReason:
    return _REASONS.get(wire or "", "stop")


def input_text(raw: Raw) -> str:
    """A tool's input as JSON text; "" for the empty object with which a streamed one begins."""
    data = bytes(raw)
    return "" if data in (b"null", b"{}") else data.decode()
