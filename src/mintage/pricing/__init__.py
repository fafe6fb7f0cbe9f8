"""What a plan charges: plans as data, one rating engine, provider price books.

In: plan files (TOML or JSON), usage. Out: charges, upper bounds for holds, costs; exact, never a float.
plan.py is what a plan can say; scalar.py rates a request plainly, card.py rates the same fast; charges/ and period/
are what a period adds; quote.py puts a period together. Start with load_plan -> freeze_plan -> compile_plan.
"""

from mintage.pricing.card import RateCard, compile_plan
from mintage.pricing.costs import BookShelf, CostBook, ShelfEntry, compute_cost
from mintage.pricing.explain import ExplainedLine
from mintage.pricing.funds import AutoTopUp, CreditUnit, Grant, Pack, ProgressiveBilling, Trial
from mintage.pricing.json_schema import plan_schema
from mintage.pricing.lint import Finding, lint_plan
from mintage.pricing.markup import resolve_markups
from mintage.pricing.metric import Event, Metric, Span, usage_event
from mintage.pricing.parse import load_plan, plan_from_data
from mintage.pricing.plan import Adjustment, CostPlus, Fee, Plan, Price
from mintage.pricing.policies import BillingPolicy, InputPolicy, Limits, OutputPolicy, Policies
from mintage.pricing.profit_models import PROFIT_MODELS, ProfitModel, example_plan
from mintage.pricing.quote import Quote, QuoteLine, QuoteStep, quote
from mintage.pricing.rates import Rate
from mintage.pricing.states import plan_states
from mintage.pricing.usage_file import PeriodUsage, load_usage
from mintage.pricing.version import PriceVersion, canonical_form, freeze_plan, thaw_version
from mintage.pricing.words import Names, Window

__all__ = [
    "PROFIT_MODELS",
    "Adjustment",
    "AutoTopUp",
    "BillingPolicy",
    "BookShelf",
    "CostBook",
    "CostPlus",
    "CreditUnit",
    "Event",
    "ExplainedLine",
    "Fee",
    "Finding",
    "Grant",
    "InputPolicy",
    "Limits",
    "Metric",
    "Names",
    "OutputPolicy",
    "Pack",
    "PeriodUsage",
    "Plan",
    "Policies",
    "Price",
    "PriceVersion",
    "ProfitModel",
    "ProgressiveBilling",
    "Quote",
    "QuoteLine",
    "QuoteStep",
    "Rate",
    "RateCard",
    "ShelfEntry",
    "Span",
    "Trial",
    "Window",
    "canonical_form",
    "compile_plan",
    "compute_cost",
    "example_plan",
    "freeze_plan",
    "lint_plan",
    "load_plan",
    "load_usage",
    "plan_from_data",
    "plan_schema",
    "plan_states",
    "quote",
    "resolve_markups",
    "thaw_version",
    "usage_event",
]
