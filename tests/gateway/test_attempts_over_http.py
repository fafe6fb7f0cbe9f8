"""Routes over a provider that misbehaves in every way, as a process of its own: the customer pays once, and every
attempt's cost is on the books."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from mintage.base import Cost, MintageError, SystemClock, Usage
from mintage.books import CommitLog
from mintage.engines import UpstreamEngine
from mintage.gateway import (
    Breaker,
    Caller,
    Conversation,
    Gateway,
    KeyLimits,
    RequestLog,
    Route,
    RoutePlan,
    Snapshot,
    Target,
)
from mintage.pricing import compile_plan, freeze_plan, load_plan
from mintage.registry import RouteSpec, RouteTarget, Upstream

from .conftest import PLAN, ask

UNIT = 10**9
INPUT_NANOS, OUTPUT_NANOS = UNIT // 1000, UNIT // 100
COST_ATTOS = (10**12, 10**13)  # of a token read, of a token written
CHARGE_NANOS = 20 * INPUT_NANOS + 3 * OUTPUT_NANOS


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    script = Path(__file__).with_name("moody_provider.py")
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            yield json.loads(running.stdout.readline())["url"]
        finally:
            running.kill()


@dataclass
class Shop:
    """A gateway that sells `sold`, answered by upstreams of the moods it is given."""

    url: str
    log: CommitLog
    gateway: Gateway
    lines: Path
    engines: list[UpstreamEngine] = field(default_factory=list)
    breakers: dict[str, Breaker] = field(default_factory=dict)

    async def caller(self, output: str = "") -> Caller:
        plan = load_plan(PLAN.format(policies="", output=output, rates="").encode())
        await self.log.open_wallet("ten", "wal", "USD", "prepaid")
        await self.log.top_up("wal", 1_000 * UNIT, source="test", source_id="1", kind="cash")
        caller = Caller(
            key_id="key", tenant_id="ten", project_id="prj", wallet_id="wal", currency="USD",
            card=compile_plan(freeze_plan(plan, applied_ns=0)), policies=plan.policies, limits=KeyLimits(None, None),
        )  # fmt: skip
        self.gateway.snapshot.callers[hashlib.sha256(b"key").digest()] = caller
        return caller

    def sell(self, *moods: str, **spec: object) -> None:
        """A route over one upstream per word of moods."""
        targets = []
        for number, mood in enumerate(moods):
            upstream = Upstream(
                provider=f"p{number}", model="up", base_url=f"{self.url}/{mood}/v1", allow_private=True,
                first_byte_timeout_s=0.6, idle_timeout_s=0.6,
            )  # fmt: skip
            engine = UpstreamEngine(upstream)
            self.engines.append(engine)
            route = Route(f"m{number}", engine, "up", engine.capabilities("up"), _costing(f"p{number}"))
            targets.append(Target(route, self.breakers.setdefault(mood, Breaker())))
        wanted = RouteSpec(
            targets=tuple(RouteTarget(model=target.route.model) for target in targets),
            **{"backoff_s": 0.01, **spec},  # type: ignore[arg-type]
        )
        first = targets[0].route
        plan = RoutePlan(wanted, tuple(targets), "openai")
        sold = Route("m", first.engine, "up", first.capabilities, first.costing, plan=plan)
        self.gateway.snapshot = Snapshot(2, self.gateway.snapshot.callers, {"m": sold})

    def costs(self, conversation: Conversation) -> dict[str, int]:
        """Attos by provider, as the books have them."""
        settled = self.log.settled(conversation.id)
        assert settled is not None
        found: dict[str, int] = {}
        for cost in settled.costs:
            found[cost.provider] = found.get(cost.provider, 0) + cost.attos
        return found

    async def received(self) -> list[tuple[str, str, float]]:
        """(path, mood, moment) of every request that the provider got."""
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{self.url}/log")).json()

    @property
    def spent_nanos(self) -> int:
        return 1_000 * UNIT - self.log.wallet("wal").balance_nanos


def _costing(provider: str):
    def cost(usage: Usage, engine_ms: float, at_ns: int) -> Cost:
        attos = usage.prompt_tokens * COST_ATTOS[0] + usage.completion_tokens * COST_ATTOS[1]
        return Cost(provider=provider, price_id="book", currency="USD", attos=attos, usage=usage)

    return cost


def cost_of(read: int, written: int) -> int:
    return read * COST_ATTOS[0] + written * COST_ATTOS[1]


@pytest.fixture
async def shop(tmp_path: Path, provider: str) -> AsyncIterator[Shop]:
    clock = SystemClock()
    log = CommitLog.open(tmp_path / "log.db", clock=clock)
    lines = tmp_path / "requests.jsonl"
    gateway = Gateway(log, clock, hold_lease_s=900, request_log=RequestLog(lines))
    shop = Shop(provider, log, gateway, lines)
    try:
        yield shop
    finally:
        await gateway.close(1)
        for engine in shop.engines:
            await engine.close()
        await log.close()


class Output:
    """The reader's side of a relay."""

    paused = False

    def __init__(self) -> None:
        self.data = b""
        self.begun = self.finished = False
        self.error: MintageError | None = None

    def begin(self) -> None:
        self.begun = True

    def write(self, data: bytes) -> None:
        self.data += data

    def finish(self, data: bytes) -> None:
        self.data += data
        self.finished = True

    def fail(self, error: MintageError) -> None:
        self.error = error


