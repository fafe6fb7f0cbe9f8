"""Roles of staff and what each may do: one table. A permission that no row grants is denied."""

from __future__ import annotations

from typing import Final

from mintage.base import MintageError

#: permission -> what it allows
PERMISSIONS: Final[dict[str, str]] = {
    "customers.read": "See customers, projects and keys (never a key itself).",
    "customers.write": "Add and change customers, projects and keys.",
    "plans.read": "See plans and who has which.",
    "plans.write": "Apply plans and assign them to customers.",
    "money.read": "See usage, balances, wallets, the ledger, invoices, profit and loss; verify and export the books.",
    "money.write": "Top up wallets, close periods and issue invoices.",
    "models.read": "See which models there are.",
    "models.write": "Pull, add and remove models and upstreams.",
    "live.read": "Watch requests as they settle.",
    "operator.read": "See settings, the legal entity, staff and the audit log.",
    "operator.write": "Change the legal entity and staff, and make sign-in links.",
}

#: role -> permissions
ROLES: Final[dict[str, frozenset[str]]] = {"owner": frozenset(PERMISSIONS)}


def allows(role: str, permission: str) -> bool:
    return permission in ROLES.get(role, frozenset())


def check_role(role: str) -> str:
    if role not in ROLES:
        raise MintageError("invalid_request", f"{role[:32]!r} is not a role.", f"Use {', '.join(ROLES)}.", param="role")
    return role
