"""How sure: customers drawn again with replacement, and every assumption drawn from its own distribution. Seeded.

Each simulated business draws customers from those seen (the bootstrap), a demand elasticity, a churn response and a
cost factor. Usage moves with the ratio of a customer's new bill to its old one, to the power of the elasticity; bill
and cost move with usage. Who pays much more may leave. The baseline's own customers do not react.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from mintage.base import ATTOS_PER_UNIT

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DRAWS: Final = 64  # customers' matrix is drawn in blocks of so many simulations
_RATIO_LIMIT: Final = 20.0


class Uncertain(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A normal distribution, and where it comes from. sd 0: taken as known."""

    mean: float
    sd: Annotated[float, Meta(ge=0)] = 0.0
    source: str = "assumed"


class Assumptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """elasticity: of usage to a customer's own bill. churn_response: chance to leave per doubling of the bill.

    cost_factor: on serving cost. runs and seed: of the simulation. level: of the intervals.
    """

    elasticity: Uncertain = Uncertain(mean=-0.5, sd=0.2, source="assumed: business software, short run")
    churn_response: Uncertain = Uncertain(mean=0.1, sd=0.05, source="assumed")
    cost_factor: Uncertain = Uncertain(mean=1.0, sd=0.05, source="assumed: provider prices and utilisation")
    runs: Annotated[int, Meta(ge=1, le=1_000_000)] = 1_000
    seed: int = 1
    level: Annotated[float, Meta(gt=0, lt=1)] = 0.9


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics in currency units: not amounts that anyone is charged."""

    mean: float
    low: float
    high: float


class Simulated(msgspec.Struct, frozen=True, kw_only=True):
    """best_chance: share of simulations in which this plan leaves the most margin. drivers: (assumption, margin with it
    low, margin with it high), everything else at its mean, the widest first: a tornado.
    margin_quantiles: of the simulated margins, at QUANTILES.
    """

    revenue: Interval
    margin: Interval
    best_chance: float
    drivers: tuple[tuple[str, float, float], ...]
    margin_quantiles: tuple[float, ...]


#: Shares at which the simulated margins are kept, for a picture of their distribution: from least to greatest.
QUANTILES: Final = tuple(step / 40 for step in range(41))


def _floats(attos: Sequence[int]) -> NDArray[Any]:
    import numpy as np

    return np.array([amount / ATTOS_PER_UNIT for amount in attos], dtype=float)


def respond(
    bill: NDArray[Any], base: NDArray[Any], cost: NDArray[Any], elasticity: Any, churn: Any
) -> tuple[NDArray[Any], NDArray[Any]]:
    """(revenue, cost) of each customer once it reacts; arrays broadcast: simulations x customers."""
    import numpy as np

    ratio = np.clip(np.divide(bill, base, out=np.ones_like(bill), where=base > 0), 1 / _RATIO_LIMIT, _RATIO_LIMIT)
    usage = ratio ** np.minimum(elasticity, 0.0)
    stay = 1 - np.clip(np.maximum(churn, 0.0) * np.maximum(np.log2(ratio), 0.0), 0.0, 1.0)
    return bill * usage * stay, cost * usage * stay


def simulate(bills: Sequence[Sequence[int]], cost: Sequence[int], fixed: int, given: Assumptions) -> list[Simulated]:
    """One answer a plan; the first plan is the baseline. The same draws serve every plan, so differences are fair."""
    import numpy as np

    rng = np.random.default_rng(given.seed)
    due, spent = [_floats(bill) for bill in bills], _floats(cost)
    drawn = {
        name: rng.normal(getattr(given, name).mean, getattr(given, name).sd, given.runs)
        for name in ("elasticity", "churn_response", "cost_factor")
    }
    count = len(spent)
    revenue = np.empty((len(due), given.runs))
    margin = np.empty_like(revenue)
    for start in range(0, given.runs, _DRAWS):
        rows = slice(start, min(start + _DRAWS, given.runs))
        weight = rng.multinomial(count, np.full(count, 1 / count), size=rows.stop - start).astype(float)
        e, churn, factor = (drawn[name][rows, None] for name in ("elasticity", "churn_response", "cost_factor"))
        for place, bill in enumerate(due):
            paid, used = respond(bill, due[0], spent, e, churn)
            revenue[place, rows] = (weight * paid).sum(axis=1)
            margin[place, rows] = revenue[place, rows] - (weight * used * factor).sum(axis=1)
    margin -= fixed / ATTOS_PER_UNIT
    best = np.argmax(margin, axis=0)
    return [
        Simulated(
            revenue=_interval(revenue[place], given.level),
            margin=_interval(margin[place], given.level),
            best_chance=float((best == place).mean()),
            drivers=_tornado(bill, due[0], spent, fixed, given),
            margin_quantiles=tuple(np.quantile(margin[place], QUANTILES).tolist()),
        )
        for place, bill in enumerate(due)
    ]


def _interval(values: NDArray[Any], level: float) -> Interval:
    import numpy as np

    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean=float(values.mean()), low=float(low), high=float(high))


def _tornado(
    bill: NDArray[Any], base: NDArray[Any], cost: NDArray[Any], fixed: int, given: Assumptions
) -> tuple[tuple[str, float, float], ...]:
    from scipy.stats import norm

    reach = float(norm.ppf((1 + given.level) / 2))
    means = {name: getattr(given, name).mean for name in ("elasticity", "churn_response", "cost_factor")}

    def margin(**changed: float) -> float:
        at = {**means, **changed}
        paid, used = respond(bill, base, cost, at["elasticity"], at["churn_response"])
        return float(paid.sum() - at["cost_factor"] * used.sum() - fixed / ATTOS_PER_UNIT)

    found = []
    for name, mean in means.items():
        half = reach * getattr(given, name).sd
        found.append((name, margin(**{name: mean - half}), margin(**{name: mean + half})))
    return tuple(sorted(found, key=lambda row: -abs(row[2] - row[1])))
