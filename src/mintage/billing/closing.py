"""Closing a period: fees and minimum are settled, usage is frozen, and the invoice is made from what is frozen.

Every step may be repeated: settlements carry an idempotency key, a closing returns its first watermark, and a stretch
of time has one row. A crash anywhere is mended by closing again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from mintage.accounts import Accounts, Tenant
from mintage.base import ATTOS_PER_NANO, Charge, Hold, MintageError, Settlement, Usage, new_id
from mintage.billing.fees import OwedLines, Stretch, fee_lines, minimum_line
from mintage.billing.invoice import InvoiceContent, Terms, customer_of, encode_content, make_content, seller_of
from mintage.billing.invoices import Invoice, Invoices
from mintage.billing.periods import Period
from mintage.billing.plans import Plans
from mintage.billing.subscriptions import Subscription, Subscriptions
from mintage.billing.wallets import WalletRow, Wallets
from mintage.books import CommitLog, Ledger, UsageLine
from mintage.pricing import PriceVersion

BUCKET_NS: Final = 900 * 10**9  # the ledger's quarter of an hour
PERIODS_MAX: Final = 600  # in one go: fifty years of months
SUBSCRIPTION: Final = "subscription"
ADJUSTMENT: Final = "rating_adjustment"

#: Ships every durable entry of the log to the ledger and returns the watermark.
CatchUp = Callable[[], Awaitable[int]]


class Due(msgspec.Struct, frozen=True):
    """The next stretch of a tenant's time to close: a period, or what is left of it, or its beginning (early)."""

    period: Period
    start_ns: int
    end_ns: int


