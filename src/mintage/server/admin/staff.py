"""The operator's people: invite, change, disable, sign-in links, sessions, forgotten credentials."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import delete, get, patch, post
from litestar.params import RawBody

from mintage.accounts import TABLE as PERMISSION_TABLE
from mintage.accounts import CredentialState, Page, Permission, SessionRow, StaffMember, StaffUpdate
from mintage.server.admin.bodies import decode
from mintage.server.admin.depends import LIMIT_DEFAULT, Actor, Cursor, DeskPart, Flag, Limit, Match, Path, Query
from mintage.server.admin.session import Ended


class NewStaff(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """role: owner, finance, support or viewer."""

    name: str
    email: str
    role: str = "owner"


class LinkView(msgspec.Struct, frozen=True, kw_only=True):
    """Opens a session once, until expires_ns."""

    url: str
    expires_ns: int


class Invited(msgspec.Struct, frozen=True, kw_only=True):
    """The link is for the person's first sign-in: send it to them."""

    person: StaffMember
    link: LinkView


class RoleView(msgspec.Struct, frozen=True, kw_only=True):
    """One permission: what it allows, and which roles have it."""

    permission: str
    meaning: str
    roles: list[str]


@get("/staff", sync_to_thread=True)
def list_staff(
    desk: DeskPart,
    *,
    role: Query = None,
    search: Query = None,
    disabled: Flag = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Page[StaffMember]:
    """The operator's people; search is part of a name or address."""
    return desk.accounts.staff.page(role=role, search=search, disabled=disabled, limit=limit, cursor=cursor)


@post(
    "/staff",
    takes=NewStaff,
    example={"name": "Ada", "email": "ada@mint.example", "role": "finance"},
    sync_to_thread=True,
)
def add_staff(desk: DeskPart, actor: Actor, body: RawBody) -> StaffMember:
    """Add a person. They sign in by a link that you make for them."""
    new = decode(body, NewStaff)
    return desk.accounts.staff.add(actor, name=new.name, email=new.email, role=new.role)


@post(
    "/staff/invitations",
    takes=NewStaff,
    example={"name": "Ada", "email": "ada@mint.example", "role": "support"},
    sync_to_thread=True,
)
def invite_staff(desk: DeskPart, actor: Actor, body: RawBody) -> Invited:
    """Add a person, with a link for their first sign-in that works once within a week."""
    new = decode(body, NewStaff)
    member, link = desk.accounts.staff.invite(actor, name=new.name, email=new.email, role=new.role)
    return Invited(person=member, link=LinkView(url=desk.link_to(link.token), expires_ns=link.expires_ns))


@get("/staff/{person:str}", sync_to_thread=True)
def show_staff(desk: DeskPart, person: Path) -> StaffMember:
    """One person, by id or e-mail address."""
    return desk.accounts.staff.get(person)


@patch("/staff/{person:str}", takes=StaffUpdate, example={"role": "viewer"}, sync_to_thread=True)
def update_staff(desk: DeskPart, actor: Actor, person: Path, body: RawBody, match: Match) -> StaffMember:
    """Change name or role, disable or enable. Someone who is disabled is signed out. One owner always stays."""
    return desk.accounts.staff.update(actor, person, decode(body, StaffUpdate), match=match)


@post("/staff/{person:str}/links", sync_to_thread=True)
def make_link(desk: DeskPart, actor: Actor, person: Path) -> LinkView:
    """A one-time sign-in link, good for 15 minutes. `owner` stands for the first owner."""
    staff = desk.accounts.staff
    member = staff.ensure_owner(actor) if person == "owner" else staff.get(person)
    link = staff.issue_link(actor, member.id)
    return LinkView(url=desk.link_to(link.token), expires_ns=link.expires_ns)


@get("/staff/{person:str}/sessions", sync_to_thread=True)
def list_staff_sessions(
    desk: DeskPart, person: Path, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None
) -> Page[SessionRow]:
    """Where a person is signed in, newest first."""
    return desk.accounts.sessions.page(desk.accounts.staff.get(person).id, limit=limit, cursor=cursor)


@delete("/staff/{person:str}/sessions", status_code=200, sync_to_thread=True)
def end_staff_sessions(desk: DeskPart, actor: Actor, person: Path) -> Ended:
    """Sign a person out everywhere."""
    return Ended(sessions=desk.accounts.sessions.end_of(actor, desk.accounts.staff.get(person)))


@get("/staff/{person:str}/credentials", sync_to_thread=True)
def show_staff_credentials(desk: DeskPart, person: Path) -> CredentialState:
    """What a person has set up to sign in with."""
    return desk.accounts.credentials.state(desk.accounts.staff.get(person).id)


@delete("/staff/{person:str}/credentials", status_code=200, sync_to_thread=True)
def reset_staff_credentials(desk: DeskPart, actor: Actor, person: Path) -> CredentialState:
    """Forget a person's password, second factor and recovery codes, and sign them out. A link lets them begin anew."""
    member = desk.accounts.staff.get(person)
    desk.accounts.credentials.reset(actor, member)
    desk.accounts.sessions.end_of(actor, member)
    return desk.accounts.credentials.state(member.id)


@get("/roles", sync_to_thread=False)
def list_roles() -> list[RoleView]:
    """The table of permissions: what each allows and which roles have it."""

    def view(name: str, row: Permission) -> RoleView:
        return RoleView(permission=name, meaning=row.meaning, roles=sorted(row.roles))

    return [view(name, row) for name, row in PERMISSION_TABLE.items()]


HANDLERS: Final[list[Any]] = [
    list_staff,
    add_staff,
    invite_staff,
    show_staff,
    update_staff,
    make_link,
    list_staff_sessions,
    end_staff_sessions,
    show_staff_credentials,
    reset_staff_credentials,
    list_roles,
]
