"""One HTTP/1.1 connection: requests go to their handlers one at a time, answers come back in order.

Timeouts, back-pressure, refusals and the end of the connection are decided here; framing.py says where a request
ends. Why an own server: docs/decisions/0005-own-http-plumbing.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final, cast

from mintage.base import MintageError
from mintage.base.errors import places
from mintage.base.http_head import find_header
from mintage.base.ticker import NEVER
from mintage.server.exchange import Exchange, HttpRequest
from mintage.server.framing import RequestFramer

if TYPE_CHECKING:
    from mintage.server.listener import HttpServer

log = logging.getLogger("mintage.server")
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_SMALLEST_PROGRESS_BYTES: Final = 64 * 1024
_IDLE, _READ, _WRITE, _LINGER = range(4)


class Connection(asyncio.Protocol):
    """One client. At most one exchange runs; what a client pipelines behind it waits, within a limit."""

    __slots__ = (
        "_due", "_exchange", "_framer", "_processing", "_read_paused", "_server", "_wait", "_waiters", "closing",
        "deadline_s", "heads", "peer", "scheme", "transport", "write_paused",
    )  # fmt: skip

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._framer = RequestFramer(server.limits, server.budget)
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
        self._exchange: Exchange | None = None
        self._processing = False
        self._read_paused = False

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
        self._framer.receive(data)
        if self._exchange is None:
            self._process()
        elif self._framer.waiting_bytes > self._server.limits.pipelined_bytes and not self._read_paused:
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
        self.closing = True
        self._framer.clear()
        self._gone()
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
        if self._wait == _READ and self._framer.partial:
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
        framer = self._framer
        try:
            while self._exchange is None and not self.closing and not self.write_paused:
                raw = framer.next()
                if raw is None:
                    self._await_rest(framer)
                    break
                self._dispatch(*raw)
        except MintageError as error:
            self._refuse(error)
        finally:
            self._processing = False
        if self._read_paused and framer.waiting_bytes <= self._server.limits.pipelined_bytes:
            self._read_paused = False
            self.transport.resume_reading()

    def _await_rest(self, framer: RequestFramer) -> None:
        if framer.partial and self._wait != _READ:
            self._await_deadline(_READ, self._server.limits.read_timeout_s)
        if framer.expects_continue:
            framer.expects_continue = False
            self.transport.write(_CONTINUE)

    def _dispatch(self, head: bytes, lowered: bytes, body: bytes) -> None:
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
            log.error("a handler failed: %s at %s", type(error).__name__, places(error))
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
        if not self._processing and self._framer.waiting_bytes:
            self._process()

    # Refusals

    def _refuse(self, error: MintageError) -> None:
        """Answer what is no request with a typed error, then close."""
        self._framer.clear()
        request = HttpRequest("GET", "", b"", b"", b"", b"", self.peer, self.scheme, False)
        exchange = self._exchange = Exchange(self, request, False)
        exchange.send(*self._server.render_error(error, None))

    def _linger(self) -> None:
        """Close, but read on for a moment: closing on unread bytes would reset the answer away (RFC 9112, 9.6)."""
        self.closing = True
        if self.transport.is_closing():
            return
        self._framer.clear()
        if not self.write_paused:
            self._await_deadline(_LINGER, self._server.limits.linger_s)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()
