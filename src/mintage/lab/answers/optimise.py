"""The best prices under constraints: every rate of a plan's prices times factors, searched on sums that are made once.

A bill under scaled prices is a sum of parts, one a meter class, each times its factor; so thousands of candidates cost
one matrix product. Found prices are rounded to what a price list shows, and the plan is then rated exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from mintage.base import ATTOS_PER_UNIT, METERS, MintageError
from mintage.lab.answers.search import Maximum, maximise
from mintage.lab.answers.uncertainty import Assumptions, respond
from mintage.lab.costs import ModelCost, cost_units
from mintage.lab.engine import Engine, open_engine
from mintage.lab.workload import Workload
from mintage.pricing import CostBook, Plan, Rate

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GROUPS: Final = {
    "input": ("input_tokens", "cache_write_tokens"),
    "cached": ("cached_read_tokens",),
    "output": ("output_tokens", "reasoning_tokens"),
}


class Constraints(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """max_bill_increase: of any customer's bill, as a share; None: no limit. margin_floor: least margin over revenue.

    low and high: bounds of each factor on today's rates. digits: significant digits of a found price.
    """

    max_bill_increase: float | None = 0.2
    margin_floor: float | None = None
    low: Annotated[float, Meta(gt=0)] = 0.5
    high: Annotated[float, Meta(gt=0)] = 3.0
    digits: Annotated[int, Meta(ge=1, le=12)] = 3


class Optimum(msgspec.Struct, frozen=True, kw_only=True):
    """plan: ready to quote and apply. Margins are expected, at the assumptions' means, in currency units.

    factors: on input, cached and output rates, before rounding. gap: what the last step of the search gained.
    largest_increase: of any customer's bill, exact, under the rounded prices.
    """

    plan: Plan
    factors: dict[str, float]
    margin_before: float
    margin_after: float
    evaluated: int
    gap: float
    largest_increase: float
    binding: tuple[str, ...]


class _Problem:
    """Parts of every customer's bill, and what it costs."""

    def __init__(self, engine: Engine, plan: Plan, costs: Mapping[str, ModelCost], book: CostBook, given: Assumptions):
        import numpy as np

        self.engine, self.plan, self.given = engine, plan, given
        self.names = list(_GROUPS)
        self.parts = np.array([self._part(names) for names in _GROUPS.values()])  # groups x customers
        self.base = self.parts.sum(axis=0)
        self.rest = _floats(_customers(engine, engine.evaluate(plan).attos)) - self.base
        if abs(self.rest).max(initial=0) > 1e-9 * max(1.0, float(self.base.max(initial=0))):
            self.base = self.base + self.rest
        self.cost = self._cost(costs, book)
        self.evaluated = 0

    def _part(self, meters: Sequence[str]) -> NDArray[Any]:
        """Each customer's bill for some meters alone."""
        prices = []
        for price in self.plan.prices:
            rates = {m: Rate(per_unit=Decimal(0)) for m in METERS if m not in meters and not m.endswith("_ms")}
            for meter in meters:
                rates[meter] = _rate_of(price, meter)
            prices.append(msgspec.structs.replace(price, **rates))
        alone = msgspec.structs.replace(
            self.plan, prices=tuple(prices), charges=(), fees=(), minimum=None, maximum=None, commitment=None
        )
        return _floats(_customers(self.engine, self.engine.evaluate(alone).attos))

    def _cost(self, costs: Mapping[str, ModelCost], book: CostBook) -> NDArray[Any]:
        import numpy as np

        found = np.zeros(len(self.base))
        if costs:
            counts, unit, totals = cost_units(self.engine, costs, book)
            owner = self.engine.roll.cell_customers()[totals.cell]
            np.add.at(found, owner, counts.astype(float) * float(unit))
        return found

    def bills(self, factors: NDArray[Any]) -> NDArray[Any]:
        """candidates x customers."""
        found: NDArray[Any] = factors @ self.parts + self.rest
        return found

    def margins(self, factors: NDArray[Any]) -> NDArray[Any]:
        """Expected margin of each candidate at the assumptions' means."""
        self.evaluated += len(factors)
        paid, used = respond(self.bills(factors), self.base[None, :], self.cost[None, :], self.given.elasticity.mean,
                             self.given.churn_response.mean)  # fmt: skip
        found: NDArray[Any] = paid.sum(axis=1) - self.given.cost_factor.mean * used.sum(axis=1)
        return found

    def allowed(self, factors: NDArray[Any], limits: Constraints) -> NDArray[Any]:
        import numpy as np

        bills = self.bills(factors)
        fine = np.ones(len(factors), dtype=bool)
        if limits.max_bill_increase is not None:
            fine &= (bills <= self.base * (1 + limits.max_bill_increase) * (1 + 1e-12) + 1e-15).all(axis=1)
        if limits.margin_floor is not None:
            total = bills.sum(axis=1)
            fine &= (total - self.cost.sum()) >= limits.margin_floor * total
        return fine


def _rate_of(price: Any, meter: str) -> Rate:
    from mintage.pricing.scalar import FALLBACK

    found = getattr(price, meter)
    if found is None and meter in FALLBACK:
        found = getattr(price, FALLBACK[meter])
    return found if found is not None else Rate(per_unit=Decimal(0))


def _customers(engine: Engine, cells: Sequence[int]) -> list[int]:
    starts = [*engine.roll.offset.tolist(), engine.roll.cells]
    return [sum(cells[a:b]) for a, b in pairwise(starts)]


def _floats(attos: Sequence[int]) -> NDArray[Any]:
    import numpy as np

    return np.array([amount / ATTOS_PER_UNIT for amount in attos], dtype=float)


