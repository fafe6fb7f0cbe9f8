"""From Anthropic's whole message to the canonical Answer."""

from __future__ import annotations

import msgspec

from mintage.base import Answer, Choice, Part, Reasoning, Text, ToolCall, new_id
from mintage.protocols.anthropic.answer_wire import NULL, BlockWire, MessageWire, finish_reason, input_text
from mintage.protocols.anthropic.usage import parse_usage
from mintage.protocols.estimate import believable
from mintage.protocols.upstream_errors import decode_stream_error, unreadable

_decode = msgspec.json.Decoder(MessageWire).decode
_count = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def decode_answer(raw: bytes) -> Answer:
    """Raises upstream_failed for what is no message. Without a believable usage the answer is marked estimated."""
    try:
        wire = _decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise unreadable("what is not an answer") from None
    if wire.error != NULL:
        raise decode_stream_error(wire.error)
    if wire.content is None or wire.stop_reason is None:
        raise unreadable("an answer without content")
    try:
        parts = tuple([part for block in wire.content for part in _part(block)])
    except UnicodeError:
        raise unreadable("an answer that cannot be read") from None
    reported = parse_usage(wire.usage)
    usage, estimated = believable(reported.usage() if reported else None, 0, sum(map(characters, parts)))
    reason = finish_reason(wire.stop_reason)
    choice = Choice(parts=parts, finish_reason=reason, stop_sequence=wire.stop_sequence)
    return Answer(
        model=wire.model or "", choices=(choice,), usage=usage, upstream_id=wire.id or "", estimated=estimated
    )


def decode_count(raw: bytes) -> int:
    """What count_tokens answered. Raises upstream_failed."""
    try:
        return max(0, msgspec.json.decode(_count(raw)["input_tokens"], type=int))
    except (msgspec.MsgspecError, UnicodeError, RecursionError, KeyError):
        raise unreadable("no count of tokens") from None


def characters(part: Part) -> int:
    return len(part.arguments if isinstance(part, ToolCall) else getattr(part, "text", ""))


def _part(wire: BlockWire) -> list[Part]:
    """Blocks of server tools are skipped: none are asked for."""
    if wire.type == "text":
        return [Text(wire.text)] if wire.text else []
    if wire.type == "thinking":
        return [Reasoning(text=wire.thinking or "", signature=wire.signature or "")]
    if wire.type == "redacted_thinking":
        return [Reasoning(text="", signature=wire.data or "", redacted=True)]
    if wire.type == "tool_use":
        if not wire.name:
            raise unreadable("a tool call without a name")
        return [ToolCall(id=wire.id or new_id("call"), name=wire.name, arguments=input_text(wire.input) or "{}")]
    return []
