"""Subscriptions: which plan a tenant has, since when, and the anchor from which its periods follow."""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec
import sqlalchemy as sa

from mintage.accounts import Changes, Tenant
from mintage.base import MintageError, new_id
from mintage.billing.periods import Period, PeriodLength, period_at
from mintage.billing.tables import subscriptions
from mintage.pricing import PriceVersion
from mintage.pricing.period import local_day


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant has one that is open (ended_ns None) at most. anchor_day is that of the tenant's first, for ever."""

    id: str
    tenant_id: str
    plan: str
    anchor_day: str
    time_zone: str
    period: PeriodLength
    started_ns: int
    ended_ns: int | None = None

    def period_at(self, at_ns: int) -> Period:
        return period_at(date.fromisoformat(self.anchor_day), self.time_zone, self.period, at_ns)


class Subscriptions:
    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def check(self, tenant: Tenant, version: PriceVersion) -> Subscription | None:
        """The tenant's open subscription. Raises conflict when the plan cannot follow it."""
        plan = version.plan
        if plan.currency != tenant.currency:
            raise MintageError(
                "conflict",
                f"Plan {plan.id} is in {plan.currency}, the customer pays in {tenant.currency}.",
                f"Assign a plan in {tenant.currency}.",
                param="plan",
            )
        current = self.current(tenant.id)
        if current is not None and current.period != plan.period:
            raise MintageError(
                "conflict",
                f"The customer is billed by the {current.period}, plan {plan.id} by the {plan.period}.",
                f"Assign a plan with period = {current.period}.",
                param="plan",
            )
        return current

    def assign(self, actor: str, tenant: Tenant, version: PriceVersion) -> Subscription:
        """Give the tenant a plan from now on; having it already changes nothing. Its periods keep their anchor."""
        plan, current = version.plan, self.check(tenant, version)
        if current is not None and current.plan == plan.id:
            return current
        now = self._changes.clock.now_ns()
        new = Subscription(
            id=new_id("sub"),
            tenant_id=tenant.id,
            plan=plan.id,
            anchor_day=current.anchor_day if current else str(local_day(now, tenant.time_zone)),
            time_zone=tenant.time_zone,
            period=plan.period,
            started_ns=now,
        )
        with self._changes.change(
            actor, "plan.assign", tenant.id, tenant_id=tenant.id, plan=plan.id, before=current and current.plan
        ) as change:
            if current is not None:
                change.connection.execute(
                    subscriptions.update().where(subscriptions.c.id == current.id).values(ended_ns=now)
                )
            change.connection.execute(subscriptions.insert().values(**msgspec.structs.asdict(new)))
        return new

    def current(self, tenant_id: str) -> Subscription | None:
        rows = self._rows(subscriptions.c.tenant_id == tenant_id, subscriptions.c.ended_ns.is_(None))
        return rows[0] if rows else None

    def history(self, tenant_id: str) -> list[Subscription]:
        """All of a tenant's, oldest first."""
        return self._rows(subscriptions.c.tenant_id == tenant_id)

    def all_current(self) -> dict[str, Subscription]:
        """tenant_id -> its open subscription, for the gateway's snapshot."""
        return {row.tenant_id: row for row in self._rows(subscriptions.c.ended_ns.is_(None))}

    def _rows(self, *where: sa.ColumnElement[bool]) -> list[Subscription]:
        select = sa.select(subscriptions).where(*where).order_by(subscriptions.c.started_ns, subscriptions.c.id)
        with self._changes.database.read() as connection:
            rows: list[dict[str, Any]] = [dict(row) for row in connection.execute(select).mappings()]
        return [Subscription(**row) for row in rows]
