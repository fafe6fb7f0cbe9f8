"""The room's front: plans, subscriptions, wallets, invoices and their closing, over one set of books."""

from __future__ import annotations

from mintage.accounts import Accounts, Tenant
from mintage.billing.caps import SpendCaps
from mintage.billing.closing import CatchUp, Closing
from mintage.billing.credit import Credit
from mintage.billing.events import EventIntake, EventList
from mintage.billing.events.view import LakeQuery
from mintage.billing.finance import Finance
from mintage.billing.invoicing import Invoicing
from mintage.billing.lifecycle import Assignment, Lifecycle
from mintage.billing.metrics import MetricsDesk
from mintage.billing.plans import Plans
from mintage.billing.snapshot import KeySnapshot, take_snapshot
from mintage.billing.subscriptions import Subscriptions
from mintage.billing.topping import AutoTopUps
from mintage.billing.wallets import Wallets
from mintage.books import CommitLog, Ledger


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
        self.invoicing = Invoicing(accounts, log, ledger, self.wallets, catch_up)
        self.invoices = self.invoicing.invoices
        self.events = EventIntake(log, changes.clock)
        self.event_list = EventList(lake)
        self.closing = Closing(
            accounts, log, ledger, self.plans, self.subscriptions, self.wallets, self.invoices, catch_up, lake
        )
        self.credit = Credit(changes, log)
        self.wallets.before_top_up = self.credit.before_top_up
        self.caps = SpendCaps(changes, ledger)
        self.topping = AutoTopUps(changes, log, self.plans, self.subscriptions, self.wallets, self.credit)
        self.invoicing.setup.ready = self._buy_credit
        self.lifecycle = Lifecycle(accounts, ledger, self, self.credit, self.topping)
        self.finance = Finance(accounts, ledger, self.invoices, self.lifecycle.deferred)
        self.metrics = MetricsDesk(ledger, self.plans, self.subscriptions)
        self.closing.grace_ns = self.invoicing.grace_ns
        self.closing.issued = self.invoicing.standing.issued

    async def start(self) -> None:
        """Once, when the log is open and before anything is served."""
        await self.wallets.repair()
        await self.invoicing.start()

    def _buy_credit(self) -> None:
        self.topping.collect = self.invoicing.payments.collect

    async def assign(
        self, actor: str, tenant: Tenant, plan_id: str, *, credit_limit_nanos: int | None = None
    ) -> Assignment:
        """Give the tenant a plan: its wallet is opened as the plan says, its grants are credited once.

        credit_limit_nanos: another limit than the plan's, for a postpaid wallet. Raises not_found, conflict.
        """
        return await self.lifecycle.assign(actor, tenant, plan_id, credit_limit_nanos=credit_limit_nanos)

    def snapshot(self) -> KeySnapshot:
        """Every usable key with its wallet and price version. Blocking: run it in a thread."""
        return take_snapshot(self._accounts, self.plans, self.subscriptions, self.wallets, self.credit, self.caps)
