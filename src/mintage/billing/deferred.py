"""Deferred revenue: fees billed ahead are earned day by day, in the customer's days.

For each fee the part that is earned by a day is a floor of the whole, so the parts add up; a correction of the fee
changes the whole, and the next release makes up for it. Each release is one journal, in the transaction that notes it.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from typing import Final

import msgspec
import sqlalchemy as sa

from mintage.accounts import Changes
from mintage.billing.ahead import Ahead, AheadFee
from mintage.billing.tables_terms import released_fees
from mintage.books import Journal, Ledger, Posting
from mintage.pricing.period import local_day, midnight_ns

DEFERRED: Final = "liabilities:deferred_revenue"
_Key = tuple[str, int, int]  # subscription, period, fee


class DeferredFee(msgspec.Struct, frozen=True, kw_only=True):
    """A fee billed ahead, and how much of it is still to be earned. Days are local; until is not included."""

    tenant_id: str
    plan: str
    currency: str
    first_day: str
    until_day: str
    billed_nanos: int
    released_nanos: int

    @property
    def deferred_nanos(self) -> int:
        return self.billed_nanos - self.released_nanos


def earned_nanos(billed_nanos: int, first: date, until: date, before: date) -> int:
    """What is earned of a fee for [first, until) when the days before `before` are over."""
    if before >= until:
        return billed_nanos
    if before <= first:
        return 0
    return billed_nanos * (before - first).days // (until - first).days


class Deferred:
    """Blocking, for a thread."""

    def __init__(self, changes: Changes, ledger: Ledger, ahead: Ahead) -> None:
        self._changes = changes
        self._ledger = ledger
        self._ahead = ahead

    def release(self, zone_of: dict[str, str], tenant_id: str | None = None) -> int:
        """Post what has been earned since the last time, one journal a fee and day; returns how many."""
        released = self._released(tenant_id)
        now = self._changes.clock.now_ns()
        posted = 0
        for key, rows in self._groups(tenant_id).items():
            zone = zone_of.get(rows[0].tenant_id, "UTC")
            posted += self._release(key, rows, released.get(key, {}), local_day(now, zone), zone)
        return posted

    def fees(self, zone_of: dict[str, str], tenant_id: str | None = None) -> list[DeferredFee]:
        """Every fee that is not wholly earned."""
        released = self._released(tenant_id)
        found = []
        for key, rows in self._groups(tenant_id).items():
            first, until = _days(rows, zone_of.get(rows[0].tenant_id, "UTC"))
            fee = DeferredFee(
                tenant_id=rows[0].tenant_id,
                plan=rows[0].price_id.partition("@")[0],
                currency=rows[0].currency,
                first_day=str(first),
                until_day=str(until),
                billed_nanos=sum(row.nanos for row in rows),
                released_nanos=sum(released.get(key, {}).values()),
            )
            if fee.deferred_nanos:
                found.append(fee)
        return found

    def _groups(self, tenant_id: str | None) -> dict[_Key, list[AheadFee]]:
        groups: dict[_Key, list[AheadFee]] = defaultdict(list)
        for row in self._ahead.rows(tenant_id):
            if row.settled:
                groups[row.subscription_id, row.period_start_ns, row.fee].append(row)
        return groups

    def _released(self, tenant_id: str | None) -> dict[_Key, dict[str, int]]:
        select = sa.select(released_fees)
        if tenant_id is not None:
            select = select.where(released_fees.c.tenant_id == tenant_id)
        found: dict[_Key, dict[str, int]] = defaultdict(dict)
        with self._changes.database.read() as connection:
            for row in connection.execute(select):
                found[row.subscription_id, row.period_start_ns, row.fee][row.day] = row.nanos
        return found

    def _release(self, key: _Key, rows: list[AheadFee], known: dict[str, int], today: date, zone: str) -> int:
        billed = sum(row.nanos for row in rows)
        done = sum(known.values())
        if done == billed:
            return 0
        first, until = _days(rows, zone)
        posted = 0
        last = max((date.fromisoformat(name[:10]) for name in known), default=first - timedelta(days=1))
        day = max(first, last + timedelta(days=1))
        while day < min(today, until):
            nanos = earned_nanos(billed, first, until, day + timedelta(days=1)) - done
            if nanos:
                self._post(key, rows[0], str(day), nanos, midnight_ns(day + timedelta(days=1), zone) - 1)
                done += nanos
                posted += 1
            day += timedelta(days=1)
        if today >= until and done != billed:  # corrected after its days were over
            name = f"{today}.{len(known) % 10_000}"
            self._post(key, rows[0], name, billed - done, self._changes.clock.now_ns())
            posted += 1
        return posted

    def _post(self, key: _Key, row: AheadFee, day: str, nanos: int, at_ns: int) -> None:
        plan = row.price_id.partition("@")[0]
        at_ns = max(at_ns, self._ledger.locked_until_ns())
        journal = Journal(
            event="subscription_released",
            source="subscription_release",
            source_id=f"{key[0]}:{key[1]}:{key[2]}:{day}",
            occurred_ns=at_ns,
            tenant_id=row.tenant_id,
            memo=plan,
            postings=(
                Posting(account=DEFERRED, currency=row.currency, amount_nanos=nanos, product=plan),
                Posting(
                    account=f"income:subscription:{plan}", currency=row.currency, amount_nanos=-nanos, product=plan
                ),
            ),
        )
        values = {"subscription_id": key[0], "period_start_ns": key[1], "fee": key[2], "day": day}
        with self._changes.database.write() as connection:
            connection.execute(released_fees.insert().values(**values, tenant_id=row.tenant_id, nanos=nanos))
            self._ledger.post(journal, connection)


def _days(rows: list[AheadFee], zone: str) -> tuple[date, date]:
    """What the fee covers now; a fee that covers nothing is earned on its first day."""
    last = rows[-1]
    first = local_day(min(row.start_ns for row in rows), zone)
    until = local_day(last.end_ns - 1, zone) + timedelta(days=1) if last.end_ns > last.start_ns else first
    return first, max(until, first + timedelta(days=1))