def optimise(
    workload: Workload,
    plan: Plan,
    *,
    costs: Mapping[str, ModelCost] | None = None,
    constraints: Constraints | None = None,
    assumptions: Assumptions | None = None,
    book: CostBook | None = None,
    rounds: int = 14,
    points: int = 9,
) -> Optimum:
    """The factors on input, cached and output prices that leave the most expected margin.

    A grid of points ** 3 candidates shrinks around the best one, then it is polished; deterministic. Raises
    MintageError("invalid_request") for a plan without prices, "conflict" if no candidate meets the constraints.
    """
    import numpy as np

    limits, given = constraints or Constraints(), assumptions or Assumptions()
    if not plan.prices or limits.low >= limits.high:
        raise MintageError("invalid_request", "There is no price to change.", "Give a plan with prices; low < high.")
    problem = _Problem(open_engine(workload, plan.period), plan, costs or {}, book or CostBook.load(), given)
    grid, value, gap = _grid(problem, limits, rounds, points)
    best = grid
    if np.isfinite(value):
        polished = _polish(problem, limits, grid)
        if polished.value > value:
            best, gap = np.array(polished.x), polished.value - value
            value = polished.value
    if not np.isfinite(value):
        raise MintageError("conflict", "No price within the bounds meets the constraints.", "Loosen one of them.")
    found = _scaled(plan, dict(zip(problem.names, best.tolist(), strict=True)), limits.digits)
    return _answer(problem, found, (best, value, gap), limits)


def _grid(problem: _Problem, limits: Constraints, rounds: int, points: int) -> tuple[NDArray[Any], float, float]:
    """A grid of candidates that shrinks around the best one: (factors, margin, what the last round gained)."""
    import numpy as np

    low, high = np.full(3, limits.low), np.full(3, limits.high)
    best, value, gap = np.ones(3), -np.inf, np.inf
    for _ in range(rounds):
        axes = [np.linspace(a, b, points) for a, b in zip(low, high, strict=True)]
        grid = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
        grid = np.concatenate([grid, best[None, :]])
        margins = np.where(problem.allowed(grid, limits), problem.margins(grid), -np.inf)
        place = int(np.argmax(margins))
        gap = max(float(margins[place] - value), 0.0) if np.isfinite(value) else np.inf
        if margins[place] > value:
            best, value = grid[place], float(margins[place])
        half = (high - low) / 3.2
        low, high = np.maximum(best - half, limits.low), np.minimum(best + half, limits.high)
    return best, value, gap


def _polish(problem: _Problem, limits: Constraints, start: NDArray[Any]) -> Maximum:
    """To the exact corner: constraints are linear in the factors."""
    import numpy as np

    scale = np.where(problem.base > 0, problem.base, 1.0)

    def slack(x: NDArray[Any]) -> NDArray[Any]:
        bills = problem.bills(x[None, :])[0]
        found = np.zeros(1)
        if limits.max_bill_increase is not None:
            found = np.append(found, ((problem.base * (1 + limits.max_bill_increase) - bills) / scale).min())
        if limits.margin_floor is not None:
            found = np.append(found, (bills.sum() * (1 - limits.margin_floor) - problem.cost.sum()) / scale.sum())
        return found

    corner = np.clip(np.full(3, 1 + (limits.max_bill_increase or 0.0)), limits.low, limits.high)
    return maximise(
        lambda x: float(problem.margins(x[None, :])[0]),
        [(limits.low, limits.high)] * 3,
        slack=slack,
        starts=[start.tolist(), corner.tolist()],
        samples=64,
        polish=3,
    )


def _answer(problem: _Problem, plan: Plan, found: tuple[Any, float, float], limits: Constraints) -> Optimum:
    import numpy as np

    best, value, gap = found
    after = _floats(_customers(problem.engine, problem.engine.evaluate(plan).attos))
    growth = np.divide(after, problem.base, out=np.ones_like(after), where=problem.base > 0) - 1
    binding = [name for name, factor in zip(problem.names, best, strict=True)
               if min(abs(factor - limits.low), abs(factor - limits.high)) < 1e-6]  # fmt: skip
    worst = float((problem.bills(best[None, :])[0] / np.where(problem.base > 0, problem.base, 1)).max() - 1)
    if limits.max_bill_increase is not None and worst > limits.max_bill_increase - 1e-4:
        binding.append("max_bill_increase")
    return Optimum(
        plan=plan,
        factors=dict(zip(problem.names, best.tolist(), strict=True)),
        margin_before=float(problem.margins(np.ones((1, 3)))[0]),
        margin_after=value,
        evaluated=problem.evaluated,
        gap=gap if np.isfinite(gap) else 0.0,
        largest_increase=float(growth.max(initial=0.0)),
        binding=tuple(binding),
    )


def _scaled(plan: Plan, factors: Mapping[str, float], digits: int) -> Plan:
    """The plan at the factors, prices per million rounded down to so many significant digits."""
    prices = []
    for price in plan.prices:
        rates: dict[str, Rate] = {}
        for group, meters in _GROUPS.items():
            for meter in meters:
                rate = _rate_of(price, meter)
                if rate.amount:
                    rates[meter] = _round(rate.exact * Fraction(factors[group]), digits)
        prices.append(msgspec.structs.replace(price, **rates))
    return msgspec.structs.replace(plan, id=f"{plan.id[:52]}-optimised", prices=tuple(prices), effective=None)


def _round(each: Fraction, digits: int) -> Rate:
    scaled = each * 10**6
    number = Decimal(scaled.numerator) / Decimal(scaled.denominator)
    step = Decimal(1).scaleb(max(number.adjusted() - digits + 1, -12))
    return Rate(per_million=(number // step * step).normalize())
