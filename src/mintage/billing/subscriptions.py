"""Subscriptions: which plan a tenant has, since when, and the anchor from which its periods follow.

A tenant's subscriptions are a timeline of rows [started, ended). What is planned is a row that begins, or an end that
lies, in the future: nothing has to run for it to come true, and until then it can be taken back.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Final, Literal

import msgspec
import sqlalchemy as sa

from mintage.accounts import SYSTEM, Changes, Tenant
from mintage.base import MintageError, new_id
from mintage.billing.periods import Period, PeriodLength, period_at
from mintage.billing.tables import subscriptions
from mintage.billing.tables_terms import pauses
from mintage.pricing import PriceVersion
from mintage.pricing.period import local_day, midnight_ns

Refund = Literal["prorate", "none"]
State = Literal["scheduled", "trial", "active", "paused", "ended"]
HISTORY_MAX: Final = 1_000  # plans of one customer
#: Rows of the pauses' table that only stop keys: an allowance is used up.
_OF_ALLOWANCE: Final = pauses.c.id.startswith("quo_", autoescape=True)


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant has one at a time at most. anchor_day is that of the first of those that follow each other."""

    id: str
    tenant_id: str
    plan: str
    anchor_day: str
    time_zone: str
    period: PeriodLength
    started_ns: int
    ended_ns: int | None = None
    trial_until_ns: int | None = None
    refund: Refund = "prorate"

    def period_at(self, at_ns: int) -> Period:
        return period_at(date.fromisoformat(self.anchor_day), self.time_zone, self.period, at_ns)

    def holds(self, at_ns: int) -> bool:
        return self.started_ns <= at_ns and (self.ended_ns is None or at_ns < self.ended_ns)

    def state(self, at_ns: int, paused: bool = False) -> State:
        if at_ns < self.started_ns:
            return "scheduled"
        if not self.holds(at_ns):
            return "ended"
        if paused:
            return "paused"
        return "trial" if self.trial_until_ns is not None and at_ns < self.trial_until_ns else "active"


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """Time that no fee is charged for, and in which the keys are stopped."""

    id: str
    tenant_id: str
    from_ns: int
    until_ns: int | None = None

    def holds(self, at_ns: int) -> bool:
        return self.from_ns <= at_ns and (self.until_ns is None or at_ns < self.until_ns)


def trial_end_ns(started_ns: int, days: int, zone: str) -> int:
    """The beginning of the local day on which the trial is over."""
    return midnight_ns(local_day(started_ns, zone) + timedelta(days=days), zone)