async def answer(shop: Shop, caller: Caller, path: str, *, stream: bool) -> tuple[Conversation, str, str]:
    """(conversation, the text that the customer saw, the code of the error it saw)."""
    request = ask(stream=stream)
    raw = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": stream}).encode()
    if path == "bytes":
        conversation, durable = shop.gateway.admit_relay(caller, request, size_bytes=len(raw))
        output = Output()
        conversation.relay(raw, output, durable)
        await conversation.ended
        text = "".join(word for word in ("Hello", " there", "!") if json.dumps(word)[1:-1].encode() in output.data)
        return conversation, text, output.error.code if output.error else ""
    conversation = await shop.gateway.admit(caller, request)
    text, code = "", ""
    try:
        if stream:
            async for event in conversation.events():
                text += getattr(event, "text", "")
        else:
            text = (await conversation.answer()).choices[0].parts[0].text  # type: ignore[union-attr]
    except MintageError as error:
        code = error.code
    return conversation, text, code


paths = pytest.mark.parametrize("path", ["bytes", "events"])
streams = pytest.mark.parametrize("stream", [False, True])


@paths
@streams
@pytest.mark.parametrize("mood", ["500", "503", "429", "drop", "silent", "garbage", "404"])
async def test_the_next_upstream_answers_for_one_that_fails(shop: Shop, path: str, stream: bool, mood: str) -> None:
    caller = await shop.caller()
    shop.sell(mood, "say")
    conversation, text, code = await answer(shop, caller, path, stream=stream)
    assert (text, code) == ("Hello there!", "")
    assert shop.spent_nanos == CHARGE_NANOS
    assert shop.costs(conversation) == {"p1": cost_of(20, 3)}
    assert shop.log.open_holds() == []
    assert conversation.attempts is not None
    assert [record.outcome for record in conversation.attempts.records] == ["failed", "ok"]
    shop.gateway.request_log.flush()  # type: ignore[union-attr]
    line = json.loads(shop.lines.read_text().splitlines()[-1])
    assert [attempt["target"] for attempt in line["attempts"]] == ["m0", "m1"]


@paths
async def test_a_lone_upstream_is_tried_again_after_its_retry_after(shop: Shop, path: str) -> None:
    caller = await shop.caller()
    script = f"429,say,say,{path}"
    shop.sell(script, attempts_max=2)
    _, text, code = await answer(shop, caller, path, stream=False)
    assert (text, code) == ("Hello there!", "")
    moments = [moment for name, _, moment in await shop.received() if name == script]
    assert moments[1] - moments[0] >= 0.95
    assert shop.spent_nanos == CHARGE_NANOS


@paths
@pytest.mark.parametrize("mood", ["stall", "cut"])
async def test_after_the_first_word_nothing_is_restarted(shop: Shop, path: str, mood: str) -> None:
    caller = await shop.caller()
    shop.sell(mood, "say")
    conversation, text, code = await answer(shop, caller, path, stream=True)
    assert text == "Hello there"
    assert code in ("upstream_timeout", "upstream_failed")
    assert shop.spent_nanos == 0  # a failed answer is free
    costs = shop.costs(conversation)
    assert list(costs) == ["p0"]
    assert costs["p0"] >= cost_of(0, 2)
    assert shop.log.open_holds() == []


