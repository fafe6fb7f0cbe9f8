"""Fees billed ahead: what is due is compared with what was billed, and the difference is settled.

For each subscription, period and fee the whole is known at any moment: the fee for the time that the plan is held, as
far as anyone knows now. A change of plan, a pause or an end changes it; the correction, up or down, is one more row.
So nothing has to happen on time, and nothing can happen twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from mintage.accounts import SYSTEM, Changes
from mintage.base import NANOS_PER_UNIT
from mintage.billing.fees import part_of
from mintage.billing.periods import Period
from mintage.billing.subscriptions import Pause, Subscription
from mintage.billing.tables_terms import ahead_fees
from mintage.billing.timeline import chain_of, pieces
from mintage.pricing import Fee, PriceVersion


class AheadFee(msgspec.Struct, frozen=True, kw_only=True):
    """One movement of a fee: billed (above 0) or credited. [start, end) is what the fee now covers in all."""

    subscription_id: str
    period_start_ns: int
    fee: int
    seq: int
    tenant_id: str
    price_id: str
    currency: str
    nanos: int
    start_ns: int
    end_ns: int
    occurred_ns: int
    settled: bool = False

    @property
    def key(self) -> str:
        """What makes its settlement happen once."""
        return f"ahead:{self.subscription_id}:{self.period_start_ns}:{self.fee}:{self.seq}"


class Ahead:
    """The rows. Callers hold the closing's turn, so that no period closes in between."""

    def __init__(self, changes: Changes, version_at: Callable[[str, int], PriceVersion]) -> None:
        self._changes = changes
        self._version_at = version_at

    def rows(self, tenant_id: str | None = None) -> list[AheadFee]:
        c = ahead_fees.c
        select = sa.select(ahead_fees).order_by(c.tenant_id, c.subscription_id, c.period_start_ns, c.fee, c.seq)
        if tenant_id is not None:
            select = select.where(c.tenant_id == tenant_id)
        with self._changes.database.read() as connection:
            found: list[dict[str, Any]] = [dict(row) for row in connection.execute(select).mappings()]
        return [AheadFee(**row) for row in found]

    def settled(self, row: AheadFee) -> None:
        c = ahead_fees.c
        where = sa.and_(
            c.subscription_id == row.subscription_id,
            c.period_start_ns == row.period_start_ns,
            c.fee == row.fee,
            c.seq == row.seq,
        )
        with self._changes.database.write() as connection:
            connection.execute(ahead_fees.update().where(where).values(settled=True))

    def plan(
        self,
        tenant_id: str,
        history: Sequence[Subscription],
        pauses: Sequence[Pause],
        now_ns: int,
        closed_until_ns: int,
    ) -> list[AheadFee]:
        """Write what is due and not billed, or billed and no longer due; returns every row that is not settled."""
        known = self.rows(tenant_id)
        wanted = []
        for place, row in enumerate(history):
            if row.started_ns <= now_ns:
                mine = [old for old in known if old.subscription_id == row.id]
                wanted += self._row(history, place, pauses, mine, now_ns, closed_until_ns)
        if wanted:
            currency = {row.currency for row in wanted}.pop()
            total = sum(row.nanos for row in wanted)
            with self._changes.change(
                SYSTEM, "fees.ahead", tenant_id, tenant_id=tenant_id, nanos=total, currency=currency, rows=len(wanted)
            ) as change:
                change.connection.execute(ahead_fees.insert(), [msgspec.structs.asdict(row) for row in wanted])
        return [row for row in known if not row.settled] + wanted

    def _row(  # noqa: PLR0917 - one step of the closing, in its parts
        self,
        history: Sequence[Subscription],
        place: int,
        pauses: Sequence[Pause],
        known: Sequence[AheadFee],
        now_ns: int,
        closed_until_ns: int,
    ) -> list[AheadFee]:
        row = history[place]
        last_ns = max((old.period_start_ns for old in known), default=row.started_ns)
        period = row.period_at(max(last_ns, row.started_ns))
        until_ns = min(now_ns, (row.ended_ns or now_ns + 1) - 1)
        found: list[AheadFee] = []
        while period.start_ns <= until_ns:
            billed = [old for old in known if old.period_start_ns == period.start_ns]
            price_id = billed[0].price_id if billed else None
            version = self._version_at(price_id or row.plan, max(period.start_ns, row.started_ns))
            for index, fee in enumerate(version.plan.fees):
                if fee.timing == "advance":
                    mine = [old for old in billed if old.fee == index]
                    new = self._fee(history, place, pauses, period, index, fee, version, mine, now_ns, closed_until_ns)
                    found += [new] if new is not None else []
            period = row.period_at(period.end_ns)
        return found

    def _fee(  # noqa: PLR0917 - the parts of one question, in the order in which they were found
        self,
        history: Sequence[Subscription],
        place: int,
        pauses: Sequence[Pause],
        period: Period,
        index: int,
        fee: Fee,
        version: PriceVersion,
        billed: Sequence[AheadFee],
        now_ns: int,
        closed_until_ns: int,
    ) -> AheadFee | None:
        row = history[place]
        first, _ = chain_of(history, place)
        whole = row.refund == "none" or fee.proration == "none"
        owed = [
            (since, until)
            for since, until in pieces(row, pauses, period.start_ns, period.end_ns, to_the_end=whole)
            if since <= now_ns
        ]
        if place == first and owed and owed[0][0] == row.started_ns:
            owed[0] = (period.start_ns, owed[0][1])  # the day on which it began counts whole
        amount = int(fee.amount * NANOS_PER_UNIT)
        already = sum(old.nanos for old in billed)
        if fee.every == "once":
            begun = max(row.started_ns, row.trial_until_ns or 0)
            again = any(earlier.plan == row.plan for earlier in history[:place])
            due = amount if already or (owed and not again and period.start_ns <= begun < period.end_ns) else 0
        elif fee.proration == "none":
            due = amount if owed or already else 0
        else:
            due = sum(part_of(amount, fee.proration, since, until, period, row.time_zone) for since, until in owed)
        if due == already:
            return None
        start_ns = owed[0][0] if owed else period.start_ns
        ahead = not billed and start_ns == period.start_ns and place != first
        later_period = not billed and start_ns == period.start_ns and period.start_ns > row.started_ns
        occurred = period.start_ns - 1 if later_period or ahead else (now_ns if billed else start_ns)
        return AheadFee(
            subscription_id=row.id,
            period_start_ns=period.start_ns,
            fee=index,
            seq=len(billed),
            tenant_id=row.tenant_id,
            price_id=version.id,
            currency=version.plan.currency,
            nanos=due - already,
            start_ns=start_ns,
            end_ns=owed[-1][1] if owed else start_ns,
            occurred_ns=max(occurred, closed_until_ns),
        )
