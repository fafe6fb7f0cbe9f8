"""The console's addresses: the overview, its live stream, the playground, static files, and what goes wrong."""

from __future__ import annotations

import logging
from typing import Any, Final
from urllib.parse import quote, urlsplit

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.response import Redirect, Stream

from mintage.accounts import Session, allows
from mintage.base import MintageError, new_id
from mintage.console import views
from mintage.console.assets import assets
from mintage.console.door import (
    HOME,
    AnyRequest,
    Services,
    SessionMissingError,
    check_origin,
    find_session,
    require_session,
    safe_next,
    sign_in,
    sign_in_link,
    sign_in_page,
    sign_out,
)
from mintage.console.live import LiveDesk
from mintage.console.nav import home_of
from mintage.console.overview import PERIODS, check_period
from mintage.console.playground import BODY_LIMIT_BYTES, Playground, decode_question
from mintage.console.render import PAGE_HEADERS, SECURITY_HEADERS, Reader, page, script_json
from mintage.console.sections import PAGES
from mintage.console.services import ConsoleServices
from mintage.console.visit import Visit

#: How much of the live list and of the customers the overview shows: each has a page of its own.
OVERVIEW_ROWS: Final = 12
OVERVIEW_CUSTOMERS: Final = 8

Desk = NamedDependency[LiveDesk]
Till = NamedDependency[Playground]

_LOG: Final = logging.getLogger("mintage.console")
_EVENT_HEADERS: Final = {**PAGE_HEADERS, "x-accel-buffering": "no"}
_IMMUTABLE: Final = {**SECURITY_HEADERS, "cache-control": "public, max-age=31536000, immutable"}
#: Seeing the overview shows money; the playground spends a customer's.
SEE: Final = "money.read"
WATCH: Final = "live.read"
SPEND: Final = "money.write"
SPEND_OWN: Final = "portal.use"


@get("/console")
async def overview(request: AnyRequest, services: Services, desk: Desk, playground: Till) -> Response[Any]:
    """The page; for htmx its figures alone, when only the period changes. Who may not see money goes elsewhere."""
    session = await require_session(request, services.accounts, None)
    if not allows(session.role, SEE):
        return Redirect(home_of(session.role), status_code=303, headers=PAGE_HEADERS)
    visit = Visit(request, services, session, Reader(request))
    reader = visit.reader
    data = await desk.data(check_period(request.query_params.get("period")), reader.t)
    values: dict[str, Any] = {
        "periods": PERIODS,
        "statement": data.statement,
        "series": data.series,
        "series_json": script_json(msgspec.to_builtins(data.series)),
    }
    if request.headers.get("hx-request") == "true":
        return page(request, "_figures.html", values, reader=reader)
    payers = playground.callers().keys()
    names = await desk.names_of(set(payers))
    values |= {
        "live_url": "/console/live",
        "row_limit": OVERVIEW_ROWS,
        "rows": data.rows[:OVERVIEW_ROWS],
        "customers": data.customers[:OVERVIEW_CUSTOMERS],
        "totals": data.totals,
        "payers": sorted(({"id": payer, "name": names.get(payer, payer)} for payer in payers), key=_name),
        "models": playground.models(),
        "base_url": str(request.base_url).rstrip("/"),
    }
    return visit.render("overview.html", "overview", reader.t("nav.overview"), values)


def _name(payer: dict[str, str]) -> str:
    return payer["name"].casefold()


@get("/console/live")
async def live(request: AnyRequest, services: Services, desk: Desk) -> Response[Any]:
    """Server-sent events for one open page. Ends with `expired` when the session does."""
    rows_only = request.query_params.get("only") == "rows"
    await require_session(request, services.accounts, WATCH if rows_only else SEE)

    async def signed_in() -> bool:
        return await find_session(request, services.accounts, touch=False) is not None

    period = check_period(request.query_params.get("period"))
    stream = desk.watch(period, Reader(request).t, signed_in, rows_only=rows_only)
    return Stream(stream, media_type="text/event-stream", headers=_EVENT_HEADERS)


@get("/console/session")
async def session_state(request: AnyRequest, services: Services) -> Response[dict[str, object]]:
    """Whether the session lives, for a page whose stream broke."""
    session = await require_session(request, services.accounts, None)
    return Response({"name": session.person.name, "expires_ns": session.expires_ns}, headers=PAGE_HEADERS)


@post("/console/playground", status_code=200)
async def ask(request: AnyRequest, services: Services, playground: Till) -> Response[Any]:
    """Ask as a customer. Answers as an event stream; a refusal is JSON with its own status."""
    session = await _checked(request, services)
    raw = await request.body()
    if len(raw) > BODY_LIMIT_BYTES:
        raise MintageError("payload_too_large", "The conversation is too large.", "Start a new one.")
    question = decode_question(raw)
    if session.tenant_id is not None:  # a customer's own people pay from their own wallet, whatever they sent
        question = msgspec.structs.replace(question, customer=session.tenant_id)
    conversation = await playground.open(question)
    stream = playground.stream(conversation, Reader(request).t, costs=session.tenant_id is None)
    return Stream(stream, media_type="text/event-stream", headers=_EVENT_HEADERS)


