"""Writing a plan: the linter looks over it, and a made-up month shows at once what it would cost, and what more costs.

The gallery holds the 24 profit models, each a plan to start from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
from litestar import Response, get, post

from mintage.base import MintageError
from mintage.console import figures
from mintage.console.door import AnyRequest, Services
from mintage.console.plot import Plot, Series, plot
from mintage.console.render import page
from mintage.console.services import ConsoleServices
from mintage.console.visit import Given, Visit, open_visit
from mintage.pricing import (
    PROFIT_MODELS,
    PeriodUsage,
    Plan,
    ProfitModel,
    Quote,
    example_plan,
    lint_plan,
    load_plan,
    load_usage,
    quote,
)

EXAMPLE: Final = """\
id = "starter"
currency = "{currency}"
funding = "prepaid"
name = {{ en = "Starter", zh = "入门" }}

[[prices]]
model = "*"
input_tokens = {{ per_million = "0.60" }}
output_tokens = {{ per_million = "2.40" }}
"""
#: The month of the preview, until somebody changes it.
MONTH: Final = {
    "requests": "20000",
    "input_tokens": "24000000",
    "cached_read_tokens": "6000000",
    "output_tokens": "5000000",
}
_METERS: Final = tuple(MONTH)
_STEPS: Final = 20
_USAGE_LIMIT: Final = 10**15


@get("/console/plans/gallery")
async def gallery(request: AnyRequest, services: Services) -> Response[bytes]:
    """Every profit model with its payer, what its bill depends on, and what a month of the preview comes to."""
    visit = await open_visit(request, services, "plans.read")
    values = {"cards": await asyncio.to_thread(_cards, visit)}
    return visit.render("gallery.html", "gallery", visit.t("nav.gallery"), values)


def _cards(visit: Visit) -> list[dict[str, Any]]:
    cards = []
    for model in PROFIT_MODELS:
        text = example_plan(model)
        cards.append(
            {
                "model": model,
                "says": text.partition("\n")[0].lstrip("# "),
                "states": [visit.t(f"state.{name}") for name in sorted(model.states)],
                "spark": _spark(text, visit.services.clock.now_ns()),
            }
        )
    return cards


def _spark(text: str, at_ns: int) -> str:
    """The bill against usage from nothing to twice a sample month, as points of 100 x 28; empty where it is nothing."""
    plan = load_plan(text.encode(), "toml")
    usage = _sample(plan)
    try:
        totals = [quote(plan, _scaled(usage, step), at_ns).total for step in range(0, _STEPS + 1, 2)]
    except MintageError:
        return ""
    high = max(totals)
    if high <= 0:
        return ""
    return " ".join(
        f"{index * 10},{26 - int(max(total, Decimal(0)) * 24 / high)}" for index, total in enumerate(totals)
    )


def _sample(plan: Plan) -> PeriodUsage:
    """The preview's month for a model that the plan prices, and some of whatever else its charges count."""
    model = plan.prices[0].model.replace("*", "small") if plan.prices else "small"
    rows: list[dict[str, object]] = [{"model": model, **{name: int(value) for name, value in MONTH.items()}}]
    for charge in plan.charges:
        metric = getattr(charge, "metric", None)
        if metric is not None and metric.kind != "usage":
            names = metric.values or ("count",)
            rows.append({"kind": metric.kind, **dict.fromkeys(names, 20_000)})
    return PeriodUsage(usage=tuple(rows))


@get("/console/plans/new")
async def new_plan(request: AnyRequest, services: Services) -> Response[bytes]:
    """Begins with a small plan, or with a profit model's (?from=SLUG)."""
    visit = await open_visit(request, services, "plans.write")
    text = EXAMPLE.format(currency=services.settings.currency)
    if slug := visit.query("from"):
        text = example_plan(_model(slug))
    return _editor(visit, {"plan": text})


def _model(slug: str) -> ProfitModel:
    for one in PROFIT_MODELS:
        if one.slug == slug:
            return one
    raise MintageError("not_found", "There is no such profit model.", "Look into the gallery.")


def _editor(
    visit: Visit, form: dict[str, str], *, checked: bool = False, problem: MintageError | None = None
) -> Response[bytes]:
    form = {**MONTH, "model": _known_models(visit.services)[0], "more": "", **form}
    values = {
        "text": form.get("plan", ""),
        "checked": checked,
        "given": form,
        "meters": _METERS,
        "known_models": [(one, one) for one in _known_models(visit.services)],
        **_preview(visit, form),
    }
    return visit.render("plan_new.html", "plans", visit.t("plan.write"), values, problem=problem)


def _known_models(services: ConsoleServices) -> list[str]:
    return sorted(services.gateway.snapshot.routes) or ["small"]


