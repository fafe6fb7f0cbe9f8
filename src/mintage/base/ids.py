"""Sortable identifiers: a prefix that names the kind, 48 bits of milliseconds, then 80 random bits, in hexadecimal."""

from __future__ import annotations

import os
import time


def new_id(prefix: str, now_ns: int | None = None) -> str:
    """For example `req_019ab2c4...`: 32 digits. Later ids sort after earlier ones, to the millisecond."""
    now_ms = (time.time_ns() if now_ns is None else now_ns) // 1_000_000
    return f"{prefix}_{(now_ms.to_bytes(6, 'big') + os.urandom(10)).hex()}"
