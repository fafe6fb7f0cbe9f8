"""Rating one request: the compiled rate card against the plain scalar path it equals, and the price book likewise.

`python benchmarks/rating.py [--seconds 0.2]` takes turns between the paths, so that a slow moment of the machine hits
all alike, and reports the best of the rounds. genai-prices' own calculator is included if the extra is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path

from mintage.base import Usage
from mintage.pricing import CostBook, PeriodUsage, compile_plan, freeze_plan, load_plan, quote
from mintage.pricing.scalar import rate_request
from mintage.pricing.vector import vectorise

PLAN = Path(__file__).parents[1] / "examples" / "plans" / "payg.toml"
MODEL = "smollm2-135m"
USAGE = Usage(input_tokens=1250, cached_read_tokens=30, output_tokens=400, requests=1)
AT_NS = 1_793_534_400_000_000_000  # 2026-11-01T12:00:00Z
ROUNDS = 5
CUSTOMERS = 50_000


def best_us(call: Callable[[], object], seconds: float) -> float:
    """Microseconds of one call, over about so many seconds."""
    calls, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds:
        for _ in range(10):
            call()
        calls += 10
    return spent / calls * 1e6


def paths() -> dict[str, Callable[[], object]]:
    plan = load_plan(PLAN.read_bytes())
    card = compile_plan(freeze_plan(plan, applied_ns=0))
    book = CostBook.load()
    found: dict[str, Callable[[], object]] = {
        "scalar path (reference)": lambda: rate_request(plan, MODEL, USAGE, AT_NS),
        "RateCard.rate": lambda: card.rate(MODEL, USAGE, AT_NS),
        "RateCard.bound": lambda: card.bound(MODEL, input_bound_tokens=1280, output_bound_tokens=400, at_ns=AT_NS),
        "CostBook.cost": lambda: book.cost("openai", "gpt-4o", USAGE, AT_NS),
        "CostBook.cost, context cliff": lambda: book.cost("google", "gemini-2.5-pro", USAGE, AT_NS),
    }
    if importlib.util.find_spec("genai_prices"):
        import genai_prices

        theirs = genai_prices.Usage(input_tokens=1280, cache_read_tokens=30, output_tokens=400)
        found["genai-prices calc_price"] = lambda: genai_prices.calc_price(theirs, "gpt-4o", provider_id="openai")
    return found


def bills(seconds: float) -> dict[str, float]:
    """Microseconds of one customer's month under graduated tiers, by each engine."""
    plan = load_plan((PLAN.parent / "models" / "02-graduated-tiers.toml").read_bytes())
    usage = PeriodUsage(usage=({"model": MODEL, "input_tokens": 4_000_000, "output_tokens": 900_000},))
    found = {"quote, one month": best_us(lambda: quote(plan, usage, AT_NS), seconds)}
    if importlib.util.find_spec("numpy"):
        import numpy as np

        vector = vectorise(plan, [MODEL])
        counts = np.random.default_rng(1).integers(0, 10_000_000, CUSTOMERS)
        columns = {MODEL: {"input_tokens": counts, "output_tokens": counts // 5}}
        found[f"VectorPlan.bill, one of {CUSTOMERS:,}"] = best_us(lambda: vector.bill(columns), seconds) / CUSTOMERS
    return found


def table(title: str, best: dict[str, float]) -> None:
    reference = next(iter(best.values()))
    print(f"| {title} | us | speed, first row = 1 |\n|---|---|---|")
    for name, us in best.items():
        print(f"| {name} | {us:.2f} | {reference / us:,.1f} |")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.2, help="per path and round")
    seconds: float = parser.parse_args().seconds
    calls = paths()
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(ROUNDS):
        for name, call in calls.items():
            best[name] = min(best[name], best_us(call, seconds))
    table("one request", best)
    monthly = [bills(seconds) for _ in range(ROUNDS)]
    table("one customer's month", {name: min(round_[name] for round_ in monthly) for name in monthly[0]})


if __name__ == "__main__":
    main()
