"""Every dialect in, every dialect out: nothing lost, nothing made up, and the same money for the same exchange."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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

from . import matrix

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
reasoning_tokens = { per_unit = "0.02" }
[policies]
disconnect = "cut"
"""
UNIT = 10**9
FUNDS = 2_000_000 * UNIT
CHARGE_NANOS = 8 * UNIT // 1000 + 4 * UNIT // 10_000 + 3 * UNIT // 100 + 2 * UNIT // 50
HEADERS = {"x-api-key": "key", "x-goog-api-key": "key", "authorization": "Bearer key"}
clients = pytest.mark.parametrize("client", matrix.CLIENTS)
providers = pytest.mark.parametrize("provider", matrix.PROVIDERS)
forms = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@dataclass
class Provider:
    """Says a script in any dialect, a few bytes at a time, so that characters and events are split."""

    finish: str = "stop"
    calls: bool = False
    cut_after_bytes: int | None = None
    endless: bool = False
    bodies: list[dict[str, Any]] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def openai(self, http: HttpRequest, exchange: Exchange) -> None:
        await self._answer("openai", http, exchange)

    async def anthropic(self, http: HttpRequest, exchange: Exchange) -> None:
        await self._answer("anthropic", http, exchange)

    async def google(self, http: HttpRequest, exchange: Exchange) -> None:
        await self._answer("google", http, exchange)

    async def _answer(self, dialect: str, http: HttpRequest, exchange: Exchange) -> None:
        body = json.loads(http.body)
        self.bodies.append(body)
        exchange.on_disconnect = self.left.set
        if dialect == "openai" and not body.get("stream"):
            exchange.send(200, [(b"content-type", b"application/json")], _whole_openai(self.finish, self.calls))
            return
        exchange.start(200, [(b"content-type", b"text/event-stream")])
        raw = b"".join(matrix.say(dialect, finish=self.finish, calls=self.calls))
        if self.cut_after_bytes is not None:
            exchange.write(raw[: len(raw) * self.cut_after_bytes // 100])
            exchange.abort()
            return
        if self.endless:
            exchange.write(raw[: raw.index(b"\n\n", raw.index(b"Hello")) + 2])
            await self.left.wait()
            return
        for at in range(0, len(raw), 7):
            exchange.write(raw[at : at + 7])
            if at % 70 == 0:
                await asyncio.sleep(0)
        exchange.end()


def _whole_openai(finish: str, calls: bool) -> bytes:
    """The byte path asks for whole answers; what the stream says, in one piece."""
    message: dict[str, Any] = {"role": "assistant", "content": matrix.TEXT, "reasoning_content": "Hm."}
    if calls:
        function = {"name": "weather", "arguments": json.dumps(matrix.ARGUMENTS)}
        message["tool_calls"] = [{"id": "call_2", "type": "function", "function": function}]
    events = matrix.say("openai", finish=finish, calls=calls)
    usage = json.loads(events[-2][6:])["usage"]
    reason = "tool_calls" if calls and finish == "stop" else finish
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return json.dumps({"id": "x", "model": "up", "choices": [choice], "usage": usage}).encode()


@dataclass
class House:
    url: str
    log: CommitLog
    gateway: Gateway
    provider: Provider

    async def ask(self, client: str, *, stream: bool, **fields: Any) -> httpx.Response:
        async with httpx.AsyncClient(timeout=20) as http:
            url = self.url + matrix.path(client, stream)
            return await http.post(url, json=matrix.ask(client, stream=stream) | fields, headers=_headers(client))

    def settled(self) -> list[Any]:
        return [entry.body for entry in self.log.entries(0, 1000) if entry.kind == "settle"]


def _headers(client: str) -> dict[str, str]:
    name = {"anthropic": "x-api-key", "google": "x-goog-api-key"}.get(client, "authorization")
    return {name: HEADERS[name]}


@pytest.fixture
async def house(tmp_path: Path, provider: str) -> AsyncIterator[House]:
    scripted = Provider()
    far = HttpServer(
        routes={
            ("POST", "/v1/chat/completions"): scripted.openai,
            ("POST", "/v1/messages"): scripted.anthropic,
            ("POST", "/v1/models/up:streamGenerateContent"): scripted.google,
        }
    )
    far_port = await far.start("127.0.0.1", 0)
    upstream = Upstream(
        provider="far", model="up", base_url=f"http://127.0.0.1:{far_port}/v1", allow_private=True, images=True,
        dialect=provider,
    )  # type: ignore[arg-type]  # fmt: skip
    engine = UpstreamEngine(upstream, "secret")
    log = CommitLog.open(tmp_path / "log.db", clock=SystemClock())
    await log.open_wallet("ten", "wal", "USD", "prepaid")
    await log.top_up("wal", FUNDS, source="test", source_id="1", kind="cash")
    plan = load_plan(PLAN.encode())
    caller = Caller(
        key_id="key", tenant_id="ten", project_id="prj", wallet_id="wal", currency="USD",
        card=compile_plan(freeze_plan(plan, applied_ns=0)), policies=plan.policies, limits=KeyLimits(None, None),
    )  # fmt: skip

    def costing(usage: Usage, engine_ms: float, at_ns: int) -> Cost:
        return Cost(provider="far", price_id="p", currency="USD", attos=usage.completion_tokens * 10**15, usage=usage)

    gateway = Gateway(log, SystemClock(), hold_lease_s=900)
    route = Route("sold", engine, "up", engine.capabilities("up"), costing)
    gateway.snapshot = Snapshot(1, {hashlib.sha256(b"key").digest(): caller}, {"sold": route})
    doors = VendorDoors(gateway)
    server = HttpServer(routes=doors.routes(), prefixes=doors.prefixes(), error_renderer=encode_error)
    port = await server.start("127.0.0.1", 0)
    try:
        yield House(f"http://127.0.0.1:{port}", log, gateway, scripted)
    finally:
        await gateway.close(2)
        await server.close(1)
        await engine.close()
        await far.close(1)
        await log.close()


@clients
@providers
@forms
async def test_the_provider_hears_all_that_was_asked(house: House, client: str, provider: str, stream: bool) -> None:
    answer = await house.ask(client, stream=stream)
    assert answer.status_code == 200, answer.text
    [body] = house.provider.bodies
    assert matrix.heard(provider, body) == matrix.meant(client)


@clients
@providers
@forms
@pytest.mark.parametrize(("finish", "calls"), [("stop", False), ("stop", True), ("length", False), ("length", True)])
async def test_the_client_reads_all_that_was_said_and_pays_the_same(
    house: House, client: str, provider: str, stream: bool, finish: str, calls: bool
) -> None:
    house.provider.finish, house.provider.calls = finish, calls
    answer = await house.ask(client, stream=stream)
    assert answer.status_code == 200, answer.text
    assert matrix.read(client, answer.text, stream=stream) == {
        "text": matrix.TEXT,
        "thoughts": "Hm.",
        "calls": [("weather", matrix.ARGUMENTS)] if calls else [],
        "finish": "tool_calls" if calls and finish == "stop" else finish,
        "usage": matrix.USAGE,
    }
    [settled] = house.settled()
    uncached, cached, written, reasoning = matrix.USAGE
    assert settled.usage == Usage(
        input_tokens=uncached, cached_read_tokens=cached, output_tokens=written, reasoning_tokens=reasoning, requests=1
    )
    assert house.log.wallet("wal").balance_nanos == FUNDS - CHARGE_NANOS


@clients
@providers
@pytest.mark.parametrize("percent", [40, 95])
async def test_a_failure_in_the_middle_is_told_and_free(house: House, client: str, provider: str, percent: int) -> None:
    house.provider.cut_after_bytes = percent
    with pytest.raises(httpx.RemoteProtocolError):
        await house.ask(client, stream=True)
    assert house.log.open_holds() == []
    assert house.log.wallet("wal").balance_nanos == FUNDS
    if client == "openai" and provider == "openai":
        return  # a whole answer comes in one piece there
    answer = await house.ask(client, stream=False)
    assert answer.status_code >= 500
    assert answer.json()["error"]["message"]


@clients
@providers
async def test_a_reader_who_leaves_stops_the_provider(house: House, client: str, provider: str) -> None:
    house.provider.endless = True
    async with (
        httpx.AsyncClient() as http,
        http.stream(
            "POST",
            house.url + matrix.path(client, True),
            json=matrix.ask(client, stream=True),
            headers=_headers(client),
        ) as answer,
    ):
        async for text in answer.aiter_text():
            if "Hello" in text:
                break
    await asyncio.wait_for(house.provider.left.wait(), 5)
    while house.gateway.open:
        await next(iter(house.gateway.open.values())).ended
    assert house.log.open_holds() == []
    [settled] = house.settled()
    assert settled.outcome == "cut" and settled.estimated


@pytest.mark.parametrize(
    ("client", "provider", "fields", "param"),
    [
        ("openai", "anthropic", {"seed": 7}, "seed"),
        ("openai", "anthropic", {"n": 2}, "n"),
        ("openai", "anthropic", {"logit_bias": {"5": 1}}, "logit_bias"),
        ("openai", "anthropic", {"temperature": 1.5}, "temperature"),
        ("openai", "anthropic", {"response_format": {"type": "json_object"}}, "response_format"),
        ("openai", "google", {"repetition_penalty": 1.2}, "repetition_penalty"),
        ("openai", "google", {"parallel_tool_calls": False}, "parallel_tool_calls"),
    ],
)
async def test_what_the_provider_cannot_take_is_refused_by_name(
    house: House, client: str, provider: str, fields: dict[str, Any], param: str
) -> None:
    answer = await house.ask(client, stream=False, **fields)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert house.provider.bodies == []
    assert house.log.open_holds() == []
    assert house.log.wallet("wal").balance_nanos == FUNDS
