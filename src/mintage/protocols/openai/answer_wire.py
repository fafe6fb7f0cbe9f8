"""What upstreams answer: whole answers and stream chunks, read leniently.

Fields that we do not know are skipped, and every field that some provider leaves out may be absent. `text` is that of
completions, `message` and `delta` are those of chat.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Raw, Struct

from mintage.base import FinishReason, MintageError
from mintage.protocols.openai.logprobs import WireLogprobs

NULL: Final = Raw(b"null")
_decode_str = msgspec.json.Decoder(str).decode
_Index = Annotated[int, Meta(ge=0, le=1023)]


class ThoughtItem(Struct):
    text: str | None = None


class ContentItem(Struct):
    """Mistral answers a list when it thinks."""

    text: str | None = None
    thinking: list[ThoughtItem] | str | None = None


class FunctionWire(Struct):
    name: str | None = None
    arguments: Raw = NULL  # a string; some providers send the object itself


class CallWire(Struct):
    index: _Index | None = None
    id: str | None = None
    function: FunctionWire | None = None


class AudioWire(Struct):
    data: str | None = None


class MessageWire(Struct):
    content: str | list[ContentItem] | None = None
    reasoning_content: str | None = None  # DeepSeek, vLLM, llama.cpp
    reasoning: str | None = None  # OpenRouter, newer vLLM
    refusal: str | None = None
    tool_calls: list[CallWire] | None = None
    audio: AudioWire | None = None


class ChoiceWire(Struct):
    index: _Index = 0
    message: MessageWire | None = None
    delta: MessageWire | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: WireLogprobs | None = None
    stop_reason: int | str | None = None  # vLLM: the stop sequence that was met


class AnswerWire(Struct):
    """A whole answer, or one chunk of a stream."""

    id: str | None = None
    model: str | None = None
    system_fingerprint: str | None = None
    choices: list[ChoiceWire] | None = None
    usage: Raw = NULL
    error: Raw = NULL


_REASONS: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "function_call": "tool_calls",
    "eos": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "safety": "content_filter",
}
_FAILURES: Final = frozenset({"error", "abort", "insufficient_system_resource"})


def finish_reason(wire: str) -> FinishReason:
    """`length` stays `length`, even after a begun tool call. Raises upstream_failed for a reason that is a failure."""
    wire = wire.lower()
    if wire in _FAILURES:
        raise MintageError("upstream_failed", "The upstream gave up before the end of its answer.", "Try again.")
    return _REASONS.get(wire, "stop")


def content_texts(content: str | list[ContentItem] | None) -> tuple[str, str]:
    """(reasoning, text) of a content field."""
    if not isinstance(content, list):
        return "", content or ""
    reasoning, text = [], []
    for item in content:
        thinking = item.thinking or ()
        reasoning += [thinking] if isinstance(thinking, str) else [inner.text or "" for inner in thinking]
        text.append(item.text or "")
    return "".join(reasoning), "".join(text)


def arguments_text(raw: Raw) -> str:
    """The arguments of a call as JSON text, whether they came as text or as the object itself."""
    data = bytes(raw)
    if data == b"null":
        return ""
    return _decode_str(data) if data[:1] == b'"' else data.decode()
