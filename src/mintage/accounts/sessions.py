"""Sessions: a random cookie whose digest the server keeps, and a CSRF token derived from the cookie.

The CSRF token is HMAC(cookie, "csrf"): only who holds the cookie can know it, and nothing has to be stored for it.
A session begins only by redeeming a one-time link, with a fresh token, so no token can be fixed beforehand.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

import msgspec
import sqlalchemy as sa

from mintage.accounts.changes import Changes
from mintage.accounts.staff import StaffMember, digest
from mintage.accounts.tables import sessions, sign_in_links, staff
from mintage.base import MintageError, new_id

SESSION_LIFE_S: Final = 12 * 3600
COOKIE: Final = "mintage_session"


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """token goes into the cookie and is known only at sign-in; csrf goes into pages and the x-csrf-token header."""

    id: str
    token: str
    csrf: str
    staff: StaffMember
    expires_ns: int


def csrf_token(token: str) -> str:
    return hmac.new(token.encode(), b"csrf", hashlib.sha256).hexdigest()


def session_cookie(token: str, *, secure: bool, max_age_s: int = SESSION_LIFE_S) -> str:
    """The value of Set-Cookie. secure: the page is served over TLS. max_age_s=0 removes the cookie."""
    flags = "; Secure" if secure else ""
    return f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age_s}{flags}"


def _bad_link() -> MintageError:
    return MintageError(
        "unauthenticated",
        "This sign-in link is not valid.",
        "It works once and for 15 minutes. Make another with `mintage staff link`.",
    )


class Sessions:
    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def redeem(self, token: str) -> Session:
        """Trade a one-time link's token for a session. Raises unauthenticated, the same for every reason."""
        self._check_link(token)
        cookie = secrets.token_urlsafe(32)
        session_id = new_id("ses")
        with self._changes.change("anonymous", "session.begin", session_id) as change:
            now, connection = change.now_ns, change.connection
            used = connection.execute(
                sign_in_links.update()
                .where(
                    sign_in_links.c.digest == digest(token),
                    sign_in_links.c.used_ns.is_(None),
                    sign_in_links.c.expires_ns > now,
                )
                .values(used_ns=now)
                .returning(sign_in_links.c.staff_id)
            ).scalar_one_or_none()
            row = connection.execute(sa.select(staff).where(staff.c.id == used)).mappings().one_or_none()
            if row is None or row["disabled_ns"] is not None:
                raise _bad_link()
            member = StaffMember(**row)
            change.note(staff_id=member.id)
            expires_ns = now + SESSION_LIFE_S * 1_000_000_000
            connection.execute(sessions.delete().where(sessions.c.expires_ns <= now))
            connection.execute(
                sessions.insert().values(
                    digest=digest(cookie), id=session_id, staff_id=member.id, created_ns=now, expires_ns=expires_ns
                )
            )
        return Session(id=session_id, token=cookie, csrf=csrf_token(cookie), staff=member, expires_ns=expires_ns)

    def _check_link(self, token: str) -> None:
        """Refuse a guess by reading alone: a stranger must not take the write lock."""
        known = sa.select(sign_in_links.c.digest).where(sign_in_links.c.digest == digest(token))
        with self._changes.database.read() as connection:
            if connection.scalar(known) is None:
                raise _bad_link()

    def find(self, token: str | None) -> Session | None:
        """The live session of a cookie's value; None if it is unknown, ended, expired, or its person is disabled."""
        if not token or len(token) > 128:
            return None
        select = (
            sa.select(sessions.c.id.label("session_id"), sessions.c.expires_ns, staff)
            .join(staff, staff.c.id == sessions.c.staff_id)
            .where(
                sessions.c.digest == digest(token),
                sessions.c.ended_ns.is_(None),
                sessions.c.expires_ns > self._changes.clock.now_ns(),
                staff.c.disabled_ns.is_(None),
            )
        )
        with self._changes.database.read() as connection:
            row = connection.execute(select).mappings().one_or_none()
        if row is None:
            return None
        member = StaffMember(**{name: row[name] for name in StaffMember.__struct_fields__})
        return Session(
            id=row["session_id"], token=token, csrf=csrf_token(token), staff=member, expires_ns=row["expires_ns"]
        )

    def check_csrf(self, session: Session, given: str | None) -> None:
        """Raises permission_denied unless given is the session's CSRF token."""
        if given is None or not hmac.compare_digest(session.csrf.encode(), given.encode()):
            raise MintageError(
                "permission_denied",
                "The request does not come from a page of this session.",
                "Reload the page. A script sends the x-csrf-token that GET /admin/v1/session shows.",
            )

    def end(self, session: Session) -> None:
        with self._changes.change(f"staff:{session.staff.id}", "session.end", session.id) as change:
            change.connection.execute(
                sessions.update().where(sessions.c.id == session.id).values(ended_ns=change.now_ns)
            )
