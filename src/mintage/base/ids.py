"""Sortable identifiers: a prefix that names the kind, then 48 bits of milliseconds and 80 random bits (ULID order)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Final

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32
_PAIRS: Final = tuple(a + b for a in _ALPHABET for b in _ALPHABET)


def _encode(value: int) -> str:
    """26 characters of base 32, two at a time: this runs once per request."""
    pairs = _PAIRS
    return "".join([pairs[(value >> shift) & 1023] for shift in range(120, -1, -10)])


def new_id(prefix: str, *, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> str:
    """For example `req_06d3k8v1...`. Later ids sort after earlier ones to the millisecond."""
    return f"{prefix}_{_encode(now_ms() << 80 | secrets.randbits(80))}"
