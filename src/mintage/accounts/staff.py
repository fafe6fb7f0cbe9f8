"""Staff: people of the operator. There is always an owner who can come in."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import sqlalchemy as sa

from mintage.accounts.changes import Changes
from mintage.accounts.checks import check_email, check_name
from mintage.accounts.links import INVITATION_LIFE_NS, Links, SignInLink
from mintage.accounts.pages import PAGE_DEFAULT, Page, fetch_page
from mintage.accounts.people import StaffMember
from mintage.accounts.roles import check_role
from mintage.accounts.sessions import end_sessions
from mintage.accounts.tables import customer_users, staff
from mintage.accounts.versions import check_match
from mintage.base import MintageError, new_id

STAFF_MAX: Final = 1000


class StaffUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays as it is. A new role counts from the next request on; disabling ends every session."""

    name: str | None = None
    role: str | None = None
    disabled: bool | None = None


class Staff:
    def __init__(self, changes: Changes, links: Links) -> None:
        self._changes = changes
        self._links = links

    def add(self, actor: str, *, name: str, email: str, role: str = "owner") -> StaffMember:
        """Raises conflict for an address that signs in already."""
        now = self._changes.clock.now_ns()
        member = StaffMember(
            id=new_id("stf"),
            name=check_name(name),
            email=check_email(email, required=True).lower(),
            role=check_role(role),
            created_ns=now,
            updated_ns=now,
        )
        with self._changes.change(actor, "staff.add", member.id, moves=False, email=member.email, role=role) as change:
            connection = change.connection
            check_free(connection, member.email)
            if (connection.scalar(sa.select(sa.func.count()).select_from(staff)) or 0) >= STAFF_MAX:
                raise MintageError("conflict", f"There are {STAFF_MAX} staff.", "Remove some first.")
            connection.execute(staff.insert().values(**msgspec.structs.asdict(member)))
        return member

    def invite(self, actor: str, *, name: str, email: str, role: str) -> tuple[StaffMember, SignInLink]:
        """Add a person, with a link for their first sign-in that works once within a week."""
        member = self.add(actor, name=name, email=email, role=role)
        return member, self._links.issue(actor, member.id, life_ns=INVITATION_LIFE_NS)

    def ensure_owner(self, actor: str) -> StaffMember:
        """The first owner, made when there is no staff, so that a new home can be signed in to."""
        select = sa.select(staff).where(staff.c.role == "owner", staff.c.disabled_ns.is_(None)).order_by(staff.c.id)
        with self._changes.database.read() as connection:
            row = connection.execute(select.limit(1)).mappings().one_or_none()
        return StaffMember(**row) if row else self.add(actor, name="Owner", email="owner@localhost")

    def get(self, reference: str) -> StaffMember:
        """By id or e-mail address. Raises not_found."""
        with self._changes.database.read() as connection:
            return self._read(connection, reference)

    @staticmethod
    def _read(connection: sa.Connection, reference: str) -> StaffMember:
        select = sa.select(staff).where(sa.or_(staff.c.id == reference, staff.c.email == reference.lower()))
        row = connection.execute(select).mappings().one_or_none()
        if row is None:
            raise MintageError("not_found", "There is no such member of staff.", "Check the id or the address.")
        return StaffMember(**row)

    def update(self, actor: str, reference: str, update: StaffUpdate, *, match: str | None = None) -> StaffMember:
        """Change what is given. Raises conflict where no owner would be left, precondition_failed (see check_match)."""
        person_id = self.get(reference).id
        given = {name: value for name, value in msgspec.structs.asdict(update).items() if value is not None}
        with self._changes.change(actor, "staff.update", person_id, moves=False, **given) as change:
            connection, now = change.connection, change.now_ns
            member = self._read(connection, person_id)
            check_match(match, member)
            values: dict[str, Any] = {"updated_ns": now}
            if update.name is not None:
                values["name"] = check_name(update.name)
            if update.role is not None:
                values["role"] = check_role(update.role)
            if update.disabled is not None:
                values["disabled_ns"] = (member.disabled_ns or now) if update.disabled else None
            connection.execute(staff.update().where(staff.c.id == person_id).values(**values))
            if member.role == "owner" and member.disabled_ns is None:
                self._check_owner_left(connection)
            if update.disabled:
                end_sessions(connection, person_id, now)
                Links.withdraw(connection, person_id)
        return self.get(person_id)

    @staticmethod
    def _check_owner_left(connection: sa.Connection) -> None:
        owners = sa.select(sa.func.count()).where(staff.c.role == "owner", staff.c.disabled_ns.is_(None))
        if not connection.scalar(owners):
            raise MintageError("conflict", "No owner would be left.", "Make someone else an owner first.")

    def page(
        self,
        *,
        role: str | None = None,
        search: str | None = None,
        disabled: bool | None = None,
        limit: int = PAGE_DEFAULT,
        cursor: str | None = None,
    ) -> Page[StaffMember]:
        """Oldest first. search: part of the name or address."""
        select = sa.select(staff)
        if role is not None:
            select = select.where(staff.c.role == role)
        if disabled is not None:
            select = select.where(staff.c.disabled_ns.isnot(None) if disabled else staff.c.disabled_ns.is_(None))
        if search:
            part = search[:100].lower()
            select = select.where(
                sa.or_(
                    staff.c.email.contains(part, autoescape=True),
                    sa.func.lower(staff.c.name).contains(part, autoescape=True),
                )
            )
        with self._changes.database.read() as connection:
            rows, following = fetch_page(connection, select, staff.c.id, limit=limit, cursor=cursor)
        return Page(items=[StaffMember(**row) for row in rows], next_cursor=following)

    def issue_link(self, actor: str, staff_id: str) -> SignInLink:
        """A new one-time link's token. Raises conflict when too many are open."""
        return self._links.issue(actor, self.get(staff_id).id)


def check_free(connection: sa.Connection, email: str) -> None:
    """An address signs in one person, of the operator or of a customer. Raises conflict."""
    for table in (staff, customer_users):
        if connection.scalar(sa.select(table.c.id).where(table.c.email == email)):
            raise MintageError(
                "conflict", f"{email} signs in already.", "Use that account, or another address.", param="email"
            )
