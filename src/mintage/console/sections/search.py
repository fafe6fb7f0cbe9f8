"""Search everywhere: pages, customers, requests, models and plans, by name, handle or the beginning of an id."""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple

from litestar import Response, get
from litestar.di import NamedDependency

from mintage.console.door import AnyRequest, Services
from mintage.console.live import LiveDesk
from mintage.console.nav import places_for
from mintage.console.render import page
from mintage.console.visit import Visit, open_visit

Desk = NamedDependency[LiveDesk]
EACH: Final = 6  # of each kind
_TEXT_LIMIT: Final = 100


class Hit(NamedTuple):
    text: str
    href: str
    small: str = ""


@get("/console/search")
async def search_page(request: AnyRequest, services: Services, desk: Desk) -> Response[bytes]:
    """A page of its own; for the palette the results alone."""
    visit = await open_visit(request, services, "live.read")
    text = visit.query("q")[:_TEXT_LIMIT]
    values: dict[str, Any] = {"text": text, "groups_found": await _find(visit, desk, text)}
    if request.headers.get("x-palette"):
        return page(request, "_found.html", values, reader=visit.reader)
    return visit.render("search.html", "", visit.t("search.title"), values)


async def _find(visit: Visit, desk: LiveDesk, text: str) -> list[tuple[str, list[Hit]]]:
    """Kinds with something in them, in the order in which they are shown."""
    part = text.casefold()
    found = [("pages", _pages(visit, part))]
    if part:
        if visit.may("customers.read"):
            found.append(("customers", await _customers(visit, text)))
        if visit.may("live.read"):
            found.append(("requests", await _requests(desk, text)))
        if visit.may("models.read"):
            found.append(("models", _models(visit, part)))
        if visit.may("plans.read"):
            found.append(("plans", await _plans(visit, part)))
    return [(kind, hits) for kind, hits in found if hits]


def _pages(visit: Visit, part: str) -> list[Hit]:
    places = [place for group in places_for(visit.session.role) for place in group.places]
    named = [(visit.t(f"nav.{place.name}"), place) for place in places]
    return [Hit(name, place.path) for name, place in named if part in name.casefold() or part in place.name]


async def _customers(visit: Visit, text: str) -> list[Hit]:
    tenants = visit.services.accounts.tenants
    rows = await asyncio.to_thread(tenants.page, search=text, limit=EACH)
    return [Hit(row.name, f"/console/customers/{row.handle}", row.handle) for row in rows.items]


async def _requests(desk: LiveDesk, text: str) -> list[Hit]:
    """A whole id is looked up in the books; the beginning of one among the newest."""
    if len(text) < 4 or not text.startswith("req"):
        return []
    settled = await desk.settled(text)
    if settled is not None:
        return [Hit(text, f"/console/requests/{text}", settled.model)]
    near = [record for record in await desk.recent() if record.id.startswith(text)]
    return [Hit(record.id, f"/console/requests/{record.id}", record.model) for record in near[:EACH]]


def _models(visit: Visit, part: str) -> list[Hit]:
    names = [name for name in sorted(visit.services.gateway.snapshot.routes) if part in name.casefold()]
    return [Hit(name, f"/console/models#{name}") for name in names[:EACH]]


async def _plans(visit: Visit, part: str) -> list[Hit]:
    rows = await asyncio.to_thread(visit.services.billing.plans.page, limit=500)
    hits = [row for row in rows.items if part in row.plan_id or part in row.name.casefold()]
    return [Hit(row.name, f"/console/plans/{row.plan_id}", row.plan_id) for row in hits[:EACH]]


HANDLERS: Final[list[Any]] = [search_page]
