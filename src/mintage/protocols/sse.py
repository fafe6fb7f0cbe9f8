"""Server-sent events, cut at their blank lines, whatever chunks they come in.

The grammar is the WHATWG's: lines end in LF, CRLF or CR; a blank line ends an event. Only complete events leave, so a
character that was split between two chunks is whole again before anybody decodes it.
"""

from __future__ import annotations

from typing import Final

from mintage.base import MintageError

EVENT_LIMIT_BYTES: Final = 8 * 1024 * 1024


class EventBuffer:
    """push() chunks as they come; it hands back whole events, each ended by LF LF."""

    __slots__ = ("_limit", "_pending", "_return_held")

    def __init__(self, limit_bytes: int = EVENT_LIMIT_BYTES) -> None:
        self._limit = limit_bytes
        self._pending = bytearray()
        self._return_held = False  # the last chunk ended in CR: LF may follow

    def push(self, data: bytes) -> bytes:
        """All events that are complete now, or b"". Raises upstream_failed if one grows beyond the limit."""
        if self._return_held or b"\r" in data:
            data = self._plain_line_ends(data)
        pending = self._pending
        if not pending:
            end = data.rfind(b"\n\n") + 2
            if end > 1:
                if end == len(data):
                    return data
                pending += data[end:]
                return data[:end]
            pending += data
        else:
            start = len(pending) - 1
            pending += data
            end = pending.rfind(b"\n\n", max(start, 0)) + 2
            if end > 1:
                whole = bytes(pending[:end])
                del pending[:end]
                return whole
        if len(pending) > self._limit:
            raise MintageError("upstream_failed", "The upstream sent an event without an end.", "Try again later.")
        return b""

    def rest(self) -> bytes:
        """What was left without its blank line when the stream ended. Empties the buffer."""
        rest, self._pending = bytes(self._pending), bytearray()
        return rest.strip(b"\n")

    def _plain_line_ends(self, data: bytes) -> bytes:
        if self._return_held:
            data = b"\r" + data
        self._return_held = data.endswith(b"\r")
        if self._return_held:
            data = data[:-1]
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def event_data(event: bytes) -> bytes | None:
    """The data of one event (without its blank line), its lines joined; None if it has none, as a comment has none."""
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None
