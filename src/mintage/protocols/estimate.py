"""Counting by us, where an upstream reports nothing that can be true."""

from __future__ import annotations

from typing import Final

from mintage.base import Usage

_CHARACTERS_PER_TOKEN: Final = 4
_CHARACTERS_PER_DELTA_MAX: Final = 12  # the mean of a stream; no tokenizer's mean token is longer


def estimate_tokens(deltas: int, characters: int) -> int:
    """What was written, if nobody reports it: a token a delta, unless the deltas are so long that they hold several."""
    if characters <= deltas * _CHARACTERS_PER_DELTA_MAX:
        return deltas
    return -(-characters // _CHARACTERS_PER_TOKEN)


def believable(usage: Usage | None, deltas: int, characters: int) -> tuple[Usage, bool]:
    """(usage, estimated). Written text with no written tokens is a provider's mistake: count what was written."""
    if usage is not None and (usage.completion_tokens or not characters):
        return usage, False
    counted = Usage(output_tokens=estimate_tokens(deltas, characters))
    return counted if usage is None else usage + counted, True
