"""The fast evaluator: each part of a plan by the cheapest means that is exact, put together as quote() does.

Prices: sums by context times rates. Charges that are functions of summed meters: arrays. Everything else: the
reference, over the events of that charge alone. A plan's total then equals quote()'s, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

import msgspec

from mintage.base import ATTOS_PER_UNIT, MintageError
from mintage.lab.engine.aggregate import Context, Grain, Totals, aggregate
from mintage.lab.engine.periods import Calendar, Roll
from mintage.lab.engine.rates import cell_attos, unit_of
from mintage.lab.engine.reference import reference_quotes
from mintage.lab.workload import Workload
from mintage.pricing import Adjustment, Plan, Price, Window
from mintage.pricing.charges import Allowance, Outcome, QuantityCharge, Seats, total
from mintage.pricing.live import live_rates
from mintage.pricing.match import Dimensions
from mintage.pricing.period import commitment_steps, local_day, midnight_ns, minimum_true_up
from mintage.pricing.prorate import fee_steps
from mintage.pricing.rates import to_attos
from mintage.pricing.scalar import choose_price, factor_of, meter_rates, unpriceable
from mintage.pricing.select import candidates
from mintage.pricing.vector import vectorise

Evaluator = Literal["sums", "arrays", "events"]


class Evaluated(msgspec.Struct, frozen=True):
    """attos per cell of the roll; how: which evaluator each part of the plan took."""

    attos: list[int]
    how: dict[str, Evaluator]


class Engine:
    """One workload, its periods, and the sums that plans share. Not for two threads at once."""

    def __init__(self, workload: Workload, calendar: Calendar, roll: Roll) -> None:
        self.workload, self.calendar, self.roll = workload, calendar, roll
        self._totals: dict[Grain, Totals] = {}
        self._arrays: dict[str, dict[str, Any]] | None = None

    def totals(self, grain: Grain) -> Totals:
        found = self._totals.get(grain)
        if found is None:
            if len(self._totals) >= 8:
                self._totals.pop(next(iter(self._totals)))
            found = self._totals[grain] = aggregate(self.workload, self.calendar, self.roll, grain)
        return found

    def evaluate(self, plan: Plan, pools: Mapping[str, Decimal] | None = None) -> Evaluated:
        """Every bill of the workload under the plan. Raises MintageError("unpriceable") as quote() would."""
        how: dict[str, Evaluator] = {}
        listed = self._usage(plan, how)
        for charge in plan.charges:
            part = self._charge(plan, charge, pools or {}, how)
            listed = [a + b for a, b in zip(listed, part, strict=True)]
        return Evaluated(self._finish(plan, listed), how)

    # -- prices --------------------------------------------------------------------------------------------------------

    def _usage(self, plan: Plan, how: dict[str, Evaluator]) -> list[int]:
        by_request = any(price.minimum is not None or price.maximum is not None for price in plan.prices)
        if not by_request:
            totals = self.totals(grain_of(plan, self.calendar))
            rates = [context_rates(plan, context, totals, place) for place, context in enumerate(totals.contexts)]
            unit = unit_of(rates)
            if unit is not None:
                how["prices"] = "sums"
                return cell_attos(totals, rates, unit)
        how["prices"] = "events"
        return self._reference(msgspec.structs.replace(_bare(plan), prices=plan.prices, adjustments=plan.adjustments,
                                                       charges=plan.charges), ("usage",), kinds=("usage",))  # fmt: skip

    # -- charges -------------------------------------------------------------------------------------------------------

    def _charge(self, plan: Plan, charge: Any, pools: Mapping[str, Decimal], how: dict[str, Evaluator]) -> list[int]:
        alone = msgspec.structs.replace(_bare(plan), charges=(charge,))
        if not (isinstance(charge, Allowance) and charge.rollover_periods):
            try:
                usage = self._by_model()
                found = vectorise(alone, list(usage)).attos(usage)
                how[charge.id] = "arrays"
                return found
            except MintageError as error:
                if error.code != "unsupported":
                    raise
        how[charge.id] = "events"
        return self._reference(alone, ("charge",), kinds=_kinds(charge), pools=pools)

    def _by_model(self) -> dict[str, dict[str, Any]]:
        """model -> meter -> int64 per cell."""
        import numpy as np

        if self._arrays is None:
            totals = self.totals(Grain())
            self._arrays = {}
            for place, context in enumerate(totals.contexts):
                mine = totals.context == place
                columns = {}
                for meter, sums in totals.sums.items():
                    if (sums[mine] != 0).any():
                        columns[meter] = np.zeros(self.roll.cells, dtype=np.int64)
                        np.add.at(columns[meter], totals.cell[mine], sums[mine])
                self._arrays[context.model] = columns or {"requests": np.zeros(self.roll.cells, dtype=np.int64)}
            if not self._arrays:
                self._arrays = {"": {"requests": np.zeros(self.roll.cells, dtype=np.int64)}}
        return self._arrays

    def _reference(
        self, plan: Plan, lines: Iterable[str], *, kinds: Sequence[str], pools: Mapping[str, Decimal] | None = None
    ) -> list[int]:
        """Lines of some kinds, by quote(), from the events of some kinds."""
        wanted = set(lines)
        quotes = reference_quotes(plan, self.workload, self.calendar, self.roll, pools or {}, kinds)
        return [sum(line.amount_attos for line in made.lines if line.kind in wanted) for made in quotes]

    # -- what the period adds ------------------------------------------------------------------------------------------

    def _finish(self, plan: Plan, listed: list[int]) -> list[int]:
        """Fees, commitment, minimum and maximum, in the order of a quote."""
        if not (plan.fees or plan.commitment or plan.minimum is not None or plan.maximum is not None):
            return listed
        fees = self._fees(plan)
        due, cell = [], 0
        for count in self.roll.count.tolist():
            earlier = 0
            for number in range(count):
                amount = listed[cell]
                term = number % plan.commitment.periods if plan.commitment else 0
                earlier = earlier if term else 0
                bill = amount + fees[cell] + _committed(plan, amount, earlier, term)
                earlier += amount
                due.append(_limited(plan, bill))
                cell += 1
        return due

    def _fees(self, plan: Plan) -> list[int]:
        spans, zone = self.calendar.spans, self.calendar.zone
        due = {
            (place, new): sum(to_attos(total(fee_steps(fee, span, span, zone, new))) for fee in plan.fees)
            for place, span in enumerate(spans)
            for new in (False, True)
        }
        starts = set(self.roll.offset.tolist())
        return [due[place, cell in starts] for cell, place in enumerate(self.roll.cell_periods().tolist())]


def _committed(plan: Plan, listed: int, earlier: int, term: int) -> int:
    """What the commitment adds to usage at list price."""
    if plan.commitment is None:
        return 0
    amount, before = Fraction(listed, ATTOS_PER_UNIT), Fraction(earlier, ATTOS_PER_UNIT)
    steps = commitment_steps(plan.commitment, amount, before=before, period=term)
    return to_attos(total(steps) - amount)


def _limited(plan: Plan, attos: int) -> int:
    charged = Fraction(attos, ATTOS_PER_UNIT)
    if plan.minimum is not None:
        attos += to_attos(minimum_true_up(charged, Fraction(plan.minimum)))
    if plan.maximum is not None and charged > plan.maximum:
        attos += to_attos(Fraction(plan.maximum) - charged)
    return attos


def _bare(plan: Plan) -> Plan:
    """The plan without anything that is charged."""
    return msgspec.structs.replace(
        plan, prices=(), adjustments=(), charges=(), fees=(), minimum=None, maximum=None, commitment=None, trial=None,
        grants=(), packs=(), auto_top_up=None, progressive=None, effective=None,
    )  # fmt: skip


def _kinds(charge: Any) -> tuple[str, ...]:
    """Kinds of the events that a charge asks for; empty: any."""
    if isinstance(charge, Outcome):
        return (charge.outcome_kind, charge.reversal_kind)
    if isinstance(charge, Seats):
        return ("usage",) if charge.counted == "active" else ("seat",)
    if isinstance(charge, QuantityCharge) or hasattr(charge, "metric"):
        return (charge.metric.kind,)
    return {"reservation": ("reservation",), "licence": ("licence",)}.get(type(charge).__name__.lower(), ())


# -- contexts ----------------------------------------------------------------------------------------------------------


def grain_of(plan: Plan, calendar: Calendar) -> Grain:
    """What the plan's prices depend on, over the calendar's time."""
    items: list[Price | Adjustment] = [*plan.prices, *plan.adjustments]
    names = {name for item in items for name in item.where}
    names |= {name for charge in plan.charges for name in charge.where if name != "model"}
    thresholds = {price.above_prompt_tokens for price in plan.prices if price.above_prompt_tokens}
    windows = {item.during for item in items if item.during is not None}
    return Grain(
        dimensions=tuple(sorted(names - {"model"})),
        thresholds=tuple(sorted(thresholds)),
        instants=tuple(sorted({at for window in windows for at in _edges(window, calendar)})),
    )


def _edges(window: Window, calendar: Calendar) -> Iterable[int]:
    """Every instant at which a window may open or close, found by trying: clocks are set twice a year."""
    from datetime import timedelta

    from mintage.pricing.select import window_holds

    start, end = calendar.spans[0].start_ns, calendar.spans[-1].end_ns
    day, last = local_day(start, window.zone) - timedelta(days=1), local_day(end, window.zone) + timedelta(days=1)
    while day <= last:
        midnight = midnight_ns(day, window.zone)
        following = midnight_ns(day + timedelta(days=1), window.zone)
        yield midnight
        yield from _changes(window, midnight, following, window_holds)
        day += timedelta(days=1)


def _changes(window: Window, low: int, high: int, holds: Any) -> Iterable[int]:
    """Instants in (low, high) at which the window's state changes: coarse steps, then halving to the nanosecond."""
    step = 900 * 10**9
    for left in range(low, high, step):
        right = min(left + step, high) - 1
        if holds(window, left) != holds(window, right):
            a, b = left, right
            while b - a > 1:
                middle = (a + b) // 2
                a, b = (middle, b) if holds(window, middle) == holds(window, left) else (a, middle)
            yield b
        if right + 1 < high and holds(window, right) != holds(window, right + 1):
            yield right + 1


def context_rates(plan: Plan, context: Context, totals: Totals, place: int) -> Mapping[str, Fraction]:
    """meter -> currency units of one. Raises MintageError("unpriceable") if what counted has no price."""
    where: Dimensions = context.dimensions
    price: Price | None = choose_price(plan, context.model, context.prompt_tokens, context.at_ns, where)
    covered = live_rates(plan, context.model, where)
    mine = totals.context == place
    used = [meter for meter, sums in totals.sums.items() if sums[mine].any()]
    if price is None and not covered and used:
        raise unpriceable(plan, context.model)
    factor = factor_of(plan, context.model, context.at_ns, where)
    rates = meter_rates(price, factor, {})
    for meter in used:
        if meter != "requests" and meter not in rates and meter not in covered:
            raise unpriceable(plan, context.model, meter)
    if any(p.minimum is not None or p.maximum is not None for p in candidates(plan.prices, context.model)):
        raise MintageError("unsupported", "A request's minimum needs each request.", "Use the reference.")
    return rates
