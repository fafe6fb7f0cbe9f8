"""Sessions: a random cookie whose digest the server keeps, and a CSRF token derived from the cookie.

The CSRF token is HMAC(cookie, "csrf"): only who holds the cookie can know it, and nothing has to be stored for it.
Every sign-in makes a fresh token and ends the session that the browser had, so no token can be fixed beforehand.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

import msgspec
import sqlalchemy as sa

from mintage.accounts.changes import Change, Changes
from mintage.accounts.credentials import Credentials, wrong
from mintage.accounts.links import Links, digest
from mintage.accounts.pages import PAGE_DEFAULT, Page, fetch_page
from mintage.accounts.people import Person, StaffMember, actor_of, fields_of, find_person, tenant_of
from mintage.accounts.roles import allows, denied
from mintage.accounts.tables import sessions
from mintage.accounts.throttle import Throttle
from mintage.base import MintageError, new_id

SESSION_LIFE_S: Final = 12 * 3600
SESSION_IDLE_S: Final = 2 * 3600
COOKIE: Final = "mintage_session"
SESSIONS_MAX: Final = 100  # live ones per person; the oldest make room
_SEEN_EVERY_NS: Final = 60 * 1_000_000_000  # a busy page must not write with every click
_SECOND: Final = 1_000_000_000


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Where a sign-in comes from. replaces: the session cookie that the browser had, which the new one ends."""

    address: str = ""
    agent: str = ""
    replaces: str | None = None


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """token goes into the cookie and is known only at sign-in; csrf goes into pages and the x-csrf-token header.

    method: link or password. expires_ns: its end at the latest; it ends earlier when it is idle.
    """

    id: str
    token: str
    csrf: str
    person: Person
    method: str
    created_ns: int
    expires_ns: int

    @property
    def staff(self) -> StaffMember:
        """The member of staff; for pages that only staff reach. Raises permission_denied."""
        if not isinstance(self.person, StaffMember):
            raise MintageError("permission_denied", "This is for the operator's staff.", "Ask your provider.")
        return self.person

    @property
    def role(self) -> str:
        return self.person.role

    @property
    def tenant_id(self) -> str | None:
        """The one customer that this session may see; None for staff, who see all."""
        return tenant_of(self.person)

    @property
    def actor(self) -> str:
        """How the audit log names who does something in this session."""
        return actor_of(self.person)


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One session as its owner may see it in a list."""

    id: str
    person_id: str
    method: str
    address: str
    agent: str
    created_ns: int
    seen_ns: int
    expires_ns: int
    ended_ns: int | None


def require(session: Session, permission: str, *, tenant_id: str | None = None) -> None:
    """The one check of pages and endpoints: the session's role includes the permission, and a customer's own people
    touch nobody else's data. tenant_id: whose data it is; None for the operator's own, which customers' people never
    reach. Raises permission_denied, or not_found for another customer's data, as if it were not there."""
    if session.tenant_id is not None and session.tenant_id != tenant_id:
        if tenant_id is None:
            raise denied(session.role, permission)
        raise MintageError("not_found", "There is nothing here.", "Check the address.")
    if not allows(session.role, permission):
        raise denied(session.role, permission)


def csrf_token(token: str) -> str:
    return hmac.new(token.encode(), b"csrf", hashlib.sha256).hexdigest()


def session_cookie(token: str, *, secure: bool, max_age_s: int = SESSION_LIFE_S) -> str:
    """The value of Set-Cookie. secure: the page is served over TLS. max_age_s=0 removes the cookie."""
    flags = "; Secure" if secure else ""
    return f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age_s}{flags}"


