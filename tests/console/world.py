"""The console on real books, accounts, gateway and server. Only what answers is scripted: the edge of the house."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from litestar import Litestar

from mintage.accounts import Accounts, NewTenant
from mintage.base import (
    AnswerStarted,
    ChoiceFinished,
    Clock,
    Cost,
    Event,
    Message,
    MintageError,
    Request,
    Settings,
    SystemClock,
    Text,
    TextDelta,
    Usage,
    UsageReported,
)
from mintage.billing import Billing
from mintage.books import CommitLog, Database, Ledger, LedgerReader, Shipper
from mintage.console import ConsoleServices, console_router
from mintage.engines import Capabilities, EngineRoom, Health
from mintage.factory import Factory
from mintage.gateway import Caller, Gateway, KeyLimits, Route, Snapshot
from mintage.jobs import Jobs
from mintage.pricing import compile_plan, freeze_plan, load_plan
from mintage.registry import Registry
from mintage.server import AsgiBridge, HttpServer

MODEL = "smollm2-135m"
PLAN = """
id = "standard"
currency = "USD"
funding = "prepaid"
name = {{ en = "Standard" }}
[[prices]]
model = "*"
input_tokens = {{ per_unit = "0.00000008" }}
output_tokens = {{ per_unit = "0.00000024" }}
[policies]
disconnect = "{disconnect}"
[policies.output]
max_tokens = 1000
"""


@dataclass
class ScriptedEngine:
    """Says `words`, one delta each; before the delta number `gate_at` it waits for `gate`."""

    words: list[str] = field(default_factory=lambda: ["Every", " credit", " has", " its", " debit."])
    prompt_tokens: int = 38
    gate_at: int | None = None
    fail_at: int | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    pause_s: float = 0.0
    engine_ms: float = 184.0
    name: str = "scripted"
    local: bool = True
    dialect: str | None = None
    models: tuple[str, ...] = (MODEL,)
    requests: list[Request] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    def capabilities(self, model: str) -> Capabilities:
        return Capabilities(model=model, context_tokens=4096, exact_count=True)

    async def count_tokens(self, request: Request) -> int:
        return self.prompt_tokens

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        self.requests.append(request)
        self.asked.set()
        yield AnswerStarted(model=MODEL)
        for index, word in enumerate(self.words):
            if index == self.gate_at:
                await self.gate.wait()
            if index == self.fail_at:
                raise MintageError("upstream_failed", "The engine broke.", "Try again.")
            await asyncio.sleep(self.pause_s)
            yield TextDelta(word)
        yield ChoiceFinished("stop")
        usage = Usage(input_tokens=self.prompt_tokens, output_tokens=len(self.words))
        yield UsageReported(usage=usage, engine_ms=self.engine_ms)

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def health(self) -> Health:
        return Health(state="ready")


def own_cost(usage: Usage, engine_ms: float, at_ns: int) -> Cost:
    """10 cents an hour."""
    attos = int(engine_ms) * 10**17 // 3_600_000
    return Cost(provider="own", price_id="own", currency="USD", attos=attos, usage=usage, engine_ms=engine_ms)


@dataclass
class World:
    services: ConsoleServices
    engine: ScriptedEngine
    url: str = ""

    async def customer(
        self, name: str, *, funds: int = 25 * 10**9, funding: str = "prepaid", limit: int = 0, disconnect: str = "cut"
    ) -> Caller:
        """A customer with a wallet and a caller of the gateway."""
        services = self.services
        tenant = services.accounts.tenants.add("system", NewTenant(name=name), currency="USD")
        wallet = f"wal_{tenant.id}"
        await services.log.open_wallet(tenant.id, wallet, "USD", funding, limit)  # type: ignore[arg-type]
        if funds:
            kind = "promo" if funding == "promo" else "cash"
            await services.log.top_up(wallet, funds, source="test", source_id=tenant.id, kind=kind)  # type: ignore[arg-type]
        plan = load_plan(PLAN.format(disconnect=disconnect).encode())
        caller = Caller(
            key_id=f"key_{tenant.id}", tenant_id=tenant.id, project_id=f"prj_{tenant.id}", wallet_id=wallet,
            currency="USD", card=compile_plan(freeze_plan(plan, applied_ns=0)), policies=plan.policies,
            limits=KeyLimits(None, None), models=frozenset({MODEL}),
        )  # fmt: skip
        snapshot = services.gateway.snapshot
        callers = snapshot.callers | {hashlib.sha256(tenant.id.encode()).digest(): caller}
        services.gateway.snapshot = dataclasses.replace(snapshot, version=snapshot.version + 1, callers=callers)
        return caller

    async def chat(self, caller: Caller, text: str = "Hello") -> str:
        """One whole request through the gateway; its id."""
        request = Request(operation="chat", model=MODEL, messages=(Message("user", (Text(text),)),))
        conversation = await self.services.gateway.admit(caller, request)
        await conversation.answer()
        return conversation.id

    def apply(self) -> None:
        """Bring the ledger up to date, as the server's upkeep does."""
        ledger = self.services.ledger
        while entries := self.services.log.entries(ledger.watermark(), 5_000):
            ledger.apply(entries)

    def link(self) -> str:
        """A fresh one-time sign-in link."""
        owner = self.services.accounts.staff.ensure_owner("system")
        return f"{self.url}/console/sign-in/{self.services.accounts.staff.issue_link('system', owner.id).token}"


@asynccontextmanager
async def open_world(home: Path, clock: Clock | None = None, port: int = 0) -> AsyncIterator[World]:
    """A served console in `home`. Ends what still runs when it is left."""
    clock = clock or SystemClock()
    database = Database.open(home / "books.db")
    database.migrate()
    log = CommitLog.open(home / "log.db", clock=clock)
    gateway = Gateway(log, clock, hold_lease_s=900)
    engine = ScriptedEngine()
    gateway.snapshot = Snapshot(1, {}, {MODEL: Route(MODEL, engine, MODEL, engine.capabilities(MODEL), own_cost)})
    settings, accounts, ledger = Settings(home=str(home)), Accounts(database, clock, home), Ledger(database)
    registry = Registry(home, clock=clock, seal=bytes, unseal=bytes)
    shipper = Shipper(home / "log.db", home / "books.db", home / "lake")

    async def reports() -> Shipper:
        """Started by the first page that asks: most tests need none."""
        if shipper.pid is None:
            await shipper.start()
        return shipper

    async def catch_up() -> int:
        while entries := log.entries(ledger.watermark(), 5_000):
            ledger.apply(entries)
        return ledger.watermark()

    billing = Billing(accounts, log, ledger, catch_up)
    services = ConsoleServices(
        settings=settings, clock=clock, log=log, ledger=ledger, reader=LedgerReader(database), accounts=accounts,
        gateway=gateway, billing=billing, registry=registry,
        engines=EngineRoom(registry, settings), jobs=Jobs(database, clock), reports=reports, catch_up=catch_up,
        factory=Factory(home, database, ledger, clock, accounts, billing, registry, settings.currency),
    )  # fmt: skip
    bridge = AsgiBridge(Litestar(route_handlers=[console_router(services)], openapi_config=None, logging_config=None))
    server = HttpServer(routes={}, fallback=bridge)
    await bridge.startup()
    bound = await server.start("127.0.0.1", port)
    try:
        yield World(services, engine, f"http://127.0.0.1:{bound}")
    finally:
        engine.gate.set()
        await gateway.close(1)
        await server.close(0.2)
        await bridge.shutdown()
        await log.close()
        await shipper.close()
        database.close()