class Closing:
    """One at a time: the closings of a process take turns."""

    def __init__(  # noqa: PLR0917 - the parts of this room, in the order of its floors
        self,
        accounts: Accounts,
        log: CommitLog,
        ledger: Ledger,
        plans: Plans,
        subscriptions: Subscriptions,
        wallets: Wallets,
        invoices: Invoices,
        catch_up: CatchUp,
    ) -> None:
        self._accounts = accounts
        self._clock = accounts.changes.clock
        self._log = log
        self._ledger = ledger
        self._plans = plans
        self._subscriptions = subscriptions
        self._wallets = wallets
        self._invoices = invoices
        self._catch_up = catch_up
        self._turn = asyncio.Lock()

    async def close(self, actor: str, tenant: Tenant, *, early: bool = False) -> list[Invoice]:
        """Close every period of the tenant that has ended, oldest first; returns the invoices that came of it.

        early closes the current period too, up to the end of this quarter of an hour; the rest of it is invoiced later.
        What was closed before stays as it is, so closing twice is once. Raises not_found for a tenant without a plan.
        """
        async with self._turn:
            made: list[Invoice] = []
            history = await asyncio.to_thread(self._subscriptions.history, tenant.id)
            if not history:
                raise MintageError(
                    "not_found", f"{tenant.name} has no plan, so it has no period.", "Assign a plan first."
                )
            for _ in range(PERIODS_MAX):
                due = await asyncio.to_thread(self._next, tenant.id, history, early)
                if due is None:
                    break
                invoice = await self._close_stretch(actor, tenant, history, due)
                if invoice is not None:
                    made.append(invoice)
            return made

    def _next(self, tenant_id: str, history: list[Subscription], early: bool) -> Due | None:
        """None when nothing has ended."""
        now = self._clock.now_ns()
        current = history[-1]
        start_ns = self._invoices.closed_until_ns(tenant_id)
        if start_ns is None:
            start_ns = current.period_at(history[0].started_ns).start_ns
        period = current.period_at(start_ns)
        if period.end_ns <= now:
            return Due(period, start_ns, period.end_ns)
        end_ns = min(period.end_ns, -(-now // BUCKET_NS) * BUCKET_NS)
        return Due(period, start_ns, end_ns) if early and end_ns > start_ns else None

    async def _close_stretch(self, actor: str, tenant: Tenant, history: list[Subscription], due: Due) -> Invoice | None:
        wallet = await asyncio.to_thread(self._wallets.get, tenant.id)
        await self._catch_up()
        if due.end_ns == due.period.end_ns:
            stretches = await asyncio.to_thread(self._stretches, history, due.period)
            await self._settle_fees(tenant, wallet, stretches, due.period)
            await self._settle_minimum(tenant, wallet, stretches[-1].version, due.period)
        content = await asyncio.to_thread(self._freeze, tenant, wallet, due)
        entity = await asyncio.to_thread(self._accounts.entities.get)
        return await asyncio.to_thread(self._invoices.finalise, actor, entity, content)

    # -- what the period owes beside its usage -----------------------------------------------------------------------

    async def _settle_fees(self, tenant: Tenant, wallet: WalletRow, stretches: list[Stretch], period: Period) -> None:
        for number, owed in enumerate(fee_lines(stretches, period, tenant.time_zone)):
            await self._settle(wallet, owed, SUBSCRIPTION, period, f"fees:{number}")
            await self._catch_up()

    def _stretches(self, history: list[Subscription], period: Period) -> list[Stretch]:
        """Which plan the tenant had when, within the period. The first subscription counts from the period's start."""
        found = []
        for place, subscription in enumerate(history):
            start_ns = max(subscription.started_ns, period.start_ns) if place else period.start_ns
            end_ns = min(subscription.ended_ns or period.end_ns, period.end_ns)
            if start_ns < end_ns:
                version = self._plans.current(subscription.plan, end_ns - 1)
                new = all(earlier.plan != subscription.plan for earlier in history[:place])
                first = new and subscription.period_at(subscription.started_ns).index == period.index
                found.append(Stretch(version=version, start_ns=start_ns, end_ns=end_ns, first=first))
        return found

    async def _settle_minimum(self, tenant: Tenant, wallet: WalletRow, version: PriceVersion, period: Period) -> None:
        """The rating adjustment: the charges' shortfall to the minimum of the plan that the period ended with."""
        if version.plan.minimum is None:
            return
        if any(hold.tenant_id == tenant.id and hold.created_ns < period.end_ns for hold in self._log.open_holds()):
            raise MintageError(
                "conflict",
                f"{tenant.name} still has requests of that period running.",
                "Close the period again when they have ended.",
                retry_after_s=30,
            )
        await self._catch_up()
        usage = await asyncio.to_thread(self._ledger.usage_lines, tenant.id, period.start_ns, period.end_ns)
        owed = minimum_line(version, sum(row.attos for row in usage))
        if owed is not None:
            await self._settle(wallet, owed, ADJUSTMENT, period, "minimum")
            await self._catch_up()

    async def _settle(self, wallet: WalletRow, owed: OwedLines, product: str, period: Period, what: str) -> None:
        """Through the log, like a request. The line break keeps the key out of reach of any header a customer sends."""
        now = self._clock.now_ns()
        hold = Hold(
            id=new_id("fee"),
            tenant_id=wallet.tenant_id,
            wallet_id=wallet.id,
            currency=wallet.currency,
            amount_nanos=0,
            created_ns=now,
            lease_until_ns=now + 60 * 10**9,
        )
        settlement = Settlement(
            hold_id=hold.id,
            tenant_id=wallet.tenant_id,
            project_id="",
            wallet_id=wallet.id,
            key_id="",
            model="",
            product=product,
            occurred_ns=period.end_ns - 1,
            usage=Usage(),
            charge=Charge(price_id=owed.version.id, currency=wallet.currency, attos=owed.attos, lines=owed.lines),
            operation="closing",
            idempotency_key=f"closing\n{period.start_ns}:{what}",
            payload_hash="closing",
        )
        try:
            held = self._log.hold(hold)
        except MintageError as error:
            if error.code != "insufficient_funds":
                raise
            held = self._hold_beyond_limit(wallet, hold)
        await asyncio.gather(held, self._log.settle(settlement))

    def _hold_beyond_limit(self, wallet: WalletRow, hold: Hold) -> asyncio.Future[None]:
        """A fee is owed whether or not the credit limit is used up: lift it for the one step of this hold."""
        view = self._log.wallet(wallet.id)
        terms = (wallet.tenant_id, wallet.id, wallet.currency, wallet.funding)
        self._log.open_wallet(*terms, view.credit_limit_nanos - view.available_nanos)
        held = self._log.hold(hold)
        self._log.open_wallet(*terms, view.credit_limit_nanos)
        return held

    # -- from frozen usage to content --------------------------------------------------------------------------------

    def _freeze(self, tenant: Tenant, wallet: WalletRow, due: Due) -> InvoiceContent:
        watermark = self._ledger.close_period(tenant.id, due.end_ns)
        return self._content(
            Terms(
                seller=seller_of(self._accounts.entities.get()),
                customer=customer_of(tenant),
                funding=wallet.funding,
                currency=wallet.currency,
                time_zone=tenant.time_zone,
                start_ns=due.start_ns,
                end_ns=due.end_ns,
                watermark=watermark,
            )
        )

    def _content(self, terms: Terms) -> InvoiceContent:
        tenant_id = terms.customer.id
        usage = self._ledger.usage_lines(tenant_id, terms.start_ns, terms.end_ns)
        before = self._ledger.usage_lines(tenant_id, 0, terms.start_ns)
        return make_content(terms, usage, posted_nanos(before, usage), self._names(usage))

    def _names(self, usage: list[UsageLine]) -> dict[tuple[str, str], str]:
        names = {}
        for row in usage:
            if row.meter.startswith("fee:"):
                fee = self._plans.version(row.price_id).plan.fees[int(row.meter[4:])]
                names[row.price_id, row.meter] = fee.name.en
            elif row.product == ADJUSTMENT:
                names[row.price_id, row.meter] = "Minimum of the period"
        return names

    def recompute(self, invoice: Invoice) -> bytes:
        """The invoice's bytes once more, from the books. Equal to what was stored, or the books were touched."""
        terms = Terms(**{name: getattr(invoice.content, name) for name in Terms.__struct_fields__})
        return encode_content(self._content(terms))


def posted_nanos(before: list[UsageLine], usage: list[UsageLine]) -> int:
    """What the usage posted in whole nanos, given all usage before it: per price, the floor's step of the exact sum.

    Like the log's own carry, so that the invoices of a tenant add up to its settlements, to the nano, for ever.
    """
    sums: dict[str, list[int]] = {}
    for place, rows in enumerate((before, usage)):
        for row in rows:
            sums.setdefault(row.price_id, [0, 0])[place] += row.attos
    return sum((first + more) // ATTOS_PER_NANO - first // ATTOS_PER_NANO for first, more in sums.values())
