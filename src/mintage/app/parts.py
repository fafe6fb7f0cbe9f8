"""Everything of one home, opened in the order in which the parts need each other, and closed in reverse."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Self

from mintage.accounts import Accounts
from mintage.app.backup import check_marker
from mintage.app.budgets import load_budgets
from mintage.app.work import ensure_schedules, mail_server, register_kinds
from mintage.base import Clock, MintageError, Settings, SystemClock
from mintage.base.addresses import TrustedProxies
from mintage.billing import Billing, KeySnapshot
from mintage.books import CommitLog, Database, Home, Ledger, Report, Shipper, export_in_child, verify_in_child
from mintage.content import Content, FileStore
from mintage.engines import EngineRoom
from mintage.factory import signer_of
from mintage.gateway import (
    Breaker,
    Budget,
    Gateway,
    Keeper,
    KeyLimits,
    Offer,
    RequestLog,
    add_plans,
    build_routes,
    build_snapshot,
    own_compute,
    provider_book,
    update_budgets,
)
from mintage.jobs import Jobs, Runner
from mintage.pricing import BookShelf, CostBook, RateCard, compile_plan
from mintage.registry import Registry

_log: Final = logging.getLogger("mintage.app")
#: Under this name the vault seals the upstream keys that the registry's manifests carry.
_UPSTREAM_KEYS: Final = "registry/upstream"
#: And under this one the keys that tenants' files are encrypted with.
_TENANT_KEYS: Final = "content/tenants"


class _Shipping:
    """Starts the shipper when it is first needed: most commands of the command line never ask a report."""

    def __init__(self, shipper: Shipper) -> None:
        self._shipper = shipper
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        async with self._turn:
            if self._shipper.pid is None:
                await self._shipper.start()

    async def query(self, sql: str, parameters: Sequence[object] = ()) -> list[list[Any]]:
        """Rows of one SELECT over the lake, after everything durable has reached it."""
        await self.start()
        return await self._shipper.query(sql, parameters, sync=True)

    async def sync(self) -> int:
        """Ship every durable entry; the ledger's watermark."""
        await self.start()
        return (await self._shipper.sync()).ledger_seq


