"""The in-process transport hands an answer on as it comes, passes failures on, and tells the application who left."""

import asyncio

import httpx
import pytest

from mintage.cli.asgi import InProcess

START = {"type": "http.response.start", "status": 200, "headers": [(b"x-kind", b"test")]}


def client(app):
    return httpx.AsyncClient(transport=InProcess(app), base_url="http://in-process")


async def test_parts_arrive_before_the_answer_ends():
    more = asyncio.Event()

    async def app(scope, receive, send):
        await send(START)
        await send({"type": "http.response.body", "body": b"first\n", "more_body": True})
        await more.wait()  # the reader must have the first part by now, or this never ends
        await send({"type": "http.response.body", "body": b"second\n", "more_body": False})

    async with asyncio.timeout(10), client(app) as http, http.stream("GET", "/") as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == "first"
        more.set()
        assert [line async for line in lines] == ["second"]
        assert answer.headers["x-kind"] == "test"


async def test_the_application_sees_the_request_as_sent():
    async def app(scope, receive, send):
        message = await receive()
        said = f"{scope['method']} {scope['path']} {scope['query_string'].decode()} {message['body'].decode()}"
        await send(START)
        await send({"type": "http.response.body", "body": said.encode()})

    async with client(app) as http:
        answer = await http.post("/a%20b?c=d%20e", content=b"body")
    assert answer.text == "POST /a b c=d%20e body"


async def test_a_reader_that_leaves_is_told_to_the_application():
    told = asyncio.Event()

    async def app(scope, receive, send):
        await receive()
        await send(START)
        await send({"type": "http.response.body", "body": b"first\n", "more_body": True})
        assert (await receive())["type"] == "http.disconnect"
        told.set()

    async with asyncio.timeout(10), client(app) as http:
        async with http.stream("GET", "/") as answer:
            assert await anext(answer.aiter_lines()) == "first"
        await told.wait()


async def test_a_reader_that_leaves_frees_an_application_that_waits_for_room():
    sent = 0

    async def app(scope, receive, send):
        nonlocal sent
        await send(START)
        for _ in range(1000):
            await send({"type": "http.response.body", "body": b"x\n", "more_body": True})
            sent += 1

    async with asyncio.timeout(10), client(app) as http, http.stream("GET", "/") as answer:
        assert await anext(answer.aiter_lines()) == "x"
        before = -1
        while sent != before:  # until it can write no more: leaving is only a test while it waits
            before = sent
            for _ in range(10):
                await asyncio.sleep(0)
        assert sent < 1000
    assert sent == 1000


@pytest.mark.parametrize("started", [False, True])
async def test_a_failing_application_fails_the_call(started):
    async def app(scope, receive, send):
        if started:
            await send(START)
        raise ValueError("broken")

    async with asyncio.timeout(10), client(app) as http:
        with pytest.raises(ValueError, match="broken"):
            await http.get("/")
