"""One request and its answer, as a handler sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from mintage.base.http_head import Headers, find_header, split_headers

if TYPE_CHECKING:
    from mintage.server.http1 import Connection

_LINES: Final = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}
_NO_BODY: Final = frozenset({204, 304})
_OPEN, _STARTED, _ENDED = range(3)


class HttpRequest:
    """A whole request, body included.

    method and path are text, the path percent-encoded as it came and without its query; query is the bytes after
    `?`; peer is (address, port) of the other end of the connection.
    """

    __slots__ = ("_headers", "_lowered", "body", "head", "http_10", "method", "path", "peer", "query", "scheme")

    def __init__(  # noqa: PLR0917 - built once per request, and keywords cost 0.3 us
        self, method: str, path: str, query: bytes, head: bytes, lowered: bytes, body: bytes, peer: tuple[str, int],
        scheme: str, http_10: bool,
    ) -> None:  # fmt: skip
        self.method = method
        self.path = path
        self.query = query
        self.head = head
        self.body = body
        self.peer = peer
        self.scheme = scheme
        self.http_10 = http_10
        self._lowered = lowered
        self._headers: Headers | None = None

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header; name in lower case."""
        return find_header(self.head, self._lowered, name)

    @property
    def headers(self) -> Headers:
        """All headers in order, names in lower case."""
        if self._headers is None:
            self._headers = split_headers(self.head)
        return self._headers


class ResponseHeads:
    """The first lines of an answer, ready made per status; renewed when the second changes."""

    def __init__(self) -> None:
        self._by_status: dict[int, bytes] = {}
        self._second = 0

    def renew(self, wall_s: int) -> None:
        if wall_s != self._second:
            self._second = wall_s
            date = formatdate(wall_s, usegmt=True).encode()
            tail = b"server: mintage\r\ndate: " + date + b"\r\n"
            self._by_status = {status: line + tail for status, line in _LINES.items()}

    def of(self, status: int) -> bytes:
        head = self._by_status.get(status)
        if head is None:
            if not 200 <= status <= 599:
                raise ValueError(f"{status} is not the status of a final answer")
            tail = self._by_status[200].partition(b"\r\n")[2]
            head = self._by_status[status] = b"HTTP/1.1 %d \r\n" % status + tail
        return head


