"""The HTTP/1.1 client for one upstream: a bounded pool of kept connections, and responses through callbacks.

The hot path is `send` with a prepared head: no task, no future and no copy of the headers while a connection is idle.
`relay`, `request` and `stream` are more comfortable forms of it. Redirects are never followed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Final, Self

import msgspec

from mintage.base import MintageError
from mintage.base.http_head import Headers
from mintage.base.ticker import NEVER, Ticker
from mintage.engines.http_address import BaseUrl, Resolver
from mintage.engines.http_connection import Call, ResponseHead, ResponseSink, UpstreamConnection

_STREAM_AHEAD_BYTES: Final = 256 * 1024


class Response(msgspec.Struct, frozen=True):
    status: int
    headers: Headers
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header; name in lower case."""
        return next((value for key, value in self.headers if key == name), None)


class HttpClient:
    """Connections to one base URL.

    Failures are MintageError: upstream_failed (unreachable, cut, not HTTP, too large), upstream_timeout,
    engine_busy (every connection is taken and the queue is full or too slow), permission_denied (private address),
    shutting_down. Use it on one event loop.
    """

    def __init__(
        self,
        base_url: str,
        *,
        name: str = "upstream",
        connections: int = 256,
        waiting: int = 1024,
        connect_timeout_s: float = 10.0,
        silence_timeout_s: float = 120.0,
        first_byte_timeout_s: float | None = None,
        idle_timeout_s: float = 50.0,
        body_limit_bytes: int = 64 * 1024 * 1024,
        allow_private: bool = False,
        ssl_context: ssl.SSLContext | None = None,
        tick_s: float = 0.5,
    ) -> None:
        self.url = BaseUrl.parse(base_url)
        self.name = name
        self.silence_timeout_s = silence_timeout_s
        self.first_byte_timeout_s = first_byte_timeout_s or silence_timeout_s
        self.body_limit_bytes = body_limit_bytes
        self._connection_limit = connections
        self._waiting_limit = waiting
        self._connect_timeout_s = connect_timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._tls = (ssl_context or _tls_context()) if self.url.tls else None
        self._resolver = Resolver(self.url, name=name, allow_private=allow_private)
        self._idle: list[UpstreamConnection] = []  # the last used is used next, so that the others can time out
        self._open: set[UpstreamConnection] = set()
        self._dials: set[asyncio.Task[None]] = set()
        self._queue: deque[Call] = deque()
        self._closing = False
        self.ticker = Ticker(tick_s)

    # Asking

    def prepare(self, method: str, path: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
        """A head without its content-length and end, to be used with `send` any number of times.

        Raises ValueError where a value would break out of its line.
        """
        lines = [f"{method} {self.url.prefix}{path} HTTP/1.1".encode("ascii"), b"host: " + self.url.authority]
        lines += [b"%b: %b" % header for header in headers]
        if any(b"\r" in line or b"\n" in line or b"\0" in line for line in lines) or lines[0].count(b" ") != 2:
            raise ValueError("a method, path or header contains a blank or a line break")
        return b"\r\n".join(lines) + b"\r\n"

    def send(self, prepared: bytes, body: bytes, sink: ResponseSink) -> Call:
        """Ask, and let sink take the response. The caller keeps the Call to pause, resume or cancel it.

        Raises MintageError("engine_busy") or ("shutting_down") at once where there is no room to wait.
        """
        if body or prepared.startswith((b"POST ", b"PUT ", b"PATCH ")):
            head = prepared + b"content-length: %d\r\n\r\n" % len(body)
        else:
            head = prepared + b"\r\n"
        call = Call(self, head, body, sink)
        idle = self._idle
        while idle:
            connection = idle.pop()
            if not connection.transport.is_closing():
                connection.begin(call)
                return call
        self._enqueue(call)
        return call

    def relay(
        self, method: str, path: str, headers: Sequence[tuple[bytes, bytes]], body: bytes, sink: ResponseSink
    ) -> Call:
        """`send` with a head prepared on the way."""
        return self.send(self.prepare(method, path, headers), body, sink)

    async def request(
        self, method: str, path: str, headers: Sequence[tuple[bytes, bytes]] = (), body: bytes = b""
    ) -> Response:
        """The whole response. Cancelling it closes the connection."""
        sink = _Collector()
        call = self.relay(method, path, headers, body, sink)
        try:
            return await sink.response
        except asyncio.CancelledError:
            call.cancel()
            raise

    async def stream(
        self, method: str, path: str, headers: Sequence[tuple[bytes, bytes]] = (), body: bytes = b""
    ) -> ResponseStream:
        """Returns with the head; iterate over the body, and aclose() it in any case."""
        stream = ResponseStream()
        stream.call = self.relay(method, path, headers, body, stream)
        try:
            await stream.started
        except asyncio.CancelledError:
            stream.call.cancel()
            raise
        return stream

    # The pool

    def _enqueue(self, call: Call) -> None:
        if self._closing:
            raise self.error("shutting_down", "is not asked any more, because this server is shutting down")
        if not self.ticker.running:
            self.ticker.start()
        if len(self._queue) >= self._waiting_limit:
            raise self._busy()
        self._queue.append(call)
        call.waiting = True
        call.deadline_s = self.ticker.now_s + self._connect_timeout_s + self.ticker.period_s
        self.ticker.members.add(call)
        self._dial_for_queue()

    def _dial_for_queue(self) -> None:
        """A dial for each waiting call, as far as the limit allows."""
        while len(self._dials) < len(self._queue) and len(self._open) + len(self._dials) < self._connection_limit:
            task = asyncio.get_running_loop().create_task(self._dial())
            self._dials.add(task)
            task.add_done_callback(self._dialled)

    def _dialled(self, task: asyncio.Task[None]) -> None:
        self._dials.discard(task)
        if not self._closing:
            self._dial_for_queue()

    async def _dial(self) -> None:
        """Open one connection for whoever waits longest, or tell them why there is none."""
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                connection = await self._connect(await self._resolver.addresses())
        except TimeoutError:
            self._fail_first(self.error("upstream_timeout", f"did not answer within {self._connect_timeout_s:g} s"))
        except MintageError as error:
            self._fail_first(error)
        except (OSError, ssl.SSLError) as error:
            reason = (
                "its certificate is not trusted" if isinstance(error, ssl.SSLCertVerificationError) else "no answer"
            )
            self._resolver.forget()
            self._fail_first(self.error("upstream_failed", f"cannot be reached: {reason}"))
        else:
            self._open.add(connection)
            self.ticker.members.add(connection)
            self.release(connection)

    async def _connect(self, addresses: list[str]) -> UpstreamConnection:
        loop = asyncio.get_running_loop()
        for address in addresses[:-1]:
            try:
                return (await self._connect_to(loop, address))[1]
            except OSError:
                continue
        return (await self._connect_to(loop, addresses[-1]))[1]

    async def _connect_to(
        self, loop: asyncio.AbstractEventLoop, address: str
    ) -> tuple[asyncio.Transport, UpstreamConnection]:
        return await loop.create_connection(
            lambda: UpstreamConnection(self), address, self.url.port, ssl=self._tls,
            server_hostname=self.url.host if self._tls else None,
        )  # fmt: skip

    def release(self, connection: UpstreamConnection) -> None:
        """A connection is free: for the next in the queue, or to be kept."""
        call = self._next_waiting()
        if call is not None:
            connection.begin(call)
        elif self._closing:
            connection.drop()
        else:
            connection.deadline_s = self.ticker.now_s + self._idle_timeout_s
            self._idle.append(connection)

    def _next_waiting(self) -> Call | None:
        if not self._queue:
            return None
        call = self._queue.popleft()
        self.ticker.members.discard(call)
        call.deadline_s = NEVER
        call.waiting = False
        return call

    def closed(self, connection: UpstreamConnection) -> None:
        """A connection has ended, for whatever reason."""
        self._open.discard(connection)
        self.ticker.members.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._queue and not self._closing:
            self._dial_for_queue()

    def dispatch(self, call: Call) -> None:
        """Ask again on a new connection: the kept one was closed before it could answer."""
        while self._idle:  # what was kept as long is as stale
            self._idle[-1].drop()
        try:
            self._enqueue(call)
        except MintageError as error:
            call.sink.on_error(error)

    def forget(self, call: Call) -> None:
        """A waiting call is not wanted any more."""
        if call.waiting:
            self._queue.remove(call)
            self.ticker.members.discard(call)
            call.waiting = False

    def give_up(self, call: Call) -> None:
        """A call has waited too long."""
        if call.waiting:
            self.forget(call)
            call.sink.on_error(self._busy())

    def _fail_first(self, error: MintageError) -> None:
        call = self._next_waiting()
        if call is not None:
            call.sink.on_error(error)

    def error(self, code: str, what: str) -> MintageError:
        return MintageError(code, f"The upstream {self.name} {what}.", "Try again, or ask another model.")

    def _busy(self) -> MintageError:
        return MintageError(
            "engine_busy", f"All {self._connection_limit} connections to the upstream {self.name} are taken.",
            "Try again in a moment.", retry_after_s=1.0,
        )  # fmt: skip

    async def close(self) -> None:
        """Cut what runs (shutting_down) and free everything. Safe to call twice."""
        self._closing = True
        while (call := self._next_waiting()) is not None:
            call.sink.on_error(
                self.error("shutting_down", "is not asked any more, because this server is shutting down")
            )
        for task in list(self._dials):
            task.cancel()
        if self._dials:
            await asyncio.wait(self._dials)
        for connection in list(self._open):
            connection.shut_down()
        self.ticker.stop()
        await asyncio.sleep(0)


def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class _Collector:
    """Gathers a whole response."""

    def __init__(self) -> None:
        self.response: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._head: ResponseHead | None = None
        self._pieces: list[bytes] = []

    def on_head(self, head: ResponseHead) -> None:
        self._head = head

    def on_data(self, data: bytes) -> None:
        self._pieces.append(data)

    def on_end(self) -> None:
        if self._head is not None and not self.response.done():
            self.response.set_result(Response(self._head.status, self._head.headers, b"".join(self._pieces)))

    def on_error(self, error: MintageError) -> None:
        if not self.response.done():
            self.response.set_exception(error)


class ResponseStream:
    """The body of a response as it arrives. Reading ahead is bounded: a slow reader slows the upstream down."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[ResponseHead] = loop.create_future()
        self.call: Call | None = None
        self._pieces: deque[bytes] = deque()
        self._ahead_bytes = 0
        self._ended = False
        self._error: MintageError | None = None
        self._arrival: asyncio.Future[None] | None = None

    @property
    def status(self) -> int:
        return self.started.result().status

    @property
    def headers(self) -> Headers:
        return self.started.result().headers

    def header(self, name: bytes) -> bytes | None:
        return self.started.result().header(name)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """What has arrived since. Raises the MintageError with which the answer was cut."""
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival
        data = self._pieces.popleft() if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        if self._ahead_bytes > _STREAM_AHEAD_BYTES and self.call is not None:
            self.call.resume()
        self._ahead_bytes = 0
        return data

    async def read(self) -> bytes:
        """All that is left of the body."""
        return b"".join([data async for data in self])

    async def aclose(self) -> None:
        """Stop; an answer that is not whole is cancelled. Safe to call twice."""
        if self.call is not None and not self._ended:
            self.call.cancel()
        self._ended = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def on_head(self, head: ResponseHead) -> None:
        if not self.started.done():
            self.started.set_result(head)

    def on_data(self, data: bytes) -> None:
        self._pieces.append(data)
        self._ahead_bytes += len(data)
        if self._ahead_bytes > _STREAM_AHEAD_BYTES and self.call is not None:
            self.call.pause()
        self._wake()

    def on_end(self) -> None:
        self._ended = True
        self._wake()

    def on_error(self, error: MintageError) -> None:
        self._error = error
        if not self.started.done():
            self.started.set_exception(error)
        self._wake()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)
