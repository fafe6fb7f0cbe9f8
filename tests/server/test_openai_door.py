"""The OpenAI door over real sockets: a real log, a real plan, and an upstream scripted at the network's edge."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from mintage.base import Cost, SystemClock, Usage
from mintage.books import CommitLog
from mintage.engines import UpstreamEngine
from mintage.gateway import Caller, Gateway, KeyLimits, Route, Snapshot
from mintage.pricing import compile_plan, freeze_plan, load_plan
from mintage.registry import Upstream
from mintage.server import Exchange, HttpRequest, HttpServer
from mintage.server.dialects import encode_error
from mintage.server.vendor_doors import VendorDoors

PLAN = """
id = "test"
currency = "USD"
funding = "prepaid"
name = { en = "Test" }
[[prices]]
model = "*"
input_tokens = { per_unit = "0.001" }
cached_read_tokens = { per_unit = "0.0001" }
output_tokens = { per_unit = "0.01" }
[policies]
disconnect = "POLICY"
"""
UNIT = 10**9
FUNDS = 2_000 * UNIT
KEY = {"authorization": "Bearer key"}
CHAT = {"model": "sold", "messages": [{"role": "user", "content": "hi"}]}
USAGE = {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13, "prompt_tokens_details": {"cached_tokens": 4}}
CHARGE_NANOS = 6 * UNIT // 1000 + 4 * UNIT // 10_000 + 3 * UNIT // 100


def chunk(text: str | None = None, **fields: object) -> bytes:
    choices = [] if text is None else [{"index": 0, "delta": {"content": text}, "finish_reason": None}]
    body = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": choices, **fields}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


FINISH = chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])


@dataclass
class ScriptedUpstream:
    """Answers every request by `mode`; keeps the bodies it received."""

    mode: str = "whole"
    bodies: list[dict[str, object]] = field(default_factory=list)
    cut_off: asyncio.Event = field(default_factory=asyncio.Event)
    sent_ten: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: HttpRequest, exchange: Exchange) -> None:
        self.bodies.append(json.loads(request.body))
        if self.mode == "429":
            body = {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}
            exchange.send(429, [(b"content-type", b"application/json")], json.dumps(body).encode())
        elif self.mode == "whole":
            message = {"role": "assistant", "content": "hello"}
            body = {
                "id": "x",
                "object": "chat.completion",
                "created": 1,
                "model": "up",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": USAGE,
            }
            headers = [(b"content-type", b"application/json"), (b"x-request-id", b"up-1")]
            exchange.send(200, headers, json.dumps(body).encode())
        else:
            await self._stream(exchange)

    async def _stream(self, exchange: Exchange) -> None:
        exchange.on_disconnect = self.cut_off.set
        exchange.start(200, [(b"content-type", b"text/event-stream")])
        for i in range(20):
            exchange.write(chunk(f"w{i} "))
            if i == 9:
                self.sent_ten.set()
                if self.mode == "wait":
                    await self.go_on.wait()
                if self.mode == "break":
                    exchange.abort()
                    return
        exchange.write(FINISH + chunk(usage=USAGE) + b"data: [DONE]\n\n")
        exchange.end()


@dataclass
class House:
    url: str
    log: CommitLog
    gateway: Gateway
    upstream: ScriptedUpstream

    def balance(self) -> int:
        return self.log.wallet("wal").balance_nanos

    def settlements(self) -> list[object]:
        return [e.body for e in self.log.entries(0, 1000) if e.kind == "settle"]


@pytest.fixture(params=["drain"])
async def house(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[House]:
    upstream = ScriptedUpstream()
    far = HttpServer(routes={("POST", "/v1/chat/completions"): upstream.answer})
    far_port = await far.start("127.0.0.1", 0)
    engine = UpstreamEngine(
        Upstream(provider="far", model="up", base_url=f"http://127.0.0.1:{far_port}/v1", allow_private=True), "secret"
    )
    clock = SystemClock()
    log = CommitLog.open(tmp_path / "log.db", clock=clock)
    await log.open_wallet("ten", "wal", "USD", "prepaid")
    await log.top_up("wal", FUNDS, source="test", source_id="1", kind="cash")
    plan = load_plan(PLAN.replace("POLICY", request.param).encode())
    caller = Caller(
        key_id="key", tenant_id="ten", project_id="prj", wallet_id="wal", currency="USD",
        card=compile_plan(freeze_plan(plan, applied_ns=0)), policies=plan.policies, limits=KeyLimits(None, None),
    )  # fmt: skip

    def costing(usage: Usage, engine_ms: float, at_ns: int) -> Cost:
        return Cost(provider="far", price_id="p", currency="USD", attos=usage.output_tokens * 10**15, usage=usage)

    gateway = Gateway(log, clock, hold_lease_s=900)
    route = Route("sold", engine, "up", engine.capabilities("up"), costing)
    gateway.snapshot = Snapshot(1, {hashlib.sha256(b"key").digest(): caller}, {"sold": route})
    doors = VendorDoors(gateway)
    server = HttpServer(routes=doors.routes(), prefixes=doors.prefixes(), error_renderer=encode_error)
    port = await server.start("127.0.0.1", 0)
    try:
        yield House(f"http://127.0.0.1:{port}/v1", log, gateway, upstream)
    finally:
        upstream.go_on.set()
        await gateway.close(2)
        await server.close(1)
        await engine.close()
        await far.close(1)
        await log.close()


async def post(house: House, body: dict[str, object], **headers: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.post(f"{house.url}/chat/completions", json=body, headers={**KEY, **headers})


async def test_a_whole_answer_passes_and_is_billed_by_the_providers_usage(house: House) -> None:
    answer = await post(house, CHAT)
    assert answer.status_code == 200
    assert answer.json()["model"] == "sold"
    assert answer.json()["choices"][0]["message"]["content"] == "hello"
    assert answer.headers["x-mintage-charge"] == "0.0364 USD"
    assert house.balance() == FUNDS - CHARGE_NANOS
    [sent] = house.upstream.bodies
    assert sent["model"] == "up"
    assert sent["max_completion_tokens"] == 4096
    [settled] = house.settlements()
    assert settled.costs[0].upstream_id == "up-1"  # type: ignore[attr-defined]
    assert settled.usage == Usage(input_tokens=6, cached_read_tokens=4, output_tokens=3, requests=1)  # type: ignore[attr-defined]


@pytest.mark.parametrize("wanted", [True, False])
async def test_a_stream_passes_with_usage_only_for_those_who_asked(house: House, wanted: bool) -> None:
    house.upstream.mode = "stream"
    body = {**CHAT, "stream": True, **({"stream_options": {"include_usage": True}} if wanted else {})}
    answer = await post(house, body)
    assert answer.text.count('"content": "w') == 20 or answer.text.count('"content":"w') == 20
    assert answer.text.endswith("data: [DONE]\n\n")
    assert ("prompt_tokens" in answer.text) is wanted
    assert house.upstream.bodies[0]["stream_options"] == {"include_usage": True}
    assert house.balance() == FUNDS - CHARGE_NANOS


async def test_a_receipt_is_for_its_own_project(house: House) -> None:
    request_id = (await post(house, CHAT)).headers["x-request-id"]
    async with httpx.AsyncClient() as client:
        receipt = (await client.get(f"{house.url}/receipts/{request_id}", headers=KEY)).json()
        assert receipt["charge"] == "0.0364 USD"
        assert "cost" not in json.dumps(receipt)
        caller = next(iter(house.gateway.snapshot.callers.values()))
        other = Caller(**{name: getattr(caller, name) for name in Caller.__slots__} | {"project_id": "other"})
        house.gateway.snapshot.callers[hashlib.sha256(b"other").digest()] = other
        foreign = await client.get(f"{house.url}/receipts/{request_id}", headers={"authorization": "Bearer other"})
        assert foreign.status_code == 404


async def test_an_upstreams_refusal_is_the_clients_and_free(house: House) -> None:
    house.upstream.mode = "429"
    answer = await post(house, CHAT)
    assert answer.status_code == 429
    assert "error" in answer.json()
    assert house.balance() == FUNDS
    assert house.log.open_holds() == []


async def test_a_stream_that_breaks_is_an_error_frame_and_a_cut_connection(house: House) -> None:
    house.upstream.mode = "break"
    with pytest.raises(httpx.RemoteProtocolError):
        await post(house, {**CHAT, "stream": True})
    assert house.log.open_holds() == []
    assert house.balance() == FUNDS
    [settled] = house.settlements()
    assert settled.outcome == "failed"  # type: ignore[attr-defined]
    assert settled.costs[0].nanos > 0  # type: ignore[attr-defined]


async def leave_after_ten(house: House) -> None:
    async with (
        httpx.AsyncClient() as client,
        client.stream("POST", f"{house.url}/chat/completions", json={**CHAT, "stream": True}, headers=KEY) as answer,
    ):
        assert answer.status_code == 200
        seen = ""
        async for text in answer.aiter_text():
            seen += text
            if "w9 " in seen:
                break


@pytest.mark.parametrize("house", ["cut"], indirect=True)
async def test_twenty_clients_that_leave_stop_the_upstream_and_pay_for_ten(house: House) -> None:
    house.upstream.mode = "wait"
    await asyncio.gather(*(leave_after_ten(house) for _ in range(20)))
    await asyncio.wait_for(house.upstream.cut_off.wait(), 5)
    while house.gateway.open:
        await next(iter(house.gateway.open.values())).ended
    assert house.log.open_holds() == []
    settled = house.settlements()
    assert len(settled) == 20
    assert {s.usage.output_tokens for s in settled} == {10}  # type: ignore[attr-defined]
    assert all(s.estimated and s.outcome == "cut" for s in settled)  # type: ignore[attr-defined]


async def test_clients_that_leave_a_draining_plan_pay_what_the_provider_reports(house: House) -> None:
    house.upstream.mode = "wait"
    await leave_after_ten(house)
    house.upstream.go_on.set()
    while house.gateway.open:
        await next(iter(house.gateway.open.values())).ended
    assert house.balance() == FUNDS - CHARGE_NANOS
    assert not house.upstream.cut_off.is_set()


async def test_an_idempotent_retry_is_answered_again_and_charged_once(house: House) -> None:
    first = await post(house, CHAT, **{"idempotency-key": "k1"})
    again = await post(house, CHAT, **{"idempotency-key": "k1"})
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert len(house.upstream.bodies) == 1
    assert house.balance() == FUNDS - CHARGE_NANOS
    other = await post(house, {**CHAT, "n": 2}, **{"idempotency-key": "k1"})
    assert other.status_code == 409


async def test_a_retry_waits_for_the_first_try(house: House) -> None:
    answers = await asyncio.gather(*(post(house, CHAT, **{"idempotency-key": "k2"}) for _ in range(5)))
    assert {a.status_code for a in answers} == {200}
    assert len(house.upstream.bodies) == 1
    assert house.balance() == FUNDS - CHARGE_NANOS


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, CHAT, 401),
        ({"authorization": "Basic x"}, CHAT, 401),
        ({"authorization": "Bearer wrong"}, CHAT, 401),
        (KEY, {**CHAT, "model": "nope"}, 404),
        (KEY, {"model": "sold"}, 400),
        (KEY, {**CHAT, "temperature": "hot"}, 400),
        (KEY, {**CHAT, "n": 0}, 400),
    ],
)
async def test_every_refusal_is_typed_and_holds_nothing(
    house: House, headers: dict[str, str], body: dict[str, object], status: int
) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{house.url}/chat/completions", json=body, headers=headers)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert house.log.open_holds() == []
    assert house.upstream.bodies == []
