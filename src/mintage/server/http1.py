"""The HTTP/1.1 connection: bytes in, one HttpRequest at a time out, and the answers back in order.

httptools (llhttp, strict) judges every head; where a request ends is decided here, and the two must agree, or the
connection is closed: that is what keeps a smuggled request out. Why an own server: docs/decisions/0005.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final, cast

import httptools

from mintage.base import MintageError
from mintage.base.http_head import find_header
from mintage.base.ticker import NEVER
from mintage.server.chunked import ChunkDecoder
from mintage.server.exchange import Exchange, HttpRequest

if TYPE_CHECKING:
    from mintage.server.listener import HttpServer

log = logging.getLogger("mintage.server")
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_SMALLEST_PROGRESS_BYTES: Final = 64 * 1024
_IDLE, _READ, _WRITE, _LINGER = range(4)


class Connection(asyncio.Protocol):
    """One client. At most one exchange runs; what a client pipelines behind it waits, within a limit."""

    __slots__ = (
        "_agreed", "_body", "_buffer", "_buffered", "_chunks", "_due", "_exchange", "_head", "_length", "_lowered",
        "_offset", "_parser", "_processing", "_read_paused", "_scanned", "_server", "_wait", "_waiters", "closing",
        "deadline_s", "heads", "peer", "scheme", "transport", "write_paused",
    )  # fmt: skip

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self.heads = server.heads
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.peer = ("", 0)
        self.scheme = "http"
        self.closing = False  # no further request will be read
        self.write_paused = False
        self.deadline_s = NEVER
        self._wait = _IDLE  # what deadline_s waits for
        self._due = 0  # bytes unsent when the write deadline was set
        self._waiters: list[asyncio.Future[None]] = []
        self._parser = httptools.HttpRequestParser(self)
        self._agreed = False  # the parser, too, saw the end of the request
        self._exchange: Exchange | None = None
        self._processing = False
        self._read_paused = False
        self._buffer = b""  # received, not yet understood, from _offset on
        self._offset = 0
        self._scanned = 0  # up to here there is no end of a head
        self._head = b""  # of a request whose body is still arriving
        self._lowered = b""
        self._body: bytearray | None = None
        self._length = 0
        self._chunks: ChunkDecoder | None = None
        self._buffered = 0  # counted into the server's total

    # The socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        server = self._server
        peer = transport.get_extra_info("peername")
        self.peer = (peer[0], peer[1]) if isinstance(peer, tuple) else ("", 0)
        if transport.get_extra_info("sslcontext") is not None:
            self.scheme = "https"
        full = len(server.connections) >= server.limits.connections
        server.connections.add(self)
        server.ticker.members.add(self)
        if full:
            server.refused += 1
            if len(server.connections) > server.limits.connections + 256:
                self.transport.abort()
            else:
                self._refuse(MintageError("unavailable", "Too many connections are open.", "Try again in a moment."))
        elif server.closing:
            self.transport.abort()
        else:
            self._await_deadline(_READ, server.limits.read_timeout_s)

    def data_received(self, data: bytes) -> None:
        if self.closing and self._exchange is None:
            return
        if self._body is not None or self._chunks is not None:
            try:
                self._more_body(data)
            except MintageError as error:
                self._refuse(error)
        elif self._offset < len(self._buffer):
            self._buffer = self._buffer[self._offset :] + data
            self._scanned -= self._offset
            self._offset = 0
        else:
            self._buffer = data
            self._offset = self._scanned = 0
        if self._exchange is None:
            self._process()
        elif len(self._buffer) - self._offset > self._server.limits.pipelined_bytes and not self._read_paused:
            self._read_paused = True
            self.transport.pause_reading()

    def eof_received(self) -> None:
        """A client that has closed its side is taken to have gone: that is how it cancels a long answer."""
        self.closing = True
        if not self.write_paused:
            self._await_deadline(_LINGER, self._server.limits.linger_s)
        self._gone()

    def connection_lost(self, exc: Exception | None) -> None:
        server = self._server
        server.connections.discard(self)
        server.ticker.members.discard(self)
        server.buffered_bytes -= self._buffered
        self._buffered = 0
        self.closing = True
        self._body = self._chunks = None
        self._buffer = b""
        self._offset = 0
        self._gone()
        self._parser = None  # it holds us as we hold it
        server.connection_closed()

    def _gone(self) -> None:
        self.write_paused = False
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_gone()
        self._wake()

    def pause_writing(self) -> None:
        self.write_paused = True
        self._due = self.transport.get_write_buffer_size()
        self._await_deadline(_WRITE, self._server.limits.write_timeout_s)

    def resume_writing(self) -> None:
        self.write_paused = False
        if self._exchange is None:
            limits = self._server.limits
            self._await_deadline(*((_LINGER, limits.linger_s) if self.closing else (_IDLE, limits.idle_timeout_s)))
        else:
            self.deadline_s = NEVER
            if self._exchange.on_writable is not None:
                self._exchange.on_writable()
        self._wake()
        if self._exchange is None and not self._processing:
            self._process()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait_writable(self) -> None:
        waiter = self._server.loop.create_future()
        self._waiters.append(waiter)
        await waiter

    def abort(self) -> None:
        self.closing = True
        self._exchange = None
        self.transport.abort()

    def cut(self) -> None:
        self.closing = True
        self._exchange = None
        self._await_deadline(_LINGER, self._server.limits.linger_s)
        self.transport.close()

    def finish(self) -> None:
        """The server shuts down: end after the running answer, or at once."""
        self.closing = True
        if self._exchange is None:
            self.deadline_s = NEVER
            self.transport.close()

    # Time

    def _await_deadline(self, what: int, seconds: float) -> None:
        self._wait = what
        self.deadline_s = self._server.ticker.now_s + seconds

    def on_deadline(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        if self._wait == _READ and (self._body is not None or self._chunks is not None or self._buffer):
            limit = self._server.limits.read_timeout_s
            self._refuse(
                MintageError("request_timeout", f"The request was not whole after {limit:g} s.", "Send it in one go.")
            )
        elif unsent and (self._wait == _LINGER or self._due - unsent >= _SMALLEST_PROGRESS_BYTES):
            self._due = unsent
            self._await_deadline(_WRITE, self._server.limits.write_timeout_s)
        elif self._wait == _IDLE and not unsent:
            self.closing = True
            self._await_deadline(_LINGER, self._server.limits.linger_s)
            self.transport.close()
        else:
            self.transport.abort()

    # Requests

    def _process(self) -> None:
        """Take requests from the buffer until one is being answered or no whole one is left."""
        self._processing = True
        try:
            while self._exchange is None and not self.closing and not self.write_paused and self._next_request():
                pass
        except MintageError as error:
            self._refuse(error)
        finally:
            self._processing = False
        if self._read_paused and len(self._buffer) - self._offset <= self._server.limits.pipelined_bytes:
            self._read_paused = False
            self.transport.resume_reading()

    def _next_request(self) -> bool:
        """Whether a request was handed to its handler. Raises MintageError for what is not HTTP."""
        buffer, start = self._buffer, self._offset
        if start == len(buffer):
            return False
        if buffer[start] in b"\r\n":
            return self._skip_empty_lines()
        end = buffer.find(b"\r\n\r\n", self._scanned)
        if end < 0:
            self._keep_partial_head()
            return False
        end += 4
        if end - start > self._server.limits.head_bytes:
            raise self._head_too_large()
        head = buffer[start:end]
        lowered = head.lower()
        if head.count(b"\r\n") - 2 > self._server.limits.header_count:
            raise MintageError("headers_too_large", "The request has too many headers.", "Send fewer of them.")
        if b"\r\ntransfer-encoding:" in lowered:
            return self._begin_chunked(head, lowered, buffer[end:])
        value = find_header(head, lowered, b"content-length")
        # What is no number is refused by the parser, which sees it first.
        length = int(value) if value is not None and len(value) < 20 and value.isdigit() else 0
        if length > self._server.limits.body_bytes:
            self._judge(head)
            raise self._body_too_large()
        total = end + length
        if total > len(buffer):
            self._begin_body(head, lowered, buffer[end:], length)
            return False
        self._judge(head if not length else buffer[start:total])
        self._offset = self._scanned = total
        self._dispatch(head, lowered, buffer[end:total])
        return True

    def _skip_empty_lines(self) -> bool:
        """Before a request they are ignored (RFC 9112, section 2.2), a few of them."""
        rest = self._buffer[self._offset : self._offset + 17].lstrip(b"\r\n")
        self._offset += min(len(self._buffer) - self._offset, 17) - len(rest)
        if not rest and self._offset < len(self._buffer):
            raise MintageError("invalid_request", "A request begins with a request line.", "See RFC 9112.")
        self._scanned = self._offset
        return self._next_request()

    def _keep_partial_head(self) -> None:
        size = len(self._buffer)
        if size - self._offset > self._server.limits.head_bytes:
            raise self._head_too_large()
        self._scanned = max(self._offset, size - 3)
        if self._wait != _READ:
            self._await_deadline(_READ, self._server.limits.read_timeout_s)

    def _judge(self, data: bytes) -> None:
        """Let the strict parser read a head, or a head and its whole body."""
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

    def _begin_body(self, head: bytes, lowered: bytes, first: bytes, length: int) -> None:
        self._judge(head)
        self._head, self._lowered, self._length = head, lowered, length
        self._body = bytearray()
        self._start_reading_body()
        self._more_body(first)

    def _begin_chunked(self, head: bytes, lowered: bytes, first: bytes) -> bool:
        self._judge(head)
        if find_header(lowered, lowered, b"transfer-encoding") != b"chunked":
            raise MintageError(
                "not_implemented", "Only the transfer encoding `chunked` is known.", "Send the body uncompressed."
            )
        if not head[: head.find(b"\r\n")].endswith(b" HTTP/1.1"):
            raise MintageError("invalid_request", "HTTP/1.0 has no transfer encodings.", "Send a content-length.")
        self._head, self._lowered = head, lowered
        self._chunks = ChunkDecoder(self._server.limits.body_bytes)
        self._start_reading_body()
        self._more_body(first)
        return self._chunks is None

    def _start_reading_body(self) -> None:
        self._buffer = b""
        self._offset = self._scanned = 0
        if self._wait != _READ:
            self._await_deadline(_READ, self._server.limits.read_timeout_s)
        expected = find_header(self._head, self._lowered, b"expect")
        if expected is not None and expected.lower() == b"100-continue":
            self.transport.write(_CONTINUE)

    def _more_body(self, data: bytes) -> None:
        rest = self._take_body(data)
        if rest is None:
            return
        self._server.buffered_bytes -= self._buffered
        self._buffered = 0
        head, lowered = self._head, self._lowered
        self._head = self._lowered = b""
        self._buffer, self._offset, self._scanned = rest, 0, 0
        if self._chunks is not None:
            body, self._chunks = bytes(self._chunks.body), None
            self._parser = httptools.HttpRequestParser(self)
            self._agreed = True
        else:
            body, self._body = bytes(cast("bytearray", self._body)), None
            if not self._agreed:  # it did not take the head for an upgrade
                self._judge(body)
        self._dispatch(head, lowered, body)

    def _take_body(self, data: bytes) -> bytes | None:
        """Add to the body; what follows it, or None while it is not whole."""
        server = self._server
        server.buffered_bytes += len(data)
        self._buffered += len(data)
        if server.buffered_bytes > server.limits.buffered_bytes:
            raise MintageError("unavailable", "Too many large requests are arriving.", "Try again in a moment.")
        if self._chunks is not None:
            self._chunks.feed(data)
            return self._chunks.rest if self._chunks.done else None
        body = cast("bytearray", self._body)
        missing = self._length - len(body)
        body += data[:missing]
        return data[missing:] if len(data) >= missing else None

    def _dispatch(self, head: bytes, lowered: bytes, body: bytes) -> None:
        if not self._agreed:
            raise MintageError("invalid_request", "The length of the request is ambiguous.", "See RFC 9112.")
        line = head[: head.find(b"\r\n")]
        server = self._server
        known = server.known_lines.get(line)
        if known is None:
            handler, method, path, query, http_10 = server.resolve(line)
        else:
            handler, method, path = known
            query, http_10 = b"", False
        if lowered.count(b"\r\nhost:") != 1 and not http_10:
            raise MintageError("invalid_request", "Exactly one Host header is needed.", "See RFC 9112.")
        keep_alive = not http_10
        connection = find_header(head, lowered, b"connection")
        if connection is not None:
            options = connection.lower()
            keep_alive = b"close" not in options and (keep_alive or b"keep-alive" in options)
        request = HttpRequest(method, path, query, head, lowered, body, self.peer, self.scheme, http_10)
        exchange = self._exchange = Exchange(self, request, keep_alive)
        if not self.write_paused:
            self.deadline_s = NEVER
            self._wait = _IDLE
        server.requests += 1
        try:
            result = handler(request, exchange)
            if result is not None:
                server.run(self._run(result, exchange))
        except Exception as error:
            self._failed(exchange, error)

    async def _run(self, handling: Coroutine[Any, Any, None], exchange: Exchange) -> None:
        try:
            await handling
            if not exchange.ended and not exchange.disconnected:
                raise RuntimeError("the handler returned without an answer")
        except Exception as error:
            self._failed(exchange, error)

    def _failed(self, exchange: Exchange, error: Exception) -> None:
        """A handler raised: a typed answer if none was started, else a cut connection."""
        if not isinstance(error, MintageError):
            frames = traceback.extract_tb(error.__traceback__)[-6:]
            where = " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(frames))
            log.error("handler failed: %s at %s", type(error).__name__, where)  # no message: it may hold a secret
            error = MintageError("internal", "Something went wrong on our side.", "Try again; the log tells more.")
        if exchange.started:
            exchange.abort()
        else:
            exchange.send(*self._server.render_error(error, exchange.request))

    def exchange_done(self, exchange: Exchange) -> None:
        """The answer has ended: on to the next request, or close."""
        if exchange is not self._exchange:
            return
        self._exchange = None
        if not exchange.keep_alive:
            self._linger()
            return
        if not self.write_paused:
            self._wait = _IDLE
            self.deadline_s = self._server.ticker.now_s + self._server.limits.idle_timeout_s
        if not self._processing and self._offset < len(self._buffer):
            self._process()

    # Refusals

    def _head_too_large(self) -> MintageError:
        limit = self._server.limits.head_bytes
        return MintageError("headers_too_large", f"The head is larger than {limit} bytes.", "Send shorter headers.")

    def _body_too_large(self) -> MintageError:
        limit = self._server.limits.body_bytes
        return MintageError("payload_too_large", f"The body is larger than {limit} bytes.", "Send less in one request.")

    def _refuse(self, error: MintageError) -> None:
        """Answer what is no request with a typed error, then close."""
        self._body = self._chunks = None
        self._buffer = b""
        self._offset = self._scanned = 0
        self._server.buffered_bytes -= self._buffered
        self._buffered = 0
        self._head = self._lowered = b""
        request = HttpRequest("GET", "", b"", b"", b"", b"", self.peer, self.scheme, False)
        exchange = self._exchange = Exchange(self, request, False)
        exchange.send(*self._server.render_error(error, None))

    def _linger(self) -> None:
        """Close, but read on for a moment: closing on unread bytes would reset the answer away (RFC 9112, 9.6)."""
        self.closing = True
        if self.transport.is_closing():
            return
        self._buffer = b""
        self._offset = self._scanned = 0
        if not self.write_paused:
            self._await_deadline(_LINGER, self._server.limits.linger_s)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()
