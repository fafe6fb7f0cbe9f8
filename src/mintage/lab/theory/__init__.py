"""Closed-form answers: functions of plain numbers, each with its source, that return plain data.

In: numbers, lists. Out: a number, a dict of them. Bills come from the engine that bills; the rest is theory.
solve.py answers a named question from its inputs as a case file has them. Start with __all__.
"""

from mintage.lab.theory.costs import cascade_cost, gpu_unit_cost, reserve_capacity
from mintage.lab.theory.deepseek import deepseek_day
from mintage.lab.theory.demand import (
    linear_monopoly,
    logit_optimum,
    multinomial_logit_optimum,
    price_elasticity,
    screening_menu,
    two_part_tariff,
    uniform_wtp,
)
from mintage.lab.theory.research import gabor_granger, survey_curves, van_westendorp
from mintage.lab.theory.retention import bgnbd_alive, fit_bgnbd, fit_sbg, lifetime_value, sbg_survival
from mintage.lab.theory.risk import compound_poisson, ishigami, outcome_pricing, sobol_indices, sobol_sampled
from mintage.lab.theory.solve import QUESTIONS, solve
from mintage.lab.theory.tariffs import context_cliff_bill, credit_ledger, package_bill, tier_bill

__all__ = [
    "QUESTIONS",
    "bgnbd_alive",
    "cascade_cost",
    "compound_poisson",
    "context_cliff_bill",
    "credit_ledger",
    "deepseek_day",
    "fit_bgnbd",
    "fit_sbg",
    "gabor_granger",
    "gpu_unit_cost",
    "ishigami",
    "lifetime_value",
    "linear_monopoly",
    "logit_optimum",
    "multinomial_logit_optimum",
    "outcome_pricing",
    "package_bill",
    "price_elasticity",
    "reserve_capacity",
    "sbg_survival",
    "screening_menu",
    "sobol_indices",
    "sobol_sampled",
    "solve",
    "survey_curves",
    "tier_bill",
    "two_part_tariff",
    "uniform_wtp",
    "van_westendorp",
]
