"""Saved views of lists: kept, listed and deleted, each reader's own."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from litestar import Response, post
from litestar.params import FromPath

from mintage.accounts import SavedView
from mintage.base import MintageError
from mintage.console.door import AnyRequest, Services
from mintage.console.nav import DESK
from mintage.console.visit import Visit, open_visit

#: What a view never keeps: where one was in the list, and what is said once.
_PASSING: Final = frozenset({"cursor", "done", "language"})
_PLACES: Final = {place.name: place for _, places in DESK for place in places}


async def saved_views(visit: Visit, place: str) -> list[SavedView]:
    return await asyncio.to_thread(visit.services.accounts.views.list, visit.session.person.id, place)


def kept_query(text: str) -> str:
    """A page's query without what passes."""
    return urlencode([(name, value) for name, value in parse_qsl(text[:4_000]) if name not in _PASSING])


@post("/console/views", status_code=303)
async def save_view(request: AnyRequest, services: Services) -> Response[Any]:
    """Keep the filters of a page that the reader may open."""
    visit = await open_visit(request, services, "live.read")
    form = await visit.form()
    place = _PLACES.get(form.get("place", ""))
    if place is None or not visit.may(place.permission):
        raise MintageError("not_found", "There is no such list.", "Go to /console.")
    query, person = kept_query(form.get("query", "")), visit.session.person
    await asyncio.to_thread(services.accounts.views.save, person.id, place.name, form.get("name", ""), query)
    return visit.go(f"{place.path}?{query}" if query else place.path, "view_saved")


@post("/console/views/{view_id:str}/delete", status_code=303)
async def delete_view(request: AnyRequest, services: Services, view_id: FromPath[str]) -> Response[Any]:
    visit = await open_visit(request, services, "live.read")
    await visit.form()
    view = await asyncio.to_thread(services.accounts.views.delete, visit.session.person.id, view_id)
    place = _PLACES.get(view.place, _PLACES["overview"])
    return visit.go(place.path, "view_deleted")


HANDLERS: Final[list[Any]] = [save_view, delete_view]
