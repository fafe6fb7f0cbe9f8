"""A subscription's life: begin, trial, change, pause, end; and what follows from it when its time comes.

What a customer asked for is on the timeline at once. What has to be done about it (fees, grants, another wallet,
credit that lapses, credit bought, revenue earned) is done by tick(), which compares what should be with what is: it may
run late, twice or be cut off, and ends with the same books.
"""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

import msgspec

from mintage.accounts import SYSTEM, Accounts, Tenant
from mintage.base import ATTOS_PER_NANO, NANOS_PER_UNIT, MintageError, check_nanos
from mintage.billing.credit import Credit, NewLot
from mintage.billing.deferred import Deferred
from mintage.billing.evaluate import SYSTEM_PRODUCTS
from mintage.billing.period_usage import countable, counts_single_requests, rolled_events
from mintage.billing.subscriptions import Pause, Refund, Subscription
from mintage.billing.topping import AutoTopUps
from mintage.billing.wallets import WalletRow
from mintage.books import BUCKET_NS, Ledger
from mintage.pricing import Grant, PriceVersion, Span
from mintage.pricing.charges import Allowance
from mintage.pricing.metric import count, group_events
from mintage.pricing.period import Thresholds

if TYPE_CHECKING:
    from mintage.billing.billing import Billing

When = Literal["now", "period_end"]
DAY_NS = 86_400 * 10**9


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    subscription: Subscription
    wallet: WalletRow
    version_id: str


class Ticked(msgspec.Struct, frozen=True, kw_only=True):
    """What was due: fees billed or credited ahead, lots that lapsed, credit bought, days of revenue earned."""

    customers: int = 0
    fees: int = 0
    lapsed: int = 0
    bought: int = 0
    released: int = 0
    invoices: int = 0
    problems: dict[str, str] = {}


