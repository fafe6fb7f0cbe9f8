"""The playground as a page of its own: two models side by side, with the code that does the same."""

from __future__ import annotations

from typing import Any, Final

from litestar import Response, get
from litestar.di import NamedDependency

from mintage.base import MintageError
from mintage.console.door import AnyRequest, Services
from mintage.console.live import LiveDesk
from mintage.console.playground import Playground
from mintage.console.visit import Visit, open_visit

Desk = NamedDependency[LiveDesk]
Till = NamedDependency[Playground]


@get("/console/playground")
async def bench_page(request: AnyRequest, services: Services, desk: Desk, playground: Till) -> Response[bytes]:
    visit = await open_visit(request, services, "money.write")
    callers = playground.callers()
    names = await desk.names_of(set(callers))
    payers = sorted(((tenant_id, names.get(tenant_id, tenant_id)) for tenant_id in callers), key=lambda one: one[1])
    return _page(visit, "playground", payers, playground.models())


@get("/portal/playground")
async def portal_bench(request: AnyRequest, services: Services, playground: Till) -> Response[bytes]:
    """At the own account's cost."""
    visit = await open_visit(request, services, "portal.use")
    tenant_id = visit.session.tenant_id
    if tenant_id is None:
        raise MintageError("permission_denied", "The portal is for customers.", "Go to /console.")
    caller = playground.callers().get(tenant_id)
    sold = [
        name for name in playground.models() if caller is not None and (caller.models is None or name in caller.models)
    ]
    return _page(visit, "portal_playground", [(tenant_id, "")] if caller is not None else [], sold)


def _page(visit: Visit, place: str, payers: list[tuple[str, str]], models: list[str]) -> Response[bytes]:
    values = {"payers": payers, "models": models, "base_url": str(visit.request.base_url).rstrip("/")}
    return visit.render("bench.html", place, visit.t("nav.playground"), values)


HANDLERS: Final[list[Any]] = [bench_page, portal_bench]
