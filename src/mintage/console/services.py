"""What the console needs from the rest of the house. app.py hands it in; the console builds nothing of it itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from mintage.accounts import Accounts, LegalEntity
from mintage.base import Clock, MintageError, Settings
from mintage.billing import Billing
from mintage.books import CommitLog, Ledger, LedgerReader, Shipper
from mintage.content import Content
from mintage.engines import EngineRoom
from mintage.factory import Factory
from mintage.gateway import Gateway
from mintage.jobs import Jobs
from mintage.registry import Registry


@dataclass(frozen=True, slots=True)
class ConsoleServices:
    """reports gives the running shipper, which answers questions to the lake; catch_up ships every durable entry of
    the log to the ledger. unsellable: models that the gateway does not offer, and why.
    content: kept prompts and answers.
    """

    settings: Settings
    clock: Clock
    log: CommitLog
    ledger: Ledger
    reader: LedgerReader
    accounts: Accounts
    gateway: Gateway
    billing: Billing
    registry: Registry
    engines: EngineRoom
    jobs: Jobs
    reports: Callable[[], Awaitable[Shipper]]
    catch_up: Callable[[], Awaitable[int]]
    unsellable: Callable[[], Mapping[str, MintageError]] = dict
    content: Content | None = None
    factory: Factory | None = None

    def entity(self) -> LegalEntity:
        """Who issues invoices; made from the settings when it is first needed. Blocking."""
        return self.accounts.entities.ensure(self.settings.operator, self.settings.currency)
