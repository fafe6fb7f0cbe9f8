"""Optimal prices where theory has them: linear and logit demand, two-part tariffs, menus, willingness to pay."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mintage.lab.checks import require


def linear_monopoly(*, a: float, b: float, c: float) -> dict[str, float]:
    """The best uniform price when Q = a - b p and a unit costs c: p* = (a/b + c) / 2."""
    require(a > 0 and b > 0, "a and b are above 0", "b")
    p = max((a / b + c) / 2, c)
    q = max(a - b * p, 0.0)
    return {"p": p, "q": q, "profit": (p - c) * q}


def uniform_wtp(*, c: float, low: float = 0.0, high: float = 1.0, buyers: float = 1.0) -> dict[str, float]:
    """The best posted price when each buyer's willingness to pay is uniform on [low, high]."""
    require(high > low, "high is above low", "high")
    p = max(low, (high + c) / 2)
    share = min(max((high - p) / (high - low), 0.0), 1.0)
    return {"p": p, "profit": buyers * (p - c) * share, "buy_share": share}


def logit_optimum(*, a: float, beta: float, c: float, market: float = 1.0) -> dict[str, float]:
    """One product, demand exp(a - beta p) / (1 + exp(a - beta p)): p* = c + (1 + W(exp(a - beta c - 1))) / beta."""
    require(beta > 0, "beta is above 0", "beta")
    from scipy.special import lambertw

    w = float(lambertw(math.exp(a - beta * c - 1)).real)
    return {"p": c + (1 + w) / beta, "profit": market * w / beta, "share": w / (1 + w)}


def multinomial_logit_optimum(
    *, a: Sequence[float], c: Sequence[float], beta: float, market: float = 1.0
) -> dict[str, object]:
    """Several products of one seller: the same markup (1 + W) / beta on each, W = W(sum exp(a - beta c - 1)).

    Source: Anderson, de Palma, Thisse 1992; Li and Huh 2011.
    """
    require(beta > 0, "beta is above 0", "beta")
    require(len(a) == len(c) and len(a) > 0, "a and c have one value a product", "c")
    from scipy.special import lambertw

    w = float(lambertw(sum(math.exp(u - beta * cost - 1) for u, cost in zip(a, c, strict=True))).real)
    markup = (1 + w) / beta
    prices = [cost + markup for cost in c]
    weights = [math.exp(u - beta * p) for u, p in zip(a, prices, strict=True)]
    return {
        "prices": prices,
        "shares": [weight / (1 + sum(weights)) for weight in weights],
        "profit": market * w / beta,
    }


def two_part_tariff(
    demands: Sequence[tuple[float, float]], *, c: float, buyers: Sequence[float] | None = None
) -> dict[str, object]:
    """The best fee F and usage price p for types with demand a - b p; only types whose surplus covers F buy.

    demands: (a, b) of each type. Serving a set of types: F is the least surplus among them, and p solves
    d/dp [N F(p) + (p - c) sum n (a - b p)] = 0. Returns the best tariff, and the best for each count of types served.
    """
    counts = list(buyers) if buyers is not None else [1.0] * len(demands)
    require(len(counts) == len(demands) and len(demands) > 0, "one count a type", "buyers")
    require(all(b > 0 for _, b in demands), "demand falls with price", "demands")
    by_surplus = sorted(range(len(demands)), key=lambda i: _surplus(demands[i], c), reverse=True)
    options = [_serve([demands[i] for i in by_surplus[:k]], [counts[i] for i in by_surplus[:k]], c)
               for k in range(1, len(demands) + 1)]  # fmt: skip
    best = max(options, key=lambda option: option["profit"])
    return {**best, "by_types_served": options}


def _surplus(demand: tuple[float, float], p: float) -> float:
    a, b = demand
    return max(a - b * p, 0.0) ** 2 / (2 * b)


def _serve(demands: Sequence[tuple[float, float]], counts: Sequence[float], c: float) -> dict[str, float]:
    total = sum(counts)
    sold, slope = (sum(n * d[i] for n, d in zip(counts, demands, strict=True)) for i in (0, 1))

    def profit(p: float) -> float:
        fee = min(_surplus(demand, p) for demand in demands)
        return total * fee + (p - c) * sum(n * max(a - b * p, 0.0) for n, (a, b) in zip(counts, demands, strict=True))

    candidates = [c, 0.0]
    for a, b in demands:  # this type is the marginal one
        if (bend := 2 * slope - total * b) > 0:
            candidates.append((sold - total * a + c * slope) / bend)
    for i, one in enumerate(demands):  # where two types have the same surplus
        candidates += [p for other in demands[:i] for p in _equal_surplus(one, other)]
    ceiling = min(a / b for a, b in demands)
    p = max((price for price in candidates if 0 <= price <= ceiling), key=profit)
    return {"p": p, "F": min(_surplus(demand, p) for demand in demands), "profit": profit(p), "types": len(demands)}


def _equal_surplus(one: tuple[float, float], other: tuple[float, float]) -> list[float]:
    """(a1 - b1 p) / sqrt(b1) = (a2 - b2 p) / sqrt(b2)."""
    (a1, b1), (a2, b2) = one, other
    slope = math.sqrt(b1) - math.sqrt(b2)
    return [] if math.isclose(slope, 0) else [(a1 / math.sqrt(b1) - a2 / math.sqrt(b2)) / slope]


def screening_menu(*, theta: Sequence[float], share_high: float, cost_coefficient: float = 0.5) -> dict[str, float]:
    """A menu of two plans (q, T) for buyers who value theta q - T, when quality costs cost_coefficient q^2.

    Source: Mussa and Rosen 1978; Maskin and Riley 1984. The low type is served only if share_high < thetaL / thetaH.
    """
    low, high = sorted(theta)
    require(0 <= share_high < 1 and low > 0, "share_high is a share below 1", "share_high")
    require(cost_coefficient > 0, "cost rises with quality", "cost_coefficient")
    q_high = high / (2 * cost_coefficient)
    q_low = max((low - share_high / (1 - share_high) * (high - low)) / (2 * cost_coefficient), 0.0)
    t_low = low * q_low
    t_high = high * q_high - (high - low) * q_low
    profit = (1 - share_high) * (t_low - cost_coefficient * q_low**2)
    profit += share_high * (t_high - cost_coefficient * q_high**2)
    return {"qL": q_low, "TL": t_low, "qH": q_high, "TH": t_high, "profit": profit}


def price_elasticity(*, p: Sequence[float], q: Sequence[float], level: float = 0.9) -> dict[str, float]:
    """log q = intercept + elasticity log p, by least squares, with a t interval at `level`.

    An exact fit has an interval of no width; two points have none that is finite.
    """
    import numpy as np
    from scipy.stats import t as student

    require(len(p) == len(q) and len(p) >= 2, "at least two pairs", "q")
    require(min(p) > 0 and min(q) > 0, "prices and quantities are above 0", "p")
    x, y = np.log(np.asarray(p, dtype=float)), np.log(np.asarray(q, dtype=float))
    centred = x - x.mean()
    spread = float(centred @ centred)
    require(spread > 0, "prices differ", "p")
    slope = float(centred @ y) / spread
    residuals = y - y.mean() - slope * centred
    free = len(x) - 2
    error = math.sqrt(float(residuals @ residuals) / free / spread) if free else math.inf
    half = float(student.ppf((1 + level) / 2, free)) * error if free else math.inf
    return {
        "elasticity": slope,
        "intercept": float(y.mean() - slope * x.mean()),
        "standard_error": error,
        "low": slope - half,
        "high": slope + half,
    }
