"""The bodies of /v1/embeddings and /v1/moderations, as they are asked and as they are answered."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from mintage.base import MintageError, Moderation, Request, Usage
from mintage.protocols.media import encode_base64
from mintage.protocols.openai.request_wire import EndUser
from mintage.protocols.strict_json import convert, encode_json, invalid, parse_json

_ModelName = Annotated[str, Meta(min_length=1, max_length=256)]
Encoding = Literal["float", "base64"]
#: What moderation models judge a text by.
CATEGORIES: Final = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/intent", "self-harm/instructions", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip
#: The model that moderates where a body names none.
MODERATION_MODEL: Final = "omni-moderation-latest"


class EmbeddingBody(Struct, kw_only=True, forbid_unknown_fields=True):
    model: _ModelName
    input: str | Annotated[list[str | int | list[int]], Meta(min_length=1, max_length=2048)]
    dimensions: Annotated[int, Meta(ge=1, le=65_536)] | None = None
    encoding_format: Encoding | None = None
    user: EndUser | None = None
    input_type: Literal["query", "document", "search_query", "search_document", "passage"] | None = None


class _TextInput(Struct, tag_field="type", tag="text", forbid_unknown_fields=True):
    text: str


class _ImageInput(Struct, tag_field="type", tag="image_url"):
    """Read so that it can be refused by name."""


class ModerationBody(Struct, kw_only=True, forbid_unknown_fields=True):
    input: str | Annotated[list[str | _TextInput | _ImageInput], Meta(min_length=1, max_length=1024)]
    model: _ModelName = MODERATION_MODEL


_PURPOSES: Final = {"query": "query", "search_query": "query", None: ""}


def decode_embedding_body(raw: bytes) -> tuple[Request, Encoding]:
    """(the request, how vectors are written). Raises invalid_json, invalid_request or unsupported."""
    body = convert(parse_json(raw), EmbeddingBody, {})
    texts = []
    for text in [body.input] if isinstance(body.input, str) else body.input:
        if not isinstance(text, str):
            raise MintageError("unsupported", "Token ids are not served.", "Send the input as text.", param="input")
        if not text:
            raise invalid("'input' has an empty text.", "Leave it out.", "input")
        texts.append(text)
    request = Request(
        operation="embedding",
        model=body.model,
        prompts=tuple(texts),
        dimensions=body.dimensions,
        purpose=_PURPOSES.get(body.input_type, "document"),
        end_user=body.user or None,
    )
    return request, body.encoding_format or "float"


def encode_embeddings(vectors: Sequence[bytes], usage: Usage, model: str, encoding: Encoding) -> bytes:
    """vectors: 32-bit floats, little-endian; so is what base64 carries."""
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": encode_base64(vector) if encoding == "base64" else _floats(vector),
        }
        for index, vector in enumerate(vectors)
    ]
    tokens = usage.prompt_tokens
    counted = {"prompt_tokens": tokens, "total_tokens": tokens}
    return encode_json({"object": "list", "data": data, "model": model, "usage": counted})


def _floats(vector: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(vector) // 4}f", vector)


def decode_moderation_body(raw: bytes) -> Request:
    """A list of parts is one input; a list of texts is one each. Raises as decode_embedding_body does."""
    body = convert(parse_json(raw), ModerationBody, {})
    if isinstance(body.input, str):
        texts = [body.input]
    else:
        parts: list[str] = []
        texts = []
        for index, item in enumerate(body.input):
            if isinstance(item, _ImageInput):
                raise MintageError(
                    "unsupported", "Images are not moderated here.", "Send text.", param=f"input[{index}]"
                )
            (texts if isinstance(item, str) else parts).append(item if isinstance(item, str) else item.text)
        if parts and texts:
            raise invalid("'input' mixes texts and parts.", "Send one kind.", "input")
        texts = ["\n".join(parts)] if parts else texts
    return Request(operation="moderation", model=body.model, prompts=tuple(texts))


def encode_moderations(verdicts: Sequence[Moderation], model: str, answer_id: str) -> bytes:
    """A category that the model does not judge has the score 0."""
    results = [
        {
            "flagged": bool(verdict.flagged),
            "categories": {name: name in verdict.flagged for name in CATEGORIES},
            "category_scores": {name: float(verdict.scores.get(name, 0.0)) for name in CATEGORIES},
            "category_applied_input_types": {name: ["text"] for name in CATEGORIES},
        }
        for verdict in verdicts
    ]
    return msgspec.json.encode({"id": answer_id, "model": model, "results": results})