async def test_a_whole_answer_that_breaks_midway_is_asked_of_another_and_both_costs_are_booked(shop: Shop) -> None:
    caller = await shop.caller()
    shop.sell("cut", "say")
    conversation, text, _ = await answer(shop, caller, "events", stream=False)
    assert text == "Hello there!"
    assert shop.spent_nanos == CHARGE_NANOS
    costs = shop.costs(conversation)
    assert costs["p1"] == cost_of(20, 3)
    assert costs["p0"] > cost_of(0, 2)  # two words, and the prompt as we estimate it


@paths
async def test_what_a_failed_attempt_reported_is_booked_to_the_token(shop: Shop, path: str) -> None:
    caller = await shop.caller()
    shop.sell("usage_then_cut", "say")
    conversation, text, _ = await answer(shop, caller, path, stream=True)
    assert text == "Hello there!"
    assert shop.costs(conversation) == {"p0": cost_of(20, 0), "p1": cost_of(20, 3)}
    assert shop.spent_nanos == CHARGE_NANOS


@paths
async def test_costs_are_booked_even_if_every_attempt_fails(shop: Shop, path: str) -> None:
    caller = await shop.caller()
    shop.sell("usage_then_cut", "500", attempts_max=2)
    conversation, text, code = await answer(shop, caller, path, stream=True)
    assert (text, code) == ("", "upstream_failed")
    assert shop.spent_nanos == 0
    assert shop.costs(conversation) == {"p0": cost_of(20, 0)}
    assert shop.log.open_holds() == []


@paths
async def test_a_first_frame_without_a_word_commits_to_nothing(shop: Shop, path: str) -> None:
    caller = await shop.caller()
    shop.sell("role_then_cut", "say")
    _, text, code = await answer(shop, caller, path, stream=True)
    assert (text, code) == ("Hello there!", "")


@paths
@streams
async def test_usage_that_cannot_be_true_is_estimated_and_marked(shop: Shop, path: str, stream: bool) -> None:
    caller = await shop.caller()
    shop.sell("lie")
    conversation, text, _ = await answer(shop, caller, path, stream=stream)
    assert text == "Hello there!"
    assert conversation.estimated
    assert 0 < shop.spent_nanos < UNIT
    assert sum(shop.costs(conversation).values()) < 10**18


async def test_a_circuit_that_is_open_is_not_asked(shop: Shop) -> None:
    caller = await shop.caller()
    shop.sell("500,500,500,500,500,say,x", "say", attempts_max=2)
    for _ in range(8):
        _, text, code = await answer(shop, caller, "bytes", stream=False)
        assert (text, code) == ("Hello there!", "")
    asked = [mood for script, mood, _ in await shop.received() if script.endswith("say,x")]
    assert asked == ["500"] * 5


@paths
async def test_a_reader_who_leaves_during_the_pause_pays_nothing_and_leaves_no_hold(shop: Shop, path: str) -> None:
    caller = await shop.caller()
    shop.sell("429", attempts_max=3)
    raw = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
    if path == "bytes":
        conversation, durable = shop.gateway.admit_relay(caller, ask(), size_bytes=len(raw))
        conversation.relay(raw, Output(), durable)
        while conversation.attempts is None or not conversation.attempts.records:
            await durable
            await _turn()
        conversation.reader_left()
    else:
        conversation = await shop.gateway.admit(caller, ask())
        task = _start(conversation)
        while conversation.attempts is None or not conversation.attempts.records:
            await _turn()
        conversation.reader_left()
        await task
    await conversation.ended
    assert shop.spent_nanos == 0
    assert shop.log.open_holds() == []


def _start(conversation: Conversation):
    async def read() -> None:
        with pytest.raises((MintageError, asyncio.CancelledError)):
            await conversation.answer()

    return asyncio.get_running_loop().create_task(read())


async def _turn() -> None:
    await asyncio.sleep(0.001)
