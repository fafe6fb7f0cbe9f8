"""A gateway on a real commit log and a real plan. Only what answers is scripted: it is the edge of the house."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mintage.base import (
    AnswerStarted,
    ChoiceFinished,
    Cost,
    Event,
    ManualClock,
    Message,
    MintageError,
    Request,
    Text,
    TextDelta,
    Usage,
    UsageReported,
)
from mintage.books import CommitLog
from mintage.engines import Capabilities, Health
from mintage.gateway import Caller, Gateway, KeyLimits, Route, Snapshot
from mintage.pricing import compile_plan, freeze_plan, load_plan

PLAN = """
id = "test"
currency = "USD"
funding = "prepaid"
name = {{ en = "Test" }}
[[prices]]
model = "*"
input_tokens = {{ per_unit = "0.001" }}
output_tokens = {{ per_unit = "0.01" }}
{rates}
[policies]
{policies}
[policies.output]
max_tokens = 1000
{output}
"""


@dataclass
class ScriptedEngine:
    """Says `words`, one delta each, then reports usage. It waits at `gate` before the delta with that number."""

    words: list[str] = field(default_factory=lambda: ["Hello", " world", "."])
    usage: Usage | None = None
    prompt_tokens: int = 5
    fail_at: int | None = None
    gate_at: int | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    said: asyncio.Event = field(default_factory=asyncio.Event)  # set when the gate is reached
    name: str = "scripted"
    local: bool = True
    dialect: str | None = None
    models: tuple[str, ...] = ("m",)
    requests: list[Request] = field(default_factory=list)
    closed: int = 0

    def capabilities(self, model: str) -> Capabilities:
        return Capabilities(model=model, context_tokens=2000, exact_count=True, n_max=4, json_schema=True)

    async def count_tokens(self, request: Request) -> int:
        return self.prompt_tokens

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        self.requests.append(request)
        try:
            yield AnswerStarted(model="m")
            for i, word in enumerate(self.words):
                if i == self.gate_at:
                    self.said.set()
                    await self.gate.wait()
                if i == self.fail_at:
                    raise MintageError("upstream_failed", "The engine broke.", "Try again.")
                yield TextDelta(word)
            yield ChoiceFinished("stop")
            usage = self.usage or Usage(input_tokens=self.prompt_tokens, output_tokens=len(self.words))
            yield UsageReported(usage=usage, engine_ms=10.0)
        finally:
            self.closed += 1

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def health(self) -> Health:
        return Health(state="ready")


@dataclass
class Desk:
    log: CommitLog
    gateway: Gateway
    engine: ScriptedEngine
    clock: ManualClock

    async def caller(
        self, name: str = "a", *, funds: int = 10**12, policies: str = "", output: str = "", rates: str = "",
        rpm: int | None = None,
    ) -> Caller:  # fmt: skip
        plan = load_plan(PLAN.format(policies=policies, output=output, rates=rates).encode())
        await self.log.open_wallet(f"ten_{name}", f"wal_{name}", "USD", "prepaid")
        if funds:
            await self.log.top_up(f"wal_{name}", funds, source="test", source_id=name, kind="cash")
        caller = Caller(
            key_id=f"key_{name}",
            tenant_id=f"ten_{name}",
            project_id=f"prj_{name}",
            wallet_id=f"wal_{name}",
            currency="USD",
            card=compile_plan(freeze_plan(plan, applied_ns=0)),
            policies=plan.policies,
            limits=KeyLimits(rpm, None),
        )
        self.gateway.snapshot.callers[hashlib.sha256(name.encode()).digest()] = caller
        return caller

    def balance(self, name: str = "a") -> int:
        return self.log.wallet(f"wal_{name}").balance_nanos


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    clock = ManualClock()
    log = CommitLog.open(tmp_path / "log.db", clock=clock)
    engine = ScriptedEngine()
    gateway = Gateway(log, clock, hold_lease_s=900)

    def costing(usage: Usage, engine_ms: float, at_ns: int) -> Cost:
        return Cost(provider="own", price_id="own", currency="USD", attos=int(engine_ms * 10**15), usage=usage)

    route = Route("m", engine, "m", engine.capabilities("m"), costing)
    gateway.snapshot = Snapshot(1, {}, {"m": route})
    try:
        yield Desk(log, gateway, engine, clock)
    finally:
        engine.gate.set()
        await gateway.close(1)
        await log.close()


def ask(text: str = "hi", **fields: object) -> Request:
    return Request(operation="chat", model="m", messages=(Message("user", (Text(text),)),), **fields)  # type: ignore[arg-type]
