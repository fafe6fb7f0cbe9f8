"""Plans side by side over one workload: revenue, cost, margin, who pays more, how sure, what it depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

import msgspec

from mintage.base import ATTOS_PER_UNIT, MintageError
from mintage.lab.answers.uncertainty import Assumptions, Interval, simulate
from mintage.lab.costs import ModelCost, cost_units
from mintage.lab.engine import Engine, open_engine
from mintage.lab.workload import Summary, Workload
from mintage.pricing import CostBook, Names, Plan, plan_states

_WORST: Final = 10
PLANS_LIMIT: Final = 1_000


class Shock(msgspec.Struct, frozen=True, kw_only=True):
    """One customer's bills against the baseline, in currency units; change is a share, None from a bill of 0."""

    customer: str
    before: Decimal
    after: Decimal
    change: float | None


class PlanAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Amounts in currency units, exact, before the customers react; intervals are after, under the assumptions.

    by_period: revenue, cost and margin. quantiles: of the change of customers' bills against the baseline, at 5, 25,
    50, 75 and 95 %. how: the evaluator that each part took. margin_quantiles: of simulated margins, least first.
    """

    plan: str
    name: Names
    states: tuple[str, ...]
    revenue: Decimal
    cost: Decimal
    fixed_cost: Decimal
    margin: Decimal
    margin_share: float | None
    break_even_cost_factor: float | None
    by_period: tuple[tuple[str, Decimal, Decimal, Decimal], ...]
    by_customer: tuple[tuple[str, Decimal, Decimal, Decimal], ...]
    paying_customers: int
    loss_customers: int
    rising: int
    falling: int
    quantiles: tuple[float, ...]
    worst: tuple[Shock, ...]
    revenue_interval: Interval
    margin_interval: Interval
    best_chance: float
    drivers: tuple[tuple[str, float, float], ...]
    how: dict[str, str]
    margin_quantiles: tuple[float, ...] = ()


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The first plan is the baseline. uncosted: models without a cost. recommended: most expected margin."""

    currency: str
    workload: Summary
    periods: tuple[str, ...]
    baseline: str
    recommended: str
    recommendation: Names
    answers: tuple[PlanAnswer, ...]
    cost_by_model: tuple[tuple[str, Decimal], ...]
    uncosted: tuple[str, ...]
    assumptions: Assumptions
    book: str


class _Bills(msgspec.Struct, frozen=True):
    """Attos, per cell of the roll and per customer."""

    plan: Plan
    cells: list[int]
    customers: list[int]
    how: Mapping[str, str]


def units(attos: int) -> Decimal:
    """Exact, in currency units."""
    return Decimal(format(Decimal(attos).scaleb(-18).normalize(), "f")) if attos else Decimal(0)


def compare(
    workload: Workload,
    plans: Sequence[Plan],
    *,
    costs: Mapping[str, ModelCost] | None = None,
    fixed_cost: Decimal = Decimal(0),
    assumptions: Assumptions | None = None,
    book: CostBook | None = None,
    zone: str = "UTC",
    pools: Mapping[str, Decimal] | None = None,
) -> Comparison:
    """Evaluate every plan over the workload. fixed_cost: of each period.

    Raises MintageError("invalid_request") for plans of different currencies or periods, "unpriceable" for usage that a
    plan or a cost has no price for.
    """
    _check(plans)
    book, costs = book or CostBook.load(), dict(costs or {})
    engine = open_engine(workload, plans[0].period, zone)
    per_cell, by_model = _cost(engine, costs, book)
    bills = [_bill(engine, plan, pools) for plan in plans]
    given = assumptions or Assumptions()
    cost_by_customer = _by_customer(engine, per_cell)
    periods = len(engine.calendar.spans)
    fixed = int(Fraction(fixed_cost) * ATTOS_PER_UNIT) * periods
    simulated = simulate([bill.customers for bill in bills], cost_by_customer, fixed, given)
    answers = tuple(
        _answer(engine, bill, bills[0], (per_cell, cost_by_customer, fixed), simulated[place])
        for place, bill in enumerate(bills)
    )
    best = max(answers, key=lambda answer: answer.margin_interval.mean)
    summary = workload.summary()
    return Comparison(
        currency=plans[0].currency,
        workload=summary,
        periods=tuple(_labels(engine)),
        baseline=plans[0].id,
        recommended=best.plan,
        recommendation=_recommend(answers, best, plans[0].currency),
        answers=answers,
        cost_by_model=tuple((model, units(attos)) for model, attos in sorted(by_model.items())),
        uncosted=tuple(model for model in summary.models if model not in costs),
        assumptions=given,
        book=book.id,
    )


def _check(plans: Sequence[Plan]) -> None:
    if not plans or len(plans) > PLANS_LIMIT:
        raise MintageError("invalid_request", f"{len(plans)} plans.", f"Give 1 to {PLANS_LIMIT}.", param="plan")
    for field in ("currency", "period"):
        if len({getattr(plan, field) for plan in plans}) > 1:
            raise MintageError(
                "invalid_request", f"The plans differ in {field}.", "Compare like with like.", param=field
            )
    names = [plan.id for plan in plans]
    if len(set(names)) < len(names):
        raise MintageError("invalid_request", "Two plans have the same id.", "Rename one.", param="plan")


