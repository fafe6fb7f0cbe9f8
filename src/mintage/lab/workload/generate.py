"""Made-up workloads that behave like real ones: a few customers ask most, days have a shape, arrivals burst."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from mintage.base import MintageError
from mintage.lab.workload.table import Workload, write_arrays

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0)]
ROWS_LIMIT: Final = 200_000_000
_HOUR_NS: Final = 3_600 * 10**9
_DAY_H: Final = 24


class Generated(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to make. Every number is a parameter of a distribution; the same seed makes the same rows.

    zipf: customer k asks in proportion to k^-zipf. diurnal: height of the daily wave, 0 to 1. burst: coefficient of
    variation of the hourly rate beyond Poisson. growth: of the rate per 30 days. churn: chance per 30 days that a
    customer leaves. joins: share of customers that come after the start. models: name -> share of requests.
    """

    requests: Annotated[int, Meta(ge=1, le=ROWS_LIMIT)] = 100_000
    customers: Annotated[int, Meta(ge=1, le=10_000_000)] = 200
    start: str = "2026-01-01T00:00:00+00:00"
    days: Annotated[int, Meta(ge=1, le=3660)] = 90
    zipf: Annotated[float, Meta(ge=0, le=5)] = 1.6
    diurnal: Share = 0.6
    burst: Annotated[float, Meta(ge=0, le=10)] = 0.5
    growth: Annotated[float, Meta(ge=-0.9, le=10)] = 0.05
    churn: Annotated[float, Meta(ge=0, lt=1)] = 0.03
    joins: Share = 0.2
    input_median: Positive = 700.0
    input_sigma: Annotated[float, Meta(ge=0, le=4)] = 1.1
    output_median: Positive = 180.0
    output_sigma: Annotated[float, Meta(ge=0, le=4)] = 0.9
    cached_share: Share = 0.37
    batch_share: Share = 0.15
    models: dict[str, Positive] = msgspec.field(default_factory=lambda: {"small": 0.7, "large": 0.3})
    seed: int = 1


def generate(given: Generated, target: Path) -> Workload:
    """Write the workload. Raises MintageError("invalid_request") for parameters out of range."""
    import numpy as np

    rng = np.random.default_rng(given.seed)
    start_ns = _start_ns(given.start)
    hours = given.days * _DAY_H
    customer, hour = _arrivals(given, rng, hours)
    count = len(hour)
    at_ns = start_ns + hour.astype(np.int64) * _HOUR_NS + rng.integers(0, _HOUR_NS, count)
    prompt = _tokens(rng, count, given.input_median, given.input_sigma)
    output = _tokens(rng, count, given.output_median, given.output_sigma)
    cached = np.minimum(prompt, (prompt * rng.beta(0.5, _beta_for(given.cached_share), count)).astype(np.int64)) if (
        given.cached_share) else prompt * 0  # fmt: skip
    names = np.array(sorted(given.models), dtype=object)
    weights = np.array([given.models[name] for name in names])
    model = names[rng.choice(len(names), count, p=weights / weights.sum())]
    batch = rng.random(count) < given.batch_share
    digits = len(str(given.customers))
    labels = np.array([f"c{place + 1:0{digits}d}" for place in range(given.customers)], dtype=object)
    order = np.argsort(at_ns, kind="stable")
    places = np.empty(count, dtype=np.int64)
    places[order] = np.arange(count)
    return write_arrays(
        target,
        {
            "at_ns": at_ns,
            "customer": labels[customer],
            "id": np.array([f"r{place:012d}" for place in places], dtype=object),
            "model": model,
            "class": np.where(batch, "batch", "standard").astype(object),
            "input_tokens": prompt - cached,
            "cached_read_tokens": cached,
            "output_tokens": output,
            "requests": np.ones(count, dtype=np.int64),
        },
    )


