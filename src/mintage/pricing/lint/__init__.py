"""The plan linter: what a plan does that its author may not mean, with the exact usage at which it bites.

In: a plan, the models on sale, what they cost. Out: findings, in both languages; it never changes a plan.
tiers.py finds holes and cliffs, coverage.py what has no price, costs.py what loses money. Start with lint_plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mintage.pricing.lint.costs import Costs, lint_costs
from mintage.pricing.lint.coverage import lint_coverage
from mintage.pricing.lint.finding import Finding
from mintage.pricing.lint.tiers import lint_tiers
from mintage.pricing.plan import Plan

_NO_COSTS: Final[Costs] = {}


def lint_plan(plan: Plan, *, models: Sequence[str] = (), costs: Costs = _NO_COSTS, at_ns: int = 0) -> list[Finding]:
    """Findings in the order of the plan, errors before warnings. An empty list is a plan without surprises.

    models: those on sale. costs: model -> meter -> currency units of one, e.g. CostBook.rates of its provider.
    """
    found = [*lint_tiers(plan), *lint_coverage(plan, models, at_ns), *lint_costs(plan, costs)]
    return sorted(found, key=lambda finding: finding.severity == "warning")


__all__ = ["Costs", "Finding", "lint_plan"]
