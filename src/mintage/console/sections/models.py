"""Models and what answers for them: weights and upstreams, the engines' state, what cannot be sold and why."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from litestar import Response, get

from mintage.base import MintageError
from mintage.console import figures
from mintage.console.door import AnyRequest, Services
from mintage.console.table import Cell, Column, Empty, Table, amount, moment, number, state, words
from mintage.console.visit import Visit, open_visit
from mintage.gateway import ModelMeters, Route
from mintage.registry import ModelEntry

_HEALTH_S: Final = 2.0
_TONES: Final[dict[str, Any]] = {"ready": "ok", "busy": "wait", "starting": "wait", "failed": "bad", "stopped": "off"}


@get("/console/models")
async def models_page(request: AnyRequest, services: Services) -> Response[bytes]:
    visit = await open_visit(request, services, "models.read")
    t, routes = visit.t, services.gateway.snapshot.routes
    entries = {entry.name: entry for entry in await asyncio.to_thread(services.registry.list)}
    unsold = dict(services.unsellable()) | dict(services.engines.problems)
    names = sorted({*routes, *entries})
    health = dict(zip(names, await asyncio.gather(*(_health(routes.get(name)) for name in names)), strict=True))
    table = Table(
        caption=t("nav.models"),
        columns=[
            Column(t("requests.model"), wide=True),
            Column(t("model.answered_by"), keep=2),
            Column(t("model.context"), numeric=True, keep=1),
            Column(t("model.licence"), keep=1),
            Column(t("model.added"), keep=1),
            Column(t("model.engine")),
            Column(t("model.sold")),
        ],
        rows=[
            _row(visit, name, entries.get(name), route=routes.get(name), health=health[name], problem=unsold.get(name))
            for name in names
        ],
        empty=Empty(t("model.none"), t("model.none_text"), command="mintage models pull smollm2-135m"),
    )
    meters = services.gateway.meters.models
    traffic = Table(
        caption=t("model.traffic"),
        columns=[
            Column(t("requests.model"), wide=True),
            Column(t("requests.title_short"), numeric=True),
            Column(t("model.mean_latency"), numeric=True),
            Column(t("model.mean_first"), numeric=True, keep=2),
            Column(t("usage.written"), numeric=True, keep=2),
            Column(t("requests.margin"), numeric=True, keep=1),
        ],
        rows=[_traffic(name, one, services.settings.currency) for name, one in sorted(meters.items())],
        empty=Empty(t("model.no_traffic"), t("model.no_traffic_text")),
    )
    return visit.render("models.html", "models", t("nav.models"), {"table": table, "traffic": traffic})


async def _health(route: Route | None) -> str:
    """The engine's state; `failed` for one that says nothing in time."""
    if route is None:
        return "stopped"
    try:
        return (await asyncio.wait_for(route.engine.health(), _HEALTH_S)).state
    except (TimeoutError, MintageError):
        return "failed"


def _row(
    visit: Visit, name: str, entry: ModelEntry | None, *, route: Route | None, health: str, problem: MintageError | None
) -> list[Cell]:
    t = visit.t
    context = route.capabilities.context_tokens if route is not None else None
    if context is None and entry is not None:
        context = entry.context_tokens
    offered = route is not None and problem is None
    return [
        words(name, small=problem.message if problem else ""),
        words(_answered_by(entry, route) or t("model.local")),
        number(context) if context else words(""),
        words(entry.licence if entry is not None else ""),
        moment(entry.created_ns, day_only=True) if entry is not None and entry.created_ns else words(""),
        state(t(f"model.{health}"), _TONES[health]),
        state(t("model.is_sold" if offered else "model.not_sold"), "ok" if offered else "bad"),
    ]


def _answered_by(entry: ModelEntry | None, route: Route | None) -> str:
    """A provider and its name of the model; empty for this machine."""
    if entry is not None and entry.upstream is not None:
        return f"{entry.upstream.provider} · {entry.upstream.model}"
    return route.engine.name if route is not None and not route.engine.local else ""


def _traffic(name: str, one: ModelMeters, currency: str) -> list[Cell]:
    count = one.requests or 1
    return [
        words(name),
        number(one.requests),
        words(figures.duration(one.latency_ms_sum / count)),
        words(figures.duration(one.first_token_ms_sum / count)),
        number(one.output_tokens),
        amount(one.charge_nanos - one.cost_nanos, currency, shade="margin"),
    ]


HANDLERS: Final[list[Any]] = [models_page]
