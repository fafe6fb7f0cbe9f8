"""Sortable identifiers: a prefix that names the kind, 48 bits of milliseconds, then 80 random bits, in hexadecimal."""

from __future__ import annotations

import os
import time
from typing import Final

#: Random bytes fetched ahead, ten at a time: a system call for each id gives the interpreter lock away in mid-request.
#: list.pop is atomic, so no two threads get the same; a forked child starts with none.
_RANDOM: Final[list[bytes]] = []
_AHEAD: Final = 256
os.register_at_fork(after_in_child=_RANDOM.clear)


def _random() -> bytes:
    while True:
        try:
            return _RANDOM.pop()
        except IndexError:
            raw = os.urandom(10 * _AHEAD)
            _RANDOM.extend([raw[i : i + 10] for i in range(0, len(raw), 10)])


def new_id(prefix: str, now_ns: int | None = None) -> str:
    """For example `req_019ab2c4...`: 32 digits. Later ids sort after earlier ones, to the millisecond."""
    now_ms = (time.time_ns() if now_ns is None else now_ns) // 1_000_000
    return f"{prefix}_{(now_ms.to_bytes(6, 'big') + _random()).hex()}"
