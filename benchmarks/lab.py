"""The pricing lab at size: aggregate, evaluate many plans, walk prepaid wallets. Prints one ratio table.

    python benchmarks/lab.py [--requests 10000000] [--plans 100]

Ratios are to the lab's targets for 10M requests of 1,000 customers over three months and 100 plans.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from mintage.lab import Generated, Workload, generate, open_engine
from mintage.lab.engine import order_requests, walk_plans
from mintage.lab.engine.fast import grain_of
from mintage.pricing import AutoTopUp, Names, Pack, Plan, Price, Rate


def plans(count: int) -> list[Plan]:
    """Prepaid plans that differ in every rate."""
    made = []
    for number in range(count):
        rate_in, rate_out = Decimal(30 + number) / 100, Decimal(120 + 3 * number) / 100
        price = Price(
            model="*",
            input_tokens=Rate(per_million=rate_in),
            cached_read_tokens=Rate(per_million=rate_in / 4),
            output_tokens=Rate(per_million=rate_out),
        )
        made.append(
            Plan(
                id=f"p{number}",
                name=Names(en=f"Plan {number}"),
                currency="USD",
                prices=(price,),
                packs=(Pack(name=Names(en="Pack"), price=Decimal(5), credit=Decimal(5), expires_days=30),),
                auto_top_up=AutoTopUp(below=Decimal(1), amount=Decimal(5)),
            )
        )
    return made


def price_vectors(totals: Any, count: int) -> Any:
    """Bills of every customer-period under `count` drawn price lists, in float64: what a search over prices asks."""
    rng = np.random.default_rng(1)
    names = list(totals.sums)
    sums = np.zeros((totals.cells, len(names)))
    for place, name in enumerate(names):
        np.add.at(sums[:, place], totals.cell, totals.sums[name].astype(float))
    return (sums @ rng.random((len(names), count))).sum(axis=0)


def total(rows: list[tuple[str, float, float, float | None]]) -> tuple[float, float]:
    return sum(row[1] for row in rows), sum(row[2] for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument("--plans", type=int, default=100)
    parser.add_argument("--folder", type=Path, default=None)
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="mintage-lab-"))
    path = folder / f"bench-{given.requests}.parquet"
    if not path.exists():
        generate(Generated(requests=given.requests, customers=1_000, days=90, seed=1), path)
    workload, many = Workload(path), plans(given.plans)
    rows: list[tuple[str, float, float, float | None]] = []  # what, wall seconds, CPU seconds, target

    def timed(name: str, target: float | None, work: Callable[[], Any]) -> Any:
        start, cpu = time.perf_counter(), time.process_time()
        found = work()
        rows.append((name, time.perf_counter() - start, time.process_time() - cpu, target))
        return found

    small = open_engine(generate(Generated(requests=100, customers=3), folder / "warm.parquet"))
    walk_plans(small, many[:1])  # compiles
    engine = timed("open: periods and customers", None, lambda: open_engine(workload))
    grain = grain_of(many[0], engine.calendar)
    timed("aggregate", None, lambda: engine.totals(grain))
    timed(f"evaluate {given.plans} plans, exact", None, lambda: [engine.evaluate(plan) for plan in many])
    rows.append(("aggregate + evaluate", *total(rows), 3.0))
    timed("10,000 price vectors after aggregation", 1.0, lambda: price_vectors(engine.totals(grain), 10_000))
    ordered = timed("sort for paths", None, lambda: order_requests(engine, grain))
    timed(f"walk {given.plans} wallet plans", None, lambda: walk_plans(engine, many, ordered=ordered))
    rows.append(("path-dependent, sort + walk", *total(rows[-2:]), 10.0))
    print(f"{given.requests:,} requests, {given.plans} plans")
    for name, seconds, cpu, target in rows:
        ratio = f"{seconds / target:6.2f} of the target {target:g} s" if target else ""
        print(f"{name:42} {seconds:8.2f} s {cpu:8.2f} s of CPU  {ratio}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"peak memory, generation included: {peak:.2f} GiB (target 1.2 GB without generation)")


if __name__ == "__main__":
    main()
