"""From a workload and plans to bills: exact, by the cheapest evaluator that each part of a plan allows.

In: a Workload, plans. Out: attos per customer and period. reference.py is quote() for every bill; fast.py equals it bit
for bit; aggregate.py is the one pass that plans share. Start with Engine.evaluate.
"""

from __future__ import annotations

from mintage.lab.engine.aggregate import Grain, Totals, aggregate
from mintage.lab.engine.fast import Engine, Evaluated
from mintage.lab.engine.paths import Ordered, month_of, order_requests, walk_plans
from mintage.lab.engine.periods import Calendar, Roll, calendar_of, roll_of
from mintage.lab.engine.reference import reference_quotes
from mintage.lab.workload import Workload
from mintage.pricing.words import Period


def open_engine(workload: Workload, period: Period = "month", zone: str = "UTC") -> Engine:
    """The workload with its billing periods."""
    calendar = calendar_of(workload, period, zone)
    return Engine(workload, calendar, roll_of(workload, calendar))


__all__ = [
    "Calendar",
    "Engine",
    "Evaluated",
    "Grain",
    "Ordered",
    "Roll",
    "Totals",
    "aggregate",
    "calendar_of",
    "month_of",
    "open_engine",
    "order_requests",
    "reference_quotes",
    "roll_of",
    "walk_plans",
]
