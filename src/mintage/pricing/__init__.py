"""What a plan charges: plans as data, one rating engine, provider price books.

In: plan files (TOML or JSON), usage. Out: charges, upper bounds for holds, costs; exact, never a float.
plan.py is what a plan can say; scalar.py rates it plainly; card.py rates the same fast.
Start with load_plan -> freeze_plan -> compile_plan -> RateCard.rate.
"""

from mintage.pricing.card import RateCard, compile_plan
from mintage.pricing.costs import CostBook, compute_cost
from mintage.pricing.explain import ExplainedLine
from mintage.pricing.json_schema import plan_schema
from mintage.pricing.parse import load_plan, plan_from_data
from mintage.pricing.plan import Adjustment, Fee, Grant, Plan, Price
from mintage.pricing.policies import InputPolicy, Limits, OutputPolicy, Policies
from mintage.pricing.rates import Rate
from mintage.pricing.version import PriceVersion, canonical_form, freeze_plan, thaw_version
from mintage.pricing.words import Names, Window

__all__ = [
    "Adjustment",
    "CostBook",
    "ExplainedLine",
    "Fee",
    "Grant",
    "InputPolicy",
    "Limits",
    "Names",
    "OutputPolicy",
    "Plan",
    "Policies",
    "Price",
    "PriceVersion",
    "Rate",
    "RateCard",
    "Window",
    "canonical_form",
    "compile_plan",
    "compute_cost",
    "freeze_plan",
    "load_plan",
    "plan_from_data",
    "plan_schema",
    "thaw_version",
]
