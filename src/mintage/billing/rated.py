"""Rated periods as they are kept: what closing found, for invoices, for later periods of a term, and to compare."""

from __future__ import annotations

import hashlib
from fractions import Fraction

import msgspec
import sqlalchemy as sa

from mintage.accounts import Changes
from mintage.base import MintageError
from mintage.billing.lines import RatedPeriod
from mintage.billing.tables_terms import pools, rated_periods
from mintage.pricing import Plan
from mintage.pricing.charges import Allowance, Carry


class RatedPeriods:
    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def keep(self, tenant_id: str, rated: RatedPeriod) -> None:
        """Store it once; the same again changes nothing. Raises internal if it comes out differently."""
        raw = msgspec.json.encode(rated)
        digest = hashlib.sha256(raw).hexdigest()
        t = rated_periods.c
        where = sa.and_(t.tenant_id == tenant_id, t.start_ns == rated.start_ns, t.plan == rated.plan)
        with self._changes.database.write() as connection:
            known = connection.scalar(sa.select(t.content_hash).where(where))
            if known is None:
                connection.execute(
                    rated_periods.insert().values(
                        tenant_id=tenant_id,
                        start_ns=rated.start_ns,
                        plan=rated.plan,
                        period_index=rated.index,
                        content=raw,
                        content_hash=digest,
                        closed_ns=self._changes.clock.now_ns(),
                    )
                )
            elif known != digest:
                raise MintageError(
                    "internal",
                    f"The period of {rated.plan} that began at {rated.start_ns} is rated differently now.",
                    "Run `mintage books verify`: the books below a closed period have changed.",
                )

    def of(self, tenant_id: str, start_ns: int | None = None) -> list[RatedPeriod]:
        """Oldest first; with start_ns only those of the period that began then."""
        t = rated_periods.c
        select = sa.select(t.content).where(t.tenant_id == tenant_id).order_by(t.start_ns, t.plan)
        if start_ns is not None:
            select = select.where(t.start_ns == start_ns)
        with self._changes.database.read() as connection:
            return [msgspec.json.decode(bytes(raw), type=RatedPeriod) for raw in connection.scalars(select)]

    # -- what earlier periods leave behind ---------------------------------------------------------------------------

    def carried(self, plan: Plan, earlier: list[RatedPeriod], index: int) -> dict[str, Fraction]:
        """Unused units of the plan's allowances, first in, first used."""
        found = {}
        for charge in plan.charges:
            if isinstance(charge, Allowance) and charge.rollover_periods:
                carry = Carry(msgspec.structs.replace(charge, overage=charge.overage))
                for rated in earlier:
                    if rated.plan == plan.id and rated.index < index:
                        used = Fraction(rated.quantities.get(charge.id, "0"))
                        if charge.overage is None:
                            used = min(used, Fraction(charge.included) + carry.carried(rated.index))
                        carry.close(rated.index, used)
                found[charge.id] = carry.carried(index)
        return found

    @staticmethod
    def term(plan: Plan, earlier: list[RatedPeriod], index: int, first_index: int) -> tuple[int, int]:
        """(list-price attos of the term's earlier periods, which period of its term this is)."""
        if plan.commitment is None:
            return 0, 0
        place = (index - first_index) % plan.commitment.periods
        begun = index - place
        mine = [rated for rated in earlier if rated.plan == plan.id and begun <= rated.index < index]
        return sum(rated.listed_attos for rated in mine), place

    # -- pools -------------------------------------------------------------------------------------------------------

    def set_pool(self, actor: str, plan: str, charge: str, first_day: str, amount_nanos: int) -> None:
        """How much money a pool has in the period that begins on a day."""
        t = pools.c
        where = sa.and_(t.plan == plan, t.charge == charge, t.first_day == first_day)
        with self._changes.change(
            actor, "pool.set", plan, charge=charge, first_day=first_day, amount_nanos=amount_nanos
        ) as change:
            if change.connection.scalar(sa.select(t.units).where(where)) is not None:
                raise MintageError(
                    "conflict", "The pool is being shared out already.", "Correct it in the next period."
                )
            change.connection.execute(pools.delete().where(where))
            change.connection.execute(
                pools.insert().values(plan=plan, charge=charge, first_day=first_day, amount_nanos=amount_nanos)
            )

    def pool_units(self, plan: str, charge: str, first_day: str) -> Fraction | None:
        """Everyone's units, once the first customer's closing has counted them."""
        t = pools.c
        select = sa.select(t.units).where(t.plan == plan, t.charge == charge, t.first_day == first_day)
        with self._changes.database.read() as connection:
            found = connection.scalar(select)
        return None if found is None else Fraction(found)

    def fix_pool(self, plan: str, charge: str, first_day: str, units: Fraction) -> None:
        """From now on the pool's shares are of so many units: those of all customers add up to it."""
        t = pools.c
        where = sa.and_(t.plan == plan, t.charge == charge, t.first_day == first_day, t.units.is_(None))
        with self._changes.database.write() as connection:
            connection.execute(pools.update().where(where).values(units=str(units)))

    def pool_nanos(self, plan: str, charge: str, first_day: str) -> int:
        """Raises conflict while nobody has said how much is in the pool."""
        t = pools.c
        select = sa.select(t.amount_nanos).where(t.plan == plan, t.charge == charge, t.first_day == first_day)
        with self._changes.database.read() as connection:
            found = connection.scalar(select)
        if found is None:
            raise MintageError(
                "conflict",
                f"The pool {charge} of plan {plan} has no amount for the period of {first_day}.",
                f"Set it: `mintage plan pool {plan} {charge} {first_day} AMOUNT`.",
            )
        return int(found)
