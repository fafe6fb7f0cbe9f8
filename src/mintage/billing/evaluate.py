"""From a stretch that is due to its exact lines: reads the books at a watermark, rates, and puts the lines in order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import msgspec

from mintage.accounts import Tenant
from mintage.base import METERS, NANOS_PER_UNIT, MintageError
from mintage.billing.coupons import Coupons
from mintage.billing.fees import Stretch
from mintage.billing.lines import PeriodLine, RatedPeriod
from mintage.billing.period_usage import EventReader, LakeQuery, counts_single_requests, looks_back
from mintage.billing.plans import Plans
from mintage.billing.rated import RatedPeriods
from mintage.billing.rating import Discount, PeriodFacts, rate_period, rates_period, usage_line
from mintage.billing.subscriptions import Subscription, Subscriptions
from mintage.billing.timeline import stretches
from mintage.books import ADJUSTMENT, AHEAD, Ledger, UsageLine
from mintage.pricing import Event, Names, Plan, PriceVersion, Span
from mintage.pricing.charges import Pool
from mintage.pricing.metric import count, group_events

if TYPE_CHECKING:
    from mintage.billing.ahead import Ahead
    from mintage.billing.closing import Due

SUBSCRIPTION: Final = "subscription"
SYSTEM_PRODUCTS: Final = frozenset((ADJUSTMENT, AHEAD, SUBSCRIPTION))
CREDIT: Final = Names(en="Already invoiced in this period", zh="本账期已开票")


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """lines: what the stretch comes to, for its invoice. rated: the plans' parts of a period that ended with it."""

    lines: tuple[PeriodLine, ...]
    rated: tuple[RatedPeriod, ...] = ()
    discounts: tuple[PeriodLine, ...] = ()

    @staticmethod
    def discount_of(rated: RatedPeriod) -> int:
        return sum(line.attos for line in rated.lines if line.kind == "discount")


