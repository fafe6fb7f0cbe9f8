"""Finding a maximum: many starts spread by a Sobol sequence, the best of them polished; deterministic by its seed.

Smooth problems with inequality constraints are polished by SLSQP, then by a simplex that also stands kinks. What comes
back is always feasible. For prices: from a handful to a few dozen variables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mintage.base import MintageError
from mintage.lab.checks import require

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Objective = Callable[[NDArray[Any]], float]
    Slack = Callable[[NDArray[Any]], NDArray[Any]]

_FEASIBLE = 1e-9


class Maximum(msgspec.Struct, frozen=True, kw_only=True):
    """x: where; value: of the objective there. evaluations: of the objective, all together."""

    x: list[float]
    value: float
    evaluations: int


def maximise(
    objective: Objective,
    bounds: Sequence[tuple[float, float]],
    *,
    slack: Slack | None = None,
    starts: Sequence[Sequence[float]] = (),
    samples: int = 256,
    polish: int = 4,
    seed: int = 0,
) -> Maximum:
    """The greatest value of `objective` within bounds where every value of `slack` is at least 0.

    starts: points to try beside the samples. Raises MintageError("conflict") if no feasible point was found.
    """
    import numpy as np
    from scipy.optimize import minimize
    from scipy.stats import qmc

    require(len(bounds) > 0 and all(low <= high for low, high in bounds), "low <= high", "bounds")
    low, high = (np.array([bound[i] for bound in bounds], dtype=float) for i in (0, 1))
    width = np.where(high > low, high - low, 1.0)
    count = [0]

    def cost(unit: NDArray[Any]) -> float:
        count[0] += 1
        value = objective(low + unit * width)
        return -float(value) if np.isfinite(value) else 1e300

    def slacks(unit: NDArray[Any]) -> NDArray[Any]:
        return np.atleast_1d(slack(low + unit * width)) if slack is not None else np.zeros(1)

    def penalised(unit: NDArray[Any]) -> float:
        inside = np.clip(unit, 0.0, np.where(high > low, 1.0, 0.0))
        short = -np.minimum(slacks(inside), 0.0).sum() + abs(unit - inside).sum()
        return cost(inside) if short <= _FEASIBLE else 1e250 * (1 + float(short))

    drawn = qmc.Sobol(len(bounds), seed=seed).random(samples)
    given = (np.array(starts, dtype=float).reshape(-1, len(bounds)) - low) / width
    points = np.clip(np.concatenate([given, drawn]), 0.0, 1.0) * np.where(high > low, 1.0, 0.0)
    ranked = sorted(points, key=penalised)[: max(polish, 1)]
    rule = [{"type": "ineq", "fun": slacks}] if slack is not None else []
    found = list(ranked)
    for start in ranked:
        smooth = minimize(cost, start, method="SLSQP", bounds=[(0.0, 1.0)] * len(bounds), constraints=rule,
                          options={"maxiter": 300, "ftol": 1e-14})  # fmt: skip
        found.append(np.clip(smooth.x, 0.0, 1.0) * np.where(high > low, 1.0, 0.0))
    best = min(found, key=penalised)
    for scale in (0.05, 1e-3):
        simplex = np.vstack([best, best + scale * np.where(best > 0.5, -1.0, 1.0) * np.eye(len(best))])
        how = {"initial_simplex": simplex, "xatol": 1e-12, "fatol": 1e-15, "maxiter": 999}
        done = minimize(penalised, best, method="Nelder-Mead", options=how)
        best = min((best, np.clip(done.x, 0.0, 1.0)), key=penalised)
    if penalised(best) >= 1e250:
        raise MintageError("conflict", "No point within the bounds meets the constraints.", "Loosen one of them.")
    return Maximum(x=(low + best * width).tolist(), value=-cost(best), evaluations=count[0])
