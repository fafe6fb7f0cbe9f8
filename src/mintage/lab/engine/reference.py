"""The reference: every customer's every period by quote(), event by event. Slow, plain, valid for every model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

import msgspec

from mintage.lab.engine.periods import Calendar, Roll
from mintage.lab.workload import Workload
from mintage.pricing import Event, PeriodUsage, Plan, Quote, Span, quote
from mintage.pricing.charges import Allowance, Carry, Pool, QuantityCharge
from mintage.pricing.metric import count

_DAY_NS: Final = 86_400 * 10**9


def _moment(at_ns: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_ns // 1000)


def needs_history(plan: Plan) -> bool:
    """Whether a period's bill asks for requests of earlier periods (a level that lasts)."""
    return any(
        isinstance(charge, QuantityCharge)
        and charge.metric.kind == "usage"
        and charge.metric.aggregate == "weighted_sum"
        for charge in plan.charges
    )


def period_events(events: Sequence[Event], span: Span, *, history: bool) -> list[Event]:
    """What a period is quoted from: its own requests, and every other event up to its end (seats taken before it)."""
    return [
        event
        for event in events
        if event.at_ns < span.end_ns and (history or event.kind != "usage" or event.at_ns >= span.start_ns)
    ]


class PoolSums(msgspec.Struct, frozen=True):
    """(charge id, period) -> units of every customer together; amounts: charge id -> money of each period."""

    units: Mapping[tuple[str, int], Fraction]
    amounts: Mapping[str, Decimal]


def pool_sums(plan: Plan, workload: Workload, calendar: Calendar, amounts: Mapping[str, Decimal]) -> PoolSums:
    """The second pass of cross-customer charges needs what every customer used: this is the first."""
    units: dict[tuple[str, int], Fraction] = {}
    for charge in plan.charges:
        if isinstance(charge, Pool):
            for _, events in workload.by_customer([charge.metric.kind]):
                for place, span in enumerate(calendar.spans):
                    counted = charge.metric.convert(count(charge.metric, events, span))
                    units[charge.id, place] = units.get((charge.id, place), Fraction(0)) + counted
    return PoolSums(units, amounts)


class Account:
    """One customer's periods in order: what one leaves behind, the next takes up."""

    def __init__(self, plan: Plan, calendar: Calendar, pools: PoolSums) -> None:
        self.plan, self.calendar, self.pools = plan, calendar, pools
        self._carries = {c.id: Carry(c) for c in plan.charges if isinstance(c, Allowance) and c.rollover_periods}
        self._term_listed = Fraction(0)
        self._number = 0
        self._history = needs_history(plan)

    def close(self, place: int, events: Sequence[Event]) -> Quote:
        span = self.calendar.spans[place]
        usage = self._usage(place, span)
        made = quote(self.plan, usage, span.start_ns, period_events(events, span, history=self._history))
        self._carry(made)
        self._number += 1
        return made

    def _usage(self, place: int, span: Span) -> PeriodUsage:
        commitment = self.plan.commitment
        term = self._number % commitment.periods if commitment else 0
        if not term:
            self._term_listed = Fraction(0)
        carried = {name: _decimal(carry.carried(self._number)) for name, carry in self._carries.items()}
        pools = {
            name: {"amount": amount, "units": _decimal(self.pools.units.get((name, place), Fraction(0)))}
            for name, amount in self.pools.amounts.items()
        }
        return msgspec.convert(
            {
                "start": _moment(span.start_ns),
                "end": _moment(span.end_ns),
                "zone": self.calendar.zone,
                "first_period": self._number == 0,
                "carried": carried,
                "committed_before": _decimal(self._term_listed),
                "term_period": term,
                "pools": pools,
            },
            PeriodUsage,
        )

    def _carry(self, made: Quote) -> None:
        for line in made.lines:
            if line.kind == "charge" and line.id in self._carries:
                self._carries[line.id].close(self._number, Fraction(line.quantity))
            if line.kind in ("usage", "charge"):
                self._term_listed += Fraction(line.amount_attos, 10**18)
        for name, carry in self._carries.items():
            if not any(line.id == name for line in made.lines):
                carry.close(self._number, Fraction(0))


def _decimal(value: Fraction) -> Decimal:
    """Exact: the quantities and amounts here have finite decimals."""
    return Decimal(value.numerator) / Decimal(value.denominator)


def reference_quotes(  # noqa: PLR0917 - what is priced, when, for whom
    plan: Plan,
    workload: Workload,
    calendar: Calendar,
    roll: Roll,
    pools: Mapping[str, Decimal],
    kinds: Sequence[str] = (),
) -> Iterator[Quote]:
    """One quote per cell of the roll, in its order. kinds: only events of these kinds; empty: all."""
    sums = pool_sums(plan, workload, calendar, pools)
    source = workload.by_customer(kinds)
    name, events = next(source, ("", []))
    for number, customer in enumerate(roll.customers):
        mine: list[Event] = []
        if name == customer:
            mine = events
            name, events = next(source, ("", []))
        account = Account(plan, calendar, sums)
        first = int(roll.first[number])
        for place in range(first, first + int(roll.count[number])):
            yield account.close(place, mine)
