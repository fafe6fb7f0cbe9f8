"""From the canonical Answer to the body of a message."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from mintage.base import Answer, FinishReason, MintageError, Part, Reasoning, Refusal, Request, Text, ToolCall
from mintage.protocols.anthropic.usage import encode_usage
from mintage.protocols.strict_json import encode_json, json_object

_REASONS: Final[dict[FinishReason, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
#: Under this name a tool_use holds arguments that are no JSON object, which its `input` cannot be.
UNPARSED: Final = "_unparsed"


class ModelEntry(NamedTuple):
    """One model as GET /v1/models tells it. None: not known."""

    name: str
    created_s: int
    max_input_tokens: int | None = None
    max_tokens: int | None = None


def encode_answer(request: Request, answer: Answer, *, id: str, model: str | None = None) -> bytes:  # noqa: A002
    """model: the name to show, if not the answer's own. Raises unsupported for more than one choice."""
    if len(answer.choices) != 1:
        raise MintageError("unsupported", "A message holds one answer.", "Ask for one.")
    choice = answer.choices[0]
    body: dict[str, object] = {
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": answer.model if model is None else model,
        "content": [block for part in choice.parts for block in _block(request, part)],
        "stop_reason": stop_reason(choice.finish_reason, choice.stop_sequence),
        "stop_sequence": choice.stop_sequence,
        "usage": msgspec.Raw(encode_usage(answer.usage)),
    }
    return encode_json(body)


def stop_reason(reason: FinishReason, stop_sequence: str | None) -> str:
    return "stop_sequence" if stop_sequence is not None and reason == "stop" else _REASONS[reason]


def encode_count(tokens: int) -> bytes:
    return b'{"input_tokens":%d}' % tokens


def encode_model(model: ModelEntry) -> bytes:
    return msgspec.json.encode(_model(model))


def encode_models(models: Iterable[ModelEntry], *, has_more: bool = False) -> bytes:
    data = [_model(model) for model in models]
    ends = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return msgspec.json.encode({"data": data, "has_more": has_more, "first_id": ends[0], "last_id": ends[1]})


def _model(model: ModelEntry) -> dict[str, object]:
    created = datetime.fromtimestamp(model.created_s, UTC).isoformat().replace("+00:00", "Z")
    return {
        "type": "model",
        "id": model.name,
        "display_name": model.name,
        "created_at": created,
        "lifecycle": "active",
        "max_input_tokens": model.max_input_tokens,
        "max_tokens": model.max_tokens,
    }


def _block(request: Request, part: Part) -> list[dict[str, object]]:
    if isinstance(part, Text | Refusal):
        return [{"type": "text", "text": part.text}] if part.text else []
    if isinstance(part, ToolCall):
        return [{"type": "tool_use", "id": part.id, "name": part.name, "input": tool_input(part.arguments)}]
    if isinstance(part, Reasoning):
        if part.redacted:
            return [{"type": "redacted_thinking", "data": part.signature}]
        text = "" if request.reasoning_shown is False else part.text
        return [{"type": "thinking", "thinking": text, "signature": part.signature}]
    raise MintageError("unsupported", "A message cannot hold this part of the answer.", "Ask over another protocol.")


def tool_input(arguments: str) -> dict[str, object]:
    """The arguments as the object that a tool_use holds; a call without any has an empty one."""
    if not arguments.strip():
        return {}
    found = json_object(arguments)
    return {UNPARSED: arguments} if found is None else found
