"""An ASGI application behind the bridge: scope, bodies, streams, disconnects, failures, lifespan."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest

from mintage.base import MintageError
from mintage.server import AsgiBridge, HttpLimits, HttpServer


@contextlib.asynccontextmanager
async def serving(app) -> AsyncIterator[httpx.AsyncClient]:
    bridge = AsgiBridge(app)
    await bridge.startup()
    server = HttpServer(routes={}, fallback=bridge, limits=HttpLimits(tick_s=0.02, linger_s=0.2))
    port = await server.start("127.0.0.1", 0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        yield client
    await server.close(0.2)
    await bridge.shutdown()


def http_only(handle):
    """An application that knows no lifespan and says so as the specification allows: by raising."""

    async def app(scope, receive, send) -> None:
        assert scope["type"] == "http"
        await handle(scope, receive, send)

    return app


async def test_scope_and_body() -> None:
    seen = {}

    async def handle(scope, receive, send) -> None:
        seen.update(scope)
        message = await receive()
        assert message["more_body"] is False
        await send(
            {"type": "http.response.start", "status": 201, "headers": [(b"X-A", b"b"), (b"content-length", b"2")]}
        )
        await send({"type": "http.response.body", "body": message["body"]})

    async with serving(http_only(handle)) as client:
        response = await client.post("/caf%C3%A9%20x?q=1&q=2", content=b"hi", headers={"X-Key": "v"})
    assert (response.status_code, response.content, response.headers["x-a"]) == (201, b"hi", "b")
    assert response.headers["content-length"] == "2"
    assert (seen["method"], seen["path"], seen["raw_path"]) == ("POST", "/café x", b"/caf%C3%A9%20x")
    assert (seen["query_string"], seen["scheme"], seen["http_version"]) == (b"q=1&q=2", "http", "1.1")
    assert (b"x-key", b"v") in seen["headers"]
    assert seen["client"][0] == seen["server"][0] == "127.0.0.1"


async def test_stream_arrives_as_it_is_sent() -> None:
    go = asyncio.Event()

    async def handle(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"transfer-encoding", b"chunked")]})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await go.wait()
        await send({"type": "http.response.body", "body": b"two", "more_body": True})
        await send({"type": "http.response.body"})

    async with serving(http_only(handle)) as client, client.stream("GET", "/") as response:
        pieces = response.aiter_raw()
        assert await anext(pieces) == b"one"
        go.set()
        assert [piece async for piece in pieces] == [b"two"]


async def test_head_keeps_the_length() -> None:
    async def handle(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"hello"})

    async with serving(http_only(handle)) as client:
        for _ in range(2):
            response = await client.head("/")
            assert (response.headers["content-length"], response.content) == ("5", b"")


async def test_disconnect_is_told() -> None:
    told = asyncio.Event()

    async def handle(scope, receive, send) -> None:
        assert (await receive())["type"] == "http.request"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        assert (await receive())["type"] == "http.disconnect"
        with pytest.raises(OSError):
            await send({"type": "http.response.body", "body": b"y", "more_body": True})
        told.set()

    async with serving(http_only(handle)) as client:
        async with client.stream("GET", "/") as response:
            assert await anext(response.aiter_raw()) == b"x"
        await asyncio.wait_for(told.wait(), 5)


async def test_writing_to_a_client_that_left_ends_the_application_quietly(caplog) -> None:
    ended = asyncio.Event()

    async def handle(scope, receive, send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
                await asyncio.sleep(0)
        finally:
            ended.set()

    async with serving(http_only(handle)) as client:
        async with client.stream("GET", "/") as response:
            await anext(response.aiter_raw())
        await asyncio.wait_for(ended.wait(), 5)
    assert "failed" not in caplog.text


async def test_receive_after_the_answer_says_disconnect() -> None:
    said = asyncio.get_running_loop().create_future()

    async def handle(scope, receive, send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})
        said.set_result((await receive())["type"])

    async with serving(http_only(handle)) as client:
        assert (await client.get("/")).content == b"x"
        assert await said == "http.disconnect"


@pytest.mark.parametrize("what", ["raises", "silent", "body first", "start twice", "strange", "splits"])
async def test_application_that_breaks_the_rules_is_a_500(what: str, caplog) -> None:
    async def handle(scope, receive, send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": []}
        if what == "raises":
            raise ValueError("hunter2")
        if what == "body first":
            await send({"type": "http.response.body", "body": b"x"})
        if what == "start twice":
            await send(start)
            await send(start)
        if what == "strange":
            await send({"type": "http.response.push"})
        if what == "splits":
            await send({**start, "headers": [(b"x", b"a\r\nset-cookie: b")]})
            await send({"type": "http.response.body", "body": b"x"})

    async with serving(http_only(handle)) as client:
        response = await client.get("/")
    assert response.status_code == 500
    assert "set-cookie" not in response.headers
    assert "hunter2" not in response.text + caplog.text


async def test_application_that_fails_midway_cuts_the_answer() -> None:
    async def handle(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        raise ValueError

    async with serving(http_only(handle)) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/")


async def test_lifespan_runs_and_shares_its_state() -> None:
    told = []

    async def app(scope, receive, send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": scope["state"]["word"]})
            return
        for _ in range(2):
            what = (await receive())["type"]
            told.append(what)
            scope["state"]["word"] = b"shared"
            await send({"type": what + ".complete"})

    async with serving(app) as client:
        assert (await client.get("/")).content == b"shared"
        assert told == ["lifespan.startup"]
    assert told == ["lifespan.startup", "lifespan.shutdown"]


async def test_failed_startup_is_an_error_with_its_reason() -> None:
    async def app(scope, receive, send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no disk"})

    with pytest.raises(MintageError) as caught:
        await AsgiBridge(app).startup()
    assert "no disk" in caught.value.hint


async def test_litestar_behind_the_bridge() -> None:
    from litestar import Litestar, Request, get, post

    @get("/hello")
    async def hello() -> dict[str, str]:
        return {"hello": "world"}

    @post("/add")
    async def add(request: Request) -> int:
        return sum((await request.json()).values())

    async with serving(Litestar([hello, add], logging_config=None)) as client:
        assert (await client.get("/hello")).json() == {"hello": "world"}
        assert (await client.post("/add", json={"a": 1, "b": 2})).text == "3"
        assert (await client.get("/none")).status_code == 404
