"""Usage on the wire and in the books.

promptTokenCount includes what was cached; candidatesTokenCount leaves out the thoughts. toolUsePromptTokenCount is
input that the provider's own tools brought.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from mintage.base import Usage

_Count = Annotated[int, Meta(ge=0, le=2**36)]


class _WireUsage(Struct, rename="camel"):
    prompt_token_count: _Count | None = None
    cached_content_token_count: _Count | None = None
    candidates_token_count: _Count | None = None
    thoughts_token_count: _Count | None = None
    tool_use_prompt_token_count: _Count | None = None


_decode = msgspec.json.Decoder(_WireUsage, strict=False).decode


def parse_usage(raw: bytes | msgspec.Raw) -> Usage | None:
    """None for null, and for what cannot be true, so that the caller estimates."""
    try:
        wire = _decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    if wire.prompt_token_count is None and wire.candidates_token_count is None:
        return None
    prompt = wire.prompt_token_count or 0
    cached = min(wire.cached_content_token_count or 0, prompt)
    return Usage(
        input_tokens=prompt - cached + (wire.tool_use_prompt_token_count or 0),
        cached_read_tokens=cached,
        output_tokens=wire.candidates_token_count or 0,
        reasoning_tokens=wire.thoughts_token_count or 0,
    )


def encode_usage(usage: Usage) -> bytes:
    """The `usageMetadata` object."""
    cached = b',"cachedContentTokenCount":%d' % usage.cached_read_tokens if usage.cached_read_tokens else b""
    thoughts = b',"thoughtsTokenCount":%d' % usage.reasoning_tokens if usage.reasoning_tokens else b""
    return b'{"promptTokenCount":%d,"candidatesTokenCount":%d%b%b,"totalTokenCount":%d}' % (
        usage.prompt_tokens,
        usage.output_tokens,
        thoughts,
        cached,
        usage.prompt_tokens + usage.completion_tokens,
    )