class Lifecycle:
    def __init__(
        self, accounts: Accounts, ledger: Ledger, billing: Billing, credit: Credit, topping: AutoTopUps
    ) -> None:
        self._accounts = accounts
        self._clock = accounts.changes.clock
        self._ledger = ledger
        self._billing = billing
        self._credit = credit
        self._topping = topping
        self.deferred = Deferred(accounts.changes, ledger, billing.closing.ahead)
        self._turn = asyncio.Lock()

    # -- what a customer asks for ------------------------------------------------------------------------------------

    async def assign(
        self,
        actor: str,
        tenant: Tenant,
        plan_id: str,
        *,
        credit_limit_nanos: int | None = None,
        when: When = "now",
        refund: Refund = "prorate",
    ) -> Assignment:
        """Give the tenant a plan, now or when the running period ends; its wallet, grants and first fees follow.

        credit_limit_nanos: another limit than the plan's, for a postpaid wallet. Raises not_found, conflict.
        """
        billing, now = self._billing, self._clock.now_ns()
        version = await asyncio.to_thread(billing.plans.current, plan_id, now)
        current = await asyncio.to_thread(billing.subscriptions.check, tenant, version)
        at_ns = None
        if when == "period_end" and current is not None:
            at_ns = current.period_at(now).end_ns
        days, then = await asyncio.to_thread(self._trial, tenant, version, current)
        limit = _nanos(version.plan.credit_limit) if credit_limit_nanos is None else check_nanos(credit_limit_nanos)
        if at_ns is None:
            wallet = await self._wallet(actor, tenant, version, limit)
        else:
            wallet = await asyncio.to_thread(billing.wallets.get, tenant.id)
        subscription = await asyncio.to_thread(
            billing.subscriptions.assign,
            actor,
            tenant,
            version,
            at_ns=at_ns,
            trial_days=days,
            then=then,
            refund=refund,
        )
        fees = await self._due(tenant)
        if fees and current is None and wallet.funding == "postpaid":
            await billing.closing.close(SYSTEM, tenant, early=True)  # what is billed ahead is invoiced ahead
        return Assignment(subscription=subscription, wallet=wallet, version_id=version.id)

    def _trial(
        self, tenant: Tenant, version: PriceVersion, current: Subscription | None
    ) -> tuple[int | None, str | None]:
        """A customer has a plan's trial once. Raises not_found, conflict for a following plan that does not fit."""
        trial = version.plan.trial
        history = self._billing.subscriptions.history(tenant.id)
        if trial is None or any(row.plan == version.plan_id for row in history):
            return None, None
        if trial.then is None or trial.then == version.plan_id:
            return trial.days, None
        following = self._billing.plans.current(trial.then, self._clock.now_ns())
        for field in ("currency", "period"):
            if getattr(following.plan, field) != getattr(version.plan, field):
                raise MintageError(
                    "conflict",
                    f"Plan {trial.then} cannot follow the trial of {version.plan_id}: it has another {field}.",
                    "Name a plan that has the same.",
                    param="plan",
                )
        return trial.days, trial.then

    async def _wallet(self, actor: str, tenant: Tenant, version: PriceVersion, limit: int) -> WalletRow:
        """The wallet that the plan needs. A promotional one becomes what a paid plan needs; its rest is dropped."""
        wallets, funding = self._billing.wallets, version.plan.funding
        row = await asyncio.to_thread(wallets.find, tenant.id)
        if row is not None and row.funding == "promo" and funding != "promo":
            await self._credit.drop(tenant.id, row.id)
            return await wallets.replace(actor, tenant, funding, limit)
        return await wallets.open(actor, tenant, funding, limit)

    async def cancel(
        self, actor: str, tenant: Tenant, *, when: When = "period_end", refund: Refund = "prorate"
    ) -> Subscription:
        """End the plan now or with its period. refund: whether the unused part of fees billed ahead is credited."""
        current = await asyncio.to_thread(self._billing.subscriptions.current, tenant.id)
        now = self._clock.now_ns()
        at_ns = now if when == "now" or current is None else current.period_at(now).end_ns
        ended = await asyncio.to_thread(self._billing.subscriptions.cancel, actor, tenant, at_ns, refund)
        await self._due(tenant)
        return ended

    async def keep(self, actor: str, tenant: Tenant) -> Subscription:
        """Take back a planned end or change."""
        kept = await asyncio.to_thread(self._billing.subscriptions.keep, actor, tenant)
        await self._due(tenant)
        return kept

    async def pause(self, actor: str, tenant: Tenant, until_ns: int | None = None) -> Pause:
        pause = await asyncio.to_thread(self._billing.subscriptions.pause, actor, tenant, until_ns)
        await self._due(tenant)
        return pause

    async def resume(self, actor: str, tenant: Tenant) -> Pause:
        pause = await asyncio.to_thread(self._billing.subscriptions.resume, actor, tenant)
        await self._due(tenant)
        return pause

    # -- what is due -------------------------------------------------------------------------------------------------

    async def tick(self, tenant: Tenant | None = None) -> Ticked:
        """Everything that is due, of one customer or of all. A customer that fails does not keep the others from it."""
        async with self._turn:
            now = self._clock.now_ns()
            lapsed = await self._credit.lapse_due(now)
            names = [tenant.id] if tenant else await asyncio.to_thread(self._billing.subscriptions.tenants)
            fees = bought = invoices = 0
            problems: dict[str, str] = {}
            zones: dict[str, str] = {}
            for name in names:
                one = await asyncio.to_thread(self._accounts.tenants.get, name)
                zones[name] = one.time_zone
                try:
                    fees += await self._due(one)
                    bought += await self._topping.buy_if_low(one)
                    invoices += await self._progress(one)
                    await asyncio.to_thread(self._billing.caps.check, one)
                except MintageError as error:
                    problems[one.handle] = f"{error.code}: {error.message}"
            released = await asyncio.to_thread(self.deferred.release, zones, tenant.id if tenant else None)
            return Ticked(
                customers=len(names),
                fees=fees,
                lapsed=lapsed,
                bought=bought,
                released=released,
                invoices=invoices,
                problems=problems,
            )

    async def _due(self, tenant: Tenant) -> int:
        """The wallet, fees and grants of the plan that holds now."""
        billing, now = self._billing, self._clock.now_ns()
        fees = await billing.closing.bill_ahead(tenant)
        current = await asyncio.to_thread(billing.subscriptions.current, tenant.id)
        if current is None:
            return fees
        version = await asyncio.to_thread(billing.plans.current, current.plan, now)
        row = await asyncio.to_thread(billing.wallets.get, tenant.id)
        if row.funding != version.plan.funding:
            row = await self._wallet(SYSTEM, tenant, version, _nanos(version.plan.credit_limit))
            fees += await billing.closing.bill_ahead(tenant)
        for index, grant in enumerate(version.plan.grants):
            await self._grant(tenant, row, current, version, index, grant)
        await asyncio.to_thread(self._exhaust, tenant, current, version)
        return fees

    def _exhaust(self, tenant: Tenant, current: Subscription, version: PriceVersion) -> None:
        """Stop the keys of a customer who has used up an allowance that nothing may go beyond."""
        hard = [one for one in version.plan.charges if isinstance(one, Allowance) and one.overage is None]
        if not hard or tenant.id in self._billing.subscriptions.all_exhausted():
            return
        now = self._clock.now_ns()
        period = current.period_at(now)
        span = Span(period.start_ns, (now // BUCKET_NS + 2) * BUCKET_NS)
        rows = self._ledger.usage_lines(tenant.id, span.start_ns, span.end_ns)
        mine = [row for row in rows if row.price_id.partition("@")[0] == version.plan_id]
        earlier = self._billing.closing.rated.of(tenant.id) if any(one.rollover_periods for one in hard) else []
        carried = self._billing.closing.rated.carried(version.plan, earlier, period.index)
        for charge in hard:
            if counts_single_requests(charge):
                continue
            counted = countable(charge)
            groups = group_events(rolled_events(mine, span.start_ns), counted.where, counted.group_by)
            limit = Fraction(charge.included) + carried.get(charge.id, Fraction(0))
            if any(charge.metric.convert(count(counted.metric, one, span)) >= limit for one in groups.values()):
                self._billing.subscriptions.exhaust(tenant.id, period.end_ns)
                return

    async def _grant(  # noqa: PLR0917 - one grant of one plan of one customer
        self, tenant: Tenant, row: WalletRow, current: Subscription, version: PriceVersion, index: int, grant: Grant
    ) -> None:
        nanos = _nanos(grant.amount)
        if nanos <= 0:
            return
        name, since_ns = f"{tenant.id}:{version.plan_id}:{index}", current.started_ns
        if grant.every == "period":
            period = current.period_at(self._clock.now_ns())
            since_ns = max(period.start_ns, current.started_ns)
            name = f"{name}:{period.start_ns}"
        expires = None if grant.expires_days is None else since_ns + grant.expires_days * DAY_NS
        new = NewLot(id=name, name=grant.name.en, amount_nanos=nanos, expires_ns=expires)
        await self._credit.add(SYSTEM, tenant, row, new)

    async def _progress(self, tenant: Tenant) -> int:
        """Invoice early when the running period has reached a threshold of its plan that no invoice has."""
        current = await asyncio.to_thread(self._billing.subscriptions.current, tenant.id)
        if current is None:
            return 0
        now = self._clock.now_ns()
        version = await asyncio.to_thread(self._billing.plans.current, current.plan, now)
        rule = version.plan.progressive
        if rule is None:
            return 0
        thresholds = Thresholds(
            tuple(map(Fraction, rule.amounts)), None if rule.recurring is None else Fraction(rule.recurring)
        )
        start_ns = current.period_at(now).start_ns
        closed_ns = await asyncio.to_thread(self._billing.invoices.closed_until_ns, tenant.id) or start_ns
        billed = await asyncio.to_thread(self._used, tenant.id, start_ns, max(closed_ns, start_ns))
        total = await asyncio.to_thread(self._used, tenant.id, start_ns, (now // BUCKET_NS + 2) * BUCKET_NS)
        if (thresholds.reached(total) or Fraction(0)) <= (thresholds.reached(billed) or Fraction(0)):
            return 0
        return len(await self._billing.closing.close(SYSTEM, tenant, early=True))

    def _used(self, tenant_id: str, start_ns: int, end_ns: int) -> Fraction:
        rows = self._ledger.usage_lines(tenant_id, start_ns, end_ns)
        attos = sum(row.attos for row in rows if row.product not in SYSTEM_PRODUCTS)
        return Fraction(attos, ATTOS_PER_NANO * NANOS_PER_UNIT)


def _nanos(amount: object) -> int:
    """A plan's amount in whole nanos; what is below one is dropped, as a limit or gift may be."""
    return check_nanos(int(amount * NANOS_PER_UNIT))  # type: ignore[operator]
