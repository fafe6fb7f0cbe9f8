"""Live figures: a request appears when held, is completed when settled, and the stream ends with the session."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from mintage.base import Message, MintageError, Request, Text
from mintage.console.i18n import translator
from mintage.console.live import WATCHERS_LIMIT, LiveDesk

from .world import MODEL, World


async def events(answer: httpx.Response) -> AsyncIterator[tuple[str, dict]]:  # type: ignore[type-arg]
    name = ""
    async for line in answer.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


async def test_a_request_is_seen_from_its_hold_to_its_settlement(world: World, owner: httpx.AsyncClient) -> None:
    caller = await world.customer("Ada")
    world.engine.gate_at = 2
    async with asyncio.timeout(20), owner.stream("GET", "/console/live?period=hour") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        stream = events(answer)
        name, first = await anext(stream)
        assert name == "update" and {"statement", "customers", "series"} <= first.keys()
        chat = asyncio.create_task(world.chat(caller))
        _, held = await anext(stream)
        (row,) = held["rows"]
        assert 'data-state="held"' in row["html"] and "Ada" in row["html"]
        world.engine.gate.set()
        request_id = await chat
        assert row["id"] == request_id
        done = (await anext(stream))[1]
        assert 'data-state="ok"' in done["rows"][0]["html"]
        assert sum(done["series"]["revenue"]) > 0
        balance = world.services.log.wallet(caller.wallet_id).balance_nanos
        assert f'value="{balance}"' in done["customers"]


async def test_only_what_changed_is_sent(world: World, owner: httpx.AsyncClient) -> None:
    caller = await world.customer("Ada")
    first_id = await world.chat(caller)
    async with asyncio.timeout(20), owner.stream("GET", "/console/live?period=all") as answer:
        stream = events(answer)
        assert [row["id"] for row in (await anext(stream))[1]["rows"]] == [first_id]
        second_id = await world.chat(caller)
        seen: set[str] = set()
        while second_id not in seen:
            seen |= {row["id"] for row in (await anext(stream))[1].get("rows", ())}
        assert seen == {second_id}


async def test_the_stream_ends_with_the_session(world: World, owner: httpx.AsyncClient) -> None:
    caller = await world.customer("Ada")
    session = world.services.accounts.sessions.find(owner.cookies["mintage_session"])
    assert session is not None
    async with asyncio.timeout(20), owner.stream("GET", "/console/live") as answer:
        stream = events(answer)
        await anext(stream)
        world.services.accounts.sessions.end(session)
        await world.chat(caller)
        names = [name async for name, _ in stream]
    assert names == ["expired"]


async def test_the_number_of_open_pages_has_a_limit(world: World) -> None:
    desk = LiveDesk(world.services)

    async def always() -> bool:
        return True

    t = translator("en")
    watchers = [desk.watch("all", t, always) for _ in range(WATCHERS_LIMIT)]
    await asyncio.gather(*(anext(watcher) for watcher in watchers))
    with pytest.raises(MintageError) as caught:
        desk.watch("all", t, always)
    assert caught.value.code == "unavailable"
    for watcher in watchers:
        await watcher.aclose()  # type: ignore[attr-defined]
    await anext(desk.watch("all", t, always))


async def test_pages_in_two_languages_watch_at_once(world: World) -> None:
    await world.chat(await world.customer("Ada"))
    desk = LiveDesk(world.services)

    async def always() -> bool:
        return True

    english, chinese = [await anext(desk.watch("today", translator(tag), always)) for tag in ("en", "zh")]
    assert "settled" in english.decode() and "已结算" in chinese.decode()
    assert "settled" not in chinese.decode()


async def test_a_refused_request_leaves_no_row(world: World, owner: httpx.AsyncClient) -> None:
    caller = await world.customer("Poor", funds=0)
    with pytest.raises(MintageError) as caught:
        request = Request(operation="chat", model=MODEL, messages=(Message("user", (Text("hi"),)),))
        await world.services.gateway.admit(caller, request)
    assert caught.value.code == "insufficient_funds"
    assert "No request yet" in (await owner.get("/console")).text


async def test_an_open_page_does_not_hold_up_the_servers_end(world: World, owner: httpx.AsyncClient) -> None:
    async with owner.stream("GET", "/console/live") as answer:
        stream = events(answer)
        await anext(stream)
        world.services.gateway.closing = True
        async with asyncio.timeout(5):
            assert [name async for name, _ in stream] == []
