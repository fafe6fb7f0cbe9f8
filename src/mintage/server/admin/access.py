"""Who may call what: one table, endpoint -> permission. What is not in the table is closed.

To add an endpoint:

1. Write its handler in a module of this folder and list it in that module's HANDLERS (a new module joins MODULES of
   api.py). A handler that reads a body names its type and one example: `@post("/things", takes=NewThing,
   example={"name": "one"})`, and decodes it with bodies.decode; that writes the OpenAPI description.
2. Add its line here: "METHOD /path/{with}/{parameters}" as the router sees it. `staff(permission)` is for the
   operator's people and the admin token. `shared(permission, portal)` also lets in a customer's own people, each for
   the customer in the path alone: the path must have a {customer}, which the guard resolves and compares before the
   handler runs. `SIGNED_IN` is for whoever has a session, about themselves. `OPEN` is for everyone: say why beside it.
3. A new permission is a row of accounts/roles.py. Pages use the same rows: accounts.require(session, "permission").
4. Run `python scripts/generate_reference.py` for docs/reference/permissions.md. tests/server/admin/test_matrix.py walks
   every line of this table with every role, a stranger and another customer's people; it needs nothing from you.

What comes for free: the guard, CSRF, problem+json, Idempotency-Key on every POST, PUT, PATCH and DELETE, ETag on every
JSON answer and If-None-Match on GET. An update honours If-Match by handing `match: Match` to the room's function, which
compares inside its transaction (accounts.check_match).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from mintage.accounts import PERMISSIONS


class Access(NamedTuple):
    """staff: the permission that the operator's people need. portal: what the customer's own people need.

    Both None: open to everyone, or, where signed_in, to whoever has a session.
    """

    staff: str | None = None
    portal: str | None = None
    signed_in: bool = False


OPEN: Final = Access()
SIGNED_IN: Final = Access(signed_in=True)


def staff(permission: str) -> Access:
    return Access(staff=permission)


def shared(permission: str, portal: str) -> Access:
    return Access(staff=permission, portal=portal)


ENDPOINTS: Final[dict[str, Access]] = {
    "GET /openapi.json": OPEN,  # says nothing of anyone's data
    # who is calling
    "POST /session": OPEN,  # signing in
    "POST /sign-up": OPEN,  # refused unless the setting sign_up is on
    "GET /session": SIGNED_IN,
    "DELETE /session": SIGNED_IN,
    "PUT /session/password": SIGNED_IN,
    "POST /session/totp": SIGNED_IN,
    "POST /session/totp/confirm": SIGNED_IN,
    "DELETE /session/totp": SIGNED_IN,
    "GET /session/all": SIGNED_IN,
    "DELETE /session/all": SIGNED_IN,
    "DELETE /session/all/{session_id}": SIGNED_IN,
    # customers, projects, keys
    "GET /customers": staff("customers.read"),
    "POST /customers": staff("customers.write"),
    "GET /customers/{customer}": shared("customers.read", "portal.read"),
    "PATCH /customers/{customer}": staff("customers.write"),
    "GET /customers/{customer}/projects": shared("customers.read", "portal.read"),
    "POST /customers/{customer}/projects": shared("customers.write", "portal.write"),
    "GET /customers/{customer}/projects/{project}": shared("customers.read", "portal.read"),
    "PATCH /customers/{customer}/projects/{project}": shared("customers.write", "portal.write"),
    "GET /customers/{customer}/keys": shared("customers.read", "portal.read"),
    "POST /customers/{customer}/keys": shared("keys.write", "portal.keys"),
    "GET /customers/{customer}/keys/{key_id}": shared("customers.read", "portal.read"),
    "PATCH /customers/{customer}/keys/{key_id}": shared("keys.write", "portal.keys"),
    "POST /customers/{customer}/keys/{key_id}/rotate": shared("keys.write", "portal.keys"),
    "DELETE /customers/{customer}/keys/{key_id}": shared("keys.write", "portal.keys"),
    "GET /customers/{customer}/users": shared("customers.read", "portal.read"),
    "POST /customers/{customer}/users": shared("customers.write", "portal.write"),
    "GET /customers/{customer}/users/{user}": shared("customers.read", "portal.read"),
    "PATCH /customers/{customer}/users/{user}": shared("customers.write", "portal.write"),
    "POST /customers/{customer}/users/{user}/links": shared("customers.write", "portal.write"),
    "DELETE /customers/{customer}/users/{user}/sessions": shared("customers.write", "portal.write"),
    "DELETE /customers/{customer}/users/{user}/credentials": shared("customers.write", "portal.write"),
    # plans
    "GET /plans": staff("plans.read"),
    "POST /plans": staff("plans.write"),
    "GET /plans/{plan}": staff("plans.read"),
    "PUT /customers/{customer}/plan": staff("plans.write"),
    # subscriptions, credit, caps
    "GET /customers/{customer}/subscriptions": shared("plans.read", "portal.read"),
    "POST /customers/{customer}/subscriptions": staff("plans.write"),
    "POST /customers/{customer}/subscriptions/cancel": staff("plans.write"),
    "POST /customers/{customer}/subscriptions/keep": staff("plans.write"),
    "POST /customers/{customer}/subscriptions/pause": staff("plans.write"),
    "POST /customers/{customer}/subscriptions/resume": staff("plans.write"),
    "GET /customers/{customer}/rated-periods": shared("money.read", "portal.read"),
    "GET /coupons": staff("plans.read"),
    "POST /coupons": staff("plans.write"),
    "POST /customers/{customer}/coupons": staff("plans.write"),
    "DELETE /customers/{customer}/coupons/{code}": staff("plans.write"),
    "POST /plans/{plan}/pools": staff("plans.write"),
    "POST /billing/run": staff("money.write"),
    "GET /customers/{customer}/credit": shared("money.read", "portal.read"),
    "POST /customers/{customer}/credit": staff("money.write"),
    "POST /customers/{customer}/packs": staff("money.write"),
    "PUT /customers/{customer}/auto-top-up": shared("money.write", "portal.write"),
    "GET /customers/{customer}/cap": shared("money.read", "portal.read"),
    "PUT /customers/{customer}/cap": shared("money.write", "portal.write"),
    "DELETE /customers/{customer}/cap": shared("money.write", "portal.write"),
    "PUT /customers/{customer}/entitlements": staff("plans.write"),
    # the finance desk
    "GET /finance/balance-sheet": staff("money.read"),
    "GET /finance/income-statement": staff("money.read"),
    "GET /finance/ageing": staff("money.read"),
    "GET /finance/prepaid": staff("money.read"),
    "GET /finance/deferred": staff("money.read"),
    "GET /finance/metrics": staff("money.read"),
    "GET /finance/lock": staff("money.read"),
    "POST /finance/lock": staff("money.write"),
    # money
    "GET /wallets": staff("money.read"),
    "GET /customers/{customer}/wallet": shared("money.read", "portal.read"),
    "POST /customers/{customer}/top-ups": staff("money.write"),
    "GET /usage": staff("money.read"),
    "POST /customers/{customer}/events": staff("money.write"),
    "GET /customers/{customer}/events": shared("money.read", "portal.read"),
    "GET /ledger/trial-balance": staff("money.read"),
    "GET /ledger/journals": staff("money.read"),
    "GET /pnl": staff("money.read"),
    "POST /books/verify": staff("money.read"),
    "GET /books/export": staff("money.read"),
    "POST /invoices/close": staff("money.write"),
    "GET /invoices": staff("money.read"),
    "GET /invoices/{number}": staff("money.read"),
    "GET /invoices/{number}/content": staff("money.read"),
    "GET /invoices/{number}/verify": staff("money.read"),
    "GET /invoices/{number}/pdf": staff("money.read"),
    "GET /invoices/{number}/xml": staff("money.read"),
    "GET /invoices/{number}/factur-x": staff("money.read"),
    "POST /invoices/{number}/credit-notes": staff("money.write"),
    "POST /invoices/{number}/void": staff("money.write"),
    "POST /invoices/{number}/write-off": staff("money.write"),
    "GET /invoice-lines": staff("money.read"),
    "GET /credit-notes": staff("money.read"),
    "GET /billing-settings": staff("money.read"),
    "PUT /billing-settings": staff("money.write"),
    "GET /customers/{customer}/billing-profile": shared("customers.read", "portal.read"),
    "PUT /customers/{customer}/billing-profile": shared("customers.write", "portal.write"),
    "GET /tax-rates": staff("money.read"),
    "PUT /tax-rates": staff("money.write"),
    "POST /tax-rates/eu": staff("money.write"),
    "GET /currency-rates": staff("money.read"),
    "PUT /currency-rates": staff("money.write"),
    "GET /payments": staff("money.read"),
    "POST /customers/{customer}/transfers": staff("money.write"),
    "GET /payment-providers": staff("money.read"),
    "PUT /payment-providers/stripe": staff("secrets.write"),
    "POST /payments/{payment}/refund": staff("money.write"),
    "POST /customers/{customer}/checkout": shared("money.write", "portal.pay"),
    "POST /invoices/{number}/send": staff("money.write"),
    "POST /bank/statements": staff("money.write"),
    "GET /bank/lines": staff("money.read"),
    "POST /bank/lines/{line}/match": staff("money.write"),
    "POST /dunning/run": staff("money.write"),
    "GET /webhooks": staff("money.read"),
    "POST /webhooks": staff("money.write"),
    "DELETE /webhooks/{endpoint}": staff("money.write"),
    "GET /webhook-deliveries": staff("money.read"),
    "POST /webhook-messages/{message}/replay": staff("money.write"),
    # models and requests
    "GET /models": staff("models.read"),
    "POST /models": staff("models.write"),
    "POST /models/pull": staff("models.write"),
    "POST /models/promote": staff("models.write"),
    "PUT /models/{name}/stage": staff("models.write"),
    "GET /factory/runs": staff("models.read"),
    "GET /factory/runs/{run}": staff("models.read"),
    "GET /factory/runs/{run}/lineage": staff("models.read"),
    "GET /factory/runs/{run}/costs": staff("money.read"),
    "POST /factory/runs/{run}/record": staff("models.write"),
    "POST /factory/amortise": staff("money.write"),
    "DELETE /models/{name}": staff("models.write"),
    "POST /models/routes": staff("models.write"),
    "GET /providers": staff("models.read"),
    "POST /providers": staff("models.write"),
    "POST /providers/{name}/test": staff("models.write"),
    "DELETE /providers/{name}": staff("models.write"),
    "GET /requests/live": staff("live.read"),
    # what is kept of prompts and answers
    "GET /customers/{customer}/content-policy": shared("customers.read", "portal.read"),
    "PUT /customers/{customer}/content-policy": shared("content.write", "portal.write"),
    "GET /customers/{customer}/content/{request_id}": shared("content.read", "portal.write"),
    "DELETE /customers/{customer}/content": shared("content.write", "portal.write"),
    # jobs
    "GET /jobs": staff("jobs.read"),
    "GET /jobs/kinds": staff("jobs.read"),
    "POST /jobs": staff("jobs.write"),
    "GET /jobs/{job}": staff("jobs.read"),
    "POST /jobs/{job}/cancel": staff("jobs.write"),
    "POST /jobs/{job}/retry": staff("jobs.write"),
    "GET /schedules": staff("jobs.read"),
    "PUT /schedules/{name}": staff("jobs.write"),
    "DELETE /schedules/{name}": staff("jobs.write"),
    # the operator
    "GET /staff": staff("staff.read"),
    "POST /staff": staff("staff.write"),
    "POST /staff/invitations": staff("staff.write"),
    "GET /staff/{person}": staff("staff.read"),
    "PATCH /staff/{person}": staff("staff.write"),
    "POST /staff/{person}/links": staff("staff.write"),
    "GET /staff/{person}/sessions": staff("staff.read"),
    "DELETE /staff/{person}/sessions": staff("staff.write"),
    "GET /staff/{person}/credentials": staff("staff.read"),
    "DELETE /staff/{person}/credentials": staff("staff.write"),
    "GET /roles": staff("operator.read"),
    "GET /entity": staff("operator.read"),
    "PATCH /entity": staff("operator.write"),
    "GET /audit": staff("audit.read"),
    "GET /audit/verify": staff("audit.read"),
    "GET /secrets": staff("secrets.read"),
    "POST /secrets": staff("secrets.write"),
    "DELETE /secrets/{name}": staff("secrets.write"),
    "GET /secrets/keys": staff("secrets.read"),
    "POST /secrets/rotate": staff("secrets.write"),
    "GET /config": staff("operator.read"),
    "GET /health": staff("operator.read"),
}


def check_table() -> None:
    """Raises ValueError for a line that names no known permission, or lets customers in but not to whose data."""
    for endpoint, access in ENDPOINTS.items():
        for permission in filter(None, (access.staff, access.portal)):
            if permission not in PERMISSIONS:
                raise ValueError(f"{endpoint}: {permission!r} is not a permission of accounts/roles.py")
        if access.portal is not None and "/customers/{customer}" not in endpoint:
            raise ValueError(f"{endpoint}: customers' people need a {{customer}} in the path, to be held to their own")
