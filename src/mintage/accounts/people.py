"""Whoever signs in: a member of staff or one of a customer's own people, found by id or by e-mail address."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from mintage.accounts.tables import customer_users, staff, tenants


class StaffMember(msgspec.Struct, frozen=True, kw_only=True):
    """One of the operator's people."""

    id: str
    name: str
    email: str
    role: str
    created_ns: int
    updated_ns: int = 0
    disabled_ns: int | None = None


class CustomerUser(msgspec.Struct, frozen=True, kw_only=True):
    """One of a customer's own people: admin or member of its portal."""

    id: str
    tenant_id: str
    name: str
    email: str
    role: str
    created_ns: int
    updated_ns: int = 0
    disabled_ns: int | None = None


Person = StaffMember | CustomerUser


def tenant_of(person: Person) -> str | None:
    """The customer that the person belongs to; None for staff."""
    return person.tenant_id if isinstance(person, CustomerUser) else None


def actor_of(person: Person) -> str:
    """How the audit log names them."""
    return f"{'staff' if isinstance(person, StaffMember) else 'customer'}:{person.id}"


def find_person(connection: sa.Connection, reference: str) -> Person | None:
    """An active person by id or e-mail address. Staff come first where an address is both. None for people of a
    suspended customer."""
    is_id = "@" not in reference
    by_staff = staff.c.id == reference if is_id else staff.c.email == reference.lower()
    row = connection.execute(sa.select(staff).where(by_staff, staff.c.disabled_ns.is_(None))).mappings().one_or_none()
    if row is not None:
        return StaffMember(**row)
    by_user = customer_users.c.id == reference if is_id else customer_users.c.email == reference.lower()
    select = (
        sa.select(customer_users)
        .join(tenants, tenants.c.id == customer_users.c.tenant_id)
        .where(by_user, customer_users.c.disabled_ns.is_(None), tenants.c.status == "active")
    )
    row = connection.execute(select).mappings().one_or_none()
    return None if row is None else CustomerUser(**row)


def fields_of(row: Any, type_: type[msgspec.Struct]) -> dict[str, Any]:
    """The row's values that the struct has."""
    return {name: row[name] for name in type_.__struct_fields__}
