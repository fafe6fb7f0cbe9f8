"""The admin API as an ASGI application: /admin/v1. Handlers are thin; rules live in accounts, billing and books."""

from __future__ import annotations

from typing import Any, Final

from litestar import Litestar, Request, Response, Router, get
from litestar.openapi.config import OpenAPIConfig
from litestar.types import ASGIApp

from mintage import __version__
from mintage.server.admin import (
    audit,
    content,
    credit,
    customers,
    events,
    factory,
    feed,
    finance,
    invoices,
    invoicing,
    jobs,
    keys,
    ledger,
    models,
    money,
    operator,
    payments,
    plans,
    providers,
    secrets,
    session,
    staff,
    subscriptions,
    users,
)
from mintage.server.admin.auth import make_guard
from mintage.server.admin.bodies import BODY_LIMIT_BYTES
from mintage.server.admin.depends import dependencies
from mintage.server.admin.exchange import WholeAnswers, answer_before
from mintage.server.admin.openapi import describe
from mintage.server.admin.problems import HANDLERS
from mintage.server.admin.services import Desk

PREFIX: Final = "/admin/v1"
MODULES: Final = (
    customers,
    keys,
    users,
    plans,
    subscriptions,
    credit,
    finance,
    money,
    events,
    ledger,
    invoices,
    invoicing,
    payments,
    models,
    factory,
    providers,
    feed,
    content,
    jobs,
    session,
    staff,
    audit,
    secrets,
    operator,
)


@get("/openapi.json", include_in_schema=False)
async def openapi(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
    """This API, described in OpenAPI 3.1."""
    return Response(describe(request.app, PREFIX), media_type="application/json")


def admin_router(desk: Desk) -> Router:
    """All routes with their guard and error shapes, to be mounted in any Litestar application."""

    async def replay(request: Request[Any, Any, Any]) -> Response[bytes] | None:
        return await answer_before(desk, request)

    def whole(app: ASGIApp) -> ASGIApp:
        return WholeAnswers(app, desk)

    handlers: list[Any] = [openapi]
    for module in MODULES:
        handlers += module.HANDLERS
    return Router(
        path=PREFIX,
        route_handlers=handlers,
        guards=[make_guard(desk, PREFIX)],
        before_request=replay,
        middleware=[whole],
        dependencies=dependencies(desk),
        exception_handlers=HANDLERS,
        request_max_body_size=BODY_LIMIT_BYTES,
    )


def openapi_config() -> OpenAPIConfig:
    """For the application that mounts the router: the description is served by the router itself."""
    return OpenAPIConfig(
        title="Mintage admin API",
        version=__version__,
        render_plugins=[],
        use_handler_docstrings=True,
    )


def create_admin_app(desk: Desk) -> Litestar:
    """The admin API alone: what the command line uses when no server runs."""
    return Litestar(
        route_handlers=[admin_router(desk)],
        exception_handlers=HANDLERS,
        openapi_config=openapi_config(),
        logging_config=None,
    )