@post("/console/plans/quote", status_code=200)
async def quote_plan(request: AnyRequest, services: Services) -> Response[bytes]:
    """The preview alone, as one types."""
    visit = await open_visit(request, services, "plans.write")
    form = await visit.form()
    values = await asyncio.to_thread(_preview, visit, form)
    values |= {"checked": True, "given": Given(form)}
    return page(request, "_plan_preview.html", values, reader=visit.reader)


@post("/console/plans/new", status_code=303)
async def apply_plan(request: AnyRequest, services: Services) -> Response[Any]:
    """Check it, or check and apply it. What the linter calls an error is told before anything is sold by it."""
    visit = await open_visit(request, services, "plans.write")
    form = await visit.form()
    text = form.get("plan", "")
    try:
        plan = await asyncio.to_thread(load_plan, text.encode(), "toml")
        broken = any(one.severity == "error" for one in _lint(services, plan))
        if form.get("action") != "apply" or (broken and not form.get("anyway")):
            return _editor(visit, form, checked=True)
        applied = await asyncio.to_thread(services.billing.plans.apply, visit.actor, text.encode(), "toml")
    except MintageError as error:
        return _editor(visit, form, problem=error)
    return visit.go(f"/console/plans/{applied.version.plan_id}", "plan_applied" if applied.changed else "plan_same")


def _lint(services: ConsoleServices, plan: Plan) -> list[Any]:
    return lint_plan(plan, models=sorted(services.gateway.snapshot.routes), at_ns=services.clock.now_ns())


def _preview(visit: Visit, form: dict[str, str]) -> dict[str, Any]:
    """Findings, the month's bill line by line, and the bill as usage grows. What is wrong is said, never raised."""
    empty: dict[str, Any] = {"findings": [], "quoted": None, "curve": None, "trouble": None}
    at_ns = visit.services.clock.now_ns()
    try:
        plan = load_plan(form.get("plan", "").encode(), "toml")
        findings = _lint(visit.services, plan)
    except MintageError as error:
        return empty | {"trouble": error}
    try:
        usage = _usage(form, form.get("model", ""), form.get("more", ""))
        made = quote(plan, usage, at_ns)
        scaled = [quote(plan, _scaled(usage, step), at_ns) for step in range(_STEPS + 1)]
    except MintageError as error:
        return empty | {"findings": findings, "trouble": error}
    return empty | {
        "findings": findings,
        "quoted": _shown(visit, made),
        "curve": _curve(visit, scaled, made.currency),
    }


def _usage(form: dict[str, str], model: str, more: str) -> PeriodUsage:
    """The month that the form describes: one row of sums, and whatever else the usage file says."""
    row: dict[str, object] = {"model": model}
    for name in _METERS:
        text = form.get(name, "").replace(",", "").replace("_", "").strip()
        if text and (not text.isdecimal() or int(text) > _USAGE_LIMIT):
            raise MintageError(
                "invalid_request", f"{name}: {text[:40]!r} is no count.", "Write a whole number.", param=name
            )
        if text:
            row[name] = int(text)
    base = load_usage(more.encode(), "toml") if more.strip() else PeriodUsage()
    return msgspec.structs.replace(base, usage=(row, *base.usage))


def _scaled(usage: PeriodUsage, step: int) -> PeriodUsage:
    """step tenths of every whole number of every row."""
    rows: list[dict[str, object]] = [
        {
            name: value * step // 10 if isinstance(value, int) and not isinstance(value, bool) else value
            for name, value in row.items()
        }
        for row in usage.usage
    ]
    return msgspec.structs.replace(usage, usage=tuple(rows))


def _shown(visit: Visit, made: Quote) -> dict[str, Any]:
    zh = visit.t.language == "zh"
    return {
        "total": figures.money_attos(made.total_attos, made.currency),
        "lines": [
            {
                "name": line.name.in_language(visit.t.language),
                "group": " · ".join(line.group.values()),
                "amount": figures.money_attos(line.amount_attos, made.currency),
                "steps": [
                    f"{one.zh if zh else one.en}: {one.quantity:,f} × {one.rate:,f} = {one.amount:,f}"
                    for one in line.steps
                ],
            }
            for line in made.lines
        ],
    }


def _curve(visit: Visit, scaled: Sequence[Quote], currency: str) -> Plot:
    """What the month comes to at 0 to 200 % of it: tiers bend it, packages step, cliffs jump."""
    t = visit.t
    labels = [f"{10 * step} %" for step in range(len(scaled))]
    totals = [int(one.total * Decimal(10**9)) for one in scaled]
    series = [Series(name=t("plan.bill"), values=totals, kind="line")]
    return plot("bill", t("plan.curve"), labels, series, t, currency=currency, note=t("plan.curve_note"))


HANDLERS: Final[list[Any]] = [gallery, new_plan, quote_plan, apply_plan]
