"""Hostile clients, real sockets: a typed error or a closed connection, never a 500, flat memory, alive afterwards."""

import asyncio
import contextlib
import random
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

MEGABYTE = 1024 * 1024
POST = b"POST /chat HTTP/1.1\r\nhost: a\r\n"
RESET = b"\1\0\0\0\0\0\0\0"  # struct linger {on, 0 s}


class Victim:
    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    def rss_megabytes(self) -> float:
        return psutil.Process(self.process.pid).memory_info().rss / MEGABYTE

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, limit=64 * MEGABYTE)

    async def ask(self, *raw: bytes, wait_s: float = 10.0, pause_s: float = 0.0) -> bytes:
        """What is said back until the server closes; b"" where it resets the connection."""
        reader, writer = await self.connect()
        said = b""
        try:
            async with asyncio.timeout(wait_s):
                for piece in raw:
                    writer.write(piece)
                    await writer.drain()
                    if pause_s:
                        await asyncio.sleep(pause_s)
                while data := await reader.read(65536):
                    said += data
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()
        return said

    async def alive(self) -> bool:
        said = await self.ask(POST + b"connection: close\r\ncontent-length: 2\r\n\r\n{}")
        return said.startswith(b"HTTP/1.1 200 ") and said.endswith(b'{"length":2}')


