"""The playground: a real request of a real customer, streamed, receipted, stopped, refused in the reader's words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from mintage.base import MintageError
from mintage.console.playground import BODY_LIMIT_BYTES, decode_question
from mintage.gateway import Caller

from .test_live import events
from .world import MODEL, World


@pytest.fixture
async def asker(world: World, owner: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    session = world.services.accounts.sessions.find(owner.cookies["mintage_session"])
    assert session is not None
    owner.headers.update({"x-csrf-token": session.csrf, "accept": "text/event-stream"})
    yield owner


def question(caller: Caller, **fields: Any) -> dict[str, Any]:
    return {"customer": caller.tenant_id, "model": MODEL, "messages": [{"role": "user", "content": "hi"}]} | fields


async def ask(client: httpx.AsyncClient, body: dict[str, Any]) -> list[tuple[str, Any]]:
    async with client.stream("POST", "/console/playground", json=body) as answer:
        assert answer.status_code == 200
        return [event async for event in events(answer)]


async def test_an_answer_streams_and_ends_with_its_receipt(world: World, asker: httpx.AsyncClient) -> None:
    caller = await world.customer("Ada")
    before = world.services.log.wallet(caller.wallet_id).balance_nanos
    got = await ask(asker, question(caller, system="Be brief.", max_tokens=50, temperature="0.3"))
    assert [name for name, _ in got] == ["held", *["text"] * 5, "receipt"]
    assert "".join(data for name, data in got if name == "text") == "".join(world.engine.words)
    (settled,) = [e.body for e in world.services.log.entries(0, 99) if e.kind == "settle"]
    assert (settled.product, settled.key_id, settled.outcome) == ("playground", caller.key_id, "ok")
    wallet = world.services.log.wallet(caller.wallet_id)
    assert before - wallet.balance_nanos == settled.posted_nanos > 0 and wallet.held_nanos == 0
    html = got[-1][1]["html"]
    cost = sum(item.nanos for item in settled.costs)
    for nanos in (settled.posted_nanos, cost, settled.posted_nanos - cost, wallet.balance_nanos):
        assert f'value="{nanos}"' in html
    assert got[-1][1]["charge"] == "$0.00000424"
    asked = world.engine.requests[-1]
    assert [message.role for message in asked.messages] == ["system", "user"]
    assert (asked.max_output_tokens, asked.sampling.temperature) == (50, 0.3)


async def test_a_models_words_are_data_and_not_markup(world: World, asker: httpx.AsyncClient) -> None:
    world.engine.words = ["<script>alert(1)</script>", "\n\nevent: receipt\ndata: {}\n\n", "&amp;"]
    got = await ask(asker, question(await world.customer("Ada")))
    assert [data for name, data in got if name == "text"] == world.engine.words
    assert [name for name, _ in got].count("receipt") == 1
    assert "alert" not in got[-1][1]["html"]


async def test_a_stopped_answer_is_billed_for_what_was_said(world: World, asker: httpx.AsyncClient) -> None:
    caller = await world.customer("Ada")
    world.engine.gate_at = 2
    async with asyncio.timeout(20), asker.stream("POST", "/console/playground", json=question(caller)) as answer:
        stream = events(answer)
        _, held = await anext(stream)
        assert [(await anext(stream))[0] for _ in range(2)] == ["text", "text"]
        stopped = await asker.post(f"/console/playground/{held['id']}/stop")
        assert stopped.status_code == 204
        rest = [event async for event in stream]
    assert [name for name, _ in rest] == ["receipt"]
    assert "counted by us" in rest[0][1]["html"]
    (settled,) = [e.body for e in world.services.log.entries(0, 99) if e.kind == "settle"]
    assert (settled.outcome, settled.estimated, settled.usage.output_tokens) == ("cut", True, 2)
    assert world.services.log.open_holds() == []


async def test_a_reader_who_leaves_is_billed_by_the_plan_and_leaves_no_hold(
    world: World, asker: httpx.AsyncClient
) -> None:
    caller = await world.customer("Ada")
    world.engine.gate_at = 3
    async with asyncio.timeout(20):
        async with asker.stream("POST", "/console/playground", json=question(caller)) as answer:
            stream = events(answer)
            for _ in range(4):
                await anext(stream)
        while world.services.gateway.open:
            await asyncio.wait([c.ended for c in world.services.gateway.open.values()])
    (settled,) = [e.body for e in world.services.log.entries(0, 99) if e.kind == "settle"]
    assert (settled.outcome, settled.usage.output_tokens) == ("cut", 3)
    assert world.services.log.open_holds() == []


async def test_a_failed_answer_says_so_and_is_free(world: World, asker: httpx.AsyncClient) -> None:
    caller = await world.customer("Ada")
    world.engine.fail_at = 2
    got = await ask(asker, question(caller))
    assert [name for name, _ in got] == ["held", "text", "text", "error", "receipt"]
    assert got[3][1]["message"] == "The engine failed. What was delivered is billed by the plan's policy."
    assert got[4][1]["charge"] == "$0.00"
    assert world.services.log.wallet(caller.wallet_id).balance_nanos == 25 * 10**9


async def test_an_answer_that_never_began_costs_nothing(world: World, asker: httpx.AsyncClient) -> None:
    world.engine.fail_at = 0
    got = await ask(asker, question(await world.customer("Ada")))
    assert [name for name, _ in got] == ["held", "error"]
    assert world.services.log.open_holds() == []


async def test_a_refusal_is_told_with_its_figures_and_in_the_readers_language(
    world: World, asker: httpx.AsyncClient
) -> None:
    caller = await world.customer("Poor", funds=1_000)
    answer = await asker.post("/console/playground", json=question(caller, max_tokens=100))
    assert answer.status_code == 402
    assert answer.json()["code"] == "insufficient_funds"
    assert "$0.000001 available, $0.00002704 needed" in answer.json()["message"]
    chinese = await asker.post("/console/playground", json=question(caller), headers={"accept-language": "zh"})
    assert "钱包余额不足" in chinese.json()["message"]


@pytest.mark.parametrize(
    "change",
    [
        {"customer": "cus_nobody"}, {"customer": ""}, {"model": "other"}, {"messages": []}, {"temperature": "3"},
        {"temperature": "NaN"}, {"max_tokens": 0}, {"messages": [{"role": "system", "content": "x"}]}, {"extra": 1},
    ],
)  # fmt: skip
async def test_a_question_that_makes_no_sense_is_refused(
    world: World, asker: httpx.AsyncClient, change: dict[str, Any]
) -> None:
    caller = await world.customer("Ada")
    answer = await asker.post("/console/playground", json=question(caller) | change)
    assert answer.status_code in (400, 404)
    assert answer.json()["message"]
    assert world.services.log.open_holds() == []


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'"x"'])
def test_what_is_not_a_question_is_refused(raw: bytes) -> None:
    with pytest.raises(MintageError) as caught:
        decode_question(raw)
    assert caught.value.status == 400


async def test_a_body_beyond_the_limit_is_refused(world: World, asker: httpx.AsyncClient) -> None:
    answer = await asker.post("/console/playground", content=b" " * (BODY_LIMIT_BYTES + 1))
    assert answer.status_code == 413


async def test_spending_needs_the_pages_own_token(world: World, asker: httpx.AsyncClient) -> None:
    caller = await world.customer("Ada")
    for token in ("", "0" * 64):
        answer = await asker.post("/console/playground", json=question(caller), headers={"x-csrf-token": token})
        assert answer.status_code == 403
    assert (await asker.post("/console/playground/req_1/stop", headers={"x-csrf-token": ""})).status_code == 403
    assert world.engine.requests == []


async def test_stopping_cannot_touch_a_customers_own_request(world: World, asker: httpx.AsyncClient) -> None:
    caller = await world.customer("Ada")
    world.engine.gate_at = 1
    chat = asyncio.create_task(world.chat(caller))
    await asyncio.wait_for(world.engine.asked.wait(), 20)
    (running,) = world.services.gateway.open
    assert (await asker.post(f"/console/playground/{running}/stop")).status_code == 204
    world.engine.gate.set()
    await chat
    (settled,) = [e.body for e in world.services.log.entries(0, 99) if e.kind == "settle"]
    assert settled.outcome == "ok"


async def test_every_customer_with_a_key_can_be_chosen(world: World, asker: httpx.AsyncClient) -> None:
    callers = [await world.customer(name) for name in ("Ada", "Bo")]
    page = (await asker.get("/console", headers={"accept": "text/html"})).text
    for caller in callers:
        assert f'<option value="{caller.tenant_id}">' in page
    assert f"<option>{MODEL}</option>" in page
    assert json.loads(page.partition('id="series">')[2].partition("</script>")[0])["currency"] == "USD"


async def test_a_long_answer_reaches_a_slow_reader_whole(world: World, asker: httpx.AsyncClient) -> None:
    world.engine.words = [f" w{number}" for number in range(900)]
    body = question(await world.customer("Ada"), max_tokens=1000)
    got: list[tuple[str, Any]] = []
    async with asyncio.timeout(30), asker.stream("POST", "/console/playground", json=body) as answer:
        async for event in events(answer):
            got.append(event)
            if len(got) % 100 == 0:
                await asyncio.sleep(0.02)  # the reader's own pace: the server must wait, not drop
    assert "".join(data for name, data in got if name == "text") == "".join(world.engine.words)
    assert got[-1][0] == "receipt"


async def test_a_plan_that_drains_bills_the_whole_answer_after_the_reader_left(
    world: World, asker: httpx.AsyncClient
) -> None:
    caller = await world.customer("Ada", disconnect="drain")
    world.engine.words, world.engine.gate_at = [" w"] * 900, 3
    async with asyncio.timeout(30):
        async with asker.stream("POST", "/console/playground", json=question(caller, max_tokens=1000)) as answer:
            stream = events(answer)
            for _ in range(4):
                await anext(stream)
        (conversation,) = world.services.gateway.open.values()
        while not conversation.left:  # noqa: ASYNC110 - nobody is told when a reader leaves
            await asyncio.sleep(0.01)
        world.engine.gate.set()
        await asyncio.wait([conversation.ended])
    (settled,) = [e.body for e in world.services.log.entries(0, 99) if e.kind == "settle"]
    assert settled.usage.output_tokens > 3 and world.services.log.open_holds() == []
