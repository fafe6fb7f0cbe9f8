"""Spending caps of a customer: a hard one refuses what would pass it, alerts tell at so many percent of it.

The gateway enforces hard caps as it does the budgets of keys and projects; what is told is recorded once a period.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import msgspec
import sqlalchemy as sa

from mintage.accounts import Changes, Tenant
from mintage.base import ATTOS_PER_NANO, MintageError, check_nanos
from mintage.billing.evaluate import SYSTEM_PRODUCTS
from mintage.billing.tables_terms import entitlements, spend_alerts, spend_caps
from mintage.billing.webhooks.outbox import announce
from mintage.books import BUCKET_NS, Ledger

Every = Literal["day", "week", "month", "ever"]
DAY_NS: Final = 86_400 * 10**9


class SpendCap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """amount_nanos per UTC day, week (from Monday), month, or for ever. alerts: percents of it, as 50, 80, 100."""

    amount_nanos: int
    every: Every = "month"
    hard: bool = False
    alerts: tuple[int, ...] = (80, 100)


class SpendAlert(msgspec.Struct, frozen=True, kw_only=True):
    tenant_id: str
    period_start_ns: int
    percent: int
    spent_nanos: int
    at_ns: int


class Entitlements(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A customer's own, over its plan's: what is None stays as the plan has it. models: patterns such as `gpt-*`."""

    models: tuple[str, ...] | None = None
    features: tuple[str, ...] | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


def period_start_ns(every: Every, at_ns: int) -> int:
    """The beginning of the UTC period that holds an instant."""
    if every == "ever":
        return 0
    day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_ns // 1000)).date()
    if every == "week":
        day -= timedelta(days=day.weekday())
    elif every == "month":
        day = day.replace(day=1)
    return (day - datetime(1970, 1, 1, tzinfo=UTC).date()).days * DAY_NS


class SpendCaps:
    """Blocking, for a thread. tell is called with each new alert."""

    def __init__(self, changes: Changes, ledger: Ledger) -> None:
        self._changes = changes
        self._ledger = ledger
        self.tell: Callable[[SpendAlert], None] = lambda alert: None

    def set(self, actor: str, tenant: Tenant, cap: SpendCap) -> SpendCap:
        if check_nanos(cap.amount_nanos) < 0:
            raise MintageError("invalid_request", "A cap is 0 or more.", "Give an amount.", param="amount")
        if list(cap.alerts) != sorted(set(cap.alerts)) or any(not 1 <= one <= 1000 for one in cap.alerts):
            raise MintageError(
                "invalid_request", "Alerts are percents in order, from 1 to 1000.", "Write 50,80,100.", param="alerts"
            )
        row = msgspec.structs.asdict(cap) | {"alerts": ",".join(map(str, cap.alerts))}
        with self._changes.change(actor, "spend_cap.set", tenant.id, tenant_id=tenant.id, **row) as change:
            change.connection.execute(spend_caps.delete().where(spend_caps.c.tenant_id == tenant.id))
            change.connection.execute(spend_caps.insert().values(tenant_id=tenant.id, **row))
        return cap

    def remove(self, actor: str, tenant: Tenant) -> None:
        with self._changes.change(actor, "spend_cap.remove", tenant.id, tenant_id=tenant.id) as change:
            change.connection.execute(spend_caps.delete().where(spend_caps.c.tenant_id == tenant.id))

    def all(self) -> dict[str, SpendCap]:
        """tenant_id -> cap."""
        with self._changes.database.read() as connection:
            return {row["tenant_id"]: _cap(dict(row)) for row in connection.execute(sa.select(spend_caps)).mappings()}

    def get(self, tenant_id: str) -> SpendCap | None:
        with self._changes.database.read() as connection:
            select = sa.select(spend_caps).where(spend_caps.c.tenant_id == tenant_id)
            row = connection.execute(select).mappings().one_or_none()
        return None if row is None else _cap(dict(row))

    def spent_nanos(self, tenant_id: str, cap: SpendCap, now_ns: int) -> int:
        """What requests of the running period came to, as settled."""
        start = period_start_ns(cap.every, now_ns)
        # an invoice may have closed this quarter of an hour already: what comes now counts in the next
        rows = self._ledger.usage_lines(tenant_id, start, (now_ns // BUCKET_NS + 2) * BUCKET_NS)
        return sum(row.attos for row in rows if row.product not in SYSTEM_PRODUCTS) // ATTOS_PER_NANO

    def check(self, tenant: Tenant) -> list[SpendAlert]:
        """Record and tell the alerts that the running period has newly reached."""
        cap = self.get(tenant.id)
        if cap is None or not cap.alerts:
            return []
        now = self._changes.clock.now_ns()
        spent, start = self.spent_nanos(tenant.id, cap, now), period_start_ns(cap.every, now)
        known = {alert.percent for alert in self.alerts(tenant.id) if alert.period_start_ns == start}
        new = [
            SpendAlert(tenant_id=tenant.id, period_start_ns=start, percent=percent, spent_nanos=spent, at_ns=now)
            for percent in cap.alerts
            if percent not in known and spent * 100 >= cap.amount_nanos * percent
        ]
        if new:
            with self._changes.database.write() as connection:
                connection.execute(spend_alerts.insert(), [msgspec.structs.asdict(alert) for alert in new])
                for alert in new:
                    told = {"percent": alert.percent, "cap_nanos": cap.amount_nanos, "every": cap.every}
                    told |= {"hard": cap.hard, "spent_nanos": spent, "period_start_ns": start}
                    announce(connection, "spend_cap.reached", tenant.id, told, now)
        for alert in new:
            self.tell(alert)
        return new

    def alerts(self, tenant_id: str) -> list[SpendAlert]:
        """Newest first."""
        t = spend_alerts.c
        select = sa.select(spend_alerts).where(t.tenant_id == tenant_id).order_by(t.at_ns.desc(), t.percent.desc())
        with self._changes.database.read() as connection:
            return [SpendAlert(**row) for row in connection.execute(select.limit(500)).mappings()]

    # -- entitlements ------------------------------------------------------------------------------------------------

    def entitle(self, actor: str, tenant: Tenant, own: Entitlements) -> Entitlements:
        """The customer's own entitlements, instead of those that it had."""
        content = msgspec.json.encode(own).decode()
        with self._changes.change(actor, "entitlements.set", tenant.id, tenant_id=tenant.id, content=content) as change:
            change.connection.execute(entitlements.delete().where(entitlements.c.tenant_id == tenant.id))
            change.connection.execute(entitlements.insert().values(tenant_id=tenant.id, content=content))
        return own

    def entitlements(self) -> dict[str, Entitlements]:
        """tenant_id -> its own."""
        with self._changes.database.read() as connection:
            rows = connection.execute(sa.select(entitlements)).all()
        return {row.tenant_id: msgspec.json.decode(row.content, type=Entitlements) for row in rows}


def _cap(row: dict[str, Any]) -> SpendCap:
    alerts = tuple(int(one) for one in row["alerts"].split(",") if one)
    return SpendCap(**{**{k: row[k] for k in ("amount_nanos", "every", "hard")}, "alerts": alerts})