@pytest.fixture(scope="module")
def process() -> Iterator[Victim]:
    command = [sys.executable, str(Path(__file__).with_name("abused_server.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        yield Victim(running, int(running.stdout.readline()))
        _, complaints = running.communicate(timeout=20)
        assert b"Traceback" not in complaints, complaints.decode()
        assert b"failed" not in complaints, complaints.decode()


@pytest.fixture
async def victim(process: Victim) -> AsyncIterator[Victim]:
    """Each test must leave it alive and not fatter than 48 MB more (one read of each of 200 connections is 50)."""
    assert await process.alive()
    before = process.rss_megabytes()
    yield process
    deadline = time.monotonic() + 10
    while not await process.alive():  # 200 abused connections may take their timeout to go
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    assert process.rss_megabytes() - before < 48


def statuses(said: bytes) -> list[int]:
    return [int(part[:3]) for part in said.split(b"HTTP/1.1 ")[1:]]


def refused(said: bytes, *status: int) -> bool:
    """One typed error, then the end; or a reset, in which the error was lost."""
    if not said:
        return True
    head, _, body = said.partition(b"\r\n\r\n")
    error = msgspec.json.decode(body)["error"]
    return statuses(head) == [*status] and bool(error["code"]) and b"connection: close" in head


# Malformed


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100) + b"\r\n\r\n",  # a TLS hello
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/3.0\r\n\r\n",
        b"GET /\r\n\r\n",
        b"get / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"GET / HTTP/1.1\nhost: a\n\n\r\n\r\n",
        b"CONNECT a:443 HTTP/1.1\r\nhost: a\r\n\r\n",
        bytes(500) + b"\r\n\r\n",
        b"\xff" * 500 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\n" + b"x" * 10 + b"\r\n\r\n",
        b"POST /chat HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_malformed_heads(victim: Victim, raw: bytes) -> None:
    assert refused(await victim.ask(raw), 400)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a":}',
        b"\xff\xfe{}",
        b'{"a":"\xc3\x28"}',
        b'{"a":"\xed\xa0\x80"}',
        b"[" * 1000,
        b"[" * 500_000,
        b'{"a":' * 150_000 + b"1" + b"}" * 150_000,
        b"1" * 900_000,
        b'"' + b"\\u0000" * 100_000 + b'"',
        b"NaN",
        b"{}" * 1000,
    ],
)
async def test_malformed_deep_and_non_utf8_bodies(victim: Victim, body: bytes) -> None:
    said = await victim.ask(POST + b"connection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    assert statuses(said)[0] in (200, 400)
    assert (statuses(said)[0] == 200) == (body[:1] == b'"')


# Too large


async def test_huge_declared_body_is_refused_before_it_is_read(victim: Victim) -> None:
    assert refused(await victim.ask(POST + b"content-length: 99999999999\r\n\r\n"), 413)


async def test_refusal_reaches_a_client_that_goes_on_sending(victim: Victim) -> None:
    said = await victim.ask(POST + b"content-length: 3000000\r\n\r\n", *[bytes(100_000)] * 30)
    assert statuses(said) == [413]


async def test_endless_chunked_body_is_cut(victim: Victim) -> None:
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    assert refused(await victim.ask(POST + b"transfer-encoding: chunked\r\n\r\n", *[chunk] * 200), 413)


async def test_flood_of_tiny_chunks_is_cut(victim: Victim) -> None:
    assert refused(await victim.ask(POST + b"transfer-encoding: chunked\r\n\r\n", b"1\r\na\r\n" * 100_000), 400)


@pytest.mark.parametrize(
    "headers",
    [b"x: y\r\n" * 101, b"x: " + b"y" * 40_000 + b"\r\n", b"y" * 40_000 + b": x\r\n", b"x: y\r\n" * 500_000],
)
async def test_header_floods(victim: Victim, headers: bytes) -> None:
    assert refused(await victim.ask(b"GET / HTTP/1.1\r\nhost: a\r\n" + headers + b"\r\n"), 431)


async def test_endless_request_line(victim: Victim) -> None:
    assert refused(await victim.ask(b"GET /" + b"a" * 2_000_000), 431)


async def test_many_large_unfinished_bodies_share_one_budget(victim: Victim) -> None:
    """40 bodies of 0.9 MB would be 36 MB; 16 MB are allowed together."""
    asks = [victim.ask(POST + b"content-length: 1000000\r\n\r\n" + bytes(900_000)) for _ in range(40)]
    said = await asyncio.gather(*asks)
    assert all(not answer or statuses(answer)[0] in (408, 503) for answer in said)
    assert any(answer and statuses(answer) == [503] for answer in said)


# Slow


async def drip(victim: Victim, raw: bytes, pause_s: float) -> tuple[bytes, float]:
    """Send byte by byte until the server has had enough."""
    reader, writer = await victim.connect()
    began = time.monotonic()
    answer = asyncio.ensure_future(reader.read())
    with contextlib.suppress(ConnectionError):
        for i in range(len(raw)):
            writer.write(raw[i : i + 1])
            await writer.drain()
            await asyncio.wait([answer], timeout=pause_s)
            if answer.done():
                break
    said = await answer
    writer.close()
    return said, time.monotonic() - began


@pytest.mark.parametrize(
    "raw", [b"GET / HTTP/1.1\r\nx: " + b"a" * 500, POST + b"content-length: 500\r\n\r\n" + b"a" * 500]
)
async def test_slowloris_is_ended_by_the_read_timeout(victim: Victim, raw: bytes) -> None:
    at_once = raw.find(b"\r\n\r\n") + 4 if b"\r\n\r\n" in raw else 0
    said, took_s = await drip(victim, raw, 0.02 if not at_once else 0.01)
    assert refused(said, 408)
    assert took_s < 8


async def test_many_slow_clients_do_not_keep_others_out(victim: Victim) -> None:
    slow = [asyncio.create_task(drip(victim, b"GET / HTTP/1.1\r\nx: " + b"a" * 100, 0.05)) for _ in range(100)]
    await asyncio.sleep(0.3)
    assert await victim.alive()
    assert all(refused(said, 408) for said, _ in await asyncio.gather(*slow))


async def test_silent_connection_is_closed(victim: Victim) -> None:
    assert await victim.ask() == b""


async def test_slow_reader_of_a_big_answer_is_cut(victim: Victim) -> None:
    reader, writer = await victim.connect()
    writer.transport.pause_reading()
    writer.write(b"GET /stream HTTP/1.1\r\nhost: a\r\n\r\n")
    await asyncio.sleep(2.0)  # the write timeout is 1 s
    writer.transport.resume_reading()
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(10):
            assert not (await reader.read()).endswith(b"0\r\n\r\n")
    writer.close()


async def test_slow_readers_of_many_answers_do_not_pile_them_up(victim: Victim) -> None:
    """50 requests for 4 MB each on one connection that reads nothing: one answer at most waits in memory."""
    reader, writer = await victim.connect()
    writer.transport.pause_reading()
    writer.write(b"GET /big HTTP/1.1\r\nhost: a\r\n\r\n" * 50)
    await asyncio.sleep(0.5)
    assert await victim.alive()
    assert victim.rss_megabytes() < 200
    await asyncio.sleep(1.0)
    writer.transport.abort()
    del reader


# Floods


async def test_pipelined_flood_is_answered_in_order(victim: Victim) -> None:
    count = 20_000
    reader, writer = await victim.connect()
    one = POST + b"content-length: 2\r\n\r\n{}"
    for _ in range(count // 100):
        writer.write(one * 100)
    writer.write(POST + b"connection: close\r\ncontent-length: 3\r\n\r\n{ }")
    async with asyncio.timeout(30):
        said = await reader.read()
    writer.close()
    assert said.count(b"HTTP/1.1 200 OK") == count + 1
    assert said.endswith(b'{"length":3}')


async def test_pipelined_flood_that_reads_nothing_is_held_back(victim: Victim) -> None:
    _, writer = await victim.connect()
    writer.transport.pause_reading()
    one = POST + b"content-length: 2\r\n\r\n{}"
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(3):
            for _ in range(2000):
                writer.write(one * 1000)
                await writer.drain()
    assert victim.rss_megabytes() < 200
    writer.transport.abort()


async def test_connections_beyond_the_limit_are_refused(victim: Victim) -> None:
    idle = [await victim.connect() for _ in range(199)]
    said = await asyncio.gather(*[victim.ask(POST + b"content-length: 2\r\n\r\n{}", wait_s=10) for _ in range(20)])
    assert all(not answer or statuses(answer)[0] in (200, 503) for answer in said)
    assert any(refused(answer, 503) for answer in said if statuses(answer) == [503])
    for _, writer in idle:
        writer.transport.abort()


async def test_connections_by_the_thousand(victim: Victim) -> None:
    for _ in range(20):
        opened = await asyncio.gather(*[victim.connect() for _ in range(150)], return_exceptions=True)
        for connection in opened:
            if not isinstance(connection, BaseException):
                connection[1].transport.abort()


# Gone


@pytest.mark.parametrize(
    "raw", [b"", b"GET", POST, POST + b"content-length: 9\r\n\r\nabc", POST + b"content-length: 2\r\n\r\n{}"]
)
@pytest.mark.parametrize("how", ["half-close", "reset", "close"])
async def test_clients_that_leave(victim: Victim, raw: bytes, how: str) -> None:
    for _ in range(20):
        reader, writer = await victim.connect()
        writer.write(raw)
        if how == "half-close":
            writer.write_eof()
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(10):
                    assert statuses(await reader.read()) in ([], [200])
        elif how == "reset":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()
        writer.close()


async def test_reset_in_the_middle_of_streams(victim: Victim) -> None:
    for _ in range(30):
        reader, writer = await victim.connect()
        writer.write(b"GET /stream HTTP/1.1\r\nhost: a\r\n\r\n")
        await reader.readexactly(20_000)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()


# Smuggling


@pytest.mark.parametrize(
    "outer",
    [
        b"content-length: 0\r\ncontent-length: 44\r\n\r\n",
        b"content-length: 44\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\ntransfer-encoding: cow\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        b"content-length: 0\n\r\n",
        b"x: y\r\n content-length: 44\r\n\r\n",
        b"content-length: +0\r\n\r\n",
    ],
)
async def test_smuggled_request_is_never_answered(victim: Victim, outer: bytes) -> None:
    inner = b"POST /chat HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}"
    said = await victim.ask(POST + outer + inner)
    assert refused(said, 400)


# Noise


FRAGMENTS = [
    *[
        b"GET ",
        b"POST ",
        b"/chat",
        b"/big",
        b" HTTP/1.1\r\n",
        b" HTTP/1.0\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b"\xff\xfe",
    ],
    *[b"host: a\r\n", b"content-length: 2\r\n", b"content-length: ", b"transfer-encoding: chunked\r\n", b"0\r\n\r\n"],
    *[
        b"expect: 100-continue\r\n",
        b"connection: close\r\n",
        b"connection: upgrade\r\nupgrade: h2c\r\n",
        b"{}",
        b"2\r\n{}\r\n",
    ],
    *[POST, POST + b"content-length: 2\r\n\r\n{}", b"a" * 300, b"99999999999", b": ", b";", b"\t"],
]


def noise(rng: random.Random) -> bytes:
    pieces = [
        rng.randbytes(rng.randrange(40)) if rng.random() < 0.15 else rng.choice(FRAGMENTS)
        for _ in range(rng.randrange(1, 14))
    ]
    raw = bytearray(b"".join(pieces) or b"\n")
    for _ in range(rng.randrange(3)):
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    return bytes(raw)


async def fuzz(victim: Victim, count: int, seed: int) -> None:
    rng = random.Random(seed)
    for start in range(0, count, 50):
        raws = [noise(rng) for _ in range(min(50, count - start))]
        for raw, said in zip(raws, await asyncio.gather(*[speak(victim, raw) for raw in raws]), strict=True):
            assert not any(status >= 500 and status != 501 for status in statuses(said)), (raw, said)
            assert said == b"" or said.startswith(b"HTTP/1.1 "), (raw, said)


async def speak(victim: Victim, raw: bytes) -> bytes:
    """Send, close our side, and read: an unfinished request must not hold the fuzzer up."""
    reader, writer = await victim.connect()
    said = b""
    try:
        writer.write(raw)
        await writer.drain()
        writer.write_eof()
        async with asyncio.timeout(10):
            said = await reader.read()
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    return said


async def test_noise(victim: Victim) -> None:
    await fuzz(victim, 2000, 1)


@pytest.mark.soak
async def test_much_noise(victim: Victim) -> None:
    await fuzz(victim, 100_000, 2)
