"""Usage: what one request consumed, in disjoint integer meters.

Providers report `input_tokens` with the cached ones included; the codec at the edge splits them once, so that no
later reader can count a token twice. Source of the classes: docs/decisions/0003-money.md.
"""

from __future__ import annotations

from typing import Final

import msgspec


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Disjoint, non-negative counts. A token belongs to exactly one class."""

    input_tokens: int = 0  # uncached
    cached_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0  # without reasoning
    reasoning_tokens: int = 0
    image_count: int = 0
    audio_ms: int = 0
    characters: int = 0
    requests: int = 0
    outcomes: int = 0
    seats: int = 0
    duration_ms: int = 0  # reserved or occupied time: hours of a GPU, of a hosted adapter

    def __add__(self, other: Usage) -> Usage:
        return Usage(**{m: getattr(self, m) + getattr(other, m) for m in METERS})

    @property
    def prompt_tokens(self) -> int:
        """All tokens read, as OpenAI reports them."""
        return self.input_tokens + self.cached_read_tokens + self.cache_write_tokens

    @property
    def completion_tokens(self) -> int:
        """All tokens written, as OpenAI reports them."""
        return self.output_tokens + self.reasoning_tokens

    def meters(self) -> dict[str, int]:
        """Only the meters that counted something."""
        return {m: n for m in METERS if (n := getattr(self, m))}


#: Every meter's name, in the order in which receipts, ledgers and pages show them.
METERS: Final[tuple[str, ...]] = Usage.__struct_fields__