class Subscriptions:
    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    # -- what there is -----------------------------------------------------------------------------------------------

    def current(self, tenant_id: str) -> Subscription | None:
        """The one that holds now."""
        now = self._changes.clock.now_ns()
        return next((row for row in self.history(tenant_id) if row.holds(now)), None)

    def history(self, tenant_id: str) -> list[Subscription]:
        """All of a tenant's, oldest first, planned ones included."""
        return self._rows(subscriptions.c.tenant_id == tenant_id)

    def all_current(self) -> dict[str, Subscription]:
        """tenant_id -> the one that holds now, for the gateway's snapshot."""
        now = self._changes.clock.now_ns()
        c = subscriptions.c
        return {row.tenant_id: row for row in self._rows(c.started_ns <= now, self._open(now))}

    def next_change_ns(self, after_ns: int) -> int | None:
        """When the next planned beginning, end, pause or resumption of any tenant comes true."""
        columns = (subscriptions.c.started_ns, subscriptions.c.ended_ns, pauses.c.from_ns, pauses.c.until_ns)
        with self._changes.database.read() as connection:
            found = [connection.scalar(sa.select(sa.func.min(column)).where(column > after_ns)) for column in columns]
        return min((int(at_ns) for at_ns in found if at_ns is not None), default=None)

    def pauses(self, tenant_id: str) -> list[Pause]:
        return self._pauses(pauses.c.tenant_id == tenant_id, ~_OF_ALLOWANCE)

    def all_exhausted(self) -> set[str]:
        """Tenants that have used up what their plan includes, until their next period."""
        now = self._changes.clock.now_ns()
        return {row.tenant_id for row in self._pauses(pauses.c.from_ns <= now, pauses.c.until_ns > now, _OF_ALLOWANCE)}

    def exhaust(self, tenant_id: str, until_ns: int) -> None:
        """Stop the keys until the allowance is new. Fees go on: this is no pause of the customer's own."""
        now = self._changes.clock.now_ns()
        row = Pause(id=new_id("quo"), tenant_id=tenant_id, from_ns=now, until_ns=until_ns)
        with self._changes.change(
            SYSTEM, "plan.exhausted", tenant_id, tenant_id=tenant_id, until_ns=until_ns
        ) as change:
            change.connection.execute(pauses.insert().values(**msgspec.structs.asdict(row)))

    def all_paused(self) -> set[str]:
        """Tenants that are paused now."""
        now = self._changes.clock.now_ns()
        over = sa.or_(pauses.c.until_ns.is_(None), pauses.c.until_ns > now)
        return {row.tenant_id for row in self._pauses(pauses.c.from_ns <= now, over, ~_OF_ALLOWANCE)}

    def tenants(self) -> list[str]:
        """Every tenant that has, had or will have a plan."""
        select = sa.select(subscriptions.c.tenant_id).distinct().order_by(subscriptions.c.tenant_id)
        with self._changes.database.read() as connection:
            return [str(tenant_id) for tenant_id in connection.scalars(select)]

    @staticmethod
    def _open(now_ns: int) -> sa.ColumnElement[bool]:
        return sa.or_(subscriptions.c.ended_ns.is_(None), subscriptions.c.ended_ns > now_ns)

    def _rows(self, *where: sa.ColumnElement[bool]) -> list[Subscription]:
        select = sa.select(subscriptions).where(*where).order_by(subscriptions.c.started_ns, subscriptions.c.id)
        with self._changes.database.read() as connection:
            rows: list[dict[str, Any]] = [dict(row) for row in connection.execute(select).mappings()]
        return [Subscription(**row) for row in rows]

    def _pauses(self, *where: sa.ColumnElement[bool]) -> list[Pause]:
        select = sa.select(pauses).where(*where).order_by(pauses.c.from_ns, pauses.c.id)
        with self._changes.database.read() as connection:
            rows: list[dict[str, Any]] = [dict(row) for row in connection.execute(select).mappings()]
        return [Pause(**row) for row in rows]

    # -- what changes ------------------------------------------------------------------------------------------------

    def check(self, tenant: Tenant, version: PriceVersion) -> Subscription | None:
        """The tenant's subscription of now. Raises conflict when the plan cannot follow it."""
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

    def assign(
        self,
        actor: str,
        tenant: Tenant,
        version: PriceVersion,
        *,
        at_ns: int | None = None,
        trial_days: int | None = None,
        then: str | None = None,
        refund: Refund = "prorate",
    ) -> Subscription:
        """Give the tenant a plan from at_ns (now) on; having it already changes nothing.

        Periods keep their anchor while one plan follows another. What was planned for later is dropped. trial_days:
        fees are waived for so long; then: the plan that follows the trial.
        """
        plan, now = version.plan, self._changes.clock.now_ns()
        current = self.check(tenant, version)
        history = self.history(tenant.id)
        if current is not None and current.plan == plan.id and (at_ns is None or at_ns <= now):
            if current.ended_ns is None or then is not None:
                return current
            return self.keep(actor, tenant)
        start_ns = now if at_ns is None else at_ns
        if len(history) >= HISTORY_MAX:
            raise MintageError("conflict", f"The customer has had {HISTORY_MAX} plans.", "Make a new customer.")
        trial_until = trial_end_ns(start_ns, trial_days, tenant.time_zone) if trial_days else None
        new = Subscription(
            id=new_id("sub"),
            tenant_id=tenant.id,
            plan=plan.id,
            anchor_day=current.anchor_day if current else str(local_day(start_ns, tenant.time_zone)),
            time_zone=tenant.time_zone,
            period=plan.period,
            started_ns=start_ns,
            trial_until_ns=trial_until,
            ended_ns=trial_until if then is not None else None,
        )
        rows = [new]
        if then is not None and trial_until is not None:
            rows.append(
                msgspec.structs.replace(
                    new, id=new_id("sub"), plan=then, started_ns=trial_until, trial_until_ns=None, ended_ns=None
                )
            )
        with self._changes.change(
            actor,
            "plan.assign",
            tenant.id,
            tenant_id=tenant.id,
            plan=plan.id,
            before=current and current.plan,
            started_ns=start_ns,
        ) as change:
            c = subscriptions.c
            change.connection.execute(
                subscriptions.delete().where(c.tenant_id == tenant.id, c.started_ns > now, c.started_ns >= start_ns)
            )
            if current is not None:
                change.connection.execute(
                    subscriptions.update().where(c.id == current.id).values(ended_ns=start_ns, refund=refund)
                )
            if start_ns <= now:  # another plan, another allowance
                used_up = sa.and_(pauses.c.tenant_id == tenant.id, pauses.c.until_ns > now, _OF_ALLOWANCE)
                change.connection.execute(pauses.update().where(used_up).values(until_ns=now))
            change.connection.execute(subscriptions.insert(), [msgspec.structs.asdict(row) for row in rows])
        return new

    def cancel(self, actor: str, tenant: Tenant, at_ns: int, refund: Refund = "prorate") -> Subscription:
        """End the plan at an instant, now or later; nothing follows it. Raises conflict for one that has ended."""
        current = self._must(tenant)
        now = self._changes.clock.now_ns()
        if at_ns < now:
            raise MintageError("invalid_request", "A plan cannot end in the past.", "End it now or later.", param="at")
        with self._changes.change(actor, "plan.cancel", tenant.id, tenant_id=tenant.id, ended_ns=at_ns) as change:
            c = subscriptions.c
            change.connection.execute(subscriptions.delete().where(c.tenant_id == tenant.id, c.started_ns > now))
            change.connection.execute(
                subscriptions.update().where(c.id == current.id).values(ended_ns=at_ns, refund=refund)
            )
        return msgspec.structs.replace(current, ended_ns=at_ns, refund=refund)

    def keep(self, actor: str, tenant: Tenant) -> Subscription:
        """Take back a planned end or change of plan."""
        current = self._must(tenant)
        now = self._changes.clock.now_ns()
        with self._changes.change(actor, "plan.keep", tenant.id, tenant_id=tenant.id, plan=current.plan) as change:
            c = subscriptions.c
            change.connection.execute(subscriptions.delete().where(c.tenant_id == tenant.id, c.started_ns > now))
            change.connection.execute(
                subscriptions.update().where(c.id == current.id).values(ended_ns=None, refund="prorate")
            )
        return msgspec.structs.replace(current, ended_ns=None, refund="prorate")

    def pause(self, actor: str, tenant: Tenant, until_ns: int | None = None) -> Pause:
        """Stop the keys and the fees from now on. Raises conflict if it is paused already."""
        self._must(tenant)
        now = self._changes.clock.now_ns()
        if until_ns is not None and until_ns <= now:
            raise MintageError("invalid_request", "A pause ends after now.", "Give a later time.", param="until")
        if any(pause.holds(now) for pause in self.pauses(tenant.id)):
            raise MintageError("conflict", "The customer is paused already.", "Resume it first.")
        new = Pause(id=new_id("pau"), tenant_id=tenant.id, from_ns=now, until_ns=until_ns)
        with self._changes.change(actor, "plan.pause", tenant.id, tenant_id=tenant.id, until_ns=until_ns) as change:
            change.connection.execute(pauses.insert().values(**msgspec.structs.asdict(new)))
        return new

    def resume(self, actor: str, tenant: Tenant) -> Pause:
        """Raises conflict if it is not paused."""
        now = self._changes.clock.now_ns()
        found = next((pause for pause in self.pauses(tenant.id) if pause.holds(now)), None)
        if found is None:
            raise MintageError("conflict", "The customer is not paused.", "There is nothing to resume.")
        with self._changes.change(actor, "plan.resume", tenant.id, tenant_id=tenant.id) as change:
            change.connection.execute(pauses.update().where(pauses.c.id == found.id).values(until_ns=now))
        return msgspec.structs.replace(found, until_ns=now)

    def _must(self, tenant: Tenant) -> Subscription:
        current = self.current(tenant.id)
        if current is None:
            raise MintageError("conflict", f"{tenant.name} has no plan now.", "Assign one: `mintage plan assign`.")
        return current
