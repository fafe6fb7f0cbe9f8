"""Who may call: the home's admin token (the command line), or a signed-in person with a CSRF token.

What each may do is in access.py; this is the one place that enforces it.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from mintage.accounts import COOKIE, Session, require
from mintage.base import MintageError
from mintage.server.admin.access import ENDPOINTS, OPEN, Access
from mintage.server.admin.services import Desk

#: The actor that the audit log names when the admin token was used.
COMMAND_LINE: Final = "token"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})

Connection = ASGIConnection[Any, Any, Any, Any]
Guard = Callable[[Connection, BaseRouteHandler], Awaitable[None]]


def endpoint_of(connection: Connection, prefix: str) -> str:
    """The line of access.py that the request asks for: "GET /customers/{customer}"."""
    method = str(connection.scope.get("method"))
    template = str(connection.scope.get("path_template", "")).removeprefix(prefix)
    return f"{'GET' if method == 'HEAD' else method} {template}"


def make_guard(desk: Desk, prefix: str) -> Guard:
    async def authorise(connection: Connection, handler: BaseRouteHandler) -> None:
        access = ENDPOINTS.get(endpoint_of(connection, prefix))
        if access is None:
            raise MintageError("permission_denied", "This call is closed.", "server/admin/access.py has no line of it.")
        if access == OPEN:
            return
        header = connection.headers.get("authorization")
        if header is not None:
            connection.state.actor = _bearer(desk, header)
            return
        session = await asyncio.to_thread(desk.accounts.sessions.find, connection.cookies.get(COOKIE))
        if session is None:
            raise MintageError(
                "unauthenticated", "Sign in first.", "Open a link of `mintage staff link`, or send the admin token."
            )
        await _check_session(desk, connection, session, access)
        connection.state.actor, connection.state.session = session.actor, session

    return authorise


def _bearer(desk: Desk, header: str) -> str:
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), desk.admin_token.encode()):
        raise MintageError(
            "unauthenticated", "The admin token is not valid.", "server.json in the home folder holds it."
        )
    return COMMAND_LINE


async def _check_session(desk: Desk, connection: Connection, session: Session, access: Access) -> None:
    """A customer's own people reach the customer in the path, if it is theirs; any other looks like none."""
    if session.tenant_id is None:
        if access.staff is not None:
            require(session, access.staff)
        elif not access.signed_in:
            raise MintageError("permission_denied", "This call is for customers' own people.", "Sign in as one.")
    elif access.portal is not None:
        named = str(connection.path_params.get("customer", ""))
        tenant = await asyncio.to_thread(desk.accounts.tenants.get, session.tenant_id)
        if named not in (tenant.id, tenant.handle):
            raise MintageError("not_found", f"There is no customer {named[:80]!r}.", "Use your own account's name.")
        require(session, access.portal, tenant_id=tenant.id)
    elif not access.signed_in:
        raise MintageError("permission_denied", "This call is for the operator's staff.", "Ask your provider.")
    if str(connection.scope.get("method")) not in _SAFE:
        desk.accounts.sessions.check_csrf(session, connection.headers.get("x-csrf-token"))
