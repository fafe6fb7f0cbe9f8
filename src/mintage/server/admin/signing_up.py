"""A stranger becomes a customer: account, first admin, session, and a plan, where the operator allows it."""

from __future__ import annotations

import asyncio

from mintage.accounts import Accounts, Caller, Session, SignUp
from mintage.base import MintageError, Settings
from mintage.billing import Billing


async def sign_up_customer(
    accounts: Accounts, billing: Billing, settings: Settings, new: SignUp, caller: Caller
) -> Session:
    """The session of the new customer's first admin. For the API and for pages.

    Raises permission_denied where signing up is off, rate_limited, invalid_request, conflict for a known address.
    """
    if not settings.sign_up:
        raise MintageError("permission_denied", "Signing up is by invitation here.", "Ask the operator for one.")
    accounts.throttle.count_sign_up(caller.address)
    entity = await asyncio.to_thread(accounts.entities.ensure, settings.operator, settings.currency)
    tenant, user = await asyncio.to_thread(accounts.users.sign_up, new, currency=entity.currency)
    if settings.sign_up_plan:
        await billing.assign(f"customer:{user.id}", tenant, settings.sign_up_plan)
    return await asyncio.to_thread(accounts.sessions.begin, user, caller)
