"""Where a reader can go: the sections in their order, each with the permission that opens it."""

from __future__ import annotations

from typing import Final, NamedTuple

from mintage.accounts import allows


class Place(NamedTuple):
    """One section. name is its key in the catalogue (nav.NAME) and in templates; permission opens it."""

    name: str
    path: str
    permission: str


#: Groups of sections, as the navigation shows them; the group's name is in the catalogue too.
DESK: Final[tuple[tuple[str, tuple[Place, ...]], ...]] = (
    (
        "trade",
        (
            Place("overview", "/console", "money.read"),
            Place("requests", "/console/requests", "live.read"),
            Place("usage", "/console/usage", "money.read"),
            Place("playground", "/console/playground", "money.write"),
        ),
    ),
    (
        "sales",
        (
            Place("customers", "/console/customers", "customers.read"),
            Place("subscriptions", "/console/subscriptions", "money.read"),
            Place("plans", "/console/plans", "plans.read"),
            Place("models", "/console/models", "models.read"),
        ),
    ),
    (
        "money",
        (
            Place("invoices", "/console/invoices", "money.read"),
            Place("payments", "/console/payments", "money.read"),
            Place("wallets", "/console/wallets", "money.read"),
            Place("taxes", "/console/taxes", "money.read"),
        ),
    ),
    (
        "books",
        (
            Place("revenue", "/console/revenue", "money.read"),
            Place("profit", "/console/profit", "money.read"),
            Place("ledger", "/console/ledger", "money.read"),
        ),
    ),
    (
        "explore",
        (
            Place("lab", "/console/lab", "money.read"),
            Place("gallery", "/console/plans/gallery", "plans.read"),
            Place("factory", "/console/factory", "models.read"),
        ),
    ),
    (
        "house",
        (
            Place("staff", "/console/staff", "staff.read"),
            Place("audit", "/console/audit", "audit.read"),
            Place("jobs", "/console/jobs", "jobs.read"),
            Place("settings", "/console/settings", "operator.read"),
        ),
    ),
)

PORTAL: Final[tuple[tuple[str, tuple[Place, ...]], ...]] = (
    (
        "account",
        (
            Place("portal", "/portal", "portal.read"),
            Place("portal_usage", "/portal/usage", "portal.read"),
            Place("portal_invoices", "/portal/invoices", "portal.read"),
            Place("portal_wallet", "/portal/wallet", "portal.read"),
            Place("portal_plan", "/portal/plan", "portal.read"),
            Place("portal_keys", "/portal/keys", "portal.read"),
            Place("portal_playground", "/portal/playground", "portal.use"),
        ),
    ),
)


class Group(NamedTuple):
    name: str
    places: tuple[Place, ...]


def places_for(role: str) -> list[Group]:
    """What a role may open, in order. Groups without a place are left out."""
    found = []
    for name, places in (*DESK, *PORTAL):
        open_ = tuple(place for place in places if allows(role, place.permission))
        if open_:
            found.append(Group(name, open_))
    return found


def home_of(role: str) -> str:
    """Where signing in leads: the first place that the role may open."""
    groups = places_for(role)
    return groups[0].places[0].path if groups else "/console/nowhere"
