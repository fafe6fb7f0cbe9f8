"""Wallet plans over a workload: the kernel equals a walk through each customer's own events."""

from fractions import Fraction
from pathlib import Path

import pytest

from mintage.lab.engine import month_of, open_engine, walk_plans
from mintage.lab.workload import Generated, generate
from mintage.pricing import load_plan
from mintage.pricing.paths import FIELDS, rules_of, walk_wallet
from mintage.pricing.quote import rate_event

pytest.importorskip("numba", reason="the extra `lab` is not installed")

ROOT = Path(__file__).resolve().parents[2]
CREDITS = """
id = "credits"
currency = "USD"
name = { en = "Credits" }
[[prices]]
model = "*"
input_tokens.per_million = "3.00"
cached_read_tokens.per_million = "0.75"
output_tokens.per_million = "12.00"
[[adjustments]]
factor = "0.5"
where = { class = "batch" }
[[grants]]
name = { en = "To try" }
amount = "0.05"
expires_days = 10
[[packs]]
name = { en = "Pack" }
price = "0.5"
credit = "0.5"
expires_days = 20
[auto_top_up]
below = "0.1"
amount = "0.5"
monthly_limit = "1.5"
"""


def test_a_prepaid_plan_is_the_same_both_ways(tmp_path):
    workload = generate(Generated(requests=3_000, customers=15, seed=9), tmp_path / "w.parquet")
    engine = open_engine(workload)
    plan = load_plan(CREDITS.encode())
    other = load_plan(CREDITS.replace('"0.5"\nmonthly', '"0.2"\nmonthly').replace("credits", "smaller").encode())
    made = walk_plans(engine, [plan, other])
    for place, one in enumerate((plan, other)):
        for number, customer in enumerate(engine.roll.customers):
            events = [
                (
                    event.at_ns,
                    sum(line.attos for line in rate_event(one, event)),
                    int(event.value("total_tokens")),
                    month_of(event.at_ns),
                )
                for event in workload.events(customer)
            ]
            path = walk_wallet(events, rules_of(one), end_ns=engine.calendar.spans[-1].end_ns)
            assert {name: int(made[name][place, number]) for name in FIELDS} == {
                name: getattr(path, name) for name in FIELDS
            }
    assert made["breakage"].sum() > 0
    assert made["shortfall"].sum() > 0
    assert Fraction(int(made["charged"].sum()), 10**9) > 0