@post("/console/playground/{request_id:str}/stop", status_code=204)
async def stop(request: AnyRequest, services: Services, playground: Till, request_id: FromPath[str]) -> None:
    session = await _checked(request, services)
    playground.stop(request_id, session.tenant_id)


async def _checked(request: AnyRequest, services: ConsoleServices) -> Session:
    """A request that spends: from our own page, by someone who may."""
    check_origin(request)
    session = await require_session(request, services.accounts, None)
    if not allows(session.role, SPEND if session.tenant_id is None else SPEND_OWN):
        raise MintageError("permission_denied", "Your role does not allow this.", "Ask an owner.")
    services.accounts.sessions.check_csrf(session, request.headers.get("x-csrf-token"))
    return session


@get("/console/static/{file:path}")
async def static(request: AnyRequest, file: FromPath[str]) -> Response[bytes]:
    """DIGEST/NAME. A file of another digest is not this one: the page that asks is out of date."""
    digest, _, name = file.strip("/").partition("/")
    asset = assets().get(name)
    if asset is None or asset.digest != digest:
        raise MintageError("not_found", "There is no such file.", "Reload the page.")
    headers = dict(_IMMUTABLE)
    body = asset.body
    if "gzip" in request.headers.get("accept-encoding", ""):
        body, headers["content-encoding"], headers["vary"] = asset.packed, "gzip", "Accept-Encoding"
    return Response(body, media_type=asset.media_type, headers=headers)


@get("/")
async def front_door() -> Redirect:
    """People type the server's address alone."""
    return Redirect("/console", status_code=303, headers=PAGE_HEADERS)


@get("/console/{rest:path}")
async def nowhere(rest: FromPath[str]) -> None:
    raise MintageError("not_found", "There is no such page.", "Go to /console.")


def on_session_missing(request: AnyRequest, error: SessionMissingError) -> Response[Any]:
    """Pages go to the door, and come back to where they were; scripts are told so."""
    if request.headers.get("hx-request") == "true":
        headers = PAGE_HEADERS | {"hx-redirect": "/console/sign-in?reason=expired"}
        return Response(None, status_code=401, headers=headers)
    if "text/html" in request.headers.get("accept", ""):
        reason = "reason=expired&" if error.had_cookie else ""
        here = _here(request)
        where = f"/console/sign-in?{reason}next={quote(here, safe='/')}"
        return Redirect(where, status_code=303, headers=PAGE_HEADERS)
    return _json(request, MintageError("unauthenticated", "There is no session.", "Sign in."))


def _here(request: AnyRequest) -> str:
    """The page to come back to: this one, or, for a form that was sent, the page that it stands on."""
    if request.method == "GET":
        return safe_next(request.url.path + (f"?{request.url.query}" if request.url.query else ""))
    came_from = urlsplit(request.headers.get("referer", ""))
    own = came_from.netloc == request.headers.get("host")
    return safe_next(came_from.path + (f"?{came_from.query}" if came_from.query else "")) if own else HOME


def on_error(request: AnyRequest, error: Exception) -> Response[Any]:
    """A clear page for people, JSON for scripts, and the whole story in the log alone."""
    reader, request_id = Reader(request), ""
    if isinstance(error, HTTPException):
        code = {404: "not_found", 405: "method_not_allowed", 413: "payload_too_large"}.get(error.status_code)
        error = MintageError(code or ("invalid_request" if error.status_code < 500 else "internal"), error.detail)
    if not isinstance(error, MintageError):
        request_id = new_id("err")
        _LOG.error("console request %s failed: %s", request_id, request.url.path, exc_info=error)
        error = MintageError("internal", "The page could not be made.", "Try again.")
    if "text/html" not in request.headers.get("accept", ""):
        return _json(request, error)
    missing = error.status == 404
    title = reader.t("error.not_found_title" if missing else "error.failed_title")
    if missing:
        text = reader.t("error.not_found_text")
    else:
        text = reader.t("error.failed_text", request=request_id) if request_id else reader.t.problem(error)
    values = {"page_title": title, "text": text, "operator": "Mintage", "body_class": "at-door"}
    return page(request, "error.html", values, status=error.status, reader=reader)


def _json(request: AnyRequest, error: MintageError) -> Response[dict[str, object]]:
    body: dict[str, object] = {"code": error.code, "message": Reader(request).t.problem(error)}
    return Response(body, status_code=error.status, headers=PAGE_HEADERS)


def console_router(services: ConsoleServices) -> Router:
    """Everything under /console, for the one Litestar application that app.py puts behind the server."""
    desk = LiveDesk(services)
    playground = Playground(services, desk)
    return Router(
        path="/",
        route_handlers=[
            overview, live, session_state, ask, stop, static, front_door, nowhere,
            sign_in_page, sign_in_link, sign_in, sign_out, *PAGES, *views.HANDLERS,
        ],
        dependencies={
            "services": Provide(lambda: services, sync_to_thread=False),
            "desk": Provide(lambda: desk, sync_to_thread=False),
            "playground": Provide(lambda: playground, sync_to_thread=False),
        },
        # Each kind by name: an outer layer's handler for a nearer class would win over ours for Exception.
        exception_handlers={
            SessionMissingError: on_session_missing,
            **dict.fromkeys((MintageError, HTTPException, Exception), on_error),
        },
        include_in_schema=False,
    )  # fmt: skip