@dataclass
class App:
    settings: Settings
    clock: Clock
    home: Home
    database: Database
    log: CommitLog
    ledger: Ledger
    shipper: Shipper
    shipping: _Shipping
    accounts: Accounts
    billing: Billing
    registry: Registry
    engines: EngineRoom
    gateway: Gateway
    cost_book: CostBook
    jobs: Jobs
    runner: Runner
    files: FileStore
    content: Content
    keys: KeySnapshot | None = None
    unpriceable: dict[str, MintageError] = field(default_factory=dict)  # models that cannot be sold, and why
    _limits: dict[str, KeyLimits] = field(default_factory=dict)
    _budgets: dict[str, Budget] = field(default_factory=dict)
    breakers: dict[str, Breaker] = field(default_factory=dict)  # by model: how its upstream has been doing
    _cards: dict[str, RateCard] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    async def open(cls, settings: Settings, *, clock: Clock | None = None) -> Self:
        """Lock the home, migrate, replay the log, release what a crash left held. Engines start with refresh()."""
        home = Home(settings.home_path)
        check_marker(home)
        home.lock()
        try:
            app = cls._assemble(settings, clock or SystemClock(), home)
        except BaseException:
            home.unlock()
            raise
        try:
            for hold in app.log.open_holds():  # we are the only writer: whoever held these is gone
                await app.log.release(hold.id, "orphaned by a restart")
            app.billing.invoicing.setup.stripe_url = settings.stripe_url
            app.billing.invoicing.mailer.server = mail_server(settings)
            await app.billing.start()
            register_kinds(app)
        except BaseException:
            await app.close()
            raise
        return app

    @classmethod
    def _assemble(cls, settings: Settings, clock: Clock, home: Home) -> Self:
        database = Database.open(home.path / "books.db")
        database.migrate()
        log = CommitLog.open(home.path / "log.db", clock=clock, batch_limit=settings.commit_batch_limit)
        ledger = Ledger(database)
        shipper = Shipper(home.path / "log.db", home.path / "books.db", home.path / "lake")
        shipping = _Shipping(shipper)
        accounts = Accounts(database, clock, home.path, master_key=settings.master_key)
        accounts.vault.open()
        registry = Registry(
            home.path,
            clock=clock,
            seal=lambda raw: accounts.vault.seal(_UPSTREAM_KEYS, raw),
            unseal=lambda raw: accounts.vault.unseal(_UPSTREAM_KEYS, raw),
            verify=lambda folder, name, weights: signer_of(accounts).verify(folder, name, weights),
        )
        jobs = Jobs(database, clock)
        files = FileStore(
            home.path / "content",
            clock,
            seal=lambda raw: accounts.vault.seal(_TENANT_KEYS, raw),
            unseal=lambda raw: accounts.vault.unseal(_TENANT_KEYS, raw),
        )
        content = Content(home.path / "content", clock, files)
        request_log = RequestLog(home.path / "logs" / "requests.jsonl")
        return cls(
            settings=settings,
            clock=clock,
            home=home,
            database=database,
            log=log,
            ledger=ledger,
            shipper=shipper,
            shipping=shipping,
            accounts=accounts,
            billing=Billing(accounts, log, ledger, shipping.sync, shipping.query),
            registry=registry,
            engines=EngineRoom(registry, settings),
            gateway=Gateway(
                log,
                clock,
                hold_lease_s=settings.hold_lease_s,
                request_log=request_log,
                keeper=Keeper(content),
                proxies=TrustedProxies.parse(settings.trusted_proxies),
            ),
            cost_book=BookShelf(home.path / "prices").open(),
            jobs=jobs,
            runner=jobs.runner(home=home.path, children=settings.job_children, here=settings.job_tasks),
            files=files,
            content=content,
        )

    async def refresh(self, *, models: bool = False) -> None:
        """Bring the gateway up to date with the desk; models: the registry has changed too."""
        async with self._turn:
            if models:
                await self.engines.sync()
            keys = self.keys = await asyncio.to_thread(self.billing.snapshot)
            for price_id, version in keys.price_versions.items():
                if price_id not in self._cards:
                    self._cards[price_id] = compile_plan(version)
            own = own_compute(Decimal(self.settings.compute_price_per_hour), self.settings.currency)
            sold, self.unpriceable = build_routes(self._offers(), own, self.cost_book, self.clock.now_ns())
            add_plans(sold, self.unpriceable, self.engines.routes(), self.breakers)
            await self._count_budgets(keys)
            self.gateway.snapshot = build_snapshot(keys, self._cards, sold, self._limits, self._budgets)

    async def _count_budgets(self, keys: KeySnapshot) -> None:
        """What cannot be counted now keeps its keys shut, and is tried again with the next look."""
        unknown = update_budgets(self._budgets, keys.keys, self.clock.now_ns())
        if not unknown:
            return
        try:
            await load_budgets(unknown, await asyncio.to_thread(self.accounts.keys.families), self.shipping.query)
        except MintageError as error:
            _log.error("budgets are not counted: %s", error)

    def priced(self, provider: str, model: str) -> bool:
        """Whether the price book knows what the provider's model costs."""
        try:
            provider_book(self.cost_book, provider, model, self.clock.now_ns())
        except MintageError:
            return False
        return True

    async def stale(self) -> bool:
        """Whether the desk has changed, or a price has come into force, since the last refresh."""
        keys = self.keys
        if keys is None or any(not budget.known for budget in self._budgets.values()):
            return True
        if keys.valid_until_ns is not None and self.clock.now_ns() >= keys.valid_until_ns:
            return True
        return keys.version != await asyncio.to_thread(self.accounts.version)

    async def verify(self) -> Report:
        """Derive every balance again from the log and compare, in a process of its own."""
        await self.shipping.sync()
        return await verify_in_child(self.home.path)

    async def export(self) -> bytes:
        """All journals for beancount, in a process of its own."""
        await self.shipping.sync()
        return await export_in_child(self.home.path / "books.db", title=self.settings.operator)

    async def start_jobs(self) -> None:
        """Work off the queue from now on, and keep to the schedules."""
        await asyncio.to_thread(ensure_schedules, self)
        await self.runner.start()

    async def reports(self) -> Shipper:
        """The running shipper, for questions to the lake."""
        await self.shipping.start()
        return self.shipper

    def _offers(self) -> list[Offer]:
        return [
            Offer(
                model=name,
                engine=engine,
                upstream_model=entry.upstream.model if entry.upstream else name,
                owner=entry.upstream.provider if entry.upstream else "mintage",
                created_s=entry.created_ns // 1_000_000_000,
            )
            for name, (entry, engine) in self.engines.engines().items()
        ]

    async def close(self) -> None:
        """Settle what runs, then close everything. Safe after a failure in between."""
        await self.runner.stop()
        await self.gateway.close(self.settings.shutdown_grace_s)
        await asyncio.to_thread(self.content.close)
        await self.engines.close()
        await self.log.close()
        await self.shipper.close()
        self.database.close()
        self.home.unlock()
