"""Roles and what each may do: one table. A permission that no row grants is denied.

Staff are owner, finance, support or viewer. A customer's own people are admin or member: their permissions all begin
with `portal.` and reach no further than their own customer. Add a permission as a row here; name it for an endpoint in
server/admin/access.py; ask for it in a page with `require`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from mintage.base import MintageError

STAFF_ROLES: Final = ("owner", "finance", "support", "viewer")
CUSTOMER_ROLES: Final = ("admin", "member")


class Permission(NamedTuple):
    """What it allows, and who has it."""

    meaning: str
    roles: frozenset[str]


def _row(meaning: str, roles: str) -> Permission:
    return Permission(meaning, frozenset(roles.split()))


#: permission -> what it allows, which roles have it
TABLE: Final[dict[str, Permission]] = {
    "customers.read": _row("See customers, projects and keys (never a key itself).", "owner finance support viewer"),
    "customers.write": _row("Add and change customers, their projects and people.", "owner support"),
    "keys.write": _row("Make, change, rotate and revoke customers' keys.", "owner support"),
    "plans.read": _row("See plans and who has which.", "owner finance support viewer"),
    "plans.write": _row("Apply plans and assign them to customers.", "owner finance"),
    "money.read": _row(
        "See usage, balances, the ledger, invoices, profit and loss; verify the books.", "owner finance viewer"
    ),
    "money.write": _row("Top up wallets, close periods and issue invoices.", "owner finance"),
    "models.read": _row("See which models there are.", "owner finance support viewer"),
    "models.write": _row("Pull, add and remove models and upstreams.", "owner"),
    "live.read": _row("Watch requests as they settle, and inspect one.", "owner finance support viewer"),
    "content.read": _row("Read kept prompts and answers; each look is in the audit log.", "owner support"),
    "content.write": _row("Choose what is kept of prompts and answers, and erase it.", "owner"),
    "jobs.read": _row("See jobs, what they wrote, and schedules.", "owner finance support viewer"),
    "jobs.write": _row("Start, cancel and retry jobs, and change schedules.", "owner"),
    "operator.read": _row("See settings, health and the legal entity.", "owner finance support viewer"),
    "operator.write": _row("Change the legal entity and what the operator allows.", "owner"),
    "staff.read": _row("See staff, their roles and sessions.", "owner viewer"),
    "staff.write": _row("Invite, change and disable staff, make sign-in links, end sessions.", "owner"),
    "audit.read": _row("Search and verify the audit log.", "owner finance viewer"),
    "secrets.read": _row("See which secrets there are, never one itself.", "owner"),
    "secrets.write": _row("Store, delete and rotate secrets and their master key.", "owner"),
    "portal.read": _row("See the own account: projects, keys, usage, balance, invoices.", "admin member"),
    "portal.use": _row("Use the playground at the own account's cost.", "admin member"),
    "portal.keys": _row("Make, change, rotate and revoke the own account's keys.", "admin"),
    "portal.write": _row("Change the own account and invite its people.", "admin"),
    "portal.pay": _row("Pay invoices and top up the own balance.", "admin"),
}

#: permission -> what it allows
PERMISSIONS: Final[dict[str, str]] = {name: row.meaning for name, row in TABLE.items()}

#: role -> permissions
ROLES: Final[dict[str, frozenset[str]]] = {
    role: frozenset(name for name, row in TABLE.items() if role in row.roles)
    for role in (*STAFF_ROLES, *CUSTOMER_ROLES)
}


def allows(role: str, permission: str) -> bool:
    return permission in ROLES.get(role, frozenset())


def check_role(role: str, among: tuple[str, ...] = STAFF_ROLES) -> str:
    if role not in among:
        raise MintageError("invalid_request", f"{role[:32]!r} is not a role.", f"Use {', '.join(among)}.", param="role")
    return role


def denied(role: str, permission: str) -> MintageError:
    return MintageError(
        "permission_denied", f"The role {role} does not include {permission}.", "Ask an owner.", param=None
    )
