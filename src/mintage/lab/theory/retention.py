"""Who stays and what they are worth: discounted lifetime value, shifted beta-geometric, BG/NBD."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mintage.lab.checks import require

if TYPE_CHECKING:
    from numpy.typing import NDArray


def lifetime_value(
    *, margin: float, retention: float, monthly_discount: float, advance: bool = True
) -> dict[str, float]:
    """m (1 + d) / (1 + d - r) when each period is paid ahead; m r / (1 + d - r) when it is paid after."""
    require(0 <= retention < 1 + monthly_discount, "retention is below 1 + discount", "retention")
    base = margin / (1 + monthly_discount - retention)
    return {"ltv": base * (1 + monthly_discount) if advance else base * retention}


def _maximise(log_likelihood: Callable[[NDArray[Any]], float], count: int) -> tuple[list[float], float]:
    """Positive parameters, on a log scale, from several starts: simplex, then again from where it ended."""
    import numpy as np
    from scipy.optimize import minimize

    best: Any = None
    for start in (0.0, 0.7, -0.7):
        found = minimize(lambda x: -log_likelihood(np.exp(x)), np.full(count, start), method="Nelder-Mead",
                         options={"maxiter": 4000, "xatol": 1e-9, "fatol": 1e-9})  # fmt: skip
        found = minimize(lambda x: -log_likelihood(np.exp(x)), found.x, method="Nelder-Mead",
                         options={"maxiter": 4000, "xatol": 1e-10, "fatol": 1e-10})  # fmt: skip
        best = found if best is None or found.fun < best.fun else best
    return [float(value) for value in np.exp(best.x)], -float(best.fun)


def fit_sbg(*, survivors: Sequence[float], periods: int | None = None) -> dict[str, float]:
    """alpha and beta of the shifted beta-geometric by maximum likelihood. survivors: at each renewal, from all.

    Source: Fader and Hardie 2007, How to Project Customer Retention: P(T=1) = a/(a+b),
    P(T=t) = P(T=t-1) (b+t-2)/(a+b+t-1).
    """
    last = len(survivors) - 1 if periods is None else periods
    require(1 <= last < len(survivors), "survivors has more values than periods", "survivors")
    require(all(x >= y >= 0 for x, y in itertools.pairwise(survivors)), "survivors fall", "survivors")
    import numpy as np
    from scipy.special import betaln

    times = np.arange(1, last + 1)
    counted = np.asarray(survivors[: last + 1], dtype=float)
    lost = counted[:-1] - counted[1:]

    def log_likelihood(x: NDArray[Any]) -> float:
        alpha, beta = x
        churn = betaln(alpha + 1, beta + times - 1) - betaln(alpha, beta)
        stay = betaln(alpha, beta + last) - betaln(alpha, beta)
        return float(lost @ churn + counted[-1] * stay)

    (alpha, beta), value = _maximise(log_likelihood, 2)
    return {"alpha": alpha, "beta": beta, "log_likelihood": value}


def sbg_survival(*, alpha: float, beta: float, periods: int) -> list[float]:
    """The share that is left after 0, 1, ... periods."""
    found = [1.0]
    for t in range(1, periods + 1):
        found.append(found[-1] * (beta + t - 1) / (alpha + beta + t - 1))
    return found


def fit_bgnbd(*, frequency: Sequence[float], recency: Sequence[float], age: Sequence[float]) -> dict[str, float]:
    """r, alpha, a, b of the BG/NBD model by maximum likelihood.

    frequency: repeat purchases; recency: time of the last; age: time observed, of each customer.
    Source: Fader, Hardie and Lee 2005, "Counting Your Customers" the Easy Way, equation 6.
    """
    import numpy as np
    from scipy.special import betaln, gammaln

    x, t_x, t = (np.asarray(column, dtype=float) for column in (frequency, recency, age))
    require(len(x) == len(t_x) == len(t) and len(x) > 0, "columns of one length", "frequency")
    require(bool((x >= 0).all() and (t_x >= 0).all() and (t >= t_x).all()), "0 <= recency <= age", "recency")
    repeat = x > 0

    def log_likelihood(parameters: NDArray[Any]) -> float:
        r, alpha, a, b = parameters
        common = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
        alive = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + t)
        dead = np.full_like(x, -np.inf)
        dead[repeat] = betaln(a + 1, b + x[repeat] - 1) - betaln(a, b) - (r + x[repeat]) * np.log(alpha + t_x[repeat])
        return float((common + np.logaddexp(alive, dead)).sum())

    (r, alpha, a, b), value = _maximise(log_likelihood, 4)
    return {"r": r, "alpha": alpha, "a": a, "b": b, "log_likelihood": value}


def bgnbd_alive(*, r: float, alpha: float, a: float, b: float, frequency: float, recency: float, age: float) -> float:
    """The chance that a customer with this history still is one."""
    if frequency == 0:
        return 1.0
    odds = a / (b + frequency - 1) * ((alpha + age) / (alpha + recency)) ** (r + frequency)
    return float(1 / (1 + odds))
