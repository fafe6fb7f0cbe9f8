"""How sure: outcomes that may fail, sums of random sizes, which input drives the spread."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mintage.lab.checks import require

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Model = Callable[[NDArray[Any]], NDArray[Any]]

_POINTS_LIMIT = 4_000_000


def outcome_pricing(
    *,
    conversations: float,
    resolution_rate: float,
    price: float,
    cost_per_conversation: float,
    reversal_rate: float = 0.0,
    minimum: float = 0.0,
) -> dict[str, float]:
    """Pay per resolution: expected revenue and margin, the resolution rate that breaks even, the binomial spread.

    reversal_rate: share of resolutions taken back within the clawback window. minimum: least revenue.
    """
    require(0 <= resolution_rate <= 1 and 0 <= reversal_rate < 1, "rates are shares", "resolution_rate")
    kept = resolution_rate * (1 - reversal_rate)
    revenue = max(conversations * kept * price, minimum)
    return {
        "revenue": revenue,
        "margin": revenue - conversations * cost_per_conversation,
        "breakeven_rate": cost_per_conversation / (price * (1 - reversal_rate)),
        "sd_revenue": price * math.sqrt(conversations * kept * (1 - kept)),
    }


def compound_poisson(*, lam: float, mu: float, sigma: float) -> dict[str, float]:
    """Mean and spread of a Poisson(lam) number of lognormal(mu, sigma) amounts: lam E[X], sqrt(lam E[X^2])."""
    require(lam >= 0 and sigma >= 0, "lam and sigma are at least 0", "lam")
    return {
        "mean": lam * math.exp(mu + sigma**2 / 2),
        "sd": math.sqrt(lam * math.exp(2 * mu + 2 * sigma**2)),
    }


def sobol_indices(model: Model, bounds: Sequence[tuple[float, float]], *, points: int = 48) -> dict[str, list[float]]:
    """First-order and total Sobol indices of a smooth model of independent uniform inputs, by Gauss-Legendre.

    model: (n, k) inputs -> n outputs. points: per input; points ** k is at most four million. For many inputs or
    models that jump use sobol_sampled.
    """
    import numpy as np

    k = len(bounds)
    require(k > 0 and points**k <= _POINTS_LIMIT, f"points ** inputs is at most {_POINTS_LIMIT:,}", "points")
    nodes, weights = np.polynomial.legendre.leggauss(points)
    weights = weights / 2
    axes = [low + (high - low) * (nodes + 1) / 2 for low, high in bounds]
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
    values = np.asarray(model(grid), dtype=float).reshape((points,) * k)

    def mean(array: NDArray[Any], over: Sequence[int]) -> NDArray[Any]:
        for axis in sorted(over, reverse=True):
            array = np.tensordot(array, weights, axes=([axis], [0]))
        return array

    everything = list(range(k))
    centre = float(mean(values, everything))
    variance = float(mean((values - centre) ** 2, everything))
    require(variance > 0, "the model varies", "model")
    first, total = [], []
    for i in everything:
        own = mean(values, [j for j in everything if j != i])
        first.append(float(mean((own - centre) ** 2, [0])) / variance)
        rest = mean(values, [i])
        total.append(1 - float(mean((rest - centre) ** 2, list(range(k - 1)))) / variance if k > 1 else 1.0)
    return {"S": first, "ST": total, "mean": [centre], "variance": [variance]}


def sobol_sampled(
    model: Model, bounds: Sequence[tuple[float, float]], *, samples: int = 4096, seed: int = 0
) -> dict[str, list[float]]:
    """The same by Sobol sequences, for any model: Saltelli's matrices with Jansen's estimators."""
    import numpy as np
    from scipy.stats import qmc

    k = len(bounds)
    require(k > 0 and samples >= 64 and samples & (samples - 1) == 0, "samples is a power of two from 64", "samples")
    drawn = qmc.Sobol(2 * k, seed=seed).random(samples)
    low, width = (np.asarray([b[i] - (b[0] if i else 0) for b in bounds]) for i in (0, 1))
    one, other = low + drawn[:, :k] * width, low + drawn[:, k:] * width
    at_one, at_other = np.asarray(model(one)), np.asarray(model(other))
    variance = float(np.concatenate([at_one, at_other]).var())
    require(variance > 0, "the model varies", "model")
    first, total = [], []
    for i in range(k):
        mixed = one.copy()
        mixed[:, i] = other[:, i]
        at_mixed = np.asarray(model(mixed))
        first.append(1 - float(((at_other - at_mixed) ** 2).mean()) / (2 * variance))
        total.append(float(((at_one - at_mixed) ** 2).mean()) / (2 * variance))
    return {"S": first, "ST": total, "variance": [variance]}


def ishigami(*, a: float, b: float, points: int = 48) -> dict[str, list[float]]:
    """Sobol indices of sin x1 + a sin^2 x2 + b x3^4 sin x1 on [-pi, pi]^3: the usual test of an engine."""
    import numpy as np

    def model(x: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = np.sin(x[:, 0]) + a * np.sin(x[:, 1]) ** 2 + b * x[:, 2] ** 4 * np.sin(x[:, 0])
        return found

    return sobol_indices(model, [(-math.pi, math.pi)] * 3, points=points)
