"""Buying credit: packs from the shop, and top-ups that begin by themselves before a wallet runs out.

Who takes the money is handed in: `collect` charges the customer's saved method and says which payment it was. Without
it nothing is bought, and the customer is told when it calls next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import msgspec
import sqlalchemy as sa

from mintage.accounts import SYSTEM, Changes, Tenant
from mintage.base import NANOS_PER_UNIT, MintageError, check_nanos, new_id
from mintage.billing.credit import PRIORITY, Credit, Lot, NewLot
from mintage.billing.plans import Plans
from mintage.billing.subscriptions import Subscriptions
from mintage.billing.tables_terms import auto_top_ups, purchases
from mintage.billing.wallets import TopUp, Wallets
from mintage.billing.webhooks.outbox import announce
from mintage.books import CommitLog
from mintage.pricing import Plan

DAY_NS: Final = 86_400 * 10**9
RETRY_NS: Final = 15 * 60 * 10**9  # after a purchase that failed
BONUS_PRIORITY: Final = PRIORITY - 10  # what was given burns before what was paid


class AutoTopUpRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Below a balance an amount is bought, at most monthly_limit in a calendar month of the customer."""

    below_nanos: int
    amount_nanos: int
    monthly_limit_nanos: int | None = None
    enabled: bool = True


