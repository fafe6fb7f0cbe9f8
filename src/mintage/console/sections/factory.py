"""The factory: runs that make models, how far each step is, loss curves, what it cost, and what was made from what."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from litestar import Response, get
from litestar.params import FromPath

from mintage.base import MintageError
from mintage.console import figures
from mintage.console.door import AnyRequest, Services
from mintage.console.plot import Plot, Series, plot
from mintage.console.services import ConsoleServices
from mintage.console.table import Cell, Column, Empty, Table, amount, link, moment, state, whole, words
from mintage.console.visit import Visit, open_visit
from mintage.factory import Artifact, Factory, RunView

ROWS: Final = 200
_TONES: Final[dict[str, Any]] = {"waiting": "off", "running": "wait", "done": "ok", "failed": "bad", "cancelled": "cut"}
_BOX, _GAP, _TALL, _STEP = 150, 34, 46, 62  # of the lineage's boxes, in units of its drawing
_NAME_CHARS: Final = 20


def _factory(services: ConsoleServices) -> Factory:
    if services.factory is None:
        raise MintageError("not_found", "This console has no factory.", "Start it with `mintage serve`.")
    return services.factory


@get("/console/factory")
async def factory_page(request: AnyRequest, services: Services) -> Response[bytes]:
    """Runs, newest first."""
    visit = await open_visit(request, services, "models.read")
    t = visit.t
    views = await asyncio.to_thread(_factory(services).runs) if services.factory else []
    table = Table(
        caption=t("nav.factory"),
        columns=[
            Column(t("factory.recipe"), wide=True), Column(t("customer.status")), Column(t("factory.steps"), keep=1),
            Column(t("requests.cost"), numeric=True), Column(t("factory.serves"), keep=2),
            Column(t("job.made"), keep=1),
        ],
        rows=[_row(visit, view) for view in views[:ROWS]],
        empty=Empty(t("factory.none"), t("factory.none_text"), command="mintage factory run recipes/tiny.toml"),
    )  # fmt: skip
    return visit.render("factory.html", "factory", t("nav.factory"), {"table": table})


def _row(visit: Visit, view: RunView) -> list[Cell]:
    run = view.run
    done = sum(step.state == "done" for step in run.steps)
    return [
        link(run.name, f"/console/factory/{run.id}", small=run.error[:120], title=run.id),
        state(visit.t(f"factory.{run.state}"), _TONES[run.state]),
        whole(f"{done} / {len(run.steps)}"),
        amount(view.cost_nanos, view.currency),
        words(", ".join(view.models)),
        moment(run.created_ns, day_only=True),
    ]


@get("/console/factory/{run_id:str}")
async def run_page(request: AnyRequest, services: Services, run_id: FromPath[str]) -> Response[bytes]:
    visit = await open_visit(request, services, "models.read")
    factory = _factory(services)
    view = await asyncio.to_thread(factory.run, run_id)
    cost = await asyncio.to_thread(factory.costs, view.run.id)
    made = await asyncio.to_thread(factory.lineage, view.run.id)
    by_step: dict[str, int] = {}
    for line in cost.lines:
        by_step[line.step] = by_step.get(line.step, 0) + line.nanos
    t = visit.t
    steps = Table(
        caption=t("factory.steps"),
        columns=[
            Column(t("factory.step"), wide=True), Column(t("customer.status")),
            Column(t("factory.took"), numeric=True, keep=1),
            Column(t("requests.cost"), numeric=True),
        ],
        rows=[
            [
                words(step.name, small=step.error[:200]),
                state(t(f"factory.{step.state}"), _TONES[step.state]),
                whole(_took(step)),
                amount(by_step.get(step.name, 0), view.currency) if by_step.get(step.name) else words(""),
            ]
            for step in view.run.steps
        ],
        empty=Empty("", ""),
    )  # fmt: skip
    values = {
        "view": view,
        "status": state(t(f"factory.{view.run.state}"), _TONES[view.run.state]),
        "steps": steps,
        "curves": _curves(visit, view),
        "cost": figures.money(view.cost_nanos, view.currency),
        "open": figures.money(cost.capitalised_nanos - cost.amortised_nanos, cost.currency),
        "per_million": figures.money(cost.per_million_nanos, cost.currency),
        "served": figures.count(cost.tokens_served),
        "energy": f"{cost.energy_wh:,.1f}",
        "lineage": _lineage(made),
        "made": made,
    }
    return visit.render("factory_run.html", "factory", view.run.name, values)


def _took(step: Any) -> str:
    return figures.duration((step.ended_ns - step.started_ns) / 1e6) if step.started_ns and step.ended_ns else ""


def _curves(visit: Visit, view: RunView) -> list[Plot]:
    """Loss by step of training, for every step that trained."""
    found = []
    for step in view.run.steps:
        points = step.result.get("curve") or []
        if len(points) > 1:
            series = [Series(name=visit.t("factory.loss"), values=[float(loss) for _, loss in points], kind="line")]
            labels = [figures.count(int(number)) for number, _ in points]
            title = visit.t("factory.loss_of", step=step.name)
            found.append(
                plot(f"loss-{step.name}", title, labels, series, visit.t, unit="number", note=visit.t("factory.nats"))
            )
    return found


def _lineage(made: list[Artifact]) -> dict[str, Any]:
    """Boxes in columns: what has no parents stands first, everything else right of what it was made from."""
    known = {one.id: one for one in made}
    depth: dict[str, int] = {}
    for _ in made:  # at most so many rounds: a chain is no longer than what there is
        for one in made:
            depth[one.id] = 1 + max((depth.get(parent, 0) for parent in one.parents if parent in known), default=-1)
    rows: dict[int, int] = {}
    boxes: dict[str, dict[str, Any]] = {}
    for one in made:
        column = depth[one.id]
        row = rows.get(column, 0)
        rows[column] = row + 1
        place = {"x": column * (_BOX + _GAP), "y": row * _STEP}
        boxes[one.id] = place | {"kind": one.kind, "name": one.name[:_NAME_CHARS], "sha256": one.sha256}
    lines = [
        {"x1": boxes[parent]["x"] + _BOX, "y1": boxes[parent]["y"] + _TALL // 2, "x2": boxes[one.id]["x"],
         "y2": boxes[one.id]["y"] + _TALL // 2}
        for one in made for parent in one.parents if parent in boxes
    ]  # fmt: skip
    width = (max(depth.values(), default=0) + 1) * (_BOX + _GAP) - _GAP
    return {
        "boxes": list(boxes.values()),
        "lines": lines,
        "width": width,
        "height": max(rows.values(), default=1) * _STEP,
    }


HANDLERS: Final[list[Any]] = [factory_page, run_page]
