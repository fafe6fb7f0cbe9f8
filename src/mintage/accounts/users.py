"""Customers' own people: who may sign in to a customer's portal, by invitation or by signing up."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import sqlalchemy as sa

from mintage.accounts.changes import Changes
from mintage.accounts.checks import check_email, check_name
from mintage.accounts.credentials import store
from mintage.accounts.links import INVITATION_LIFE_NS, Links, SignInLink
from mintage.accounts.pages import PAGE_DEFAULT, Page, fetch_page
from mintage.accounts.passwords import check_password, hash_password
from mintage.accounts.people import CustomerUser, actor_of
from mintage.accounts.roles import CUSTOMER_ROLES, check_role
from mintage.accounts.sessions import end_sessions
from mintage.accounts.staff import check_free
from mintage.accounts.tables import customer_users
from mintage.accounts.tenants import NewTenant, Tenant, Tenants
from mintage.accounts.versions import check_match
from mintage.base import MintageError, new_id

USERS_MAX: Final = 1000  # per customer


class NewUser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """role: admin (keys, people, payments) or member (sees, tries out)."""

    name: str
    email: str
    role: str = "member"


class UserUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays as it is. Disabling ends every session."""

    name: str | None = None
    role: str | None = None
    disabled: bool | None = None


class SignUp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stranger becomes a customer, and its first admin. company: the customer's name; the person's when left out."""

    name: str
    email: str
    password: str
    company: str = ""
    country: str = ""
    time_zone: str = "UTC"


class CustomerUsers:
    def __init__(self, changes: Changes, links: Links, tenants: Tenants) -> None:
        self._changes = changes
        self._links = links
        self._tenants = tenants

    def invite(self, actor: str, tenant_id: str, new: NewUser) -> tuple[CustomerUser, SignInLink]:
        """A person of this customer, with a link for their first sign-in that works once within a week.

        Raises conflict for an address that signs in already.
        """
        user = self._made(tenant_id, new)
        with self._changes.change(
            actor, "user.invite", user.id, tenant_id=tenant_id, moves=False, email=user.email, role=user.role
        ) as change:
            self._insert(change.connection, user)
        return user, self._links.issue(actor, user.id, life_ns=INVITATION_LIFE_NS)

    def sign_up(self, new: SignUp, *, currency: str) -> tuple[Tenant, CustomerUser]:
        """A new customer with its first admin, all or nothing. Whether the operator allows it, the caller has checked,
        and has counted the address (Throttle.count_sign_up). Raises invalid_request, conflict."""
        wanted = NewTenant(name=new.company or new.name, email=new.email, country=new.country, time_zone=new.time_zone)
        tenant = self._tenants.made(wanted, currency=currency)
        user = self._made(tenant.id, NewUser(name=new.name, email=new.email, role="admin"))
        hashed = hash_password(check_password(new.password, own=(user.name, user.email)))
        with self._changes.change(actor_of(user), "customer.sign_up", tenant.id, tenant_id=tenant.id) as change:
            change.note(name=tenant.name, handle=tenant.handle, email=user.email)
            tenant = self._tenants.insert(change.connection, tenant, rename=True)
            self._insert(change.connection, user)
            store(change, user.id, password_hash=hashed)
        return tenant, user

    def _made(self, tenant_id: str, new: NewUser) -> CustomerUser:
        now = self._changes.clock.now_ns()
        return CustomerUser(
            id=new_id("usr"),
            tenant_id=tenant_id,
            name=check_name(new.name),
            email=check_email(new.email, required=True).lower(),
            role=check_role(new.role, CUSTOMER_ROLES),
            created_ns=now,
            updated_ns=now,
        )

    @staticmethod
    def _insert(connection: sa.Connection, user: CustomerUser) -> None:
        check_free(connection, user.email)
        mine = sa.select(sa.func.count()).where(customer_users.c.tenant_id == user.tenant_id)
        if (connection.scalar(mine) or 0) >= USERS_MAX:
            raise MintageError("conflict", f"The customer has {USERS_MAX} people.", "Remove some first.")
        connection.execute(customer_users.insert().values(**msgspec.structs.asdict(user)))

    def get(self, tenant_id: str, reference: str) -> CustomerUser:
        """One of this customer's people, by id or e-mail address. Another customer's is not_found."""
        with self._changes.database.read() as connection:
            return self._read(connection, tenant_id, reference)

    @staticmethod
    def _read(connection: sa.Connection, tenant_id: str, reference: str) -> CustomerUser:
        same = sa.or_(customer_users.c.id == reference, customer_users.c.email == reference.lower())
        select = sa.select(customer_users).where(customer_users.c.tenant_id == tenant_id, same)
        row = connection.execute(select).mappings().one_or_none()
        if row is None:
            raise MintageError("not_found", "The customer has no such person.", "Check the id or the address.")
        return CustomerUser(**row)

    def page(self, tenant_id: str, *, limit: int = PAGE_DEFAULT, cursor: str | None = None) -> Page[CustomerUser]:
        """This customer's people, oldest first."""
        select = sa.select(customer_users).where(customer_users.c.tenant_id == tenant_id)
        with self._changes.database.read() as connection:
            rows, following = fetch_page(connection, select, customer_users.c.id, limit=limit, cursor=cursor)
        return Page(items=[CustomerUser(**row) for row in rows], next_cursor=following)

    def update(
        self, actor: str, tenant_id: str, reference: str, update: UserUpdate, *, match: str | None = None
    ) -> CustomerUser:
        """Change what is given. Raises conflict where a customer's last admin would go, precondition_failed."""
        user_id = self.get(tenant_id, reference).id
        given = {name: value for name, value in msgspec.structs.asdict(update).items() if value is not None}
        with self._changes.change(actor, "user.update", user_id, tenant_id=tenant_id, moves=False, **given) as change:
            connection, now = change.connection, change.now_ns
            user = self._read(connection, tenant_id, user_id)
            check_match(match, user)
            values: dict[str, Any] = {"updated_ns": now}
            if update.name is not None:
                values["name"] = check_name(update.name)
            if update.role is not None:
                values["role"] = check_role(update.role, CUSTOMER_ROLES)
            if update.disabled is not None:
                values["disabled_ns"] = (user.disabled_ns or now) if update.disabled else None
            connection.execute(customer_users.update().where(customer_users.c.id == user_id).values(**values))
            if actor.startswith("customer:") and user.role == "admin" and user.disabled_ns is None:
                self._check_admin_left(connection, tenant_id)
            if update.disabled:
                end_sessions(connection, user_id, now)
                Links.withdraw(connection, user_id)
        return self.get(tenant_id, user_id)

    @staticmethod
    def _check_admin_left(connection: sa.Connection, tenant_id: str) -> None:
        """A customer's people must not lock themselves out; the operator may take everyone's access away."""
        admins = sa.select(sa.func.count()).where(
            customer_users.c.tenant_id == tenant_id,
            customer_users.c.role == "admin",
            customer_users.c.disabled_ns.is_(None),
        )
        if not connection.scalar(admins):
            raise MintageError("conflict", "No admin would be left.", "Make someone else an admin first.")

    def issue_link(self, actor: str, tenant_id: str, reference: str) -> SignInLink:
        """A new one-time link for one of this customer's people."""
        return self._links.issue(actor, self.get(tenant_id, reference).id)
