"""Usage on the wire and in the books: OpenAI's overlapping totals, our disjoint classes.

On the wire prompt_tokens includes cached ones and completion_tokens includes reasoning; `details` say how many.
Providers differ: xAI and Gemini leave reasoning out of completion_tokens and only let it show in total_tokens;
DeepSeek and Moonshot report cached tokens beside the totals.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from mintage.base import Usage

#: Far beyond any real request; what is above is nonsense, not usage.
_Count = Annotated[int, Meta(ge=0, le=2**36)]


class _PromptDetails(Struct):
    cached_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None


class _CompletionDetails(Struct):
    reasoning_tokens: _Count | None = None


class _WireUsage(Struct):
    prompt_tokens: _Count
    completion_tokens: _Count = 0
    total_tokens: _Count | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    cached_tokens: _Count | None = None  # Moonshot
    prompt_cache_hit_tokens: _Count | None = None  # DeepSeek


_decode = msgspec.json.Decoder(_WireUsage, strict=False).decode


def parse_usage(raw: bytes | msgspec.Raw) -> Usage | None:
    """The disjoint classes of a `usage` object; None if it is null or cannot be true, so that the caller estimates."""
    try:
        wire = _decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    prompt, details = wire.prompt_tokens, wire.prompt_tokens_details or _PromptDetails()
    cached = details.cached_tokens or wire.cached_tokens or wire.prompt_cache_hit_tokens or 0
    cached = min(cached, prompt)
    cache_write = min(details.cache_write_tokens or 0, prompt - cached)
    written, reasoning = _written(wire)
    return Usage(
        input_tokens=prompt - cached - cache_write,
        cached_read_tokens=cached,
        cache_write_tokens=cache_write,
        output_tokens=written - reasoning,
        reasoning_tokens=reasoning,
    )


def _written(wire: _WireUsage) -> tuple[int, int]:
    """(all tokens written, reasoning among them)."""
    details = wire.completion_tokens_details
    reasoning = (details.reasoning_tokens if details else None) or 0
    hidden = (wire.total_tokens or 0) - wire.prompt_tokens - wire.completion_tokens
    if hidden > 0 and reasoning in (0, hidden):  # reasoning that completion_tokens leaves out
        return wire.completion_tokens + hidden, hidden
    return wire.completion_tokens, min(reasoning, wire.completion_tokens)


def encode_usage(usage: Usage) -> bytes:
    """The `usage` object as OpenAI writes it."""
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    cache_write = b',"cache_write_tokens":%d' % usage.cache_write_tokens if usage.cache_write_tokens else b""
    return (
        b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,'
        b'"prompt_tokens_details":{"cached_tokens":%d%b},"completion_tokens_details":{"reasoning_tokens":%d}}'
        % (prompt, completion, prompt + completion, usage.cached_read_tokens, cache_write, usage.reasoning_tokens)
    )