class Sessions:
    def __init__(self, changes: Changes, credentials: Credentials, links: Links, throttle: Throttle) -> None:
        self._changes = changes
        self._credentials = credentials
        self._links = links
        self._throttle = throttle

    def redeem(self, token: str, caller: Caller = Caller()) -> Session:  # noqa: B008 - frozen
        """Trade a one-time link's token for a session. Raises unauthenticated, the same for every reason."""
        self._links.check(token)
        session_id = new_id("ses")
        with self._changes.change("anonymous", "session.begin", session_id, moves=False, method="link") as change:
            person = self._links.use(change.connection, token, change.now_ns)
            return self._begin(change, session_id, person, "link", caller)

    def sign_in(self, email: str, password: str, code: str = "", caller: Caller = Caller()) -> Session:  # noqa: B008
        """By e-mail address, password and, where one is set up, a code of the second factor or a recovery code.

        Raises unauthenticated (details {"needs": "code"} where only that is missing), rate_limited after too many
        tries.
        """
        self._throttle.check(email, caller.address)
        with self._changes.database.read() as connection:
            person = find_person(connection, email) if "@" in email and len(email) <= 254 else None
        try:
            self._credentials.check(person, password, code)
        except MintageError as error:
            if error.code == "unauthenticated" and not error.details:
                self._throttle.failed(email, caller.address)
            raise
        self._throttle.succeeded(email, caller.address)
        session_id = new_id("ses")
        with self._changes.change("anonymous", "session.begin", session_id, moves=False, method="password") as change:
            current = None if person is None else find_person(change.connection, person.id)
            if current is None:
                raise wrong()
            return self._begin(change, session_id, current, "password", caller)

    def begin(self, person: Person, caller: Caller = Caller()) -> Session:  # noqa: B008
        """For someone who has just proved themselves another way, by signing up."""
        session_id = new_id("ses")
        with self._changes.change("anonymous", "session.begin", session_id, moves=False, method="sign_up") as change:
            return self._begin(change, session_id, person, "sign_up", caller)

    def _begin(self, change: Change, session_id: str, person: Person, method: str, caller: Caller) -> Session:
        now, connection, token = change.now_ns, change.connection, secrets.token_urlsafe(32)
        change.act_as(actor_of(person))
        change.attribute(tenant_of(person))
        change.note(person_id=person.id, address=caller.address[:64])
        if caller.replaces:
            old = sessions.c.digest == digest(caller.replaces[:128])
            connection.execute(sessions.update().where(old, sessions.c.ended_ns.is_(None)).values(ended_ns=now))
        connection.execute(sessions.delete().where(sessions.c.expires_ns <= now))
        self._make_room(connection, person.id, now)
        expires_ns = now + SESSION_LIFE_S * _SECOND
        connection.execute(
            sessions.insert().values(
                digest=digest(token),
                id=session_id,
                person_id=person.id,
                method=method,
                address=_plain(caller.address, 64),
                agent=_plain(caller.agent, 200),
                created_ns=now,
                seen_ns=now,
                expires_ns=expires_ns,
            )
        )
        return Session(
            id=session_id,
            token=token,
            csrf=csrf_token(token),
            person=person,
            method=method,
            created_ns=now,
            expires_ns=expires_ns,
        )

    @staticmethod
    def _make_room(connection: sa.Connection, person_id: str, now: int) -> None:
        live = (
            sa.select(sessions.c.id)
            .where(sessions.c.person_id == person_id, sessions.c.ended_ns.is_(None))
            .order_by(sessions.c.id.desc())
            .offset(SESSIONS_MAX - 1)
        )
        if old := list(connection.scalars(live)):
            connection.execute(sessions.update().where(sessions.c.id.in_(old[:1000])).values(ended_ns=now))

    def find(self, token: str | None, *, touch: bool = True) -> Session | None:
        """The live session of a cookie's value; None if it is unknown, ended, expired, idle, or its person may no
        longer come in. touch=False for what a page does by itself: it keeps no session awake."""
        if not token or len(token) > 128:
            return None
        now = self._changes.clock.now_ns()
        select = sa.select(sessions).where(
            sessions.c.digest == digest(token),
            sessions.c.ended_ns.is_(None),
            sessions.c.expires_ns > now,
            sessions.c.seen_ns > now - SESSION_IDLE_S * _SECOND,
        )
        with self._changes.database.read() as connection:
            row = connection.execute(select).mappings().one_or_none()
            person = None if row is None else find_person(connection, row["person_id"])
        if row is None or person is None:
            return None
        if touch and row["seen_ns"] < now - _SEEN_EVERY_NS:
            with self._changes.database.write() as connection:
                connection.execute(sessions.update().where(sessions.c.id == row["id"]).values(seen_ns=now))
        return Session(
            id=row["id"],
            token=token,
            csrf=csrf_token(token),
            person=person,
            method=row["method"],
            created_ns=row["created_ns"],
            expires_ns=row["expires_ns"],
        )

    def check_csrf(self, session: Session, given: str | None) -> None:
        """Raises permission_denied unless given is the session's CSRF token."""
        if given is None or not hmac.compare_digest(session.csrf.encode(), given.encode()):
            raise MintageError(
                "permission_denied",
                "The request does not come from a page of this session.",
                "Reload the page. A script sends the x-csrf-token that GET /admin/v1/session shows.",
            )

    def page(self, person_id: str, *, limit: int = PAGE_DEFAULT, cursor: str | None = None) -> Page[SessionRow]:
        """A person's sessions, newest first, ended ones included for as long as they would have lasted."""
        select = sa.select(sessions).where(sessions.c.person_id == person_id)
        with self._changes.database.read() as connection:
            rows, following = fetch_page(
                connection, select, sessions.c.id, limit=limit, cursor=cursor, newest_first=True
            )
        return Page(items=[SessionRow(**fields_of(row, SessionRow)) for row in rows], next_cursor=following)

    def end(self, session: Session) -> None:
        self.end_of(session.actor, session.person, session_id=session.id)

    def end_of(self, actor: str, person: Person, *, session_id: str | None = None, keep: str | None = None) -> int:
        """End one session of a person, or all but `keep`; how many ended."""
        with self._changes.change(
            actor, "session.end", session_id or person.id, tenant_id=tenant_of(person), moves=False
        ) as change:
            ended = end_sessions(change.connection, person.id, change.now_ns, session_id=session_id, keep=keep)
            change.note(sessions=ended)
        return ended


def end_sessions(
    connection: sa.Connection, person_id: str, now_ns: int, *, session_id: str | None = None, keep: str | None = None
) -> int:
    """In the caller's transaction: what takes a person's rights away also ends where they are signed in."""
    terms = [sessions.c.person_id == person_id, sessions.c.ended_ns.is_(None)]
    if session_id is not None:
        terms.append(sessions.c.id == session_id)
    if keep is not None:
        terms.append(sessions.c.id != keep)
    return connection.execute(sessions.update().where(*terms).values(ended_ns=now_ns)).rowcount


def _plain(text: str, limit: int) -> str:
    """What a browser says of itself, without what could break a line or a terminal."""
    return "".join(char for char in text if char.isprintable())[:limit]
