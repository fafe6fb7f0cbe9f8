"""What serving costs: own GPUs, cascades of models, how much capacity to reserve."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mintage.lab.checks import require

_SECONDS_PER_HOUR = 3600


def gpu_unit_cost(
    *,
    gpus: float,
    usd_gpu_hour: float,
    tok_per_s: float,
    utilisation: Sequence[float] = (1.0,),
    price_out_per_M: float | None = None,  # noqa: N803 - as price lists write it
) -> dict[str, object]:
    """Dollars per million tokens on own GPUs, at each utilisation, and the utilisation that a price pays for.

    tok_per_s: of all the GPUs together at full load. breakeven_utilisation is None without a price.
    """
    require(gpus > 0 and usd_gpu_hour >= 0 and tok_per_s > 0, "gpus and tok_per_s are above 0", "gpus")
    require(all(0 < u <= 1 for u in utilisation), "utilisation lies in (0, 1]", "utilisation")
    full = gpus * usd_gpu_hour / (tok_per_s * _SECONDS_PER_HOUR) * 1e6
    return {
        "usd_per_M": [full / u for u in utilisation],
        "breakeven_utilisation": None if price_out_per_M is None else full / price_out_per_M,
    }


def cascade_cost(*, c_small: float, c_large: float, escalate: float) -> dict[str, float]:
    """Expected cost of asking the small model first and the large one for a share of the requests.

    Source: Chen, Zaharia, Zou 2023, FrugalGPT. saving: against always asking the large one.
    """
    require(0 <= escalate <= 1, "escalate is a share", "escalate")
    cost = c_small + escalate * c_large
    return {"cost": cost, "saving": 1 - cost / c_large}


def reserve_capacity(*, mean: float, sd: float, reserved_per_h: float, on_demand_per_h: float) -> dict[str, float]:
    """How many units to reserve when hourly demand is normal: the newsvendor's critical ratio 1 - r/d.

    expected_cost: an hour's reserved units, and on demand for what exceeds them.
    """
    require(sd > 0, "sd is above 0", "sd")
    require(0 < reserved_per_h < on_demand_per_h, "a reserved hour costs less than one on demand", "reserved_per_h")
    from scipy.stats import norm

    z = float(norm.ppf(1 - reserved_per_h / on_demand_per_h))
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return {
        "reserve": mean + sd * z,
        "expected_cost": reserved_per_h * mean + on_demand_per_h * sd * density,
        "critical_ratio": 1 - reserved_per_h / on_demand_per_h,
    }
