"""The server that test_http1_abuse.py torments, in a process of its own so that its memory can be watched."""

import asyncio
import logging
import sys

import msgspec
import uvloop

from mintage.base import MintageError
from mintage.server import Exchange, HttpLimits, HttpRequest, HttpServer


def chat(request: HttpRequest, exchange: Exchange) -> None:
    try:
        msgspec.json.decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MintageError("invalid_json", "The body is not JSON.", "Send a JSON object.") from None
    exchange.send(200, [(b"content-type", b"application/json")], b'{"length":%d}' % len(request.body))


def big(request: HttpRequest, exchange: Exchange) -> None:
    exchange.send(200, [], bytes(4 * 1024 * 1024))


async def stream(request: HttpRequest, exchange: Exchange) -> None:
    exchange.start(200, [])
    for _ in range(1_000_000):
        if exchange.disconnected:
            return
        exchange.write(bytes(16384))
        await exchange.drain()
        await asyncio.sleep(0)
    exchange.end()


async def main() -> None:
    limits = HttpLimits(
        body_bytes=1024 * 1024, buffered_bytes=16 * 1024 * 1024, connections=200, read_timeout_s=1.0,
        idle_timeout_s=2.0, write_timeout_s=1.0, linger_s=0.3, tick_s=0.05,
    )  # fmt: skip
    server = HttpServer(
        routes={("POST", "/chat"): chat, ("GET", "/big"): big, ("GET", "/stream"): stream}, limits=limits
    )
    port = await server.start("127.0.0.1", 0)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until the test ends
    await server.close(0.1)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    uvloop.run(main())
