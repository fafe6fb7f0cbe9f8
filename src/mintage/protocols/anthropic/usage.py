"""Usage on the wire and in the books. Anthropic's input classes are disjoint as ours are; its output holds thinking."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from mintage.base import Usage

_Count = Annotated[int, Meta(ge=0, le=2**36)]


class OutputDetails(Struct):
    thinking_tokens: _Count | None = None


class WireUsage(Struct):
    """All optional: a stream tells input at its start, output at its end, and may correct the first by the second."""

    input_tokens: _Count | None = None
    cache_creation_input_tokens: _Count | None = None
    cache_read_input_tokens: _Count | None = None
    output_tokens: _Count | None = None
    output_tokens_details: OutputDetails | None = None

    def over(self, earlier: WireUsage | None) -> WireUsage:
        """These numbers; where one is missing, the earlier."""
        if earlier is None:
            return self
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        return WireUsage(**{n: getattr(earlier, n) if value is None else value for n, value in fields.items()})

    def usage(self) -> Usage:
        written = self.output_tokens or 0
        details = self.output_tokens_details
        reasoning = min((details.thinking_tokens if details else None) or 0, written)
        return Usage(
            input_tokens=self.input_tokens or 0,
            cached_read_tokens=self.cache_read_input_tokens or 0,
            cache_write_tokens=self.cache_creation_input_tokens or 0,
            output_tokens=written - reasoning,
            reasoning_tokens=reasoning,
        )


_decode = msgspec.json.Decoder(WireUsage, strict=False).decode


def parse_usage(raw: bytes | msgspec.Raw) -> WireUsage | None:
    """None for null, and for what cannot be true, so that the caller estimates."""
    try:
        wire = _decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return wire if wire.input_tokens is not None or wire.output_tokens is not None else None


def encode_usage(usage: Usage) -> bytes:
    """The `usage` object of a whole message, and of message_delta."""
    return (
        b'{"input_tokens":%d,"cache_creation_input_tokens":%d,"cache_read_input_tokens":%d,"output_tokens":%d,'
        b'"output_tokens_details":{"thinking_tokens":%d}}'
    ) % (
        usage.input_tokens,
        usage.cache_write_tokens,
        usage.cached_read_tokens,
        usage.completion_tokens,
        usage.reasoning_tokens,
    )
