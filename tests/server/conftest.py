"""A real HTTP server on a free port, with handlers that show every way to answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from mintage.base import MintageError
from mintage.server import Exchange, HttpLimits, HttpRequest, HttpServer


class Door:
    """The server under test, its port, and what its handlers saw."""

    def __init__(self) -> None:
        self.server: HttpServer
        self.port = 0
        self.seen: list[HttpRequest] = []
        self.exchanges: list[Exchange] = []
        self.left = asyncio.Event()
        self.go = asyncio.Event()
        self.arrived = asyncio.Event()

    def echo(self, request: HttpRequest, exchange: Exchange) -> None:
        self.seen.append(request)
        exchange.send(200, [(b"content-type", b"text/plain")], request.body or request.path.encode())

    def big(self, request: HttpRequest, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        exchange.send(200, [], b"b" * int(request.query))

    async def slow(self, request: HttpRequest, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        exchange.on_disconnect = self.left.set
        self.arrived.set()
        await self.go.wait()
        exchange.send(200, [], b"slow")

    async def stream(self, request: HttpRequest, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        exchange.on_disconnect = self.left.set
        exchange.start(200, [(b"content-type", b"text/event-stream")])
        for i in range(int(request.query or b"3")):
            exchange.write(b"data: %d\n\n" % i)
            await exchange.drain()
            await asyncio.sleep(0)
        exchange.end()

    async def endless(self, request: HttpRequest, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        exchange.on_disconnect = self.left.set
        exchange.start(200, [])
        self.arrived.set()
        while not exchange.disconnected:
            exchange.write(b"e" * 65536)
            await exchange.drain()
            await asyncio.sleep(0)

    def typed(self, request: HttpRequest, exchange: Exchange) -> None:
        raise MintageError("rate_limited", "Too fast.", "Slow down.")

    def broken(self, request: HttpRequest, exchange: Exchange) -> None:
        raise ValueError("hunter2")

    async def broken_later(self, request: HttpRequest, exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.write(b"half")
        await asyncio.sleep(0)
        raise ValueError("hunter2")

    async def forgetful(self, request: HttpRequest, exchange: Exchange) -> None:
        """Returns without an answer."""

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, limit=64 * 1024 * 1024)

    async def ask(self, raw: bytes, *, wait_s: float = 10.0) -> bytes:
        """Everything that the server says to raw until it closes the connection."""
        reader, writer = await self.connect()
        try:
            writer.write(raw)
            async with asyncio.timeout(wait_s):
                return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()

    async def alive(self) -> bool:
        """Whether an ordinary request is answered."""
        said = await self.ask(b"POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 5\r\n\r\nalive")
        return said.startswith(b"HTTP/1.1 200 ") and said.endswith(b"\r\n\r\nalive")


OpenDoor = Callable[..., contextlib.AbstractAsyncContextManager[Door]]


@pytest.fixture
def open_door() -> OpenDoor:
    @contextlib.asynccontextmanager
    async def opened(*, grace_s: float = 0.2, **limits: float) -> AsyncIterator[Door]:
        door = Door()
        door.server = HttpServer(
            routes={
                ("GET", "/echo"): door.echo,
                ("POST", "/echo"): door.echo,
                ("GET", "/big"): door.big,
                ("GET", "/slow"): door.slow,
                ("GET", "/stream"): door.stream,
                ("GET", "/endless"): door.endless,
                ("GET", "/typed"): door.typed,
                ("GET", "/broken"): door.broken,
                ("GET", "/broken-later"): door.broken_later,
                ("GET", "/forgetful"): door.forgetful,
            },
            prefixes=[("/v1/models/", door.echo), ("/v1/", door.typed)],
            limits=HttpLimits(**{"tick_s": 0.02, "linger_s": 0.2, **limits}),
        )
        door.port = await door.server.start("127.0.0.1", 0)
        try:
            yield door
        finally:
            await door.server.close(grace_s)

    return opened


@pytest.fixture
def until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    async def wait(condition: Callable[[], object], wait_s: float = 10.0) -> None:
        async with asyncio.timeout(wait_s):
            while not condition():  # noqa: ASYNC110 - what is waited for happens in plain callbacks
                await asyncio.sleep(0.002)

    return wait