class Evaluator:
    def __init__(  # noqa: PLR0917 - one step of the closing, in its parts
        self,
        ledger: Ledger,
        plans: Plans,
        subscriptions: Subscriptions,
        coupons: Coupons,
        rated: RatedPeriods,
        lake: LakeQuery | None,
        ahead: Ahead,
    ) -> None:
        self._ledger = ledger
        self._plans = plans
        self._subscriptions = subscriptions
        self._coupons = coupons
        self._rated = rated
        self._ahead = ahead
        self._events = EventReader(lake) if lake is not None else None

    async def evaluate(self, tenant: Tenant, due: Due, watermark: int) -> Evaluation:
        """Pure in what the books say at the watermark: the same answer however often and whenever it is asked."""
        history = await asyncio.to_thread(self._subscriptions.history, tenant.id)
        usage = await asyncio.to_thread(self._ledger.usage_lines, tenant.id, due.start_ns, due.end_ns)
        mine = [row for row in usage if row.product not in SYSTEM_PRODUCTS]
        fees = await asyncio.to_thread(self._fees, tenant.id, due, usage)
        discounts = await asyncio.to_thread(self._discounts, tenant, due, history)
        if not due.final:
            lines = [*usage_lines(mine), *fees]
            off = take_off(discounts, sum(line.attos for line in fees), _price_id(fees))
            return Evaluation(lines=ordered([*lines, *off]), discounts=tuple(off))
        return await self._final(tenant, due, watermark, history, mine, fees, discounts)

    async def _final(  # noqa: PLR0917 - one step of the closing, in its parts
        self,
        tenant: Tenant,
        due: Due,
        watermark: int,
        history: Sequence[Subscription],
        mine: Sequence[UsageLine],
        fees: Sequence[PeriodLine],
        discounts: Sequence[Discount],
    ) -> Evaluation:
        pauses = await asyncio.to_thread(self._subscriptions.pauses, tenant.id)
        parts = await asyncio.to_thread(stretches, history, pauses, due.period, self._version_at)
        earlier: list[UsageLine] = []
        if due.base_ns < due.start_ns:
            before = await asyncio.to_thread(self._ledger.usage_lines, tenant.id, due.base_ns, due.start_ns)
            earlier = [row for row in before if row.product not in SYSTEM_PRODUCTS]
        by_plan: dict[str, list[Stretch]] = {}
        for part in parts:
            by_plan.setdefault(part.version.plan_id, []).append(part)
        lines: list[PeriodLine] = [*fees]
        lines += usage_lines([row for row in mine if _plan(row) not in by_plan])
        rated: list[RatedPeriod] = []
        fees_of_period = await asyncio.to_thread(self._fees_of_period, tenant.id, due, fees)
        for place, (plan, own) in enumerate(by_plan.items()):
            version = own[-1].version
            last = place == len(by_plan) - 1
            facts = await self._facts(tenant, due, watermark, history, version)
            whole = [row for row in (*earlier, *mine) if _plan(row) == plan]
            facts = msgspec.structs.replace(
                facts,
                rows=whole,
                fees_attos=fees_of_period.get(plan, 0),
                discounts=discounts if last else (),
                beside_attos=sum(line.attos for line in lines),
            )
            found = await asyncio.to_thread(rate_period, version, due.period, own, facts, self._plan_of)
            rated.append(found)
            lines += self._shown(found, version, own, facts, due, [row for row in mine if _plan(row) == plan])
        off = tuple(line for one in rated for line in one.lines if line.kind == "discount")
        return Evaluation(lines=ordered(lines), rated=tuple(rated), discounts=off)

    def _shown(  # noqa: PLR0917 - one step of the closing, in its parts
        self,
        found: RatedPeriod,
        version: PriceVersion,
        parts: Sequence[Stretch],
        facts: PeriodFacts,
        due: Due,
        now: Sequence[UsageLine],
    ) -> list[PeriodLine]:
        """The lines of a plan's part. What earlier invoices of the period billed is not billed again."""
        if due.start_ns == due.base_ns:
            return list(found.lines)
        if rates_period(version.plan):
            billed = sum(row.attos for row in facts.rows) - sum(row.attos for row in now)
            credit = PeriodLine(
                kind="credit", id="credit", name=CREDIT, product=ADJUSTMENT, price_id=version.id, attos=-billed
            )
            return [*found.lines, *([credit] if billed else [])]
        rest = rate_period(version, due.period, parts, msgspec.structs.replace(facts, rows=now), self._plan_of)
        usage = [line for line in rest.lines if line.kind == "usage"]
        return usage + [line for line in found.lines if line.kind != "usage"]

    # -- what rating needs to know -----------------------------------------------------------------------------------

    def _version_at(self, plan: str, at_ns: int) -> PriceVersion:
        return self._plans.current(plan, at_ns)

    def _plan_of(self, price_id: str) -> Plan:
        return self._plans.version(price_id).plan

    async def _facts(
        self, tenant: Tenant, due: Due, watermark: int, history: Sequence[Subscription], version: PriceVersion
    ) -> PeriodFacts:
        plan = version.plan
        reported, requests = await self._read_events(tenant.id, due, watermark, plan)
        earlier: list[RatedPeriod] = []
        if plan.commitment is not None or any(getattr(charge, "rollover_periods", 0) for charge in plan.charges):
            kept = await asyncio.to_thread(self._rated.of, tenant.id)
            earlier = [one for one in kept if one.end_ns <= due.period.start_ns]
        begun = next(row for row in history if row.plan == plan.id)
        before, place = self._rated.term(plan, earlier, due.period.index, _index_of(begun))
        return PeriodFacts(
            reported=reported,
            requests=requests,
            carried=self._rated.carried(plan, earlier, due.period.index),
            before_attos=before,
            term_period=place,
            pools=await self._pools(plan, due, watermark),
            zone=tenant.time_zone,
            watermark=watermark,
        )

    async def _read_events(
        self, tenant_id: str, due: Due, watermark: int, plan: Plan
    ) -> tuple[Sequence[Event], Sequence[Event]]:
        if self._events is None:
            if any(counts_single_requests(charge) for charge in plan.charges):
                raise MintageError("unavailable", "The lake is not at hand.", "Close periods while the server runs.")
            return (), ()
        closings = await asyncio.to_thread(self._ledger.closings, tenant_id)
        closings = [one for one in closings if one[0] < due.end_ns]
        since = 0 if looks_back(plan) else due.base_ns
        reported = await self._events.reported(tenant_id, since, due.end_ns, watermark, closings)
        requests: Sequence[Event] = ()
        if any(counts_single_requests(charge) for charge in plan.charges):
            requests = await self._events.requests(tenant_id, due.base_ns, due.end_ns, watermark, closings)
        return reported, requests

    async def _pools(self, plan: Plan, due: Due, watermark: int) -> dict[str, tuple[Fraction, Fraction]]:
        """Money and everyone's units of each pool. The units are counted once, when the first customer closes."""
        found = {}
        for charge in plan.charges:
            if isinstance(charge, Pool):
                day = str(due.period.start_day)
                nanos = await asyncio.to_thread(self._rated.pool_nanos, plan.id, charge.id, day)
                units = await asyncio.to_thread(self._rated.pool_units, plan.id, charge.id, day)
                if units is None:
                    units = await self._pool_units(plan, charge, due, watermark)
                    await asyncio.to_thread(self._rated.fix_pool, plan.id, charge.id, day, units)
                found[charge.id] = (Fraction(nanos, NANOS_PER_UNIT), units)
        return found

    async def _pool_units(self, plan: Plan, charge: Pool, due: Due, watermark: int) -> Fraction:
        if self._events is None:
            return Fraction(0)
        span, units = Span(due.base_ns, due.end_ns), Fraction(0)
        for tenant_id in await asyncio.to_thread(self._subscriptions.tenants):
            history = await asyncio.to_thread(self._subscriptions.history, tenant_id)
            if any(row.plan == plan.id for row in history):
                events = await self._events.reported(tenant_id, span.start_ns, span.end_ns, watermark, ())
                for mine in group_events(events, charge.where, charge.group_by).values():
                    units += charge.metric.convert(count(charge.metric, mine, span))
        return units

    # -- fees and discounts ------------------------------------------------------------------------------------------

    def _fees(self, tenant_id: str, due: Due, usage: Sequence[UsageLine]) -> list[PeriodLine]:
        """Flat fees that settled in the stretch: those in arrears, and those billed ahead with what they are for."""
        lines = [
            self._fee_line(row.price_id, row.meter, row.attos)
            for row in usage
            if row.product == SUBSCRIPTION and row.attos
        ]
        for row in self._ahead.rows(tenant_id):
            if due.start_ns <= row.occurred_ns < due.end_ns and row.settled:
                line = self._fee_line(row.price_id, f"fee:{row.fee}", row.nanos * 10**9)
                lines.append(msgspec.structs.replace(line, start_ns=row.start_ns, end_ns=row.end_ns))
        return lines

    def _fee_line(self, price_id: str, meter: str, attos: int) -> PeriodLine:
        fee = self._plan_of(price_id).fees[int(meter[4:])]
        return PeriodLine(
            kind="fee",
            id=meter,
            name=fee.name,
            product=SUBSCRIPTION,
            price_id=price_id,
            attos=attos,
            rate_attos=max(attos, 0),
            requests=1,
        )

    def _fees_of_period(self, tenant_id: str, due: Due, fees: Sequence[PeriodLine]) -> dict[str, int]:
        """plan -> flat fees of this period, whenever they were billed: what its minimum and maximum look at."""
        sums: dict[str, int] = {}
        for line in fees:
            if line.start_ns is None:
                plan = line.price_id.partition("@")[0]
                sums[plan] = sums.get(plan, 0) + line.attos
        for row in self._ahead.rows(tenant_id):
            if row.period_start_ns == due.period.start_ns and row.occurred_ns < due.end_ns:
                plan = row.price_id.partition("@")[0]
                sums[plan] = sums.get(plan, 0) + row.nanos * 10**9
        return sums

    def _discounts(self, tenant: Tenant, due: Due, history: Sequence[Subscription]) -> list[Discount]:
        """The coupons that hold in this period. A fixed amount comes off once a period, over all its invoices."""
        place = next((place for place, row in enumerate(history) if row.started_ns < due.period.end_ns), None)
        if place is None:
            return []
        found = self._coupons.discounts(tenant.id, due.period, lambda at_ns: _period_index(history, at_ns), due.end_ns)
        if not any(discount.amount_attos for discount in found) or due.base_ns == due.start_ns:
            return found
        before = self._ledger.usage_lines(tenant.id, due.base_ns, due.start_ns)
        used: dict[str, int] = {}
        for row in before:
            if row.product == ADJUSTMENT and row.meter.startswith("coupon:"):
                used[row.meter[7:]] = used.get(row.meter[7:], 0) - row.attos
        return [
            msgspec.structs.replace(one, amount_attos=max(one.amount_attos - used.get(one.code, 0), 0))
            if one.amount_attos
            else one
            for one in found
        ]


