"""Many bills at once: additive and period-total plans over arrays of usage, equal to quote() bit for bit.

Every amount of a plan is a whole multiple of one unit - the greatest that divides all its rates and flat amounts -
so bills are int64 arithmetic, checked against overflow, and nothing is rounded. Needs numpy (the extra `lab`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mintage.base import ATTOS_PER_UNIT, MintageError
from mintage.pricing.charges import Package, PeriodCharge, QuantityCharge, total
from mintage.pricing.charges.tiers import find_flaws
from mintage.pricing.live import live_rates, meters_of
from mintage.pricing.match import Dimensions, pattern_matches
from mintage.pricing.plan import Plan
from mintage.pricing.scalar import choose_price, factor_of, meter_rates, unpriceable
from mintage.pricing.segments import Segment, segments_of
from mintage.pricing.select import candidates
from mintage.pricing.states import plan_states

if TYPE_CHECKING:
    from numpy.typing import NDArray

    IntArray = NDArray[Any]  # int64, or Python integers where int64 would overflow

_SAFE: Final = 2**62
_EXACT: Final = frozenset({"additive", "period_total", "interval"})
_Rates = Mapping[str, Mapping[str, Fraction]]


def _unsupported(what: str) -> MintageError:
    return MintageError("unsupported", f"{what} needs each event: arrays of totals are not enough.", "Use quote().")


def common_unit(amounts: Iterable[Fraction]) -> Fraction:
    """The greatest amount of which every given one is a whole multiple; 1 if all are 0."""
    numerators, denominators = [0], [1]
    for amount in amounts:
        numerators.append(amount.numerator)
        denominators.append(amount.denominator)
    bottom = math.lcm(*denominators)
    top = math.gcd(*(n * (bottom // d) for n, d in zip(numerators, denominators, strict=True)))
    return Fraction(top, bottom) if top else Fraction(1)


class _Lines(msgspec.Struct, frozen=True):
    """A charge as integers. quantity n counts 1 / parts of a unit; amounts are multiples of the plan's unit."""

    charge: PeriodCharge
    parts: int
    weights: Mapping[str, int]  # meter -> parts that one counts
    segments: Sequence[Segment]
    zero: Fraction
    box: tuple[Fraction, Fraction, Fraction] | None  # of a package: size, price, free units


