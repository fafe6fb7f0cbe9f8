"""Where one request ends and the next begins: bytes in, (head, lowered head, body) out. No socket here.

httptools (llhttp, strict) judges every head; where a request ends is decided here as well, and the two must agree, or
the request is refused: that is what keeps a smuggled request out.
"""

from __future__ import annotations

from typing import Final

import httptools

from mintage.base import MintageError
from mintage.base.http_head import find_header
from mintage.server.chunked import ChunkDecoder
from mintage.server.limits import HttpLimits

_EMPTY_LINES_BYTES: Final = 16
RawRequest = tuple[bytes, bytes, bytes]


class Budget:
    """Bytes of unfinished bodies, all connections together."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0

    def take(self, size_bytes: int) -> None:
        self.used_bytes += size_bytes
        if self.used_bytes > self.limit_bytes:
            raise MintageError("unavailable", "Too many large requests are arriving.", "Try again in a moment.")


class RequestFramer:
    """receive() what came, then call next() until it returns None. After a MintageError the connection is to end."""

    __slots__ = (
        "_agreed", "_body", "_budget", "_buffer", "_charged", "_chunks", "_head", "_length", "_limits", "_lowered",
        "_offset", "_parser", "_scanned", "_skipped", "expects_continue",
    )  # fmt: skip

    def __init__(self, limits: HttpLimits, budget: Budget) -> None:
        self.expects_continue = False  # the client waits for `100 Continue` before it sends the body
        self._limits = limits
        self._budget = budget
        self._charged = 0  # our part of the budget
        self._parser = httptools.HttpRequestParser(self)
        self._agreed = False  # the parser, too, saw the end of the request
        self._buffer = b""  # received, not yet understood, from _offset on
        self._offset = 0
        self._scanned = 0  # up to here there is no end of a head
        self._skipped = 0  # bytes of empty lines before the next request
        self._head = b""  # of the request whose body is arriving
        self._lowered = b""
        self._length = 0
        self._body: bytearray | None = None
        self._chunks: ChunkDecoder | None = None

    @property
    def waiting_bytes(self) -> int:
        """What was received and not understood yet."""
        return len(self._buffer) - self._offset

    @property
    def partial(self) -> bool:
        """A request has begun and is not whole."""
        return self._offset < len(self._buffer) or self._body is not None or self._chunks is not None

    def receive(self, data: bytes) -> None:
        if self._offset < len(self._buffer):
            self._buffer = self._buffer[self._offset :] + data
            self._scanned -= self._offset
        else:
            self._buffer = data
            self._scanned = 0
        self._offset = 0

    def clear(self) -> None:
        """Forget everything; the connection ends."""
        self._budget.used_bytes -= self._charged
        self._charged = 0
        self._body = self._chunks = None
        self._buffer = self._head = self._lowered = b""
        self._offset = self._scanned = 0
        self._parser = None  # it holds us as we hold it

    def next(self) -> RawRequest | None:
        """The next whole request, if there is one. Raises MintageError for what is not HTTP or breaks a limit."""
        if self._body is not None or self._chunks is not None:
            return self._more_body()
        buffer, start = self._buffer, self._offset
        if start == len(buffer):
            return None
        if buffer[start] in b"\r\n":
            return self._skip_empty_lines()
        limits = self._limits
        end = buffer.find(b"\r\n\r\n", self._scanned)
        if end < 0:
            self._scanned = max(start, len(buffer) - 3)
            end = len(buffer)
        end += 4
        if end - start > limits.head_bytes:
            raise MintageError(
                "headers_too_large", f"The head is larger than {limits.head_bytes} bytes.", "Send shorter headers."
            )
        if end > len(buffer):
            return None
        self._skipped = 0
        head = buffer[start:end]
        lowered = head.lower()
        if head.count(b"\r\n") - 2 > limits.header_count:
            raise MintageError("headers_too_large", "The request has too many headers.", "Send fewer of them.")
        if b"\r\ntransfer-encoding:" in lowered:
            return self._begin_chunked(head, lowered)
        value = find_header(head, lowered, b"content-length")
        # What is no number is refused by the parser, which reads it before anything is done with it.
        length = int(value) if value is not None and len(value) < 20 and value.isdigit() else 0
        total = end + length
        if total > len(buffer) or length > limits.body_bytes:
            return self._begin_body(head, lowered, length)
        self._judge(head if not length else buffer[start:total])
        if not self._agreed:
            raise MintageError("invalid_request", "The length of the request is ambiguous.", "See RFC 9112.")
        self._offset = self._scanned = total
        return head, lowered, buffer[end:total]

    def _skip_empty_lines(self) -> RawRequest | None:
        """Before a request they are ignored (RFC 9112, section 2.2), a few of them."""
        some = self._buffer[self._offset : self._offset + _EMPTY_LINES_BYTES + 1]
        skipped = len(some) - len(some.lstrip(b"\r\n"))
        self._skipped += skipped
        if self._skipped > _EMPTY_LINES_BYTES:
            raise MintageError("invalid_request", "A request begins with a request line.", "See RFC 9112.")
        self._offset += skipped
        self._scanned = self._offset
        return self.next()

    def _judge(self, data: bytes) -> None:
        """Let the strict parser read a head, or a head and its whole body, or the body of the head before."""
        self._agreed = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # An upgrade may be ignored (RFC 9110, section 7.8): the request is answered in HTTP/1.1.
            self._parser = httptools.HttpRequestParser(self)
            self._agreed = True
        except httptools.HttpParserError as error:
            reason = str(error)[:80]
            raise MintageError("invalid_request", f"The request is not HTTP/1.1: {reason}.", "See RFC 9112.") from None

    def on_message_complete(self) -> None:
        self._agreed = True

    # Bodies that arrive in several reads

    def _begin_body(self, head: bytes, lowered: bytes, length: int) -> RawRequest | None:
        self._judge(head)
        if length > self._limits.body_bytes:
            raise MintageError(
                "payload_too_large",
                f"The body is larger than {self._limits.body_bytes} bytes.",
                "Send less in one request.",
            )
        self._length = length
        self._body = bytearray()
        return self._begin(head, lowered)

    def _begin_chunked(self, head: bytes, lowered: bytes) -> RawRequest | None:
        self._judge(head)
        if find_header(lowered, lowered, b"transfer-encoding") != b"chunked":
            raise MintageError(
                "not_implemented", "Only the transfer encoding `chunked` is known.", "Send the body uncompressed."
            )
        if not head[: head.find(b"\r\n")].endswith(b" HTTP/1.1"):
            raise MintageError("invalid_request", "HTTP/1.0 has no transfer encodings.", "Send a content-length.")
        self._chunks = ChunkDecoder(self._limits.body_bytes)
        return self._begin(head, lowered)

    def _begin(self, head: bytes, lowered: bytes) -> RawRequest | None:
        self._head, self._lowered = head, lowered
        self._offset += len(head)
        expected = find_header(lowered, lowered, b"expect")
        self.expects_continue = expected == b"100-continue" and self._offset == len(self._buffer)
        return self._more_body()

    def _more_body(self) -> RawRequest | None:
        data = self._buffer[self._offset :] if self._offset else self._buffer
        self._buffer, self._offset, self._scanned = b"", 0, 0
        self._charged += len(data)
        self._budget.take(len(data))
        rest = self._take(data)
        if rest is None:
            return None
        self._budget.used_bytes -= self._charged
        self._charged = 0
        self._buffer = rest
        head, lowered = self._head, self._lowered
        self._head = self._lowered = b""
        if self._chunks is not None:
            body, self._chunks = bytes(self._chunks.body), None
            self._parser = httptools.HttpRequestParser(self)  # the old one still waits for the chunks
        elif self._body is not None:
            body, self._body = bytes(self._body), None
            if not self._agreed:  # it did not take the head for an upgrade
                self._judge(body)
            if not self._agreed:
                raise MintageError("invalid_request", "The length of the request is ambiguous.", "See RFC 9112.")
        return head, lowered, body

    def _take(self, data: bytes) -> bytes | None:
        """Add to the body; what follows it, or None while it is not whole."""
        if self._chunks is not None:
            self._chunks.feed(data)
            return self._chunks.rest if self._chunks.done else None
        assert self._body is not None
        missing = self._length - len(self._body)
        self._body += data[:missing]
        return data[missing:] if len(data) >= missing else None
