"""A comparison as a page shows it: who wins how surely, the spread of profit, whose bills move, what drives it.

Figures of the lab are statistics in currency units, not amounts that anyone is charged, so they are shown rounded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from mintage.console import figures
from mintage.console.plot import Plot, Series, plot
from mintage.console.table import Cell, Column, Empty, Table, whole, words
from mintage.console.visit import Visit
from mintage.lab import Comparison
from mintage.lab.answers import PlanAnswer

WIDE: Final = 1_000
HIGH: Final = 60
_GRID: Final = 80
_CUSTOMERS: Final = 15


def comparison_values(visit: Visit, made: Comparison, names: dict[str, str], chosen: str) -> dict[str, Any]:
    """chosen: the plan whose customers and drivers are shown; the recommended one by default."""
    top = next((one for one in made.answers if one.plan == chosen), None)
    top = top or next(one for one in made.answers if one.plan == made.recommended)
    best = next(one for one in made.answers if one.plan == made.recommended)
    language = visit.t.language
    return {
        "made": made,
        "recommendation": made.recommendation.in_language(language),
        "best": best,
        "best_name": best.name.in_language(language),
        "chance": f"{best.best_chance:.0%}",
        "level": f"{made.assumptions.level:.0%}",
        "table": _plans(visit, made),
        "ridges": _ridges(made, language),
        "moves": _moves(made, language),
        "periods": _periods(visit, made),
        "top": top,
        "top_name": top.name.in_language(language),
        "drivers": _drivers(visit, top),
        "worst": _worst(visit, top, names, made.currency),
        "customers": _customers(visit, top, names, made.currency),
        "uncosted": ", ".join(made.uncosted),
    }


def amount(value: Any, currency: str = "") -> str:
    shown = f"{float(value):,.2f}".replace("-", figures.MINUS)
    return f"{figures.symbol_of(currency)}{shown}" if currency and shown[0] != figures.MINUS else (
        f"{figures.MINUS}{figures.symbol_of(currency)}{shown[1:]}" if currency else shown
    )  # fmt: skip


def _plans(visit: Visit, made: Comparison) -> Table:
    t, currency = visit.t, made.currency
    return Table(
        caption=t("lab.side_by_side"),
        columns=[
            Column(t("customer.plan"), wide=True), Column(t("statement.revenue"), numeric=True, keep=2),
            Column(t("statement.cost"), numeric=True, keep=1), Column(t("statement.margin"), numeric=True, keep=2),
            Column(t("lab.expected"), numeric=True), Column(t("lab.interval"), numeric=True, keep=1),
            Column(t("lab.chance"), numeric=True), Column(t("lab.below_cost"), numeric=True, keep=1),
        ],
        rows=[
            [
                words(one.name.in_language(t.language), small=t("lab.baseline") if one.plan == made.baseline else ""),
                whole(amount(one.revenue, currency)),
                whole(amount(one.cost + one.fixed_cost, currency)),
                whole(amount(one.margin, currency)),
                whole(amount(one.margin_interval.mean, currency)),
                whole(f"{amount(one.margin_interval.low)} … {amount(one.margin_interval.high)}"),
                whole(f"{one.best_chance:.0%}"),
                whole(figures.count(one.loss_customers)),
            ]
            for one in made.answers
        ],
        empty=Empty("", ""),
    )  # fmt: skip


def _ridges(made: Comparison, language: str) -> dict[str, Any]:
    """One density of simulated profit a plan, all on one scale, with interval, mean, and where nothing is earned."""
    answers = [one for one in made.answers if len(one.margin_quantiles) > 2]
    if not answers:
        return {"rows": [], "zero": None, "ticks": []}
    low = min(one.margin_quantiles[0] for one in answers)
    high = max(one.margin_quantiles[-1] for one in answers)
    room = (high - low or abs(high) or 1.0) * 0.06
    low, high = low - room, high + room

    def at(value: float) -> int:
        return round((value - low) / (high - low) * WIDE)

    densities = [_density(one.margin_quantiles, low, high) for one in answers]
    peak = max(max(values) for values in densities) or 1.0
    rows = []
    for one, values in zip(answers, densities, strict=True):
        own = max(values) or 1.0
        tall = HIGH * (0.45 + 0.55 * own / peak)  # a narrow one is taller, but a wide one is still to be seen
        points = " ".join(
            f"{index * WIDE // _GRID},{HIGH - value / own * tall:.1f}" for index, value in enumerate(values)
        )
        rows.append(
            {
                "name": one.name.in_language(language),
                "points": f"0,{HIGH} {points} {WIDE},{HIGH}",
                "low": at(one.margin_interval.low),
                "width": max(2, at(one.margin_interval.high) - at(one.margin_interval.low)),
                "mean": at(one.margin_interval.mean),
                "said": f"{amount(one.margin_interval.mean, made.currency)} "
                f"({amount(one.margin_interval.low)} … {amount(one.margin_interval.high)})",
                "wins": one.plan == made.recommended,
                "loses": one.margin_interval.high < 0,
            }
        )
    ticks = [
        {"at": WIDE * place // 4, "says": amount(low + (high - low) * place / 4, made.currency)} for place in range(5)
    ]
    return {"rows": rows, "zero": at(0.0) if low < 0 < high else None, "ticks": ticks}


def _density(quantiles: Sequence[float], low: float, high: float) -> list[float]:
    """A kernel density of equally likely points, on a grid. The bandwidth is Silverman's, by the quartiles."""
    count = len(quantiles)
    spread = (quantiles[3 * count // 4] - quantiles[count // 4]) / 1.34
    width = max(0.9 * spread * count**-0.2, (high - low) / 200)
    grid = [low + (high - low) * index / _GRID for index in range(_GRID + 1)]
    return [sum(math.exp(-(((x - q) / width) ** 2) / 2) for q in quantiles) / (count * width) for x in grid]


def _moves(made: Comparison, language: str) -> list[dict[str, Any]]:
    """How many bills rise, stay and fall against the baseline."""
    rows = []
    for one in made.answers:
        if one.plan == made.baseline:
            continue
        every = max(1, made.workload.customers)
        rising, falling = one.rising * WIDE // every, one.falling * WIDE // every
        rows.append(
            {
                "name": one.name.in_language(language), "falling": falling, "rising": rising, "from": WIDE - rising,
                "fall": figures.count(one.falling), "rise": figures.count(one.rising),
                "middle": f"{one.quantiles[2]:+.0%}".replace("-", figures.MINUS) if one.quantiles else figures.NONE,
                "range": f"{one.quantiles[0]:+.0%} … {one.quantiles[-1]:+.0%}".replace("-", figures.MINUS)
                if one.quantiles else figures.NONE,
            }
        )  # fmt: skip
    return rows


def _periods(visit: Visit, made: Comparison) -> Plot:
    t = visit.t
    series = [
        Series(name=one.name.in_language(t.language), values=[int(margin * 10**9) for *_, margin in one.by_period],
               kind="line", shade=index % 6)
        for index, one in enumerate(made.answers[:6])
    ]  # fmt: skip
    labels = [day for day, *_ in made.answers[0].by_period]
    return plot("periods", t("lab.by_period"), labels, series, t, currency=made.currency, note=t("lab.exact"))


def _drivers(visit: Visit, top: PlanAnswer) -> list[dict[str, Any]]:
    """A tornado: how far each assumption moves the expected margin, everything else at its mean."""
    values = [value for _, *pair in top.drivers for value in pair]
    if not values:
        return []
    low, high = min(values), max(values)
    span = high - low or 1.0

    def at(value: float) -> int:
        return round((value - low) / span * WIDE)

    return [
        {
            "name": visit.t.phrases.get(f"lab.assume_{name}", name), "from": min(at(a), at(b)),
            "width": max(4, abs(at(b) - at(a))), "said": f"{amount(min(a, b))} … {amount(max(a, b))}",
        }
        for name, a, b in top.drivers
    ]  # fmt: skip


def _worst(visit: Visit, top: PlanAnswer, names: dict[str, str], currency: str) -> Table:
    t = visit.t
    return Table(
        caption=t("lab.worst"),
        columns=[
            Column(t("requests.customer"), wide=True), Column(t("lab.before"), numeric=True, keep=2),
            Column(t("lab.after"), numeric=True), Column(t("lab.change"), numeric=True),
        ],
        rows=[
            [
                words(names.get(one.customer, one.customer)), whole(amount(one.before, currency)),
                whole(amount(one.after, currency)),
                whole(figures.NONE if one.change is None else f"{one.change:+.0%}".replace("-", figures.MINUS)),
            ]
            for one in top.worst if one.after > one.before
        ],
        empty=Empty(t("lab.nobody_pays_more"), ""),
    )  # fmt: skip


def _customers(visit: Visit, top: PlanAnswer, names: dict[str, str], currency: str) -> Table:
    t = visit.t

    def cells(row: tuple[str, Any, Any, Any]) -> list[Cell]:
        customer, *amounts = row
        return [words(names.get(customer, customer)), *(whole(amount(one, currency)) for one in amounts)]

    return Table(
        caption=t("lab.customers"),
        columns=[
            Column(t("requests.customer"), wide=True), Column(t("statement.revenue"), numeric=True),
            Column(t("statement.cost"), numeric=True, keep=2), Column(t("statement.margin"), numeric=True, keep=2),
        ],
        rows=[cells(row) for row in top.by_customer[:_CUSTOMERS]],
        empty=Empty("", ""),
    )  # fmt: skip
