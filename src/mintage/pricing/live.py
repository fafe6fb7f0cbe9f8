"""What the charges of a period mean for one request: rates to settle at until the period is closed.

A graduated or an allowance charge is not known before its total. Until then each request pays the charge's live
rate; closing the period posts the difference. Additive charges (per unit, matrix) are exact at once.
"""

from __future__ import annotations

from fractions import Fraction

from mintage.base import METERS
from mintage.pricing.charges import ChargeFields, Matrix, QuantityCharge
from mintage.pricing.match import Dimensions, dimensions_match
from mintage.pricing.metric import ALIASES
from mintage.pricing.plan import Plan

LiveRates = dict[str, Fraction]


def meters_of(charge: ChargeFields) -> dict[str, Fraction]:
    """meter -> charged units for one counted; only what can be read off a single request's usage."""
    if not isinstance(charge, QuantityCharge) or charge.metric.kind != "usage":
        return {}
    metric = charge.metric
    scale = Fraction(metric.multiply_by) / Fraction(metric.divide_by)
    if metric.aggregate == "count":
        return {"requests": scale}
    found: dict[str, Fraction] = {}
    if metric.aggregate == "sum":
        for name in metric.values:
            for meter in ALIASES.get(name, (name,)):
                if meter in METERS:
                    found[meter] = found.get(meter, Fraction(0)) + scale * Fraction(metric.weights.get(name, 1))
    return found


def live_rates(plan: Plan, model: str, dimensions: Dimensions) -> LiveRates:
    """meter -> currency units for one. A meter that a charge covers has a price, even if it is 0 for now."""
    found: LiveRates = {}
    if not plan.charges:
        return found
    known = {**dimensions, "model": model}
    for charge in plan.charges:
        units = meters_of(charge)
        if units and isinstance(charge, QuantityCharge) and dimensions_match(charge.where, known):
            rate = charge.live_rate(known)
            for meter, each in units.items():
                found[meter] = found.get(meter, Fraction(0)) + each * rate
    return found


def depends_on_dimensions(plan: Plan) -> bool:
    """Whether live rates of a model differ between requests."""
    return any(
        charge.where.keys() - {"model"}
        or (isinstance(charge, Matrix) and any(cell.cell.keys() - {"model"} for cell in charge.cells))
        for charge in plan.charges
    )
