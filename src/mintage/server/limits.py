"""The limits of the HTTP door, in one place: every one of them has a test that runs into it."""

from __future__ import annotations

import msgspec

from mintage.base import Settings


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes, times in seconds."""

    head_bytes: int = 32 * 1024
    header_count: int = 100
    body_bytes: int = 8 * 1024 * 1024
    buffered_bytes: int = 64 * 1024 * 1024  # unfinished bodies of all connections together
    pipelined_bytes: int = 64 * 1024  # read ahead while an answer is being written
    connections: int = 4096
    read_timeout_s: float = 30.0  # from the first byte of a request to its last
    idle_timeout_s: float = 75.0
    write_timeout_s: float = 60.0
    linger_s: float = 2.0  # after an error: how long what is still arriving is read and thrown away
    tick_s: float = 0.5  # how late a timeout may be

    @classmethod
    def from_settings(cls, settings: Settings) -> HttpLimits:
        return cls(
            head_bytes=settings.header_limit_bytes,
            body_bytes=settings.body_limit_bytes,
            buffered_bytes=max(64 * 1024 * 1024, 2 * settings.body_limit_bytes),
            connections=settings.connection_limit,
            read_timeout_s=settings.read_timeout_s,
            idle_timeout_s=settings.idle_timeout_s,
            write_timeout_s=settings.write_timeout_s,
        )
