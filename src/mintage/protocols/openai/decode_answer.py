"""From an upstream's whole answer to the canonical Answer, for chat and completions alike."""

from __future__ import annotations

import msgspec

from mintage.base import Answer, Choice, Part, Reasoning, Refusal, Text, ToolCall, new_id
from mintage.protocols.estimate import believable
from mintage.protocols.openai.answer_wire import (
    AnswerWire,
    CallWire,
    ChoiceWire,
    arguments_text,
    content_texts,
    finish_reason,
)
from mintage.protocols.openai.logprobs import decode_logprobs
from mintage.protocols.openai.usage import parse_usage
from mintage.protocols.upstream_errors import decode_stream_error, unreadable

_decode = msgspec.json.Decoder(AnswerWire).decode


def decode_answer(raw: bytes) -> Answer:
    """Raises upstream_failed for anything that is not a whole answer with at least one choice.

    Without a believable `usage` the answer is marked estimated: its written tokens are counted from its length and
    its input is 0, for the caller to count.
    """
    wire = decode_wire(raw)
    if not wire.choices:
        raise unreadable("an answer without choices")
    try:
        choices = [(_choice(choice), choice.index) for choice in wire.choices]
    except (msgspec.MsgspecError, UnicodeError):
        raise unreadable("an answer that cannot be read") from None
    usage, estimated = believable(parse_usage(wire.usage), 0, sum([_characters(choice) for choice, _ in choices]))
    return Answer(
        model=wire.model or "",
        choices=tuple([choice for choice, _ in sorted(choices, key=lambda pair: pair[1])]),
        usage=usage,
        upstream_id=wire.id or "",
        fingerprint=wire.system_fingerprint or "",
        estimated=estimated,
    )


def decode_wire(raw: bytes | memoryview) -> AnswerWire:
    """An answer or a chunk. Raises upstream_failed, or what its `error` member means."""
    try:
        wire = _decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise unreadable("what is not an answer") from None
    if bytes(wire.error) != b"null":
        raise decode_stream_error(wire.error)
    return wire


def _choice(wire: ChoiceWire) -> Choice:
    parts: list[Part] = []
    if wire.text:
        parts.append(Text(wire.text))
    if message := wire.message:
        thought, text = content_texts(message.content)
        if reasoning := message.reasoning_content or message.reasoning or thought:
            parts.append(Reasoning(text=reasoning))
        if text:
            parts.append(Text(text))
        if message.refusal:
            parts.append(Refusal(message.refusal))
        parts += [_call(call) for call in message.tool_calls or ()]
    reason = finish_reason(wire.finish_reason or "stop")
    if reason == "stop" and wire.finish_reason is None and any(isinstance(part, ToolCall) for part in parts):
        reason = "tool_calls"
    return Choice(parts=tuple(parts), finish_reason=reason, logprobs=decode_logprobs(wire.logprobs))


def _call(wire: CallWire) -> ToolCall:
    if wire.function is None or not wire.function.name:
        raise unreadable("a tool call without a name")
    return ToolCall(
        id=wire.id or new_id("call"), name=wire.function.name, arguments=arguments_text(wire.function.arguments)
    )


def _characters(choice: Choice) -> int:
    return sum(
        [len(part.arguments if isinstance(part, ToolCall) else getattr(part, "text", "")) for part in choice.parts]
    )
