"""The HTTP server: routes, listening sockets, what all connections share, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
import resource
import ssl
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

import msgspec

from mintage.base import MintageError
from mintage.base.http_head import Headers
from mintage.base.ticker import Ticker
from mintage.server.exchange import Exchange, HttpRequest, ResponseHeads
from mintage.server.framing import Budget
from mintage.server.http1 import Connection
from mintage.server.limits import HttpLimits

Handler = Callable[[HttpRequest, Exchange], Coroutine[Any, Any, None] | None]
ErrorRenderer = Callable[[MintageError, HttpRequest | None], tuple[int, Headers, bytes]]
log = logging.getLogger("mintage.server")
_PLAIN: Final = [(b"content-type", b"application/json")]


def plain_error(error: MintageError, request: HttpRequest | None) -> tuple[int, Headers, bytes]:
    """The error in JSON, for doors that speak no vendor's dialect."""
    body = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
    return error.status, list(_PLAIN), msgspec.json.encode(body)


class HttpServer:
    """Serves exact routes, then prefixes (longest first), then `fallback` (an AsgiBridge, for example).

    A handler answers through its Exchange and returns None, or returns a coroutine, which becomes a task. It may
    raise MintageError: error_renderer turns it into an answer.
    """

    def __init__(
        self, *, routes: Mapping[tuple[str, str], Handler], prefixes: Sequence[tuple[str, Handler]] = (),
        fallback: Handler | None = None, error_renderer: ErrorRenderer = plain_error,
        limits: HttpLimits | None = None,
    ) -> None:  # fmt: skip
        self.limits = limits or HttpLimits()
        self.loop = asyncio.get_running_loop()
        self.ticker = Ticker(self.limits.tick_s)
        self.heads = ResponseHeads()
        self.connections: set[Connection] = set()
        self.budget = Budget(self.limits.buffered_bytes)
        self.requests = 0
        self.refused = 0
        self.closing = False
        self._routes = dict(routes)
        self._methods: dict[str, set[str]] = {}
        for method, path in self._routes:
            self._methods.setdefault(path, set()).add(method)
        self._prefixes = sorted(prefixes, key=lambda item: -len(item[0]))
        self._fallback = fallback
        self._render = error_renderer
        self.known_lines: dict[bytes, tuple[Handler, str, str]] = {
            f"{method} {path} HTTP/1.1".encode(): (handler, method, path)
            for (method, path), handler in self._routes.items()
        }
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._emptied: asyncio.Future[None] | None = None
        self._clock: asyncio.TimerHandle | None = None

    # Routing

    def resolve(self, line: bytes) -> tuple[Handler, str, str, bytes, bool]:
        """The handler of a request line, with method, path, query and whether it is HTTP/1.0."""
        words = line.split(b" ")
        if len(words) != 3 or words[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
            raise MintageError("invalid_request", "The request line is not HTTP/1.1.", "See RFC 9112.")
        method, target = words[0].decode("ascii"), words[1].decode("ascii")
        if target.startswith(("http://", "https://")):  # absolute form, as sent to proxies
            target = "/" + target.partition("://")[2].partition("/")[2]
        elif not target.startswith("/"):
            raise MintageError("invalid_request", "The request target is not a path.", "Ask for a path such as /.")
        path, _, query = target.partition("#")[0].partition("?")
        return self._handler(method, path), method, path, query.encode(), words[2] == b"HTTP/1.0"

    def _handler(self, method: str, path: str) -> Handler:
        handler = self._routes.get((method, path))
        if handler is None and method == "HEAD":
            handler = self._routes.get(("GET", path))
        if handler is not None:
            return handler
        if path in self._methods:
            return self._not_allowed
        for prefix, candidate in self._prefixes:
            if path.startswith(prefix):
                return candidate
        return self._fallback or self._not_found

    def _not_found(self, request: HttpRequest, exchange: Exchange) -> None:
        raise MintageError("not_found", "There is nothing at this path.", "Look at the path and the base URL.")

    def _not_allowed(self, request: HttpRequest, exchange: Exchange) -> None:
        allowed = ", ".join(sorted(self._methods[request.path]))
        error = MintageError("method_not_allowed", f"{request.method} is not possible here.", f"Use {allowed}.")
        status, headers, body = self.render_error(error, request)
        exchange.send(status, [*headers, (b"allow", allowed.encode())], body)

    def render_error(self, error: MintageError, request: HttpRequest | None) -> tuple[int, Headers, bytes]:
        try:
            return self._render(error, request)
        except Exception:
            log.exception("the error renderer failed")
            return plain_error(MintageError("internal", "Something went wrong on our side.", "Try again."), request)

    def run(self, handling: Coroutine[Any, Any, None]) -> None:
        """Make a task of a handler's coroutine and keep it alive until it is done."""
        task = self.loop.create_task(handling)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Life

    async def start(self, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> int:
        """Listen; the port in use is returned, so that 0 can pick a free one. May be called for several addresses."""
        _allow_files(self.limits.connections + 1024)
        self.ticker.start()
        self._tell_time()
        server = await self.loop.create_server(
            lambda: Connection(self),
            host,
            port,
            ssl=tls,
            backlog=1024,
            reuse_address=True,
            ssl_handshake_timeout=self.limits.read_timeout_s if tls else None,
        )
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def close(self, grace_s: float = 30.0) -> None:
        """Stop listening, let running answers end for grace_s, cut the rest, and wait for every handler."""
        self.closing = True
        for server in self._servers:
            server.close()
        for connection in list(self.connections):
            connection.finish()
        if self.connections:
            self._emptied = self.loop.create_future()
            await asyncio.wait([self._emptied], timeout=grace_s)
            for connection in list(self.connections):
                connection.transport.abort()
        await asyncio.sleep(0)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=max(1.0, grace_s))
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1.0)
        self.ticker.stop()
        if self._clock is not None:
            self._clock.cancel()

    def connection_closed(self) -> None:
        if not self.connections and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    def _tell_time(self) -> None:
        now = time.time()
        self.heads.renew(int(now))
        if self._clock is not None:
            self._clock.cancel()
        self._clock = self.loop.call_later(1.001 - now % 1.0, self._tell_time)


def _allow_files(count: int) -> None:
    """Raise the soft limit of open files as far as the hard one allows: the default of 1,024 is below our own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