class VectorPlan:
    """A plan compiled for arrays. Made by vectorise."""

    def __init__(
        self, plan: Plan, rates: _Rates, covered: Mapping[str, frozenset[str]], lines: Sequence[_Lines]
    ) -> None:
        self.plan = plan
        self._rates, self._covered, self._lines = rates, covered, lines
        self._fees = sum((Fraction(fee.amount) for fee in plan.fees if fee.every == "period"), Fraction(0))
        self.unit = common_unit(self._amounts())
        if (self.unit * ATTOS_PER_UNIT).denominator != 1:
            raise MintageError(
                "unsupported",
                f"An amount of plan {plan.id} has more than 18 decimal places: each line would be rounded.",
                "Use quote(), or state rates that divide evenly.",
            )

    def attos(self, usage: Mapping[str, Mapping[str, IntArray]]) -> list[int]:
        """Each customer's bill in attos: quote(...).total_attos of the same totals, one event per model."""
        each = int(self.unit * ATTOS_PER_UNIT)
        return [int(count) * each for count in self.bill(usage)]

    def bill(self, usage: Mapping[str, Mapping[str, IntArray]]) -> IntArray:
        """Each customer's bill of one period as multiples of `unit`.

        usage: model -> meter -> one count per customer; all arrays have one length. Raises MintageError
        ("unpriceable") as quote would if any customer's would.
        """
        import numpy as np

        columns = [column for meters in usage.values() for column in meters.values()]
        length = len(columns[0]) if columns else 1
        if any(len(column) != length for column in columns) or any((column < 0).any() for column in columns):
            raise MintageError("invalid_request", "Columns differ in length or count below 0.", "Check the usage.")
        kind: Any = np.int64 if self._bound(columns) < _SAFE else object
        usage = {
            model: {meter: column.astype(kind) for meter, column in meters.items()} for model, meters in usage.items()
        }
        due: IntArray = np.zeros(length, dtype=kind)
        for model, meters in usage.items():
            due += self._usage(model, meters, due)
        for line in self._lines:
            due += self._charge(line, usage, due)
        due += self._count(self._fees)
        if self.plan.minimum is not None:
            due = np.maximum(due, self._count(Fraction(self.plan.minimum)))
        if self.plan.maximum is not None:
            due = np.minimum(due, self._count(Fraction(self.plan.maximum)))
        return due

    def _count(self, amount: Fraction) -> int:
        return int(amount / self.unit)

    def _amounts(self) -> Iterable[Fraction]:
        yield self._fees
        yield from (Fraction(limit) for limit in (self.plan.minimum, self.plan.maximum) if limit is not None)
        for rates in self._rates.values():
            yield from rates.values()
        for line in self._lines:
            yield line.zero
            if line.box:
                yield line.box[1]
            for segment in line.segments:
                yield segment.intercept
                yield segment.rate / line.parts
            yield from (Fraction(limit) for limit in (line.charge.minimum, line.charge.maximum) if limit is not None)

    def _bound(self, columns: Sequence[IntArray]) -> int:
        """More than any intermediate result: a quantity in parts, an amount in units, a sum of them."""
        counted = sum(int(column.max(initial=0)) for column in columns) + 1
        dearest = max([1, *(self._count(rate) for rates in self._rates.values() for rate in rates.values())])
        for line in self._lines:
            steepest = max([1, *(abs(self._count(segment.rate / line.parts)) for segment in line.segments)])
            if line.box:
                size, price, free = line.box
                scale = math.lcm(size.denominator, free.denominator)
                steepest = max(steepest, self._count(price)) * scale + int(free * scale * line.parts)
            dearest += steepest * max([line.parts, *line.weights.values()])
        fixed = sum(abs(self._count(amount)) for amount in self._amounts())
        return fixed + 2 * dearest * counted

    def _usage(self, model: str, meters: Mapping[str, IntArray], due: IntArray) -> IntArray:
        amount = due * 0
        rates = self._rates.get(model)
        for meter, column in meters.items():
            if rates is not None and meter in rates:
                amount += column * self._count(rates[meter])
            elif meter != "requests" and meter not in self._covered.get(model, ()) and column.any():
                raise unpriceable(self.plan, model, "" if rates is None else meter)
        return amount

    def _charge(self, line: _Lines, usage: Mapping[str, Mapping[str, IntArray]], due: IntArray) -> IntArray:
        import numpy as np

        parts = due * 0
        pattern = line.charge.where.get("model", "*")
        for model, meters in usage.items():
            if pattern_matches(pattern, model):
                for meter in meters.keys() & line.weights.keys():
                    parts += meters[meter] * line.weights[meter]
        amount = self._packages(line, parts) if line.box else self._segments(line, parts)
        if line.charge.minimum is not None:
            amount = np.maximum(amount, self._count(Fraction(line.charge.minimum)))
        if line.charge.maximum is not None:
            amount = np.minimum(amount, self._count(Fraction(line.charge.maximum)))
        return amount

    def _segments(self, line: _Lines, parts: IntArray) -> IntArray:
        import numpy as np

        last = line.segments[-1].end
        if last is not None and (over := parts > math.floor(last * line.parts)).any():
            assert isinstance(line.charge, QuantityCharge)
            line.charge.price_quantity(Fraction(int(parts[over][0]), line.parts))  # raises what a quote would
        ends = [math.floor(segment.end * line.parts) for segment in line.segments[:-1] if segment.end is not None]
        index = np.searchsorted(np.array(ends, dtype=parts.dtype), parts, side="left")
        intercepts = np.array([self._count(segment.intercept) for segment in line.segments], dtype=parts.dtype)
        rates = np.array([self._count(segment.rate / line.parts) for segment in line.segments], dtype=parts.dtype)
        amount: IntArray = intercepts[index] + rates[index] * parts
        return np.where(parts == 0, self._count(line.zero), amount)

    def _packages(self, line: _Lines, parts: IntArray) -> IntArray:
        import numpy as np

        assert line.box is not None
        assert isinstance(line.charge, Package)
        size, price, free = line.box
        scale = math.lcm(size.denominator, free.denominator)
        paid = np.maximum(parts * scale - int(free * scale * line.parts), 0)
        one = int(size * scale * line.parts)
        boxes = -(-paid // one) if line.charge.round == "up" else paid // one
        amount: IntArray = boxes * self._count(price)
        return amount


def _line_of(charge: PeriodCharge) -> _Lines:
    """Raises MintageError("unsupported") for a charge whose total is no function of summed meters."""
    units = meters_of(charge)
    if not units or not isinstance(charge, QuantityCharge):
        raise _unsupported(f"Charge {charge.id}")
    metric = charge.metric
    whole = metric.aggregate == "sum" and metric.round == "none" and not metric.free_units
    if not whole or charge.group_by or charge.where.keys() - {"model"}:
        raise _unsupported(f"What charge {charge.id} counts")
    parts = math.lcm(*(each.denominator for each in units.values()))
    segments = segments_of(charge)
    box = None
    if isinstance(charge, Package):
        box = Fraction(charge.size), Fraction(charge.price_each), Fraction(charge.free_units)
    elif not segments or find_flaws(getattr(charge, "tiers", ())):
        raise _unsupported(f"Charge {charge.id}")
    if parts != 1 and getattr(charge, "fractions", "enter_next") == "stay":
        raise _unsupported(f"The fractions of charge {charge.id}")
    weights = {meter: int(each * parts) for meter, each in units.items()}
    return _Lines(charge, parts, weights, segments, total(charge.price_quantity(Fraction(0))), box)


def _rates_of(plan: Plan, model: str, at_ns: int, where: Dimensions) -> Mapping[str, Fraction] | None:
    if any(
        p.above_prompt_tokens or p.minimum is not None or p.maximum is not None for p in candidates(plan.prices, model)
    ):
        raise _unsupported(f"The price of {model}")
    price = choose_price(plan, model, 0, at_ns, where)
    return None if price is None else meter_rates(price, factor_of(plan, model, at_ns, where), {})


def vectorise(plan: Plan, models: Sequence[str], *, at_ns: int = 0, dimensions: Dimensions | None = None) -> VectorPlan:
    """The plan for arrays of usage of these models, all at one moment and with the same dimensions.

    Raises MintageError("unsupported") for what totals do not determine: prices by the request's size, commitments,
    credits, seats, outcomes. Fees are due in full.
    """
    where = dimensions or {}
    if plan.commitment is not None or plan.trial is not None or not plan_states(plan) <= _EXACT | {"path", "choice"}:
        raise _unsupported(f"Plan {plan.id}")
    rates = {model: found for model in models if (found := _rates_of(plan, model, at_ns, where)) is not None}
    covered = {model: frozenset(live_rates(plan, model, where)) for model in models}
    return VectorPlan(plan, rates, covered, [_line_of(charge) for charge in plan.charges])
