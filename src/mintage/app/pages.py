"""The control plane as one ASGI application: the admin API and the console, over the parts of an App."""

from __future__ import annotations

from typing import Any

from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException, NotFoundException

from mintage.app.parts import App
from mintage.console import ConsoleServices, console_router, on_error
from mintage.factory import Factory
from mintage.server.admin import PROBLEMS, Desk, admin_router, openapi_config


def make_desk(app: App, admin_token: str, *, base_url: str = "", served: bool = True) -> Desk:
    """What the admin API works with. served: a gateway runs, and must see changed models at once."""

    async def reload() -> None:
        await app.refresh(models=True)

    extra: dict[str, Any] = {"reload": reload} if served else {}
    return Desk(
        settings=app.settings,
        home=app.home.path,
        clock=app.clock,
        database=app.database,
        log=app.log,
        ledger=app.ledger,
        accounts=app.accounts,
        billing=app.billing,
        registry=app.registry,
        jobs=app.jobs,
        content=app.content,
        start_jobs=app.start_jobs,
        admin_token=admin_token,
        catch_up=app.shipping.sync,
        verify=app.verify,
        export=app.export,
        base_url=app.settings.public_url.rstrip("/") or base_url,
        secure_cookies=app.settings.public_url.startswith("https://"),
        proxies=app.gateway.proxies,
        unsellable=lambda: app.unpriceable,
        priced=app.priced,
        **extra,
    )


def make_pages(app: App, admin_token: str, base_url: str) -> Litestar:
    """Everything that the hot doors do not serve themselves."""
    console = ConsoleServices(
        settings=app.settings,
        clock=app.clock,
        log=app.log,
        ledger=app.ledger,
        reader=app.ledger,
        accounts=app.accounts,
        gateway=app.gateway,
        billing=app.billing,
        registry=app.registry,
        engines=app.engines,
        jobs=app.jobs,
        reports=app.reports,
        catch_up=app.shipping.sync,
        unsellable=lambda: app.unpriceable,
        content=app.content,
        factory=_factory(app),
    )
    return Litestar(
        route_handlers=[
            admin_router(make_desk(app, admin_token, base_url=base_url)),
            console_router(console),
        ],
        exception_handlers={**PROBLEMS, NotFoundException: _nowhere},  # what no route takes; the console has its own
        openapi_config=openapi_config(),
        logging_config=None,
    )


def _factory(app: App) -> Factory:
    """What the pages see of runs that make models."""
    return Factory(
        app.home.path, app.database, app.ledger, app.clock, app.accounts, app.billing, app.registry,
        app.settings.currency,
    )  # fmt: skip


def _nowhere(request: Request[Any, Any, Any], error: NotFoundException) -> Response[Any]:
    """People who went astray below the console or the portal get a page, programs a problem."""
    if request.url.path.startswith(("/console", "/portal")):
        return on_error(request, error)
    answer: Response[Any] = PROBLEMS[HTTPException](request, error)
    return answer