class Purchase(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    tenant_id: str
    amount_nanos: int
    currency: str
    month: str
    state: Literal["pending", "paid", "failed"]
    problem: str
    at_ns: int


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """What came in, as its provider names it."""

    source: str
    source_id: str


#: Charges a customer for a purchase, once per purchase id. Raises MintageError when it is refused.
Collect = Callable[[Tenant, Purchase], Awaitable[Payment]]


class AutoTopUps:
    def __init__(  # noqa: PLR0917 - the parts of this room, in the order of its floors
        self,
        changes: Changes,
        log: CommitLog,
        plans: Plans,
        subscriptions: Subscriptions,
        wallets: Wallets,
        credit: Credit,
    ) -> None:
        self._changes = changes
        self._log = log
        self._plans = plans
        self._subscriptions = subscriptions
        self._wallets = wallets
        self._credit = credit
        self.collect: Collect | None = None

    # -- the customer's rule -----------------------------------------------------------------------------------------

    def set_rule(self, actor: str, tenant: Tenant, rule: AutoTopUpRule) -> AutoTopUpRule:
        """The customer's own, instead of its plan's. Raises invalid_request."""
        if check_nanos(rule.amount_nanos) <= 0 or check_nanos(rule.below_nanos) < 0:
            raise MintageError(
                "invalid_request", "The amount is above zero.", "Give a positive amount.", param="amount"
            )
        with self._changes.change(
            actor, "auto_top_up.set", tenant.id, tenant_id=tenant.id, **msgspec.structs.asdict(rule)
        ) as change:
            change.connection.execute(auto_top_ups.delete().where(auto_top_ups.c.tenant_id == tenant.id))
            change.connection.execute(auto_top_ups.insert().values(tenant_id=tenant.id, **msgspec.structs.asdict(rule)))
        return rule

    def rule(self, tenant: Tenant) -> AutoTopUpRule | None:
        """The customer's own rule, else its plan's."""
        with self._changes.database.read() as connection:
            row = (
                connection.execute(sa.select(auto_top_ups).where(auto_top_ups.c.tenant_id == tenant.id))
                .mappings()
                .one_or_none()
            )
        if row is not None:
            return AutoTopUpRule(**{name: row[name] for name in AutoTopUpRule.__struct_fields__})
        plan = self._plan(tenant)
        if plan is None or plan.auto_top_up is None:
            return None
        told = plan.auto_top_up
        limit = None if told.monthly_limit is None else int(told.monthly_limit * NANOS_PER_UNIT)
        return AutoTopUpRule(
            below_nanos=int(told.below * NANOS_PER_UNIT),
            amount_nanos=int(told.amount * NANOS_PER_UNIT),
            monthly_limit_nanos=limit,
        )

    def _plan(self, tenant: Tenant) -> Plan | None:
        current = self._subscriptions.current(tenant.id)
        return None if current is None else self._plans.current(current.plan, self._changes.clock.now_ns()).plan

    # -- buying ------------------------------------------------------------------------------------------------------

    async def buy_if_low(self, tenant: Tenant) -> int:
        """Buy what the rule says if the wallet is below it; 1 if it did."""
        if self.collect is None:
            return 0
        rule = await asyncio.to_thread(self.rule, tenant)
        row = await asyncio.to_thread(self._wallets.find, tenant.id)
        if rule is None or not rule.enabled or row is None or row.funding != "prepaid":
            return 0
        pending = await asyncio.to_thread(self._pending, tenant.id)
        if pending is None:
            if self._log.wallet(row.id).available_nanos >= rule.below_nanos:
                return 0
            pending = await asyncio.to_thread(self._begin, tenant, row.currency, rule)
        return 0 if pending is None else await self._collect(tenant, pending, self.collect)

    async def _collect(self, tenant: Tenant, purchase: Purchase, collect: Collect) -> int:
        """The purchase is on record before any money moves; asked again, the provider knows its id."""
        try:
            payment = await collect(tenant, purchase)
        except MintageError as error:
            if error.status >= 500:
                return 0  # not known: it stays pending and is asked again
            await asyncio.to_thread(self._end, purchase, "failed", error.message)
            return 0
        new = TopUp(amount_nanos=purchase.amount_nanos, source=payment.source, source_id=payment.source_id)
        await self._wallets.top_up(SYSTEM, tenant, new)
        await asyncio.to_thread(self._end, purchase, "paid", "")
        return 1

    def _begin(self, tenant: Tenant, currency: str, rule: AutoTopUpRule) -> Purchase | None:
        """None when the month's limit is used up, or the last one failed a moment ago."""
        now = self._changes.clock.now_ns()
        month = _month(now, tenant.time_zone)
        mine = self.purchases(tenant.id)
        if any(one.state == "failed" and now - one.at_ns < RETRY_NS for one in mine):
            return None
        spent = sum(one.amount_nanos for one in mine if one.month == month and one.state != "failed")
        if rule.monthly_limit_nanos is not None and spent + rule.amount_nanos > rule.monthly_limit_nanos:
            return None
        new = Purchase(
            id=new_id("pur"),
            tenant_id=tenant.id,
            amount_nanos=rule.amount_nanos,
            currency=currency,
            month=month,
            state="pending",
            problem="",
            at_ns=now,
        )
        with self._changes.change(
            SYSTEM, "credit.buy", new.id, tenant_id=tenant.id, amount_nanos=new.amount_nanos
        ) as change:
            change.connection.execute(purchases.insert().values(**msgspec.structs.asdict(new)))
        return new

    def _end(self, purchase: Purchase, state: str, problem: str) -> None:
        with self._changes.change(SYSTEM, f"credit.{state}", purchase.id, tenant_id=purchase.tenant_id) as change:
            change.connection.execute(
                purchases.update().where(purchases.c.id == purchase.id).values(state=state, problem=problem[:200])
            )
            if state == "failed":
                told = {"id": purchase.id, "amount_nanos": purchase.amount_nanos, "problem": problem[:200]}
                told["currency"] = purchase.currency
                announce(change.connection, "auto_top_up.failed", purchase.tenant_id, told, change.now_ns)

    def _pending(self, tenant_id: str) -> Purchase | None:
        return next((one for one in self.purchases(tenant_id) if one.state == "pending"), None)

    def purchases(self, tenant_id: str) -> list[Purchase]:
        """Newest first, of the last hundred days."""
        t = purchases.c
        since = self._changes.clock.now_ns() - 100 * DAY_NS
        select = sa.select(purchases).where(t.tenant_id == tenant_id, t.at_ns >= since).order_by(t.at_ns.desc())
        with self._changes.database.read() as connection:
            rows: list[dict[str, Any]] = [dict(row) for row in connection.execute(select).mappings()]
        return [Purchase(**row) for row in rows]

    async def sell_pack(self, actor: str, tenant: Tenant, index: int, source: str, source_id: str) -> list[Lot]:
        """A pack that was paid for: its credit, and what comes on top, once per payment. Raises not_found, conflict."""
        plan = await asyncio.to_thread(self._plan, tenant)
        if plan is None or not 0 <= index < len(plan.packs):
            raise MintageError("not_found", "The customer's plan has no such pack.", "See `mintage plan show`.")
        pack = plan.packs[index]
        row = await asyncio.to_thread(self._wallets.get, tenant.id)
        if row.funding != "prepaid":
            raise MintageError("conflict", f"A {row.funding} wallet buys no packs.", "Assign a prepaid plan.")
        now = self._changes.clock.now_ns()
        expires = None if pack.expires_days is None else now + pack.expires_days * DAY_NS
        paid = int(pack.price * NANOS_PER_UNIT)
        bonus = int((pack.credit + pack.bonus) * NANOS_PER_UNIT) - paid
        known = await asyncio.to_thread(self._credit.lots, tenant.id)
        name = f"{source}:{source_id}"
        first = next((lot for lot in known if lot.id == name), None)
        expires = first.expires_ns if first is not None else expires
        lots = [
            await self._credit.add(
                actor,
                tenant,
                row,
                NewLot(id=name, name=pack.name.en, amount_nanos=paid, kind="cash", expires_ns=expires, source="pack"),
            )
        ]
        if bonus > 0:
            extra = NewLot(
                id=f"{name}:bonus",
                name=pack.name.en,
                amount_nanos=bonus,
                priority=BONUS_PRIORITY,
                expires_ns=expires,
            )
            lots.append(await self._credit.add(actor, tenant, row, extra))
        return lots


def _month(at_ns: int, zone: str) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_ns // 1000)
    return moment.astimezone(ZoneInfo(zone)).strftime("%Y-%m")
