"""The upstream client against scripted sockets: what it sends, reuses, refuses, and how it fails."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mintage.base import MintageError
from mintage.base.addresses import is_public_address
from mintage.engines.http_address import BaseUrl, Resolver
from mintage.engines.http_client import HttpClient
from mintage.engines.http_connection import Call, ResponseHead

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@contextlib.asynccontextmanager
async def upstream(script: Script, **options: object) -> AsyncIterator[HttpClient]:
    """A client, and behind it a server that runs script for every connection."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = HttpClient(f"http://127.0.0.1:{port}", name="acme", allow_private=True, tick_s=0.02, **options)
    try:
        yield client
    finally:
        await client.close()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((int(x[15:]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length:")), 0)
    return head, await reader.readexactly(length)


def answers(*responses: bytes) -> Script:
    """Each request of a connection gets the next response; then the connection closes."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for response in responses:
            await read_request(reader)
            writer.write(response)
            await writer.drain()

    return script


async def forever(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await read_request(reader)
        writer.write(OK)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


class Sink:
    """Notes what it was told."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.done = asyncio.get_running_loop().create_future()

    def on_head(self, head: ResponseHead) -> None:
        self.told.append(head.status)

    def on_data(self, data: bytes) -> None:
        self.told.append(data)

    def on_end(self) -> None:
        self.told.append("end")
        self.done.set_result(None)

    def on_error(self, error: MintageError) -> None:
        self.told.append(error.code)
        self.done.set_result(None)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in plain callbacks
            await asyncio.sleep(0.001)


async def failure(awaitable: Awaitable[object]) -> MintageError:
    with pytest.raises(MintageError) as caught:
        await awaitable
    return caught.value


# What goes out and comes back


async def test_request_carries_host_headers_length_and_body() -> None:
    seen: list[tuple[bytes, bytes]] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(b"HTTP/1.1 201 Created\r\nX-Request-Id: abc\r\ncontent-length: 3\r\n\r\nyes")
        await reader.read()

    async with upstream(script) as client:
        response = await client.request("POST", "/v1/chat", [(b"authorization", b"Bearer k")], b"body")
    assert (response.status, response.body, response.header(b"x-request-id")) == (201, b"yes", b"abc")
    head, body = seen[0]
    assert body == b"body"
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /v1/chat HTTP/1.1"
    assert lines[1] == b"host: " + client.url.authority
    assert b"authorization: Bearer k" in lines
    assert b"content-length: 4" in lines


async def test_get_has_no_length_and_empty_post_has_zero() -> None:
    heads: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append((await read_request(reader))[0])
            writer.write(OK)

    async with upstream(script) as client:
        await client.request("GET", "/a")
        await client.request("POST", "/b")
    assert b"content-length" not in heads[0]
    assert b"content-length: 0" in heads[1]


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\nb", b"a\0b"])
async def test_header_that_would_break_its_line_is_refused(value: bytes) -> None:
    async with upstream(forever) as client:
        with pytest.raises(ValueError, match="line break"):
            client.prepare("POST", "/", [(b"x", value)])
        with pytest.raises(ValueError, match="line break"):
            client.prepare("GET", "/" + value.decode())
        with pytest.raises(ValueError, match="blank"):
            client.prepare("GET", "/ HTTP/1.1 x")


@pytest.mark.parametrize(
    ("response", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", b"hello"),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", b"hello"),
        (b"HTTP/1.0 200 OK\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", b"hi"),
    ],
)
async def test_every_framing_of_a_body_in_any_slices(response: bytes, body: bytes) -> None:
    for size in (1, 3, 1000):

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int = size) -> None:
            await read_request(reader)
            for at in range(0, len(response), size):
                writer.write(response[at : at + size])
                await writer.drain()
                await asyncio.sleep(0)

        async with upstream(script) as client:
            assert (await client.request("POST", "/", [], b"x")).body == body


async def test_head_request_has_no_body() -> None:
    async with upstream(answers(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n")) as client:
        response = await client.request("HEAD", "/")
        assert (response.status, response.body, response.header(b"content-length")) == (200, b"", b"50")


async def test_body_is_told_once_per_read_not_once_per_chunk() -> None:
    chunks = b"".join(b"3\r\nabc\r\n" for _ in range(50)) + b"0\r\n\r\n"
    response = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks
    async with upstream(answers(response)) as client:
        sink = Sink()
        client.relay("POST", "/", [], b"x", sink)
        await sink.done
        assert sink.told == [200, b"abc" * 50, "end"]


# Connections


async def test_connection_is_reused() -> None:
    count = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        await forever(reader, writer)

    async with upstream(script) as client:
        for _ in range(20):
            assert (await client.request("POST", "/", [], b"x")).body == b"ok"
        assert count == 1


async def test_connection_close_is_not_reused() -> None:
    response = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"
    async with upstream(answers(response)) as client:
        for _ in range(3):
            assert (await client.request("POST", "/", [], b"x")).body == b"ok"


async def test_stale_connection_is_asked_again_on_a_new_one() -> None:
    requests = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await read_request(reader)
        requests += 1
        writer.write(OK)
        await read_request(reader)  # the second request is read, and the connection closed without an answer

    async with upstream(script) as client:
        for _ in range(4):
            assert (await client.request("POST", "/", [], b"x")).body == b"ok"
        assert requests == 4


async def test_first_use_of_a_connection_is_never_resent() -> None:
    requests = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await read_request(reader)
        requests += 1

    async with upstream(script) as client:
        assert (await failure(client.request("POST", "/", [], b"x"))).code == "upstream_failed"
        assert requests == 1


async def test_answer_that_has_begun_is_never_resent() -> None:
    requests = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await read_request(reader)
        requests += 1
        writer.write(OK)
        await read_request(reader)
        requests += 1
        writer.write(b"HTTP/1.1 2")

    async with upstream(script) as client:
        await client.request("POST", "/", [], b"x")
        assert (await failure(client.request("POST", "/", [], b"x"))).code == "upstream_failed"
        assert requests == 2


async def test_connections_are_bounded_and_the_rest_wait_their_turn() -> None:
    now, most = 0, 0
    gate = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await gate.wait()
        await forever(reader, writer)

    async with upstream(script, connections=3) as client:
        asks = [asyncio.create_task(client.request("POST", "/", [], b"x")) for _ in range(20)]
        await asyncio.sleep(0)
        gate.set()
        assert [r.body for r in await asyncio.gather(*asks)] == [b"ok"] * 20
        assert most == 3


async def test_full_queue_is_busy_at_once_and_a_slow_one_later() -> None:
    async with upstream(silent, connections=1, waiting=2, connect_timeout_s=0.1) as client:
        sinks = [Sink() for _ in range(3)]
        client.relay("POST", "/", [], b"x", sinks[0])
        await until(lambda: client._open)
        client.relay("POST", "/", [], b"x", sinks[1])
        client.relay("POST", "/", [], b"x", sinks[2])
        error = await failure(client.request("POST", "/", [], b"x"))
        assert (error.code, error.retry_after_s) == ("engine_busy", 1.0)
        await sinks[1].done
        await sinks[2].done
        assert sinks[1].told == sinks[2].told == ["engine_busy"]
        assert sinks[0].told == []


async def test_cancel_closes_the_connection_and_says_nothing_more() -> None:
    left = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")
        with contextlib.suppress(ConnectionError):
            await reader.read()
        left.set()

    async with upstream(script) as client:
        sink = Sink()
        call = client.relay("POST", "/", [], b"x", sink)
        await until(lambda: b"abc" in sink.told)
        call.cancel()
        call.cancel()
        await asyncio.wait_for(left.wait(), 5)
        assert sink.told == [200, b"abc"]


async def test_cancelled_while_waiting_leaves_its_place() -> None:
    async with upstream(forever, connections=1) as client:
        first, second = Sink(), Sink()
        client.relay("POST", "/", [], b"x", first)
        call = client.relay("POST", "/", [], b"x", second)
        call.cancel()
        await first.done
        assert (await client.request("POST", "/", [], b"x")).body == b"ok"
        assert (first.told, second.told) == ([200, b"ok", "end"], [])


async def test_request_cancelled_closes_the_connection() -> None:
    left = asyncio.Event()
    came = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        came.set()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        left.set()

    async with upstream(script) as client:
        task = asyncio.create_task(client.request("POST", "/", [], b"x"))
        await came.wait()
        task.cancel()
        await asyncio.wait_for(left.wait(), 5)
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_next_call_from_within_on_end_reuses_the_connection() -> None:
    async with upstream(forever) as client:
        prepared = client.prepare("POST", "/")
        last = asyncio.get_running_loop().create_future()

        class Again(Sink):
            left = 50

            def on_end(self) -> None:
                Again.left -= 1
                if Again.left:
                    client.send(prepared, b"x", self)
                else:
                    last.set_result(None)

        client.send(prepared, b"x", Again())
        await last
        assert len(client._open) == 1


# Failures


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 100_000,
        OK + b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison",
        OK + b"stray",
    ],
)
async def test_cut_or_malformed_answers_are_upstream_failures(response: bytes) -> None:
    async with upstream(answers(response)) as client:
        error = await failure(client.request("POST", "/", [], b"x"))
        assert error.code == "upstream_failed"
        assert "acme" in error.message
        assert not client._open


async def test_unasked_answer_is_never_taken_for_the_next_one() -> None:
    """An upstream, or someone between, that answers twice must not poison the connection."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison")
        await forever(reader, writer)

    async with upstream(script) as client:
        assert (await client.request("POST", "/", [], b"x")).body == b"ok"
        await until(lambda: not client._open)
        assert (await client.request("POST", "/", [], b"x")).body == b"ok"


async def test_silence_is_a_timeout_and_every_byte_renews_it() -> None:
    async def slow_then_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n")
        for _ in range(6):
            writer.write(b"a")
            await asyncio.sleep(0.06)
        await reader.read()

    async with upstream(slow_then_silent, silence_timeout_s=0.2) as client:
        sink = Sink()
        client.relay("POST", "/", [], b"x", sink)
        await sink.done
        assert sink.told == [200, *[b"a"] * 6, "upstream_timeout"]


async def test_refused_connection_names_the_upstream_but_not_its_address() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    client = HttpClient(f"http://127.0.0.1:{port}", name="acme", allow_private=True)
    error = await failure(client.request("GET", "/"))
    await client.close()
    assert error.code == "upstream_failed"
    assert "acme" in error.message
    assert "127.0.0.1" not in str(error)


async def test_dial_that_hangs_times_out() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        blockers = [socket.socket() for _ in range(4)]
        for blocker in blockers:  # fill the backlog: the kernel then ignores further SYNs
            blocker.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                blocker.connect(("127.0.0.1", port))
        client = HttpClient(f"http://127.0.0.1:{port}", allow_private=True, connect_timeout_s=0.2, tick_s=0.02)
        error = await failure(client.request("GET", "/"))
        assert error.code in ("upstream_timeout", "engine_busy")
        await client.close()
        for blocker in blockers:
            blocker.close()


async def test_answer_larger_than_the_limit_is_cut() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"a" * 10_000)
            await writer.drain()

    async with upstream(script, body_limit_bytes=100_000) as client:
        error = await failure(client.request("GET", "/"))
        assert "100000 bytes" in error.message


async def test_sink_that_raises_costs_its_own_connection_only() -> None:
    class Broken(Sink):
        def on_data(self, data: bytes) -> None:
            raise ZeroDivisionError

    async with upstream(forever) as client:
        broken = Broken()
        client.relay("POST", "/", [], b"x", broken)
        await broken.done
        assert broken.told == [200, "internal"]
        assert (await client.request("POST", "/", [], b"x")).body == b"ok"


async def test_close_tells_those_who_run_and_those_who_wait() -> None:
    async with upstream(silent, connections=1) as client:
        running, waiting = Sink(), Sink()
        client.relay("POST", "/", [], b"x", running)
        await until(lambda: client._open)
        client.relay("POST", "/", [], b"x", waiting)
        await client.close()
        await client.close()
        assert running.told == waiting.told == ["shutting_down"]
        assert (await failure(client.request("GET", "/"))).code == "shutting_down"


# Streams and back-pressure


async def test_stream_gives_head_then_pieces_then_ends() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for i in range(5):
            writer.write(b"8\r\ndata: %d\n\r\n" % i)
            await asyncio.sleep(0.002)
        writer.write(b"0\r\n\r\n")
        await reader.read()

    async with upstream(script) as client, await client.stream("POST", "/", [], b"x") as stream:
        assert (stream.status, stream.header(b"content-type")) == (200, b"text/event-stream")
        assert b"".join([piece async for piece in stream]) == b"".join(b"data: %d\n" % i for i in range(5))


async def test_cut_stream_raises_after_what_arrived() -> None:
    response = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"
    async with upstream(answers(response)) as client, await client.stream("POST", "/", [], b"x") as stream:
        assert await anext(stream) == b"abc"
        assert (await failure(anext(stream))).code == "upstream_failed"


async def test_leaving_a_stream_closes_its_connection() -> None:
    left = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nabc")
        with contextlib.suppress(ConnectionError):
            await reader.read()
        left.set()

    async with upstream(script) as client:
        stream = await client.stream("POST", "/", [], b"x")
        await stream.aclose()
        await stream.aclose()
        await asyncio.wait_for(left.wait(), 5)


async def test_slow_reader_slows_the_upstream_down_and_is_no_silence() -> None:
    sent = 0
    size = 32 * 1024 * 1024

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(b"a" * 65536)
            sent += 65536
            await writer.drain()
        await reader.read()

    async with (
        upstream(script, silence_timeout_s=0.1) as client,
        await client.stream("POST", "/", [], b"x") as stream,
    ):
        before = -1
        while sent != before:  # until the kernel's buffers are full
            before = sent
            await asyncio.sleep(0.15)
        assert sent < size
        assert len(await stream.read()) == size


async def test_pause_and_resume_of_a_relay() -> None:
    go = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc")
        await go.wait()
        writer.write(b"def")
        await reader.read()

    async with upstream(script) as client:
        sink = Sink()
        call: Call = client.relay("POST", "/", [], b"x", sink)
        await until(lambda: b"abc" in sink.told)
        call.pause()
        go.set()
        await asyncio.sleep(0.02)
        assert sink.told == [200, b"abc"]
        call.resume()
        await sink.done
        assert sink.told == [200, b"abc", b"def", "end"]


# Addresses


@pytest.mark.parametrize("url", ["", "ftp://a", "https://", "http://u:p@a/", "http://a/?q=1", "http://a:99999", "a"])
def test_what_is_no_base_url_is_refused(url: str) -> None:
    with pytest.raises(MintageError) as caught:
        BaseUrl.parse(url)
    assert caught.value.code == "invalid_settings"


def test_base_url_parts() -> None:
    url = BaseUrl.parse("https://api.example.com/v1/")
    assert (url.tls, url.port, url.authority, url.prefix) == (True, 443, b"api.example.com", "/v1")
    assert BaseUrl.parse("http://[::1]:8080").authority == b"[::1]:8080"
    assert BaseUrl.parse("http://bücher.example").host == "xn--bcher-kva.example"


PRIVATE = """127.0.0.1 10.0.0.1 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 255.255.255.255 ::1
:: fe80::1%eth0 fc00::1 fec0::1 ff02::1 ::ffff:127.0.0.1 64:ff9b::7f00:1 2002:7f00:1:: ::127.0.0.1""".split()


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_in_all_their_disguises(address: str) -> None:
    assert not is_public_address(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses(address: str) -> None:
    assert is_public_address(address)


@given(st.ip_addresses())
@settings(max_examples=200)
def test_every_address_is_judged(address: object) -> None:
    assert is_public_address(str(address)) in (True, False)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254"])
async def test_private_upstream_is_refused_unless_allowed(host: str) -> None:
    client = HttpClient(f"http://{host}:9", name="acme")
    assert (await failure(client.request("GET", "/"))).code == "permission_denied"
    await client.close()


async def test_unknown_name_is_an_upstream_failure() -> None:
    resolver = Resolver(BaseUrl.parse("http://nothing.invalid"), name="acme", allow_private=False)
    assert (await failure(resolver.addresses())).code == "upstream_failed"