def take_off(discounts: Sequence[Discount], base_attos: int, price_id: str) -> list[PeriodLine]:
    """Coupons off flat fees alone, for an invoice in the middle of a period."""
    lines: list[PeriodLine] = []
    for one in discounts:
        off = min(base_attos, base_attos * Fraction(one.percent) // 100 + one.amount_attos)
        if off > 0:
            base_attos -= off
            lines.append(
                PeriodLine(
                    kind="discount",
                    id=f"coupon:{one.code}",
                    name=one.name,
                    product=ADJUSTMENT,
                    price_id=price_id,
                    attos=-int(off),
                )
            )
    return lines


def usage_lines(rows: Sequence[UsageLine]) -> list[PeriodLine]:
    """Settled usage as it is, by product, model, meter, price and rate."""
    groups: dict[tuple[str, str, int, str, str, int], list[UsageLine]] = {}
    for row in rows:
        known = row.meter in METERS
        place = METERS.index(row.meter) if known else len(METERS)
        key = (row.product, row.model, place, row.meter, row.price_id, row.rate_attos if known else 0)
        groups.setdefault(key, []).append(row)
    return [usage_line(key, found) for key, found in sorted(groups.items())]


def ordered(lines: Sequence[PeriodLine]) -> tuple[PeriodLine, ...]:
    return tuple(sorted(lines, key=PeriodLine.sort_key))


def _plan(row: UsageLine) -> str:
    return row.price_id.partition("@")[0]


def _price_id(lines: Sequence[PeriodLine]) -> str:
    return lines[0].price_id if lines else ""


def _index_of(row: Subscription) -> int:
    return row.period_at(row.started_ns).index


def _period_index(history: Sequence[Subscription], at_ns: int) -> int:
    """Which period an instant lies in, by the plan of that time; before the first plan: its first period."""
    row = next((row for row in reversed(history) if row.started_ns <= at_ns), history[0])
    return row.period_at(max(at_ns, row.started_ns)).index
