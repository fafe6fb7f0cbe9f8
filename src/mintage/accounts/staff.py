"""Staff: people of the operator. They sign in by a one-time link, of which only the digest is stored."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

import msgspec
import sqlalchemy as sa

from mintage.accounts.changes import Changes
from mintage.accounts.checks import check_email, check_name
from mintage.accounts.pages import PAGE_DEFAULT, Page, fetch_page
from mintage.accounts.roles import check_role
from mintage.accounts.tables import sign_in_links, staff
from mintage.base import MintageError, new_id

LINK_LIFE_NS: Final = 15 * 60 * 1_000_000_000
LINKS_OPEN_MAX: Final = 20  # per person: a loop that asks for links must not fill the table
STAFF_MAX: Final = 1000


class StaffMember(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    email: str
    role: str
    created_ns: int
    disabled_ns: int | None = None


class SignInLink(msgspec.Struct, frozen=True, kw_only=True):
    """token is shown once and works once, until expires_ns."""

    token: str
    staff_id: str
    expires_ns: int


def digest(token: str) -> str:
    """What is stored of a random token: 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()


class Staff:
    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def add(self, actor: str, *, name: str, email: str, role: str = "owner") -> StaffMember:
        member = StaffMember(
            id=new_id("stf"),
            name=check_name(name),
            email=check_email(email, required=True).lower(),
            role=check_role(role),
            created_ns=self._changes.clock.now_ns(),
        )
        with self._changes.change(actor, "staff.add", member.id, email=member.email, role=role) as change:
            connection = change.connection
            if connection.scalar(sa.select(staff.c.id).where(staff.c.email == member.email)):
                raise MintageError("conflict", f"{member.email} is already staff.", "Use their account.", param="email")
            if (connection.scalar(sa.select(sa.func.count()).select_from(staff)) or 0) >= STAFF_MAX:
                raise MintageError("conflict", f"There are {STAFF_MAX} staff.", "Remove some first.")
            connection.execute(staff.insert().values(**msgspec.structs.asdict(member)))
        return member

    def ensure_owner(self, actor: str) -> StaffMember:
        """The first owner, made when there is no staff, so that a new home can be signed in to."""
        select = sa.select(staff).where(staff.c.role == "owner", staff.c.disabled_ns.is_(None)).order_by(staff.c.id)
        with self._changes.database.read() as connection:
            row = connection.execute(select.limit(1)).mappings().one_or_none()
        return StaffMember(**row) if row else self.add(actor, name="Owner", email="owner@localhost")

    def get(self, reference: str) -> StaffMember:
        """By id or e-mail address."""
        select = sa.select(staff).where(sa.or_(staff.c.id == reference, staff.c.email == reference.lower()))
        with self._changes.database.read() as connection:
            row = connection.execute(select).mappings().one_or_none()
        if row is None:
            raise MintageError("not_found", "There is no such member of staff.", "Check the id or the address.")
        return StaffMember(**row)

    def page(self, *, limit: int = PAGE_DEFAULT, cursor: str | None = None) -> Page[StaffMember]:
        with self._changes.database.read() as connection:
            rows, following = fetch_page(connection, sa.select(staff), staff.c.id, limit=limit, cursor=cursor)
        return Page(items=[StaffMember(**row) for row in rows], next_cursor=following)

    def issue_link(self, actor: str, staff_id: str) -> SignInLink:
        """A new one-time link's token. Raises conflict when too many are open."""
        token = secrets.token_urlsafe(32)
        with self._changes.change(actor, "staff.link", staff_id) as change:
            now = change.now_ns
            connection = change.connection
            member = connection.execute(sa.select(staff).where(staff.c.id == staff_id)).mappings().one_or_none()
            if member is None or member["disabled_ns"] is not None:
                raise MintageError("not_found", "There is no such active member of staff.", "Check the id.")
            connection.execute(sign_in_links.delete().where(sign_in_links.c.expires_ns <= now))
            mine = sa.select(sa.func.count()).where(
                sign_in_links.c.staff_id == staff_id, sign_in_links.c.used_ns.is_(None)
            )
            if (connection.scalar(mine) or 0) >= LINKS_OPEN_MAX:
                raise MintageError(
                    "conflict", f"{LINKS_OPEN_MAX} sign-in links are open already.", "Use one, or wait 15 minutes."
                )
            expires_ns = now + LINK_LIFE_NS
            connection.execute(
                sign_in_links.insert().values(
                    digest=digest(token), staff_id=staff_id, created_ns=now, expires_ns=expires_ns
                )
            )
        return SignInLink(token=token, staff_id=staff_id, expires_ns=expires_ns)
