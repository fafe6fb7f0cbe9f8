"""An httpx transport that calls an ASGI application in this process and hands its answer on as it comes.

httpx's own one collects the whole answer first, which would hide the progress of a pull.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx


class _Body(httpx.AsyncByteStream):
    def __init__(self, call: _Call) -> None:
        self._call = call

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (part := await self._call.parts.get()) is not None:
            yield part
        await self._call.task

    async def aclose(self) -> None:
        self._call.left.set()
        while not self._call.parts.empty():  # an application that waits for room goes on, and writes no more
            self._call.parts.get_nowait()
        await asyncio.wait([self._call.task])


class _Call:
    """One request through the application."""

    def __init__(self, app: Any, scope: dict[str, Any], body: bytes) -> None:
        self.parts: asyncio.Queue[bytes | None] = asyncio.Queue(16)
        self.head: asyncio.Future[tuple[int, list[tuple[bytes, bytes]]]] = asyncio.get_running_loop().create_future()
        self.left = asyncio.Event()
        self._body: bytes | None = body
        self.task = asyncio.create_task(self._run(app, scope))

    async def _run(self, app: Any, scope: dict[str, Any]) -> None:
        try:
            await app(scope, self._receive, self._send)
        except BaseException as error:
            if not self.head.done():
                self.head.set_exception(error)
                return
            raise
        finally:
            if not self.left.is_set():
                await self.parts.put(None)

    async def _receive(self) -> dict[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.head.set_result((message["status"], list(message.get("headers", []))))
        elif (part := message.get("body", b"")) and not self.left.is_set():
            await self.parts.put(part)


class InProcess(httpx.AsyncBaseTransport):
    def __init__(self, app: Any) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": request.url.scheme,
            "path": request.url.path,
            "raw_path": request.url.raw_path.split(b"?")[0],
            "query_string": request.url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "server": (request.url.host, request.url.port or 80),
            "client": ("127.0.0.1", 0),
        }
        call = _Call(self._app, scope, await request.aread())
        status, headers = await call.head
        return httpx.Response(status, headers=headers, stream=_Body(call))


class RunHere(httpx.BaseTransport):
    """The same for a client that does not wait: each piece is awaited on the command's own event loop."""

    def __init__(self, app: Any, runner: asyncio.Runner) -> None:
        self._inner = InProcess(app)
        self._runner = runner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        answer = self._runner.run(self._inner.handle_async_request(request))
        assert isinstance(answer.stream, httpx.AsyncByteStream)
        return httpx.Response(answer.status_code, headers=answer.headers, stream=_HereBody(answer.stream, self._runner))


class _HereBody(httpx.SyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, runner: asyncio.Runner) -> None:
        self._stream = stream
        self._runner = runner

    def __iter__(self) -> Iterator[bytes]:
        parts = aiter(self._stream)
        while (part := self._runner.run(_following(parts))) is not None:
            yield part

    def close(self) -> None:
        self._runner.run(self._stream.aclose())


async def _following(parts: AsyncIterator[bytes]) -> bytes | None:
    return await anext(parts, None)
