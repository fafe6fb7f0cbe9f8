"""Exploring profit models: which one earns most, for whom, how surely, and what customers' bills become.

In: a workload, plans, costs, assumptions. Out: comparisons, optima, reports; it prices nothing by itself.
theory/ has closed-form answers, workload/ what is priced, engine/ how, answers/ what is said. Start with compare.
"""

from mintage.lab.answers import (
    Assumptions,
    Comparison,
    Constraints,
    Optimum,
    compare,
    maximise,
    optimise,
    render_html,
    write_answers,
)
from mintage.lab.costs import GpuCost, ProviderCost, parse_cost
from mintage.lab.engine import open_engine
from mintage.lab.theory import *  # noqa: F403 - one name each, listed there
from mintage.lab.theory import __all__ as _theory
from mintage.lab.workload import Generated, Workload, fit, generate, import_log, import_workload, write_arrays

__all__ = [  # noqa: PLE0604 - names of theory/
    *_theory,
    "Assumptions",
    "Comparison",
    "Constraints",
    "Generated",
    "GpuCost",
    "Optimum",
    "ProviderCost",
    "Workload",
    "compare",
    "fit",
    "generate",
    "import_log",
    "import_workload",
    "maximise",
    "open_engine",
    "optimise",
    "parse_cost",
    "render_html",
    "write_answers",
    "write_arrays",
]
