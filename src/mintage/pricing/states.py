"""How much history a plan's bill depends on: the tags by which the lab picks its cheapest valid evaluator.

additive: a sum over events. period_total: a function of a period's sums. interval: of what lasts. cumulative: carries
across periods. path: of the order of events. choice: of what customers decide. cross_customer: of all at once.
"""

from __future__ import annotations

from mintage.pricing.charges import Allowance, ChargeFields, QuantityCharge, State
from mintage.pricing.plan import Plan


def charge_states(charge: ChargeFields) -> frozenset[State]:
    """The charge's own tags, and those that its options add."""
    found: set[State] = set(charge.states)
    if isinstance(charge, QuantityCharge):
        metric = charge.metric
        if metric.aggregate == "weighted_sum":
            found |= {"interval"}
        if metric.aggregate in ("max", "unique", "latest") or metric.free_units or metric.round != "none":
            found |= {"period_total"}
    if isinstance(charge, Allowance) and charge.rollover_periods:
        found |= {"path"}
    if charge.minimum is not None or charge.maximum is not None:
        found |= {"period_total"}
    return frozenset(found)


def plan_states(plan: Plan) -> frozenset[State]:
    """Every tag of a plan; an empty set is a plan that charges nothing."""
    found: set[State] = set()
    for charge in plan.charges:
        found |= charge_states(charge)
    if plan.prices:
        found |= {"additive"}
    if plan.fees:
        found |= {"period_total"}
    if any(fee.proration != "none" and fee.every == "period" for fee in plan.fees):
        found |= {"interval"}
    if plan.minimum is not None or plan.maximum is not None:
        found |= {"period_total"}
    if plan.commitment is not None:
        found |= {"cumulative"}
    if plan.grants or plan.packs or plan.auto_top_up or plan.trial or plan.progressive:
        found |= {"path"}
    if plan.converts_to or (plan.trial and plan.trial.then):
        found |= {"choice"}
    return frozenset(found)
