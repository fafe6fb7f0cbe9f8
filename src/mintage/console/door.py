"""Signing in and out: one-time links, sessions, and the checks that a request comes from our own pages."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from litestar import Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from mintage.accounts import COOKIE, SESSION_LIFE_S, Accounts, Caller, Session, allows
from mintage.base import MintageError
from mintage.console.render import PAGE_HEADERS, Reader, page
from mintage.console.services import ConsoleServices

AnyRequest = Request[Any, Any, Any]
Services = NamedDependency[ConsoleServices]

HOME: Final = "/console"
#: What a page of ours may send a reader back to. Anything else would be an open redirect.
_NEXT: Final = re.compile(r"/(console|portal)(/[A-Za-z0-9._~-]+)*(\?[A-Za-z0-9._~=&%+:,-]*)?\Z")
_NEXT_LIMIT: Final = 1_000
_REASONS: Final = ("expired", "refused", "signed_out")
_THROTTLED: Final = "rate_limited"
_FORM_LIMIT_BYTES: Final = 256 * 1024  # a plan is written in a form
_FIELDS_LIMIT: Final = 64
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,128}\Z")
LINK_COMMAND: Final = "mintage staff link"


class SessionMissingError(Exception):
    """There is no live session; had_cookie tells one that ended from one that never was."""

    def __init__(self, *, had_cookie: bool) -> None:
        super().__init__("sign in")
        self.had_cookie = had_cookie


async def find_session(request: AnyRequest, accounts: Accounts, *, touch: bool = True) -> Session | None:
    """touch=False for what a page does by itself: it keeps no session awake."""
    return await asyncio.to_thread(accounts.sessions.find, request.cookies.get(COOKIE), touch=touch)


async def require_session(request: AnyRequest, accounts: Accounts, permission: str | None) -> Session:
    """Raises SessionMissingError without a live session, MintageError("permission_denied") for the wrong role.

    permission None: whoever is signed in.
    """
    session = await find_session(request, accounts)
    if session is None:
        raise SessionMissingError(had_cookie=COOKIE in request.cookies)
    if permission is not None and not allows(session.role, permission):
        raise MintageError("permission_denied", "Your role does not allow this.", "Ask an owner.")
    return session


def check_origin(request: AnyRequest) -> None:
    """Refuse a form that another site's page posts. Browsers name the page's origin; scripts need not."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise MintageError("permission_denied", "The request comes from another site.", "Use the console's own page.")
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise MintageError("permission_denied", "The request comes from another site.", "Use the console's own page.")


async def read_form(request: AnyRequest) -> dict[str, str]:
    """The last value of each field of a small urlencoded form."""
    body = await request.body()
    if len(body) > _FORM_LIMIT_BYTES:
        raise MintageError("payload_too_large", "The form is too large.", "Reload the page.")
    fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=_FIELDS_LIMIT)
    return {name: values[-1] for name, values in fields.items()}


def safe_next(path: str | None) -> str:
    """A page of ours to go on to: never another host, and never back to the door."""
    if path is None or len(path) > _NEXT_LIMIT or not _NEXT.match(path):
        return HOME
    return HOME if path.startswith(("/console/sign-", "/console/static")) or "/.." in path else path


def _token_of(pasted: str) -> str:
    """The token of a pasted link, or the pasted text itself if it is a bare token; empty if it can be neither."""
    last = pasted.strip().rstrip("/").rpartition("/")[2].partition("?")[0].partition("#")[0]
    return last if _TOKEN.match(last) else ""


def _sign_in_page(
    request: AnyRequest,
    services: ConsoleServices,
    *,
    reason: str = "",
    token: str = "",
    next_: str = HOME,
    status: int = 200,
    email: str = "",
) -> Response[bytes]:
    reader = Reader(request)
    values = {
        "page_title": reader.t("sign_in.title"), "operator": services.settings.operator, "body_class": "at-door",
        "reason": reason, "token": token, "next": next_, "command": LINK_COMMAND,
        "email": email[:254],
    }  # fmt: skip
    return page(request, "sign_in.html", values, status=status, reader=reader)


@get("/console/sign-in")
async def sign_in_page(request: AnyRequest, services: Services) -> Response[bytes]:
    reason = request.query_params.get("reason", "")
    return _sign_in_page(
        request, services,
        reason=reason if reason in _REASONS else "", next_=safe_next(request.query_params.get("next")),
    )  # fmt: skip


@get("/console/sign-in/{token:str}")
async def sign_in_link(request: AnyRequest, services: Services, token: FromPath[str]) -> Response[bytes]:
    """The page that a link opens. It uses the link up only by posting it, so that fetching ahead does no harm."""
    known = _token_of(token)
    return _sign_in_page(request, services, token=known, reason="" if known else "refused")


@post("/console/sign-in", status_code=303)
async def sign_in(request: AnyRequest, services: Services) -> Response[Any]:
    """By a one-time link, or by address, password and, where one is set up, a code."""
    check_origin(request)
    form = await read_form(request)
    next_ = safe_next(form.get("next"))
    try:
        session = await _begin(request, services.accounts, form)
    except MintageError as error:
        if error.code not in ("unauthenticated", _THROTTLED):
            raise
        by_password = "email" in form
        reason = "throttled" if error.code == _THROTTLED else "wrong" if by_password else "refused"
        if error.details.get("needs") == "code":
            reason = "code"
        return _sign_in_page(
            request, services, reason=reason, next_=next_, status=error.status, email=form.get("email", "")
        )
    return Redirect(
        next_, status_code=303, headers=PAGE_HEADERS, cookies=[_cookie(request, session.token, SESSION_LIFE_S)]
    )


async def _begin(request: AnyRequest, accounts: Accounts, form: dict[str, str]) -> Session:
    client = request.client
    caller = Caller(
        address=client.host if client is not None else "",
        agent=request.headers.get("user-agent", ""),
        replaces=request.cookies.get(COOKIE),
    )
    if "email" in form:
        given = (form["email"], form.get("password", ""), form.get("code", "").strip())
        return await asyncio.to_thread(accounts.sessions.sign_in, *given, caller)
    return await asyncio.to_thread(accounts.sessions.redeem, _token_of(form.get("token", "")), caller)


@post("/console/sign-out", status_code=303)
async def sign_out(request: AnyRequest, services: Services) -> Response[Any]:
    check_origin(request)
    session = await find_session(request, services.accounts)
    if session is not None:
        services.accounts.sessions.check_csrf(session, (await read_form(request)).get("csrf"))
        await asyncio.to_thread(services.accounts.sessions.end, session)
    return Redirect(
        "/console/sign-in?reason=signed_out", status_code=303, headers=PAGE_HEADERS, cookies=[_cookie(request, "", 0)]
    )


def _cookie(request: AnyRequest, token: str, max_age_s: int) -> Cookie:
    """As accounts.session_cookie says: not for scripts, not for other sites' posts."""
    return Cookie(
        key=COOKIE, value=token, path="/", max_age=max_age_s, httponly=True, samesite="lax",
        secure=request.url.scheme == "https",
    )  # fmt: skip
