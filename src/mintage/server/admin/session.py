"""Signing in and out, and what a signed-in person changes about themselves: password, second factor, sessions."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from litestar import Request, Response, delete, get, post, put
from litestar.params import RawBody

from mintage.accounts import (
    Caller,
    CredentialState,
    NewTotp,
    Page,
    Person,
    RecoveryCodes,
    Session,
    SessionRow,
    SignUp,
    session_cookie,
)
from mintage.base import MintageError
from mintage.server.admin.bodies import decode
from mintage.server.admin.depends import LIMIT_DEFAULT, Cursor, DeskPart, Limit, Path
from mintage.server.admin.services import Desk
from mintage.server.admin.signing_up import sign_up_customer

AnyRequest = Request[Any, Any, Any]

#: A session that began by a link may set a password without the old one for so long: whoever forgot it needs to.
FRESH_LINK_S: Final = 15 * 60


class SignIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Either the token of a one-time link, or e-mail address, password and, where one is set up, a code."""

    token: str | None = None
    email: str = ""
    password: str = ""
    code: str = ""


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """kind: staff or customer. tenant_id: the one customer that they see; null for staff."""

    id: str
    kind: str
    name: str
    email: str
    role: str
    tenant_id: str | None


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """csrf goes into the x-csrf-token header of every call that changes something."""

    id: str
    person: Who
    credentials: CredentialState
    csrf: str
    expires_ns: int


