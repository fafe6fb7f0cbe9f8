"""The room's front: plans, subscriptions, wallets, invoices and their closing, over one set of books."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import msgspec

from mintage.accounts import Accounts, Tenant
from mintage.base import NANOS_PER_UNIT, check_nanos
from mintage.billing.closing import CatchUp, Closing
from mintage.billing.events import EventIntake, EventList
from mintage.billing.events.view import LakeQuery
from mintage.billing.invoices import Invoices
from mintage.billing.plans import Plans
from mintage.billing.snapshot import KeySnapshot, take_snapshot
from mintage.billing.subscriptions import Subscription, Subscriptions
from mintage.billing.wallets import WalletRow, Wallets
from mintage.books import CommitLog, Ledger
from mintage.pricing import PriceVersion


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    subscription: Subscription
    wallet: WalletRow
    version_id: str


class Billing:
    """catch_up ships every durable entry of the log to the ledger and returns the watermark.

    lake answers a SELECT over the event lake, everything durable read first; without it reported events are unreadable.
    """

    def __init__(
        self, accounts: Accounts, log: CommitLog, ledger: Ledger, catch_up: CatchUp, lake: LakeQuery | None = None
    ) -> None:
        changes = accounts.changes
        self._accounts = accounts
        self.plans = Plans(changes)
        self.subscriptions = Subscriptions(changes)
        self.wallets = Wallets(changes, log)
        self.invoices = Invoices(changes, ledger)
        self.events = EventIntake(log, changes.clock)
        self.event_list = EventList(lake)
        self.closing = Closing(
            accounts, log, ledger, self.plans, self.subscriptions, self.wallets, self.invoices, catch_up, lake
        )

    async def start(self) -> None:
        """Once, when the log is open and before anything is served."""
        await self.wallets.repair()

    async def assign(
        self, actor: str, tenant: Tenant, plan_id: str, *, credit_limit_nanos: int | None = None
    ) -> Assignment:
        """Give the tenant a plan: its wallet is opened as the plan says, its grants are credited once.

        credit_limit_nanos: another limit than the plan's, for a postpaid wallet. Raises not_found, conflict.
        """
        version = await asyncio.to_thread(self.plans.current, plan_id, self._accounts.changes.clock.now_ns())
        await asyncio.to_thread(self.subscriptions.check, tenant, version)
        limit = _nanos(version.plan.credit_limit) if credit_limit_nanos is None else check_nanos(credit_limit_nanos)
        wallet = await self.wallets.open(actor, tenant, version.plan.funding, limit)
        subscription = await asyncio.to_thread(self.subscriptions.assign, actor, tenant, version)
        await self._grant(actor, wallet, version)
        return Assignment(subscription=subscription, wallet=wallet, version_id=version.id)

    async def _grant(self, actor: str, wallet: WalletRow, version: PriceVersion) -> None:
        for index, grant in enumerate(version.plan.grants):
            nanos = _nanos(grant.amount)
            if nanos > 0:
                source_id = f"{wallet.tenant_id}:{version.plan_id}:{index}"
                await self.wallets.grant(actor, wallet, nanos, source_id=source_id, memo=grant.name.en)

    def snapshot(self) -> KeySnapshot:
        """Every usable key with its wallet and price version. Blocking: run it in a thread."""
        return take_snapshot(self._accounts, self.plans, self.subscriptions, self.wallets)


def _nanos(amount: Decimal) -> int:
    """A plan's amount in whole nanos; what is below one is dropped, as a limit or gift may be."""
    return check_nanos(int(amount * NANOS_PER_UNIT))
