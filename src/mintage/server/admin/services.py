"""What the admin API needs of the house, in one object that app.py constructs once and hands in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mintage.accounts import Accounts, LegalEntity, Replays
from mintage.base import Clock, MintageError, Settings
from mintage.base.addresses import TrustedProxies
from mintage.billing import Billing, CatchUp
from mintage.books import CommitLog, Database, Ledger
from mintage.content import Content
from mintage.jobs import Jobs
from mintage.registry import Registry
from mintage.server.admin.live import LiveFeed


async def nothing() -> None:
    """For a desk whose gateway is not running: the command line without a server."""


def unpriced(provider: str, model: str) -> bool:
    """For a desk without a price book: nothing is known."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """catch_up ships every durable log entry to the ledger and returns the watermark. verify and export work on the
    home as a whole (they may start a child process). reload makes the gateway see changed models at once.
    """

    settings: Settings
    home: Path
    clock: Clock
    database: Database
    log: CommitLog
    ledger: Ledger
    accounts: Accounts
    billing: Billing
    registry: Registry
    jobs: Jobs
    content: Content
    admin_token: str
    catch_up: CatchUp
    verify: Callable[[], Awaitable[Any]]
    export: Callable[[], Awaitable[bytes]]
    start_jobs: Callable[[], Awaitable[None]] = nothing  # where no server runs: begin to work off the queue
    reload: Callable[[], Awaitable[None]] = nothing
    unsellable: Callable[[], Mapping[str, MintageError]] = dict  # models that the gateway does not offer, and why
    priced: Callable[[str, str], bool] = unpriced  # (provider, model): its cost is known
    base_url: str = ""  # where people reach this server, for sign-in links
    secure_cookies: bool = False  # the pages are served over TLS
    proxies: TrustedProxies = field(default_factory=TrustedProxies)
    live: LiveFeed = field(init=False)

    def entity(self) -> LegalEntity:
        """Who issues invoices; made from the settings when it is first needed."""
        return self.accounts.entities.ensure(self.settings.operator, self.settings.currency)

    @property
    def replays(self) -> Replays:
        return self.accounts.replays

    def link_to(self, token: str) -> str:
        """The address that a one-time link's token is sent as."""
        base_url = self.base_url or f"http://{self.settings.host}:{self.settings.port}"  # where `mintage run` serves
        return f"{base_url}/console/sign-in/{token}"

    def __post_init__(self) -> None:
        object.__setattr__(self, "live", LiveFeed(self.log))
