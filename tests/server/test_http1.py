"""The HTTP/1.1 server as a well-behaved client meets it."""

import asyncio
import contextlib
import socket
import ssl

import httpx
import pytest

from mintage.base import MintageError
from mintage.server import HttpLimits, HttpServer

HOST = b"host: a\r\n"
CLOSE = HOST + b"connection: close\r\n"


def split(said: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    head, _, body = said.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    return first, dict(line.split(b": ", 1) for line in lines), body


async def read_one(reader: asyncio.StreamReader) -> tuple[bytes, dict[bytes, bytes], bytes]:
    first, headers, _ = split(await reader.readuntil(b"\r\n\r\n"))
    return first, headers, await reader.readexactly(int(headers.get(b"content-length", b"0")))


async def test_answer_has_length_date_and_server(open_door) -> None:
    async with open_door() as door:
        said = await door.ask(b"POST /echo HTTP/1.1\r\n" + CLOSE + b"Content-Length: 2\r\n\r\nhi")
    first, headers, body = split(said)
    assert (first, body) == (b"HTTP/1.1 200 OK", b"hi")
    assert headers[b"content-length"] == b"2"
    assert headers[b"server"] == b"mintage"
    assert headers[b"date"].endswith(b" GMT")
    assert headers[b"connection"] == b"close"


async def test_request_is_what_was_sent(open_door) -> None:
    raw = b"POST /v1/models/a%20b?x=1&y HTTP/1.1\r\nHost: a\r\nX-Two:  b \r\nX-TWO:c\r\ncontent-length: 1\r\n"
    async with open_door() as door:
        await door.ask(raw + b"connection: close\r\n\r\nz")
        request = door.seen[0]
    assert (request.method, request.path, request.query) == ("POST", "/v1/models/a%20b", b"x=1&y")
    assert request.body == b"z"
    assert request.header(b"x-two") == b"b"
    assert request.header(b"x-t") is None
    assert request.header(b"authorization") is None
    assert request.headers[:3] == [(b"host", b"a"), (b"x-two", b"b"), (b"x-two", b"c")]
    assert request.peer[0] == "127.0.0.1"


async def test_connection_is_kept_and_requests_may_be_pipelined(open_door) -> None:
    async with open_door() as door:
        reader, writer = await door.connect()
        one = b"POST /echo HTTP/1.1\r\n" + HOST + b"content-length: 1\r\n\r\n%d"
        writer.write(b"".join(one % i for i in range(9)))
        for i in range(9):
            assert (await read_one(reader))[2] == b"%d" % i
        writer.write(b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n" + one % 1)
        await door.arrived.wait()
        assert len(door.seen) == 9  # what is behind a running request waits
        door.go.set()
        assert (await read_one(reader))[2] == b"slow"
        assert (await read_one(reader))[2] == b"1"
        writer.close()


@pytest.mark.parametrize("size", [1, 2, 7])
async def test_request_in_any_slices(open_door, size: int) -> None:
    raw = (
        b"POST /echo HTTP/1.1\r\n"
        + HOST
        + b"Content-Length: 10\r\n\r\n0123456789"
        + (
            b"POST /echo HTTP/1.1\r\n"
            + CLOSE
            + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nt: v\r\n\r\n"
        )
    )
    async with open_door() as door:
        reader, writer = await door.connect()
        for at in range(0, len(raw), size):
            writer.write(raw[at : at + size])
            await writer.drain()
            await asyncio.sleep(0)
        assert (await read_one(reader))[2] == b"0123456789"
        assert (await read_one(reader))[2] == b"abcde"
        assert await reader.read() == b""
        writer.close()


async def test_expect_100_continue(open_door) -> None:
    async with open_door() as door:
        reader, writer = await door.connect()
        writer.write(b"POST /echo HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"body")
        assert (await read_one(reader))[2] == b"body"
        writer.close()


async def test_expect_with_too_large_a_body_is_refused_before_it_is_sent(open_door) -> None:
    async with open_door(body_bytes=10) as door:
        head = b"POST /echo HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 11\r\n\r\n"
        assert (await door.ask(head)).startswith(b"HTTP/1.1 413 ")


async def test_head_has_the_length_and_no_body(open_door) -> None:
    async with open_door() as door:
        first, headers, body = split(await door.ask(b"HEAD /echo HTTP/1.1\r\n" + CLOSE + b"\r\n"))
        assert (first, headers[b"content-length"], body) == (b"HTTP/1.1 200 OK", b"5", b"")
        _, headers, body = split(await door.ask(b"HEAD /stream HTTP/1.1\r\n" + CLOSE + b"\r\n"))
        assert body == b""


async def test_http_10(open_door) -> None:
    async with open_door() as door:
        first, headers, body = split(await door.ask(b"GET /echo HTTP/1.0\r\n\r\n"))
        assert (first, headers[b"connection"], body) == (b"HTTP/1.1 200 OK", b"close", b"/echo")
        _, headers, body = split(await door.ask(b"GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"))
        assert b"transfer-encoding" not in headers
        assert body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
        reader, writer = await door.connect()
        for _ in range(2):
            writer.write(b"GET /echo HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
            assert (await read_one(reader))[1][b"connection"] == b"keep-alive"
        writer.close()


async def test_stream_is_chunked(open_door) -> None:
    async with open_door() as door:
        _, headers, body = split(await door.ask(b"GET /stream?2 HTTP/1.1\r\n" + CLOSE + b"\r\n"))
        assert headers[b"transfer-encoding"] == b"chunked"
        assert body == b"9\r\ndata: 0\n\n\r\n9\r\ndata: 1\n\n\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /typed", 429),
        (b"GET /v1/x", 429),
        (b"GET /v1/models/x", 200),
        (b"GET http://a/echo", 200),
        (b"GET /nothing", 404),
        (b"DELETE /echo", 405),
        (b"OPTIONS /echo", 405),
        (b"GET /broken", 500),
        (b"GET /forgetful", 500),
        (b"OPTIONS *", 400),
        (b"GET  /echo", 400),
    ],
)
async def test_routes_and_errors(open_door, line: bytes, status: int) -> None:
    async with open_door() as door:
        said = await door.ask(line + b" HTTP/1.1\r\n" + CLOSE + b"\r\n")
        assert said.startswith(b"HTTP/1.1 %d " % status)
        assert b"hunter2" not in said
        assert b"Traceback" not in said
        assert (b"allow: GET, POST\r\n" in said) == (status == 405)


async def test_failing_handler_says_nothing_secret_in_the_log(open_door, caplog) -> None:
    async with open_door() as door:
        await door.ask(b"GET /broken HTTP/1.1\r\n" + CLOSE + b"\r\n")
    assert "ValueError at" in caplog.text
    assert "hunter2" not in caplog.text


async def test_handler_that_fails_midway_cuts_the_connection(open_door) -> None:
    async with open_door() as door:
        said = await door.ask(b"GET /broken-later HTTP/1.1\r\n" + HOST + b"\r\n")
        assert not said.endswith(b"0\r\n\r\n")
        assert await door.alive()


async def test_typed_error_keeps_the_connection(open_door) -> None:
    async with open_door() as door:
        reader, writer = await door.connect()
        for _ in range(3):
            writer.write(b"GET /typed HTTP/1.1\r\n" + HOST + b"\r\n")
            assert (await read_one(reader))[0] == b"HTTP/1.1 429 Too Many Requests"
        writer.close()


async def test_disconnect_is_told_while_the_handler_runs(open_door, until) -> None:
    async with open_door() as door:
        _, writer = await door.connect()
        writer.write(b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n")
        await door.arrived.wait()
        writer.close()
        await asyncio.wait_for(door.left.wait(), 5)
        assert door.exchanges[0].disconnected
        door.go.set()  # the handler may answer all the same: it goes nowhere
        await until(lambda: not door.server._tasks)
        assert door.exchanges[0].ended


async def test_reset_is_told_while_the_handler_streams(open_door) -> None:
    async with open_door() as door:
        reader, writer = await door.connect()
        writer.write(b"GET /endless HTTP/1.1\r\n" + HOST + b"\r\n")
        await reader.readexactly(100_000)
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()
        await asyncio.wait_for(door.left.wait(), 5)


async def test_slow_reader_makes_the_handler_wait(open_door, until) -> None:
    async with open_door() as door:
        _, writer = await door.connect()
        writer.transport.pause_reading()
        writer.write(b"GET /stream?2000000 HTTP/1.1\r\n" + HOST + b"\r\n")
        await until(lambda: door.exchanges and door.exchanges[0].paused)
        await asyncio.sleep(0.05)
        assert door.exchanges[0].paused
        assert not door.exchanges[0].ended
        writer.close()
        await asyncio.wait_for(door.left.wait(), 5)


async def test_paused_exchange_tells_when_it_is_writable_again(open_door, until) -> None:
    async with open_door() as door:
        _, writer = await door.connect()
        writer.transport.pause_reading()
        writer.write(b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n")
        await door.arrived.wait()
        exchange, again = door.exchanges[0], asyncio.Event()
        exchange.on_writable = again.set
        exchange.start(200, [])
        while not exchange.paused:
            exchange.write(b"a" * 65536)
            await asyncio.sleep(0)
        assert not again.is_set()
        writer.transport.resume_reading()
        await asyncio.wait_for(again.wait(), 5)
        assert not exchange.paused
        exchange.abort()


async def test_answer_longer_or_shorter_than_declared_cuts_the_connection(open_door) -> None:
    async with open_door() as door:
        for data, end in ((b"abcdef", False), (b"ab", True)):
            door.arrived.clear()
            reader, writer = await door.connect()
            writer.write(b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n")
            await door.arrived.wait()
            exchange = door.exchanges[-1]
            exchange.start(200, [(b"content-length", b"4")])
            with pytest.raises(RuntimeError, match="content-length"):
                exchange.write(data)
                if end:
                    exchange.end()
            with contextlib.suppress(ConnectionError):
                assert len(split(await reader.read())[2]) < 4
            writer.close()


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: x", b"a\nb", b"a\0b"])
async def test_header_of_ours_that_would_break_out_is_a_500(open_door, value: bytes) -> None:
    async with open_door() as door:
        door.server._routes["GET", "/split"] = lambda request, exchange: exchange.send(200, [(b"x", value)])
        said = await door.ask(b"GET /split HTTP/1.1\r\n" + CLOSE + b"\r\n")
        assert said.startswith(b"HTTP/1.1 500 ")
        assert b"set-cookie" not in said


# Time and the end


async def test_idle_connection_is_closed_quietly(open_door) -> None:
    async with open_door(idle_timeout_s=0.1) as door:
        reader, writer = await door.connect()
        writer.write(b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n")
        await read_one(reader)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_running_handler_has_no_deadline(open_door) -> None:
    async with open_door(idle_timeout_s=0.05, read_timeout_s=0.05, write_timeout_s=0.05) as door:
        reader, writer = await door.connect()
        writer.write(b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n")
        await door.arrived.wait()
        await asyncio.sleep(0.2)
        door.go.set()
        assert (await read_one(reader))[2] == b"slow"
        writer.close()


async def test_close_lets_a_running_answer_end_and_closes_the_idle(open_door) -> None:
    async with open_door() as door:
        idle_reader, idle_writer = await door.connect()
        idle_writer.write(b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n")
        await read_one(idle_reader)
        reader, writer = await door.connect()
        writer.write(b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n")
        await door.arrived.wait()
        closing = asyncio.create_task(door.server.close(5))
        assert await asyncio.wait_for(idle_reader.read(), 5) == b""
        with pytest.raises(OSError):
            await door.connect()
        door.go.set()
        first, headers, body = split(await reader.read())
        assert (first, headers[b"connection"], body) == (b"HTTP/1.1 200 OK", b"close", b"slow")
        writer.close()
        idle_writer.close()
        await asyncio.wait_for(closing, 5)
        assert not door.server.connections


async def test_close_cuts_what_outlasts_the_grace_and_tells_its_handler(open_door) -> None:
    async with open_door() as door:
        _, writer = await door.connect()
        writer.write(b"GET /endless HTTP/1.1\r\n" + HOST + b"\r\n")
        await door.arrived.wait()
        writer.transport.pause_reading()
        await asyncio.wait_for(door.server.close(0.1), 5)
        assert door.left.is_set()
        assert not door.server.connections
        writer.close()


async def test_official_parsers_agree_with_our_answers(open_door) -> None:
    async with open_door() as door, httpx.AsyncClient(base_url=f"http://127.0.0.1:{door.port}") as client:
        for _ in range(3):
            assert (await client.get("/echo")).text == "/echo"
            assert (await client.post("/echo", content=b"x" * 300_000)).content == b"x" * 300_000
            assert (await client.get("/stream?50")).text.count("data: ") == 50
            assert (await client.head("/echo")).status_code == 200


async def test_tls(open_door, tmp_path) -> None:
    pem = tmp_path / "server.pem"
    pem.write_bytes(_self_signed())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    async with open_door() as door:
        port = await door.server.start("127.0.0.1", 0, tls=context)
        trust = ssl.create_default_context(cafile=str(pem))
        async with httpx.AsyncClient(base_url=f"https://localhost:{port}", verify=trust) as client:
            assert (await client.post("/echo", content=b"x" * 200_000)).content == b"x" * 200_000
            assert (await client.get("/stream?50")).text.count("data: ") == 50
        assert door.seen[0].scheme == "https"


def _self_signed() -> bytes:
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)


async def test_error_renderer_that_fails_leaves_a_plain_500() -> None:
    def renderer(error: MintageError, request: object) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        raise ZeroDivisionError

    server = HttpServer(routes={}, error_renderer=renderer, limits=HttpLimits(linger_s=0.1))
    port = await server.start("127.0.0.1", 0)
    async with httpx.AsyncClient() as client:
        response = await client.get(f"http://127.0.0.1:{port}/")
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal"
    await server.close(0.1)