def header_block(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Header lines. Raises ValueError where a value would break out of its line."""
    block = b"".join([b"%b: %b\r\n" % header for header in headers])
    if block.count(b"\r") != len(headers) or block.count(b"\n") != len(headers) or b"\0" in block:
        raise ValueError("a header contains a line break")
    return block


class Exchange:
    """The answer to one request.

    Either `send`, or `start`, any number of `write`, and `end`; or `abort`. After the client has gone
    (`disconnected`), all of them do nothing, so that a handler may go on to settle what it owes. on_disconnect is
    called once when the client goes before the answer has ended; on_writable each time a full write buffer has
    emptied (see `paused`).
    """

    __slots__ = (
        "_chunked", "_connection", "_missing", "_state", "disconnected", "keep_alive", "on_disconnect",
        "on_writable", "request", "status",
    )  # fmt: skip

    def __init__(self, connection: Connection, request: HttpRequest, keep_alive: bool) -> None:
        self.request = request
        self.keep_alive = keep_alive
        self.disconnected = False
        self.status = 0
        self.on_disconnect: Callable[[], None] | None = None
        self.on_writable: Callable[[], None] | None = None
        self._connection = connection
        self._state = _OPEN
        self._chunked = False
        self._missing = -1  # bytes still owed under a declared content-length; -1 where none was declared

    @property
    def started(self) -> bool:
        return self._state != _OPEN

    @property
    def ended(self) -> bool:
        return self._state == _ENDED

    @property
    def local_address(self) -> tuple[str, int] | None:
        name = self._connection.transport.get_extra_info("sockname")
        return (name[0], name[1]) if isinstance(name, tuple) else None

    @property
    def paused(self) -> bool:
        """The client reads more slowly than we write: stop until on_writable, or await drain()."""
        return self._connection.write_paused

    def send(self, status: int, headers: Sequence[tuple[bytes, bytes]] | bytes, body: bytes = b"") -> None:
        """The whole answer at once; content-length, date, server and connection are added.

        headers may be lines that end in CR LF, ready made, where every value is our own and cannot break out.
        """
        if self._state != _OPEN:
            raise RuntimeError("the answer was started before")
        if self.disconnected:
            self._close()
            return
        connection = self._connection
        head = connection.heads.of(status) + (headers if isinstance(headers, bytes) else header_block(headers))
        if not self.keep_alive or connection.closing:
            self.keep_alive = False
            head += b"connection: close\r\n"
        elif self.request.http_10:
            head += b"connection: keep-alive\r\n"
        self._close()
        self.status = status
        if status in _NO_BODY:
            connection.transport.write(head + b"\r\n")
        elif self.request.method == "HEAD":
            connection.transport.write(head + b"content-length: %d\r\n\r\n" % len(body))
        else:
            connection.transport.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        connection.exchange_done(self)

    def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """The head of an answer whose body follows. It is chunked unless headers declare a content-length."""
        if self._state != _OPEN:
            raise RuntimeError("the answer was started before")
        self._state = _STARTED
        self.status = status
        if self.disconnected:
            return
        head = self._connection.heads.of(status) + header_block(headers)
        length = next((value for name, value in headers if name == b"content-length"), None)
        bodyless = status in _NO_BODY or self.request.method == "HEAD"
        if length is not None:
            self._missing = int(length)
        elif bodyless:
            self._missing = 0
        elif self.request.http_10:
            self.keep_alive = False  # HTTP/1.0 knows no chunks: the end of the connection ends the body
        else:
            self._chunked = True
            head += b"transfer-encoding: chunked\r\n"
        if bodyless:
            self._missing = 0
        if self._connection.closing:
            self.keep_alive = False
        if not self.keep_alive:
            head += b"connection: close\r\n"
        self._connection.transport.write(head + b"\r\n")

    def write(self, data: bytes) -> None:
        """More of the body. Look at `paused`, or await drain(), between large writes."""
        if self._state != _STARTED:
            raise RuntimeError("write belongs between start and end")
        if self.disconnected or not data:
            return
        if self._chunked:
            self._connection.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
            return
        if self._missing >= 0:
            if self.request.method == "HEAD" or self.status in _NO_BODY:
                return
            if len(data) > self._missing:
                self.abort()
                raise RuntimeError("the body is longer than its content-length")
            self._missing -= len(data)
        self._connection.transport.write(data)

    def end(self) -> None:
        """The body is whole. A declared content-length that was not filled cuts the connection instead."""
        if self._state == _OPEN:
            raise RuntimeError("end belongs after start")
        if self._state == _ENDED:
            return
        if self._missing > 0 and not self.disconnected:
            self.abort()
            raise RuntimeError("the body is shorter than its content-length")
        self._close()
        if self.disconnected:
            return
        if self._chunked:
            self._connection.transport.write(b"0\r\n\r\n")
        self._connection.exchange_done(self)

    def abort(self) -> None:
        """Cut the connection: the caller must not take what it has for a whole answer."""
        if self._state != _ENDED:
            self._close()
            self.keep_alive = False
            if not self.disconnected:
                self._connection.abort()

    def cut(self) -> None:
        """Let what was written reach the client, then close before the body's end: a failure midway, after its error
        frame, must not look like a whole answer."""
        if self._state != _ENDED:
            self._close()
            self.keep_alive = False
            if not self.disconnected:
                self._connection.cut()

    def _close(self) -> None:
        """Nothing more will be called back: what the handler hung here would hold a finished request in a cycle."""
        self._state = _ENDED
        self.on_disconnect = self.on_writable = None

    async def drain(self) -> None:
        """Returns when the write buffer has room again, or the client has gone. Never raises."""
        if self._connection.write_paused and not self.disconnected:
            await self._connection.wait_writable()

    def client_gone(self) -> None:
        """For the connection only: the client left before the answer ended."""
        if self._state == _ENDED or self.disconnected:
            return
        self.disconnected = True
        callback, self.on_disconnect, self.on_writable = self.on_disconnect, None, None
        if callback is not None:
            callback()
