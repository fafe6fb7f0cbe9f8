"""From the canonical Answer to the body of chat.completion or text_completion."""

from __future__ import annotations

from typing import Final

import msgspec

from mintage.base import (
    Answer,
    Audio,
    Choice,
    FinishReason,
    Reasoning,
    Refusal,
    Request,
    Text,
    TokenLogprob,
    ToolCall,
)
from mintage.protocols.media import encode_base64
from mintage.protocols.openai.logprobs import encode_chat_logprobs, encode_completion_logprobs
from mintage.protocols.openai.usage import encode_usage
from mintage.protocols.strict_json import encode_json

_AUDIO_LIFE_S: Final = 3600


def encode_answer(request: Request, answer: Answer, *, id: str, created_s: int, model: str | None = None) -> bytes:  # noqa: A002
    """model: the name to show, if not the answer's own; the customer asked for ours, not for the upstream's."""
    chat = request.operation == "chat"
    body: dict[str, object] = {
        "id": id,
        "object": "chat.completion" if chat else "text_completion",
        "created": created_s,
        "model": answer.model if model is None else model,
        "choices": [
            _chat_choice(request, choice, index, id, created_s) if chat else _completion_choice(request, choice, index)
            for index, choice in enumerate(answer.choices)
        ],
        "usage": msgspec.Raw(encode_usage(answer.usage)),
    }
    if answer.fingerprint:
        body["system_fingerprint"] = answer.fingerprint
    return encode_json(body)


def echoed_prompt(request: Request, choice: int) -> str:
    """What stands before a completion's text: its prompt, if the request wants it echoed."""
    if not request.echo or not request.prompts:
        return ""
    return request.prompts[min(choice // request.n, len(request.prompts) - 1)]


def completion_reason(reason: FinishReason) -> str:
    """Completions know no tool calls."""
    return "stop" if reason == "tool_calls" else reason


def _chat_choice(request: Request, choice: Choice, index: int, answer_id: str, created_s: int) -> dict[str, object]:
    text: list[str] = []
    refusal: list[str] = []
    reasoning: list[str] = []
    calls: list[dict[str, object]] = []
    message: dict[str, object] = {"role": "assistant", "content": None, "refusal": None}
    for part in choice.parts:
        if isinstance(part, Text):
            text.append(part.text)
        elif isinstance(part, Reasoning):
            reasoning.append(part.text)
        elif isinstance(part, Refusal):
            refusal.append(part.text)
        elif isinstance(part, ToolCall):
            calls.append(
                {"id": part.id, "type": "function", "function": {"name": part.name, "arguments": part.arguments}}
            )
        elif isinstance(part, Audio):
            message["audio"] = {
                "id": f"audio_{answer_id}",
                "data": encode_base64(part.data),
                "expires_at": created_s + _AUDIO_LIFE_S,
                "transcript": "",
            }
    if text or not (calls or refusal or "audio" in message):
        message["content"] = "".join(text)
    if refusal:
        message["refusal"] = "".join(refusal)
    if reasoning:
        message["reasoning_content"] = "".join(reasoning)
    if calls:
        message["tool_calls"] = calls
    return {
        "index": index,
        "message": message,
        "logprobs": encode_chat_logprobs(choice.logprobs) if request.logprobs else None,
        "finish_reason": choice.finish_reason,
    }


def _completion_choice(request: Request, choice: Choice, index: int) -> dict[str, object]:
    echo = echoed_prompt(request, index)
    logprobs: tuple[TokenLogprob, ...] = choice.logprobs
    return {
        "index": index,
        "text": echo + "".join([part.text for part in choice.parts if isinstance(part, Text | Refusal)]),
        "logprobs": encode_completion_logprobs(logprobs, len(echo)) if request.logprobs else None,
        "finish_reason": completion_reason(choice.finish_reason),
    }
