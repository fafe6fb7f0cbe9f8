"""Who may call: the home's admin token (the command line), or a signed-in member of staff with a CSRF token."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from mintage.accounts import COOKIE, Session, allows
from mintage.base import MintageError
from mintage.server.admin.services import Desk

#: The actor that the audit log names when the admin token was used.
COMMAND_LINE: Final = "token"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})

Connection = ASGIConnection[Any, Any, Any, Any]
Guard = Callable[[Connection, BaseRouteHandler], Awaitable[None]]


def make_guard(desk: Desk) -> Guard:
    """A handler names its `permission`; None (stated, never forgotten) opens it to everyone."""

    async def authorise(connection: Connection, handler: BaseRouteHandler) -> None:
        if "permission" not in handler.opt:
            raise MintageError("permission_denied", "This call is closed.", "It names no permission.")
        permission = handler.opt["permission"]
        if permission is None:
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
        _check_session(desk, connection, session, permission)
        connection.state.actor, connection.state.session = f"staff:{session.staff.id}", session

    return authorise


def _bearer(desk: Desk, header: str) -> str:
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), desk.admin_token.encode()):
        raise MintageError(
            "unauthenticated", "The admin token is not valid.", "server.json in the home folder holds it."
        )
    return COMMAND_LINE


def _check_session(desk: Desk, connection: Connection, session: Session, permission: str) -> None:
    if not allows(session.staff.role, permission):
        raise MintageError(
            "permission_denied",
            f"The role {session.staff.role} does not include {permission}.",
            "Ask an owner.",
        )
    if str(connection.scope.get("method")) not in _SAFE:
        desk.accounts.sessions.check_csrf(session, connection.headers.get("x-csrf-token"))
