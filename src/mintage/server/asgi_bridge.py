"""Hands whatever is not hot to an ordinary ASGI application: the admin API and the console's pages.

A bridge is a handler of HttpServer. Bodies arrive whole, answers may stream, and a client that goes is told to the
application as `http.disconnect`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from mintage.base import MintageError
from mintage.base.http_head import Headers
from mintage.server.exchange import Exchange, HttpRequest

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_ASGI: Final = {"version": "3.0", "spec_version": "2.4"}
#: The connection's own business: an application must not decide them.
_OURS: Final = frozenset({b"connection", b"transfer-encoding", b"keep-alive", b"server", b"date"})


class _Cycle:
    """One request through the application."""

    def __init__(self, request: HttpRequest, exchange: Exchange) -> None:
        self._exchange = exchange
        self._body: bytes | None = request.body
        self._head: tuple[int, Headers] | None = None
        self._left = asyncio.get_running_loop().create_future()
        exchange.on_disconnect = self._leave

    def _leave(self) -> None:
        if not self._left.done():
            self._left.set_result(None)

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        if not self._exchange.ended:
            await asyncio.shield(self._left)
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        exchange, kind = self._exchange, message["type"]
        if exchange.disconnected:
            raise OSError("the client has gone")
        if kind == "http.response.start":
            if self._head is not None:
                raise RuntimeError("http.response.start came twice")
            headers = [(bytes(n).lower(), bytes(v)) for n, v in message.get("headers", ())]
            self._head = (message["status"], [h for h in headers if h[0] not in _OURS])
        elif kind == "http.response.body":
            await self._send_body(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError(f"{kind} is not spoken here")

    async def _send_body(self, body: bytes, more: bool) -> None:
        exchange = self._exchange
        if self._head is None:
            raise RuntimeError("a body came before http.response.start")
        if not exchange.started:
            status, headers = self._head
            if not more and exchange.request.method != "HEAD":
                exchange.send(status, [h for h in headers if h[0] != b"content-length"], body)
                self._leave()
                return
            exchange.start(status, headers)
        exchange.write(bytes(body))
        if more:
            await exchange.drain()
        else:
            exchange.end()
            self._leave()


class AsgiBridge:
    """An ASGI application as a fallback handler. Call startup before serving and shutdown after."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app
        self._state: dict[str, Any] = {}
        self._inbox: asyncio.Queue[Message] = asyncio.Queue(maxsize=2)
        self._replies: dict[str, asyncio.Future[str]] = {}
        self._life: asyncio.Task[None] | None = None

    def __call__(self, request: HttpRequest, exchange: Exchange) -> Coroutine[Any, Any, None]:
        return self._serve(request, exchange)

    async def _serve(self, request: HttpRequest, exchange: Exchange) -> None:
        scope: dict[str, Any] = {
            "type": "http", "asgi": _ASGI, "http_version": "1.0" if request.http_10 else "1.1",
            "method": request.method, "scheme": request.scheme,
            "path": unquote_to_bytes(request.path).decode("utf-8", "replace"), "raw_path": request.path.encode(),
            "query_string": request.query, "root_path": "", "headers": request.headers,
            "client": request.peer, "server": exchange.local_address, "state": dict(self._state),
            "extensions": {},
        }  # fmt: skip
        cycle = _Cycle(request, exchange)
        try:
            await self._app(scope, cycle.receive, cycle.send)
        except Exception:  # frameworks wrap the OSError that says that the client has gone
            if not exchange.disconnected:
                raise

    # Lifespan

    async def startup(self) -> None:
        """Raises MintageError("unavailable") where the application says that it cannot start."""
        await self._say("startup")

    async def shutdown(self) -> None:
        if self._life is not None and not self._life.done():
            await self._say("shutdown")
            await self._life

    async def _say(self, what: str) -> None:
        reply = self._replies[what] = asyncio.get_running_loop().create_future()
        self._inbox.put_nowait({"type": f"lifespan.{what}"})
        if self._life is None:
            self._life = asyncio.create_task(self._live())
        failure = await reply
        if failure:
            raise MintageError("unavailable", f"The {what} of the pages failed.", failure)

    async def _live(self) -> None:
        scope = {"type": "lifespan", "asgi": _ASGI, "state": self._state}
        try:
            await self._app(scope, self._inbox.get, self._lifespan_send)
        except Exception:  # noqa: S110 - an application without lifespan raises here, which is allowed
            pass
        finally:
            for reply in self._replies.values():
                if not reply.done():
                    reply.set_result("")

    async def _lifespan_send(self, message: Message) -> None:
        _, what, outcome = message["type"].split(".")
        reply = self._replies[what]
        if not reply.done():
            reply.set_result(str(message.get("message", "")) or "It gave no reason." if outcome == "failed" else "")
