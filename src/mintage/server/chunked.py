"""A strict decoder of chunked request bodies (RFC 9112, section 7.1).

The parser of heads does not say where a chunked body ends inside a read, and what follows may be the next request:
so the end is found here, with no leniency at all, because every leniency is a way to smuggle a request.
"""

from __future__ import annotations

import re
from typing import Final

from mintage.base import MintageError

_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
_LINE_LIMIT: Final = 1024
_TRAILER_LIMIT: Final = 8 * 1024
#: A body in chunks of a few bytes costs far more to read than it carries (compare CVE-2023-39326).
_SMALL_CHUNKS_FREE: Final = 1024
_CHUNK_MEAN_BYTES_MIN: Final = 16


def _malformed(problem: str) -> MintageError:
    return MintageError("invalid_request", f"The chunked body is malformed: {problem}.", "Send it as RFC 9112 says.")


class ChunkDecoder:
    """Feed it what arrives; `done` tells the end, `rest` what came after it. Raises MintageError."""

    def __init__(self, body_limit_bytes: int) -> None:
        self.body = bytearray()
        self.done = False
        self.rest = b""
        self._limit = body_limit_bytes
        self._pending = b""  # bytes not understood yet: less than one line
        self._missing = 0  # bytes of the current chunk
        self._after_chunk = False  # the CR LF that ends a chunk is due
        self._chunks = 0
        self._trailer_bytes = -1  # -1: not in the trailer yet

    def feed(self, data: bytes) -> None:
        data = self._pending + data if self._pending else data
        at = 0
        while not self.done:
            if self._missing:
                at = self._take(data, at)
                if self._missing:
                    break
            if self._after_chunk:
                if len(data) < at + 2:
                    break
                if data[at : at + 2] != b"\r\n":
                    raise _malformed("a chunk is longer than its size")
                at += 2
                self._after_chunk = False
            end = data.find(b"\n", at, at + _LINE_LIMIT)
            if end < 0:
                if len(data) - at >= _LINE_LIMIT:
                    raise _malformed("a line is too long")
                break
            if end == at or data[end - 1] != 13:
                raise _malformed("a line does not end with CR LF")
            self._line(data[at : end - 1])
            at = end + 1
        self._pending = b"" if self.done else data[at:]
        if self.done:
            self.rest = data[at:]

    def _take(self, data: bytes, at: int) -> int:
        piece = data[at : at + self._missing]
        self.body += piece
        self._missing -= len(piece)
        self._after_chunk = not self._missing
        return at + len(piece)

    def _line(self, line: bytes) -> None:
        if self._trailer_bytes >= 0:
            self._trailer(line)
            return
        match = _SIZE.fullmatch(line)
        if match is None:
            raise _malformed("a chunk size is not a number")
        size = int(match[1], 16)
        if len(self.body) + size > self._limit:
            raise MintageError(
                "payload_too_large", f"The body is larger than {self._limit} bytes.", "Send less in one request."
            )
        self._chunks += 1
        if self._chunks > _SMALL_CHUNKS_FREE and self._chunks * _CHUNK_MEAN_BYTES_MIN > len(self.body):
            raise _malformed("its chunks are too small")
        if size:
            self._missing = size
        else:
            self._trailer_bytes = 0

    def _trailer(self, line: bytes) -> None:
        """Trailers are checked and thrown away: nothing of ours reads them."""
        if not line:
            self.done = True
            return
        self._trailer_bytes += len(line)
        if self._trailer_bytes > _TRAILER_LIMIT:
            raise MintageError("headers_too_large", "The trailer is too large.", "Send fewer or shorter headers.")
        if _TRAILER.fullmatch(line) is None:
            raise _malformed("a trailer is not a header")