def _cost(engine: Engine, costs: Mapping[str, ModelCost], book: CostBook) -> tuple[list[int], dict[str, int]]:
    """Attos of each cell and of each model."""
    cells = [0] * engine.roll.cells
    by_model: dict[str, int] = {}
    if not costs:
        return cells, by_model
    counts, unit, totals = cost_units(engine, costs, book)
    each = unit * ATTOS_PER_UNIT
    for cell, context, count in zip(totals.cell.tolist(), totals.context.tolist(), counts.tolist(), strict=True):
        attos = int(count * each)
        cells[cell] += attos
        model = totals.contexts[context].model
        by_model[model] = by_model.get(model, 0) + attos
    return cells, by_model


def _bill(engine: Engine, plan: Plan, pools: Mapping[str, Decimal] | None) -> _Bills:
    made = engine.evaluate(plan, pools)
    return _Bills(plan, made.attos, _by_customer(engine, made.attos), made.how)


def _by_customer(engine: Engine, cells: Sequence[int]) -> list[int]:
    starts = [*engine.roll.offset.tolist(), engine.roll.cells]
    return [sum(cells[a:b]) for a, b in pairwise(starts)]


def _labels(engine: Engine) -> list[str]:
    from mintage.pricing.period import local_day

    return [local_day(span.start_ns, engine.calendar.zone).isoformat() for span in engine.calendar.spans]


def _answer(
    engine: Engine, bill: _Bills, base: _Bills, spent: tuple[list[int], list[int], int], simulated: Any
) -> PlanAnswer:
    cost_cells, cost_customers, fixed = spent
    revenue, cost = sum(bill.cells), sum(cost_cells)
    margin = revenue - cost - fixed
    shocks = _shocks(engine, bill, base)
    changes = sorted(shock.change for shock in shocks if shock.change is not None)
    rows = zip(engine.roll.customers, bill.customers, cost_customers, strict=True)
    customers = sorted(((c, r, k, r - k) for c, r, k in rows), key=lambda row: (-row[1], row[0]))
    return PlanAnswer(
        plan=bill.plan.id,
        name=bill.plan.name,
        states=tuple(sorted(plan_states(bill.plan))),
        revenue=units(revenue),
        cost=units(cost),
        fixed_cost=units(fixed),
        margin=units(margin),
        margin_share=margin / revenue if revenue else None,
        break_even_cost_factor=(revenue - fixed) / cost if cost else None,
        by_period=tuple(_by_period(engine, bill.cells, cost_cells)),
        by_customer=tuple((c, units(r), units(k), units(m)) for c, r, k, m in customers),
        paying_customers=sum(attos > 0 for attos in bill.customers),
        loss_customers=sum(r < k for _, r, k, _ in customers),
        rising=sum(shock.after > shock.before for shock in shocks),
        falling=sum(shock.after < shock.before for shock in shocks),
        quantiles=tuple(_quantile(changes, share) for share in (0.05, 0.25, 0.5, 0.75, 0.95)) if changes else (),
        worst=tuple(sorted(shocks, key=lambda s: s.before - s.after)[:_WORST]),
        revenue_interval=simulated.revenue,
        margin_interval=simulated.margin,
        best_chance=simulated.best_chance,
        drivers=simulated.drivers,
        how=dict(bill.how),
        margin_quantiles=simulated.margin_quantiles,
    )


def _by_period(
    engine: Engine, cells: Sequence[int], costs: Sequence[int]
) -> list[tuple[str, Decimal, Decimal, Decimal]]:
    sums = [[0, 0] for _ in engine.calendar.spans]
    for place, charged, spent in zip(engine.roll.cell_periods().tolist(), cells, costs, strict=True):
        sums[place][0] += charged
        sums[place][1] += spent
    labels = _labels(engine)
    return [(day, units(r), units(c), units(r - c)) for day, (r, c) in zip(labels, sums, strict=True)]


def _shocks(engine: Engine, bill: _Bills, base: _Bills) -> list[Shock]:
    found = []
    for customer, before, after in zip(engine.roll.customers, base.customers, bill.customers, strict=True):
        change = (after - before) / before if before else (0.0 if not after else None)
        found.append(Shock(customer=customer, before=units(before), after=units(after), change=change))
    return found


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _recommend(answers: Sequence[PlanAnswer], best: PlanAnswer, currency: str) -> Names:
    base = answers[0]
    if best.plan == base.plan:
        return Names(
            en=f"Keep {base.plan}: no other plan is expected to leave more margin.",
            zh=f"保留 {base.plan}：没有其他方案的预期毛利更高。",
        )
    gain = best.margin_interval.mean - base.margin_interval.mean
    share = best.rising / max(1, best.rising + best.falling)
    return Names(
        en=f"{best.plan}: {gain:,.2f} {currency} more margin than {base.plan} is expected, and it is the best in "
        f"{best.best_chance:.0%} of the simulations. {share:.0%} of the bills that change rise.",
        zh=f"{best.plan}：预期毛利比 {base.plan} 多 {gain:,.2f} {currency}，在 {best.best_chance:.0%} 的模拟中最优；"
        f"有变化的账单中 {share:.0%} 上涨。",
    )
