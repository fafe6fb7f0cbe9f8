"""Closing a period: usage is frozen, the whole is rated, and the difference to what settled is posted.

Requests settled as they came, at prices and live rates. At the end of a period, and only then, is it known what volume
tiers, packages, allowances, commitments, minimums and discounts come to: closing rates all of it at a watermark and
settles the difference as an explicit rating adjustment. Every step may be repeated: settlements carry a key, a closing
returns its first watermark, what is posted already is counted. A crash anywhere is mended by closing again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from mintage.accounts import Accounts, Tenant
from mintage.base import MintageError
from mintage.billing.ahead import Ahead
from mintage.billing.coupons import Coupons
from mintage.billing.evaluate import Evaluation, Evaluator, ordered
from mintage.billing.fees import fee_lines
from mintage.billing.finish import finish
from mintage.billing.invoice import InvoiceContent, Terms, customer_of, encode_content, make_content, seller_of
from mintage.billing.invoices import Invoice, Invoices
from mintage.billing.lines import PeriodLine
from mintage.billing.period_usage import LakeQuery
from mintage.billing.periods import Period
from mintage.billing.plans import Plans
from mintage.billing.posting import PAYOUT, RATING, Poster, posted_nanos
from mintage.billing.rated import RatedPeriods
from mintage.billing.subscriptions import Subscription, Subscriptions
from mintage.billing.timeline import chain_end_ns, chain_of, holding, stretches
from mintage.billing.wallets import WalletRow, Wallets
from mintage.books import ADJUSTMENT, AHEAD, BUCKET_NS, CommitLog, Journal, Ledger, Posting
from mintage.pricing import PriceVersion

PERIODS_MAX: Final = 600  # in one go: fifty years of months
SUBSCRIPTION: Final = "subscription"

#: Ships every durable entry of the log to the ledger and returns the watermark.
CatchUp = Callable[[], Awaitable[int]]


class Due(msgspec.Struct, frozen=True):
    """The next stretch of a tenant's time to close: a period, or what is left of it, or its beginning (early).

    base_ns: where the period's usage begins. final: the stretch ends its period.
    """

    period: Period
    base_ns: int
    start_ns: int
    end_ns: int
    final: bool


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
        lake: LakeQuery | None = None,
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
        self.coupons = Coupons(accounts.changes)
        self.rated = RatedPeriods(accounts.changes)
        self.ahead = Ahead(accounts.changes, self._version_at)
        self.evaluator = Evaluator(ledger, plans, subscriptions, self.coupons, self.rated, lake, self.ahead)
        self._poster = Poster(log, self._clock)
        self.turn = asyncio.Lock()
        self.grace_ns: Callable[[], int] = lambda: 0  # how long an ended period waits for late events
        self.issued: Callable[[Invoice], Awaitable[Invoice]] = _as_it_is  # what follows a finalised invoice

    async def close(self, actor: str, tenant: Tenant, *, early: bool = False) -> list[Invoice]:
        """Close every period of the tenant that has ended, oldest first; returns the invoices that came of it.

        early closes the current period too, up to the end of this quarter of an hour; the rest of it is invoiced later.
        What was closed before stays as it is, so closing twice is once. Raises not_found for a tenant without a plan.
        """
        async with self.turn:
            made: list[Invoice] = []
            history = await asyncio.to_thread(self._subscriptions.history, tenant.id)
            if not history:
                raise MintageError(
                    "not_found", f"{tenant.name} has no plan, so it has no period.", "Assign a plan first."
                )
            await self._bill_ahead(tenant, history)
            for _ in range(PERIODS_MAX):
                due = await asyncio.to_thread(self._next, tenant.id, history, early)
                if due is None:
                    break
                invoice = await self._close_stretch(actor, tenant, history, due)
                if invoice is not None:
                    made.append(invoice)
            return made

    async def preview(self, tenant: Tenant) -> InvoiceContent | None:
        """The draft of the invoice that comes next: its period rated as if it ended with what was used so far.

        Nothing is posted and nothing is closed. None without a plan, or when nothing would be billed.
        """
        history = await asyncio.to_thread(self._subscriptions.history, tenant.id)
        due = await asyncio.to_thread(self._next, tenant.id, history, True) if history else None
        if due is None:
            return None
        place = holding(history, due.start_ns)
        ended_ns = None if place is None else chain_end_ns(history, place)
        last_ns = due.period.end_ns if ended_ns is None else min(due.period.end_ns, ended_ns)
        due = Due(due.period, due.base_ns, due.start_ns, last_ns, True)
        watermark = await self._catch_up()
        found = await self.evaluator.evaluate(tenant, due, watermark)
        pauses = await asyncio.to_thread(self._subscriptions.pauses, tenant.id)
        parts = await asyncio.to_thread(stretches, history, pauses, due.period, self._version_at)
        billed = {(line.price_id, line.id) for line in found.lines}
        fees = [
            PeriodLine(
                kind="fee", id=line.meter, name=owed.version.plan.fees[int(line.meter.removeprefix("fee:"))].name,
                attos=line.attos, rate_attos=line.rate_attos, price_id=owed.version.id, product=SUBSCRIPTION,
            )
            for owed in fee_lines(parts, due.period, tenant.time_zone)
            for line in owed.lines
            if (owed.version.id, line.meter) not in billed
        ]  # fmt: skip
        wallet = await asyncio.to_thread(self._wallets.get, tenant.id)
        found = msgspec.structs.replace(found, lines=ordered([*found.lines, *fees]))
        content = await asyncio.to_thread(self._content, self._terms(tenant, wallet, due, watermark), found)
        entity = await asyncio.to_thread(self._accounts.entities.get)
        return await asyncio.to_thread(self._invoices.draft, entity, content) if content.lines else None

    async def bill_ahead(self, tenant: Tenant) -> int:
        """Settle the fees that are due ahead, and credit those that no longer are; returns how many moved."""
        async with self.turn:
            history = await asyncio.to_thread(self._subscriptions.history, tenant.id)
            return await self._bill_ahead(tenant, history) if history else 0

    def _next(self, tenant_id: str, history: list[Subscription], early: bool) -> Due | None:
        """None when nothing has ended."""
        now = self._clock.now_ns()
        closed_ns = self._invoices.closed_until_ns(tenant_id)
        place = 0 if closed_ns is None else holding(history, closed_ns)
        if place is None:
            return None
        first, _ = chain_of(history, place)
        begun_ns = history[place].period_at(history[first].started_ns).start_ns
        start_ns = begun_ns if closed_ns is None else max(closed_ns, begun_ns)
        if start_ns > now:
            return None
        period = history[place].period_at(start_ns)
        base_ns = max(period.start_ns, start_ns) if first and period.index == 0 else period.start_ns
        ended_ns = chain_end_ns(history, place)
        end_ns = period.end_ns if ended_ns is None else min(period.end_ns, ended_ns)
        if end_ns <= now and (early or end_ns + self.grace_ns() <= now):
            return Due(period, base_ns, start_ns, end_ns, True)
        soon_ns = min(end_ns, max(-(-now // BUCKET_NS) * BUCKET_NS, start_ns + BUCKET_NS * (start_ns == now)))
        if not early or soon_ns <= start_ns:
            return None
        return Due(period, base_ns, start_ns, soon_ns, soon_ns == period.end_ns)

    async def _close_stretch(self, actor: str, tenant: Tenant, history: list[Subscription], due: Due) -> Invoice | None:
        wallet = await asyncio.to_thread(self._wallets.get, tenant.id)
        pauses = await asyncio.to_thread(self._subscriptions.pauses, tenant.id)
        if due.final:
            parts = await asyncio.to_thread(stretches, history, pauses, due.period, self._version_at)
            if any(_waits(part.version) for part in parts):
                self._check_running(tenant, due)
            await self._settle_fees(tenant, wallet, parts, due)
        await self._catch_up()
        watermark = await asyncio.to_thread(self._ledger.close_period, tenant.id, due.end_ns)
        found = await self.evaluator.evaluate(tenant, due, watermark)
        await self._post(tenant, wallet, found, due)
        content = await asyncio.to_thread(self._content, self._terms(tenant, wallet, due, watermark), found)
        for rated in found.rated:
            await asyncio.to_thread(self.rated.keep, tenant.id, rated)
        entity = await asyncio.to_thread(self._accounts.entities.get)
        invoice = await asyncio.to_thread(self._invoices.finalise, actor, entity, content)
        return invoice if invoice is None else await self.issued(invoice)

    def _check_running(self, tenant: Tenant, due: Due) -> None:
        if any(hold.tenant_id == tenant.id and hold.created_ns < due.end_ns for hold in self._log.open_holds()):
            raise MintageError(
                "conflict",
                f"{tenant.name} still has requests of that period running.",
                "Close the period again when they have ended.",
                retry_after_s=30,
            )

    def _version_at(self, plan: str, at_ns: int) -> PriceVersion:
        """The version of a plan at an instant, or the version itself if its id is given."""
        return self._plans.version(plan) if "@" in plan else self._plans.current(plan, at_ns)

    # -- what is posted ----------------------------------------------------------------------------------------------

    async def _bill_ahead(self, tenant: Tenant, history: Sequence[Subscription]) -> int:
        pauses = await asyncio.to_thread(self._subscriptions.pauses, tenant.id)
        closed_ns = await asyncio.to_thread(self._invoices.closed_until_ns, tenant.id) or 0
        now = self._clock.now_ns()
        rows = await asyncio.to_thread(self.ahead.plan, tenant.id, history, pauses, now, closed_ns)
        if not rows:
            return 0
        wallet = await asyncio.to_thread(self._wallets.get, tenant.id)
        for row in rows:
            await self._poster.settle(
                wallet, row.price_id, f"fee:{row.fee}", row.nanos * 10**9, AHEAD, row.occurred_ns, row.key
            )
            await asyncio.to_thread(self.ahead.settled, row)
        await self._catch_up()
        return len(rows)

    async def _settle_fees(self, tenant: Tenant, wallet: WalletRow, parts: Sequence[object], due: Due) -> None:
        for number, owed in enumerate(fee_lines(parts, due.period, tenant.time_zone)):  # type: ignore[arg-type]
            key = f"closing\n{due.period.start_ns}:fees:{number}"
            await self._poster.settle_lines(wallet, owed.version.id, owed.lines, SUBSCRIPTION, due.end_ns - 1, key)

    async def _post(self, tenant: Tenant, wallet: WalletRow, found: Evaluation, due: Due) -> None:
        """Bring the books to what was evaluated: what is posted already is not posted again."""
        await self._catch_up()
        for rated in found.rated:
            done, count = await asyncio.to_thread(
                self._adjusted, tenant.id, due.base_ns, due.end_ns, RATING, rated.price_id
            )
            wanted = rated.adjustment_attos - found.discount_of(rated)
            if wanted != done:
                key = f"closing\n{due.period.start_ns}:{due.base_ns}:{rated.plan}:rating:{count}"
                at_ns = due.end_ns - 1
                await self._poster.settle(wallet, rated.price_id, RATING, wanted - done, ADJUSTMENT, at_ns, key)
            for charge, attos in rated.payouts.items():
                await asyncio.to_thread(self._pay_out, tenant, rated.plan, charge, attos, due)
        for line in found.discounts:
            done, count = await asyncio.to_thread(
                self._adjusted, tenant.id, due.start_ns, due.end_ns, line.id, line.price_id
            )
            if line.attos != done:
                key = f"closing\n{due.start_ns}:{line.id}:{count}"
                at_ns = due.end_ns - 1
                await self._poster.settle(wallet, line.price_id, line.id, line.attos - done, ADJUSTMENT, at_ns, key)
        await self._catch_up()

    def _adjusted(self, tenant_id: str, start_ns: int, end_ns: int, meter: str, price_id: str) -> tuple[int, int]:
        """(attos posted so far, in how many settlements) of one kind of adjustment."""
        rows = [
            row
            for row in self._ledger.usage_lines(tenant_id, start_ns, end_ns)
            if row.product == ADJUSTMENT and row.meter == meter and row.price_id == price_id
        ]
        return sum(row.attos for row in rows), sum(row.entries for row in rows)

    def _pay_out(self, tenant: Tenant, plan: str, charge: str, attos: int, due: Due) -> None:
        """What a pool owes the customer: our cost, and payable to it."""
        nanos = attos // 10**9
        if nanos:
            postings = (
                Posting(account="expenses:payouts", currency=tenant.currency, amount_nanos=nanos, product=plan),
                Posting(account=f"liabilities:payable:{tenant.handle}", currency=tenant.currency, amount_nanos=-nanos),
            )
            self._ledger.post(
                Journal(
                    event=PAYOUT,
                    source="pool",
                    source_id=f"{tenant.id}:{plan}:{charge}:{due.period.start_ns}",
                    occurred_ns=due.end_ns - 1,
                    tenant_id=tenant.id,
                    memo=f"{plan} {charge}",
                    postings=postings,
                )
            )

    # -- from what was evaluated to content --------------------------------------------------------------------------

    def _terms(self, tenant: Tenant, wallet: WalletRow, due: Due, watermark: int) -> Terms:
        return Terms(
            seller=seller_of(self._accounts.entities.get()),
            customer=customer_of(tenant),
            funding=wallet.funding,
            currency=wallet.currency,
            time_zone=tenant.time_zone,
            start_ns=due.start_ns,
            end_ns=due.end_ns,
            watermark=watermark,
        )

    def _content(self, terms: Terms, found: Evaluation) -> InvoiceContent:
        tenant_id = terms.customer.id
        usage = self._ledger.usage_lines(tenant_id, terms.start_ns, terms.end_ns)
        before = self._ledger.usage_lines(tenant_id, 0, terms.start_ns)
        return make_content(terms, found.lines, posted_nanos(before, usage))

    async def lines_of(self, tenant: Tenant, start_ns: int, end_ns: int, watermark: int) -> Evaluation:
        """What a closed stretch came to, evaluated once more from the books at its own watermark."""
        history = await asyncio.to_thread(self._subscriptions.history, tenant.id)
        place = holding(history, start_ns)
        if place is None:
            raise MintageError("not_found", "The customer had no plan then.", "Ask for a stretch that was closed.")
        first, _ = chain_of(history, place)
        period = history[place].period_at(start_ns)
        base_ns = max(period.start_ns, start_ns) if first and period.index == 0 else period.start_ns
        ended_ns = chain_end_ns(history, place)
        last_ns = period.end_ns if ended_ns is None else min(period.end_ns, ended_ns)
        due = Due(period, base_ns, start_ns, end_ns, end_ns == last_ns)
        return await self.evaluator.evaluate(tenant, due, watermark)

    async def recompute(self, invoice: Invoice) -> bytes:
        """The invoice's bytes once more, from the books. Equal to what was stored, or the books were touched."""
        terms = Terms(**{name: getattr(invoice.content, name) for name in Terms.__struct_fields__})
        tenant = await asyncio.to_thread(self._accounts.tenants.get, terms.customer.id)
        found = await self.lines_of(tenant, terms.start_ns, terms.end_ns, terms.watermark)
        content = await asyncio.to_thread(self._content, terms, found)
        return encode_content(finish(content, invoice.content.extras))


async def _as_it_is(invoice: Invoice) -> Invoice:
    return invoice


def _waits(version: PriceVersion) -> bool:
    """Whether the plan's bill depends on the whole period, so that running requests must end first."""
    plan = version.plan
    return bool(plan.charges or plan.commitment) or plan.minimum is not None or plan.maximum is not None
