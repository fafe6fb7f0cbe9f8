"""Exploring profit models: which one earns most, for whom, how surely, and what customers' bills become.

In: a workload, plans, costs, assumptions. Out: comparisons, optima, reports; it prices nothing by itself.
theory/ has closed-form answers, workload/ what is priced, engine/ how, answers/ what is said. Start with compare.
"""

from mintage.lab.theory import *  # noqa: F403 - one name each, listed there
from mintage.lab.theory import __all__ as _theory

__all__ = [*_theory]  # noqa: PLE0604 - names of theory/
