"""Customers' own people: who may sign in to a customer's portal."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import delete, get, patch, post
from litestar.params import RawBody

from mintage.accounts import CredentialState, CustomerUser, NewUser, Page, UserUpdate
from mintage.server.admin.bodies import decode
from mintage.server.admin.depends import LIMIT_DEFAULT, Actor, Cursor, DeskPart, Limit, Match, Path
from mintage.server.admin.session import Ended
from mintage.server.admin.staff import LinkView


class InvitedUser(msgspec.Struct, frozen=True, kw_only=True):
    """The link is for the person's first sign-in: send it to them."""

    person: CustomerUser
    link: LinkView


@get("/customers/{customer:str}/users", sync_to_thread=True)
def list_users(
    desk: DeskPart, customer: Path, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None
) -> Page[CustomerUser]:
    """A customer's own people."""
    return desk.accounts.users.page(desk.accounts.tenants.get(customer).id, limit=limit, cursor=cursor)


@post(
    "/customers/{customer:str}/users",
    takes=NewUser,
    example={"name": "Ada", "email": "ada@acme.example", "role": "admin"},
    sync_to_thread=True,
)
def invite_user(desk: DeskPart, actor: Actor, customer: Path, body: RawBody) -> InvitedUser:
    """Add a person, with a link for their first sign-in that works once within a week."""
    tenant = desk.accounts.tenants.get(customer)
    user, link = desk.accounts.users.invite(actor, tenant.id, decode(body, NewUser))
    return InvitedUser(person=user, link=LinkView(url=desk.link_to(link.token), expires_ns=link.expires_ns))


@get("/customers/{customer:str}/users/{user:str}", sync_to_thread=True)
def show_user(desk: DeskPart, customer: Path, user: Path) -> CustomerUser:
    """One person, by id or e-mail address."""
    return desk.accounts.users.get(desk.accounts.tenants.get(customer).id, user)


@patch("/customers/{customer:str}/users/{user:str}", takes=UserUpdate, example={"disabled": True}, sync_to_thread=True)
def update_user(
    desk: DeskPart, actor: Actor, customer: Path, user: Path, *, body: RawBody, match: Match
) -> CustomerUser:
    """Change name or role, disable or enable. Someone who is disabled is signed out."""
    tenant = desk.accounts.tenants.get(customer)
    return desk.accounts.users.update(actor, tenant.id, user, decode(body, UserUpdate), match=match)


@post("/customers/{customer:str}/users/{user:str}/links", sync_to_thread=True)
def make_user_link(desk: DeskPart, actor: Actor, customer: Path, user: Path) -> LinkView:
    """A one-time sign-in link for a person, good for 15 minutes."""
    link = desk.accounts.users.issue_link(actor, desk.accounts.tenants.get(customer).id, user)
    return LinkView(url=desk.link_to(link.token), expires_ns=link.expires_ns)


@delete("/customers/{customer:str}/users/{user:str}/sessions", status_code=200, sync_to_thread=True)
def end_user_sessions(desk: DeskPart, actor: Actor, customer: Path, user: Path) -> Ended:
    """Sign a person out everywhere."""
    person = desk.accounts.users.get(desk.accounts.tenants.get(customer).id, user)
    return Ended(sessions=desk.accounts.sessions.end_of(actor, person))


@delete("/customers/{customer:str}/users/{user:str}/credentials", status_code=200, sync_to_thread=True)
def reset_user_credentials(desk: DeskPart, actor: Actor, customer: Path, user: Path) -> CredentialState:
    """Forget a person's password and second factor, and sign them out. A link lets them begin anew."""
    person = desk.accounts.users.get(desk.accounts.tenants.get(customer).id, user)
    desk.accounts.credentials.reset(actor, person)
    desk.accounts.sessions.end_of(actor, person)
    return desk.accounts.credentials.state(person.id)


HANDLERS: Final[list[Any]] = [
    list_users,
    invite_user,
    show_user,
    update_user,
    make_user_link,
    end_user_sessions,
    reset_user_credentials,
]