class NewPassword(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """current: the password so far, unless there is none or a one-time link was just used."""

    password: str
    current: str = ""


class Code(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Six digits of the authenticator app; to remove it, also a recovery code."""

    code: str


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    sessions: int


def who(person: Person) -> Who:
    tenant_id = getattr(person, "tenant_id", None)
    kind = "staff" if tenant_id is None else "customer"
    return Who(id=person.id, kind=kind, name=person.name, email=person.email, role=person.role, tenant_id=tenant_id)


def _view(desk: Desk, session: Session) -> SessionView:
    return SessionView(
        id=session.id,
        person=who(session.person),
        credentials=desk.accounts.credentials.state(session.person.id),
        csrf=session.csrf,
        expires_ns=session.expires_ns,
    )


def caller_of(desk: Desk, request: AnyRequest) -> Caller:
    """Where the request comes from, and the session that it replaces."""
    peer = request.client.host if request.client else ""
    return Caller(
        address=desk.proxies.client(peer, request.headers.get("x-forwarded-for")),
        agent=request.headers.get("user-agent", ""),
        replaces=request.cookies.get("mintage_session"),
    )


def current_session(request: AnyRequest) -> Session:
    session: Session | None = request.state.get("session")
    if session is None:
        raise MintageError("not_found", "The admin token has no session.", "Sign in with a link for one.")
    return session


def _answer(desk: Desk, session: Session) -> Response[SessionView]:
    cookie = session_cookie(session.token, secure=desk.secure_cookies)
    return Response(_view(desk, session), headers={"set-cookie": cookie})


@post("/session", takes=SignIn, example={"token": "the-last-part-of-a-one-time-link"}, sync_to_thread=True)
def sign_in(desk: DeskPart, request: AnyRequest, body: RawBody) -> Response[SessionView]:
    """Trade a one-time link's token, or address and password, for a session cookie. The session before it ends."""
    given, caller = decode(body, SignIn), caller_of(desk, request)
    sessions = desk.accounts.sessions
    if given.token is not None:
        return _answer(desk, sessions.redeem(given.token, caller))
    if not given.email:
        raise MintageError("invalid_request", "There is nothing to sign in with.", "Send a token, or email, password.")
    return _answer(desk, sessions.sign_in(given.email, given.password, given.code, caller))


@post(
    "/sign-up",
    takes=SignUp,
    example={"name": "Ada", "email": "ada@acme.example", "password": "an uncommon phrase", "company": "Acme Labs"},
)
async def sign_up(desk: DeskPart, request: AnyRequest, body: RawBody) -> Response[SessionView]:
    """Become a customer, where the operator allows it (setting sign_up), with the plan of setting sign_up_plan."""
    new, caller = decode(body, SignUp), caller_of(desk, request)
    session = await sign_up_customer(desk.accounts, desk.billing, desk.settings, new, caller)
    return await asyncio.to_thread(_answer, desk, session)


@get("/session", sync_to_thread=True)
def show_session(desk: DeskPart, request: AnyRequest) -> SessionView:
    """Who is signed in, what they have set up, and the CSRF token."""
    return _view(desk, current_session(request))


@delete("/session", status_code=200, sync_to_thread=True)
def sign_out(desk: DeskPart, request: AnyRequest) -> Response[dict[str, bool]]:
    """End the session, here and in the browser."""
    desk.accounts.sessions.end(current_session(request))
    gone = session_cookie("", secure=desk.secure_cookies, max_age_s=0)
    return Response({"signed_out": True}, headers={"set-cookie": gone})


@put("/session/password", takes=NewPassword, example={"password": "four words nobody expects"}, sync_to_thread=True)
def set_password(desk: DeskPart, request: AnyRequest, body: RawBody) -> CredentialState:
    """Set or change the own password. Every other session of the person ends."""
    session, new = current_session(request), decode(body, NewPassword)
    change_password(desk, session, new.password, new.current)
    return desk.accounts.credentials.state(session.person.id)


def change_password(desk: Desk, session: Session, password: str, current: str) -> None:
    """For pages too. Raises permission_denied for a wrong current password, rate_limited, invalid_request."""
    accounts, person = desk.accounts, session.person
    fresh = desk.clock.now_ns() - session.created_ns < FRESH_LINK_S * 10**9
    if accounts.credentials.state(person.id).password and not (session.method == "link" and fresh):
        accounts.throttle.check(person.id, session.id)
        try:
            accounts.credentials.check_password(person, current)
        except MintageError:
            accounts.throttle.failed(person.id, session.id)
            raise
    accounts.credentials.set_password(person, password)
    accounts.sessions.end_of(session.actor, person, keep=session.id)


@post("/session/totp", sync_to_thread=True)
def begin_totp(desk: DeskPart, request: AnyRequest) -> NewTotp:
    """Begin a second factor: its secret is shown once, and counts after a first code has confirmed it."""
    return desk.accounts.credentials.begin_totp(current_session(request).person, desk.settings.operator)


@post("/session/totp/confirm", takes=Code, example={"code": "123456"}, sync_to_thread=True)
def confirm_totp(desk: DeskPart, request: AnyRequest, body: RawBody) -> RecoveryCodes:
    """Confirm it with a code. The recovery codes are shown once."""
    with _tries(desk, request):
        return desk.accounts.credentials.confirm_totp(current_session(request).person, decode(body, Code).code)


@delete("/session/totp", takes=Code, example={"code": "123456"}, status_code=200, sync_to_thread=True)
def remove_totp(desk: DeskPart, request: AnyRequest, body: RawBody) -> CredentialState:
    """Remove the second factor, with a code of it."""
    session = current_session(request)
    with _tries(desk, request):
        desk.accounts.credentials.remove_totp(session.person, decode(body, Code).code)
    return desk.accounts.credentials.state(session.person.id)


class _tries:  # noqa: N801 - reads as a statement
    """Six digits are few: wrong ones are counted as at sign-in."""

    def __init__(self, desk: Desk, request: AnyRequest) -> None:
        session = current_session(request)
        self._throttle, self._names = desk.accounts.throttle, (session.person.id, session.id)

    def __enter__(self) -> None:
        self._throttle.check(*self._names)

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, MintageError) and error.code == "permission_denied":
            self._throttle.failed(*self._names)


@get("/session/all", sync_to_thread=True)
def list_own_sessions(
    desk: DeskPart, request: AnyRequest, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None
) -> Page[SessionRow]:
    """The own sessions, newest first."""
    return desk.accounts.sessions.page(current_session(request).person.id, limit=limit, cursor=cursor)


@delete("/session/all", status_code=200, sync_to_thread=True)
def end_other_sessions(desk: DeskPart, request: AnyRequest) -> Ended:
    """End every own session but this one."""
    session = current_session(request)
    return Ended(sessions=desk.accounts.sessions.end_of(session.actor, session.person, keep=session.id))


@delete("/session/all/{session_id:str}", status_code=200, sync_to_thread=True)
def end_own_session(desk: DeskPart, request: AnyRequest, session_id: Path) -> Ended:
    """End one own session."""
    session = current_session(request)
    return Ended(sessions=desk.accounts.sessions.end_of(session.actor, session.person, session_id=session_id))


HANDLERS: Final[list[Any]] = [
    sign_in,
    sign_up,
    show_session,
    sign_out,
    set_password,
    begin_totp,
    confirm_totp,
    remove_totp,
    list_own_sessions,
    end_other_sessions,
    end_own_session,
]
