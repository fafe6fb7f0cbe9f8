"""The operator's own affairs: sign-in and sessions, staff, the legal entity, settings, the audit log, health."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import Request, Response, delete, get, patch, post
from litestar.params import RawBody

from mintage import __version__
from mintage.accounts import (
    AuditEntry,
    AuditReport,
    EntityUpdate,
    LegalEntity,
    Page,
    Session,
    StaffMember,
    session_cookie,
)
from mintage.base import MintageError, Origin, explain_settings
from mintage.server.admin.bodies import decode
from mintage.server.admin.depends import LIMIT_DEFAULT, Actor, Cursor, DeskPart, Limit, Path, Query

AnyRequest = Request[Any, Any, Any]


class SignIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    token: str


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """csrf goes into the x-csrf-token header of every call that changes something."""

    staff: StaffMember
    csrf: str
    expires_ns: int


class NewStaff(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    email: str
    role: str = "owner"


class LinkView(msgspec.Struct, frozen=True, kw_only=True):
    """Opens a session once, until expires_ns."""

    url: str
    expires_ns: int


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """log_seq: the last durable entry; ledger_seq: the last one in the ledger."""

    version: str
    log_seq: int
    ledger_seq: int
    open_holds: int
    models: int


def _view(session: Session) -> SessionView:
    return SessionView(staff=session.staff, csrf=session.csrf, expires_ns=session.expires_ns)


@post("/session", permission=None, takes=SignIn, sync_to_thread=True)
def sign_in(desk: DeskPart, body: RawBody) -> Response[SessionView]:
    """Trade a one-time link's token for a session cookie."""
    session = desk.accounts.sessions.redeem(decode(body, SignIn).token)
    cookie = session_cookie(session.token, secure=desk.secure_cookies)
    return Response(_view(session), headers={"set-cookie": cookie})


def _session(request: AnyRequest) -> Session:
    session: Session | None = request.state.get("session")
    if session is None:
        raise MintageError("not_found", "The admin token has no session.", "Sign in with a link for one.")
    return session


@get("/session", permission="live.read")
async def show_session(request: AnyRequest) -> SessionView:
    """Who is signed in, and the CSRF token."""
    return _view(_session(request))


@delete("/session", permission="live.read", status_code=200, sync_to_thread=True)
def sign_out(desk: DeskPart, request: AnyRequest) -> Response[dict[str, bool]]:
    """End the session, here and in the browser."""
    desk.accounts.sessions.end(_session(request))
    gone = session_cookie("", secure=desk.secure_cookies, max_age_s=0)
    return Response({"signed_out": True}, headers={"set-cookie": gone})


@get("/staff", permission="operator.read", sync_to_thread=True)
def list_staff(desk: DeskPart, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None) -> Page[StaffMember]:
    """The operator's people."""
    return desk.accounts.staff.page(limit=limit, cursor=cursor)


@post("/staff", permission="operator.write", takes=NewStaff, sync_to_thread=True)
def add_staff(desk: DeskPart, actor: Actor, body: RawBody) -> StaffMember:
    """Add a person."""
    new = decode(body, NewStaff)
    return desk.accounts.staff.add(actor, name=new.name, email=new.email, role=new.role)


@post("/staff/{person:str}/links", permission="operator.write", sync_to_thread=True)
def make_link(desk: DeskPart, actor: Actor, person: Path) -> LinkView:
    """A one-time sign-in link, good for 15 minutes. `owner` stands for the first owner."""
    staff = desk.accounts.staff
    member = staff.ensure_owner(actor) if person == "owner" else staff.get(person)
    link = staff.issue_link(actor, member.id)
    base_url = desk.base_url or f"http://{desk.settings.host}:{desk.settings.port}"  # where `mintage run` will serve
    return LinkView(url=f"{base_url}/console/sign-in/{link.token}", expires_ns=link.expires_ns)


@get("/entity", permission="operator.read", sync_to_thread=True)
def show_entity(desk: DeskPart) -> LegalEntity:
    """Who issues invoices."""
    return desk.entity()


@patch("/entity", permission="operator.write", takes=EntityUpdate, sync_to_thread=True)
def update_entity(desk: DeskPart, actor: Actor, body: RawBody) -> LegalEntity:
    """Change what is given. Finalised invoices stay as they are."""
    desk.entity()
    return desk.accounts.entities.update(actor, decode(body, EntityUpdate))


@get("/audit", permission="operator.read", sync_to_thread=True)
def list_audit(
    desk: DeskPart,
    *,
    customer: Query = None,
    subject: Query = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Page[AuditEntry]:
    """Every change, newest first."""
    tenant_id = desk.accounts.tenants.get(customer).id if customer else None
    return desk.accounts.changes.log(tenant_id=tenant_id, subject=subject, limit=limit, cursor=cursor)


@get("/audit/verify", permission="operator.read", sync_to_thread=True)
def verify_audit(desk: DeskPart) -> AuditReport:
    """Walk the audit log's hash chain."""
    return desk.accounts.changes.verify()


@get("/config", permission="operator.read", sync_to_thread=True)
def show_config(desk: DeskPart) -> list[Origin]:
    """Every setting with its value, where it came from, and what it means."""
    return explain_settings(home=str(desk.home))


@get("/health", permission="operator.read")
async def health(desk: DeskPart) -> Health:
    """How the books stand."""
    return Health(
        version=__version__,
        log_seq=desk.log.last_seq(),
        ledger_seq=desk.ledger.watermark(),
        open_holds=len(desk.log.open_holds()),
        models=len(desk.registry.list()),
    )


HANDLERS: Final[list[Any]] = [
    sign_in,
    show_session,
    sign_out,
    list_staff,
    add_staff,
    make_link,
    show_entity,
    update_entity,
    list_audit,
    verify_audit,
    show_config,
    health,
]
