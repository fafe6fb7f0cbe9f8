"""From the canonical Answer to the body of GenerateContentResponse; from vectors to that of the embedding calls."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from mintage.base import (
    Answer,
    Choice,
    FinishReason,
    MintageError,
    Operation,
    Part,
    Reasoning,
    Refusal,
    Request,
    Text,
    TokenLogprob,
    ToolCall,
    Usage,
)
from mintage.protocols.google.usage import encode_usage
from mintage.protocols.strict_json import encode_json, json_object

REASONS: Final[dict[FinishReason, str]] = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",  # Google has no reason for calls: a client looks whether there are any
    "content_filter": "SAFETY",
}
_METHODS: Final[dict[Operation, tuple[str, ...]]] = {
    "chat": ("generateContent", "streamGenerateContent", "countTokens"),
    "embedding": ("embedContent", "batchEmbedContents"),
}
#: Under this name `args` hold arguments that are no JSON object.
UNPARSED: Final = "_unparsed"


class ModelEntry(NamedTuple):
    """One model as GET /v1beta/models tells it. None: not known."""

    name: str
    operations: Collection[Operation]
    input_token_limit: int | None = None
    output_token_limit: int | None = None


def encode_answer(request: Request, answer: Answer, *, id: str, model: str | None = None) -> bytes:  # noqa: A002
    """model: the name to show, if not the answer's own."""
    body: dict[str, object] = {
        "candidates": [_candidate(request, choice, index) for index, choice in enumerate(answer.choices)],
        "usageMetadata": msgspec.Raw(encode_usage(answer.usage)),
        "modelVersion": answer.model if model is None else model,
        "responseId": id,
    }
    return encode_json(body)


def encode_part(request: Request, part: Part) -> list[dict[str, object]]:
    """Thoughts are only told to those who asked; their signatures are, because they have to come back."""
    if isinstance(part, Text | Refusal):
        return [{"text": part.text}] if part.text else []
    if isinstance(part, ToolCall):
        call = {"id": part.id, "name": part.name, "args": call_args(part.arguments)}
        return [_signed({"functionCall": call}, part.signature)]
    if isinstance(part, Reasoning):
        if part.text and request.reasoning_shown:
            return [_signed({"text": part.text, "thought": True}, part.signature)]
        return [{"text": "", "thoughtSignature": part.signature}] if part.signature else []
    raise MintageError("unsupported", "A candidate cannot hold this part of the answer.", "Ask over another protocol.")


def encode_logprobs(tokens: Sequence[TokenLogprob]) -> dict[str, object]:
    return {
        "chosenCandidates": [_logprob(token) for token in tokens],
        "topCandidates": [{"candidates": [_logprob(other) for other in token.top]} for token in tokens],
    }


def encode_count(tokens: int) -> bytes:
    return b'{"totalTokens":%d}' % tokens


def encode_embeddings(vectors: Iterable[bytes], usage: Usage, *, batch: bool) -> bytes:
    """vectors: 32-bit floats, little-endian."""
    values = [{"values": struct.unpack(f"<{len(vector) // 4}f", vector)} for vector in vectors]
    counted = {"promptTokenCount": usage.prompt_tokens, "totalTokenCount": usage.prompt_tokens}
    body: dict[str, object] = {"embeddings": values} if batch else {"embedding": values[0]}
    return msgspec.json.encode({**body, "usageMetadata": counted})


def encode_model(model: ModelEntry) -> bytes:
    return msgspec.json.encode(_model(model))


def encode_models(models: Iterable[ModelEntry], *, next_page: str | None = None) -> bytes:
    body: dict[str, object] = {"models": [_model(model) for model in models]}
    if next_page is not None:
        body["nextPageToken"] = next_page
    return msgspec.json.encode(body)


def call_args(arguments: str) -> dict[str, object]:
    """The arguments as the object that a functionCall holds; a call without any has an empty one."""
    if not arguments.strip():
        return {}
    found = json_object(arguments)
    return {UNPARSED: arguments} if found is None else found


def _model(model: ModelEntry) -> dict[str, object]:
    body: dict[str, object] = {
        "name": f"models/{model.name}",
        "displayName": model.name,
        "version": "1",
        "supportedGenerationMethods": [
            m for operation in sorted(model.operations) for m in _METHODS.get(operation, ())
        ],
    }
    if model.input_token_limit is not None:
        body["inputTokenLimit"] = model.input_token_limit
    if model.output_token_limit is not None:
        body["outputTokenLimit"] = model.output_token_limit
    return body


def _candidate(request: Request, choice: Choice, index: int) -> dict[str, object]:
    parts = [wire for part in choice.parts for wire in encode_part(request, part)]
    body: dict[str, object] = {
        "content": {"parts": parts or [{"text": ""}], "role": "model"},
        "finishReason": REASONS[choice.finish_reason],
        "index": index,
    }
    if request.logprobs and choice.logprobs:
        body["logprobsResult"] = encode_logprobs(choice.logprobs)
        body["avgLogprobs"] = sum(token.logprob for token in choice.logprobs) / len(choice.logprobs)
    return body


def _signed(part: dict[str, object], signature: str) -> dict[str, object]:
    return {**part, "thoughtSignature": signature} if signature else part


def _logprob(token: TokenLogprob) -> dict[str, object]:
    return {"token": token.token, "logProbability": token.logprob}
