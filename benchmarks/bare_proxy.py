"""The fastest bare Python proxy that we know how to write: the yardstick of benchmarks/gateway.py. No feature at all.

`python benchmarks/bare_proxy.py PORT UPSTREAM_PORT [CA_FILE]`: with a CA file the upstream speaks TLS. Two parsers only
find where messages end; bytes pass unchanged. No limits, no timeouts, no errors, no pipelining.
"""

from __future__ import annotations

import asyncio
import ssl
import sys

import httptools
import uvloop

idle: list[Upstream] = []


class Upstream(asyncio.Protocol):
    """Whatever comes back goes to the client at once."""

    __slots__ = ("client", "done", "parser", "transport")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.parser = httptools.HttpResponseParser(self)
        self.client: Client | None = None

    def on_message_complete(self) -> None:
        self.done = True

    def data_received(self, data: bytes) -> None:
        self.done = False
        self.parser.feed_data(data)
        client = self.client
        if client is not None:
            client.transport.write(data)
        if self.done:
            self.client = None
            idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in idle:
            idle.remove(self)


class Client(asyncio.Protocol):
    """A whole request goes to an idle upstream connection, else to a new one."""

    __slots__ = ("done", "parser", "pieces", "transport")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.parser = httptools.HttpRequestParser(self)
        self.pieces: list[bytes] = []

    def on_message_complete(self) -> None:
        self.done = True

    def data_received(self, data: bytes) -> None:
        self.done = False
        self.parser.feed_data(data)
        if not self.done:
            self.pieces.append(data)
            return
        if self.pieces:
            data = b"".join([*self.pieces, data])
            self.pieces.clear()
        if idle:
            upstream = idle.pop()
            upstream.client = self
            upstream.transport.write(data)
        else:
            task = asyncio.get_running_loop().create_task(self.dial(data))
            dials.add(task)
            task.add_done_callback(dials.discard)

    async def dial(self, data: bytes) -> None:
        _, upstream = await asyncio.get_running_loop().create_connection(
            Upstream, "127.0.0.1", upstream_port, ssl=tls, server_hostname="localhost" if tls else None
        )
        upstream.client = self
        upstream.transport.write(data)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Client, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    port, upstream_port = int(sys.argv[1]), int(sys.argv[2])
    tls = ssl.create_default_context(cafile=sys.argv[3]) if len(sys.argv) > 3 else None
    dials: set[asyncio.Task[None]] = set()
    uvloop.run(main())
