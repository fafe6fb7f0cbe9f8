"""From the canonical Answer to the body of a response: its items, its status, and what it repeats of the request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from mintage.base import Answer, FinishReason, Part, Reasoning, Refusal, Request, Text, TokenLogprob, ToolCall, Usage
from mintage.protocols.openai.logprobs import encode_chat_logprobs
from mintage.protocols.strict_json import encode_json

_INCOMPLETE: Final[dict[FinishReason, str]] = {"length": "max_output_tokens", "content_filter": "content_filter"}


class Frame:
    """What every form of one response has in common. repeated: see decode_request.decode_response_body."""

    __slots__ = ("created_s", "id", "model", "repeated", "request")

    def __init__(
        self,
        request: Request,
        repeated: dict[str, object],
        *,
        id: str,  # noqa: A002
        created_s: int,
        model: str,
    ) -> None:
        self.request = request
        self.repeated = repeated
        self.id = id
        self.created_s = created_s
        self.model = model

    def item_id(self, kind: str, index: int) -> str:
        return f"{kind}_{self.id.removeprefix('resp_')}_{index}"

    def response(
        self, status: str, output: Sequence[object] = (), usage: Usage | None = None, reason: FinishReason = "stop"
    ) -> dict[str, object]:
        incomplete = _INCOMPLETE.get(reason) if status == "incomplete" else None
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created_s,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None if incomplete is None else {"reason": incomplete},
            "model": self.model,
            "output": output,
            **self.repeated,
            "usage": None if usage is None else msgspec.Raw(encode_response_usage(usage)),
        }


def encode_response(frame: Frame, answer: Answer) -> bytes:
    choice = answer.choices[0]
    status = final_status(choice.finish_reason)
    output: list[dict[str, object]] = []
    message: list[dict[str, object]] = []
    for part in choice.parts:
        if isinstance(part, Text | Refusal):
            if not message:
                output.append(message_item(frame, len(output), status, message))
            logprobs = choice.logprobs if isinstance(part, Text) and frame.request.logprobs else ()
            message.append(content_part(part, logprobs))
            continue
        message = []
        if isinstance(part, ToolCall):
            output.append(call_item(frame, len(output), part.id, part.name, part.arguments, status))
        elif isinstance(part, Reasoning) and tells(frame.request, part):
            output.append(reasoning_item(frame, len(output), part))
    return encode_json(frame.response(status, output, answer.usage, choice.finish_reason))


def final_status(reason: FinishReason) -> str:
    return "incomplete" if reason in _INCOMPLETE else "completed"


def tells(request: Request, part: Part) -> bool:
    """Reasoning is told where a summary was asked for, or where it has to be sent back."""
    return isinstance(part, Reasoning) and bool(request.reasoning_shown or part.signature)


def message_item(frame: Frame, index: int, status: str, content: list[dict[str, object]]) -> dict[str, object]:
    return {
        "id": frame.item_id("msg", index),
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": content,
    }


def content_part(part: Part, logprobs: Sequence[TokenLogprob] = ()) -> dict[str, object]:
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    text = part.text if isinstance(part, Text) else ""
    tokens = encode_chat_logprobs(logprobs)["content"] if logprobs else []
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": tokens}


def call_item(  # noqa: PLR0917 - in the order of the wire
    frame: Frame, index: int, call_id: str, name: str, arguments: str, status: str
) -> dict[str, object]:
    return {
        "id": frame.item_id("fc", index),
        "type": "function_call",
        "status": status,
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    }


def reasoning_item(frame: Frame, index: int, part: Reasoning) -> dict[str, object]:
    shown = part.text and frame.request.reasoning_shown
    item: dict[str, object] = {
        "id": frame.item_id("rs", index),
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": part.text}] if shown else [],
    }
    if part.signature:
        item["encrypted_content"] = part.signature
    return item


def encode_response_usage(usage: Usage) -> bytes:
    return (
        b'{"input_tokens":%d,"input_tokens_details":{"cached_tokens":%d,"cache_write_tokens":%d},"output_tokens":%d,'
        b'"output_tokens_details":{"reasoning_tokens":%d},"total_tokens":%d}'
    ) % (
        usage.prompt_tokens,
        usage.cached_read_tokens,
        usage.cache_write_tokens,
        usage.completion_tokens,
        usage.reasoning_tokens,
        usage.prompt_tokens + usage.completion_tokens,
    )


def encode_response_count(tokens: int) -> bytes:
    return b'{"object":"response.input_tokens","input_tokens":%d}' % tokens