def _start_ns(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise MintageError("invalid_request", f"start is {text!r}.", "Write 2026-01-01.", param="start") from error
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(aware.timestamp()) * 10**9


def _beta_for(share: float) -> float:
    """The second parameter of Beta(0.5, b) whose mean is the share: most prompts hit little, some almost all."""
    return 0.5 * (1 - share) / max(share, 1e-9)


def _tokens(rng: Generator, count: int, median: float, sigma: float) -> NDArray[Any]:
    import numpy as np

    drawn = np.exp(rng.normal(np.log(median), sigma, count))
    found: NDArray[Any] = np.clip(drawn, 1, 2_000_000).astype(np.int64)
    return found


def _arrivals(given: Generated, rng: Generator, hours: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """(customer, hour) of each request: exactly as many as asked for, in proportion to each customer's hourly rate."""
    import numpy as np

    weight = np.arange(1, given.customers + 1, dtype=float) ** -given.zipf
    clock = np.arange(hours)
    day = 1 + given.diurnal * np.sin((clock % _DAY_H - 8) / _DAY_H * 2 * np.pi)
    week = np.where(clock // _DAY_H % 7 < 5, 1.0, 0.6)
    trend = (1 + given.growth) ** (clock / (30 * _DAY_H))
    shape = day * week * trend
    if given.burst:
        shape = shape * rng.gamma(1 / given.burst**2, given.burst**2, hours)
    first, last = _lifetimes(given, rng, hours)
    cumulative = np.concatenate([[0.0], np.cumsum(np.maximum(shape, 1e-12))])
    mass = weight * (cumulative[last] - cumulative[first])
    counts = rng.multinomial(given.requests, mass / mass.sum())
    customer = np.repeat(np.arange(given.customers), counts)
    low, high = cumulative[first][customer], cumulative[last][customer]
    drawn = low + rng.random(len(customer)) * (high - low)
    hour = np.clip(np.searchsorted(cumulative, drawn, side="right") - 1, 0, hours - 1)
    return customer, hour


def _lifetimes(given: Generated, rng: Generator, hours: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """First hour and the hour after the last of each customer."""
    import numpy as np

    late = rng.random(given.customers) < given.joins
    first = np.where(late, rng.integers(0, hours, given.customers), 0)
    life = np.full(given.customers, hours, dtype=np.int64)
    if given.churn:
        months = rng.geometric(given.churn, given.customers) - rng.random(given.customers)
        life = np.maximum((months * 30 * _DAY_H).astype(np.int64), 1)
    return first, np.minimum(first + life, hours)


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """A generator's parameters, and how well they fit: distances of Kolmogorov and Smirnov, 0 is perfect."""

    parameters: Generated
    input_distance: float
    output_distance: float
    top_share: float
    top_share_fitted: float


def fit(workload: Workload, *, seed: int = 1) -> Fit:
    """Parameters of a generator that resembles the workload."""
    import numpy as np

    summary = workload.summary()
    counts = np.array(
        [n for (n,) in workload.query("SELECT count(*) AS n FROM {w} GROUP BY customer ORDER BY n DESC LIMIT 100000")],
        dtype=float,
    )
    sizes = workload.arrays(
        "SELECT (input_tokens + cached_read_tokens + cache_write_tokens)::DOUBLE AS i, output_tokens::DOUBLE AS o "
        "FROM {w} WHERE kind = 'usage' USING SAMPLE reservoir(100000 ROWS) REPEATABLE (1)"
    )
    zipf = _zipf(counts)
    hourly = workload.query("SELECT (at_ns // 3600000000000) % 24 AS h, count(*) FROM {w} GROUP BY h")
    rate = np.array([n for _, n in hourly], dtype=float)
    wave = float((rate.max() - rate.min()) / (rate.max() + rate.min())) if len(rate) > 1 else 0.0
    medians, sigmas, distances = zip(*(_lognormal(sizes[name]) for name in ("i", "o")), strict=True)
    shares = dict(workload.query("SELECT model, count(*)::DOUBLE / sum(count(*)) OVER () FROM {w} GROUP BY model"))
    days = max(1, round((summary.end_ns - summary.start_ns) / (24 * _HOUR_NS)))
    parameters = Generated(
        requests=min(summary.rows, ROWS_LIMIT),
        customers=summary.customers,
        start=datetime.fromtimestamp(summary.start_ns // 10**9, UTC).isoformat(),
        days=min(days, 3660),
        zipf=zipf,
        diurnal=min(wave, 1.0),
        input_median=medians[0],
        input_sigma=sigmas[0],
        output_median=medians[1],
        output_sigma=sigmas[1],
        cached_share=summary.cached_share,
        models={name or "model": share for name, share in shares.items()},
        churn=0.0,
        joins=0.0,
        growth=0.0,
        seed=seed,
    )
    weight = np.arange(1, summary.customers + 1, dtype=float) ** -zipf
    return Fit(
        parameters=parameters,
        input_distance=distances[0],
        output_distance=distances[1],
        top_share=summary.top_share,
        top_share_fitted=float(weight[0] / weight.sum()),
    )


def _zipf(counts: NDArray[Any]) -> float:
    """The exponent whose likelihood of these counts by rank is greatest."""
    import numpy as np
    from scipy.optimize import minimize_scalar

    if len(counts) < 2:
        return 0.0
    logs = np.log(np.arange(1, len(counts) + 1))

    def loss(s: float) -> float:
        return float(s * (counts @ logs) + counts.sum() * np.log(np.exp(-s * logs).sum()))

    return float(minimize_scalar(loss, bounds=(0, 5), method="bounded").x)


def _lognormal(sizes: NDArray[Any]) -> tuple[float, float, float]:
    import numpy as np
    from scipy.stats import kstest

    logs = np.log(np.maximum(sizes, 1))
    centre, spread = float(np.median(logs)), min(float(logs.std()), 4.0)
    distance = float(kstest(logs, "norm", args=(centre, max(spread, 1e-9))).statistic)
    return float(np.exp(centre)), spread, distance
