"""One-time links: a random token that signs a person in once. Only its digest is stored."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

import msgspec
import sqlalchemy as sa

from mintage.accounts.changes import Changes
from mintage.accounts.people import Person, find_person, tenant_of
from mintage.accounts.tables import sign_in_links
from mintage.base import MintageError

LINK_LIFE_NS: Final = 15 * 60 * 1_000_000_000
INVITATION_LIFE_NS: Final = 7 * 86_400 * 1_000_000_000
LINKS_OPEN_MAX: Final = 20  # per person: a loop that asks for links must not fill the table


class SignInLink(msgspec.Struct, frozen=True, kw_only=True):
    """token is shown once and works once, until expires_ns."""

    token: str
    person_id: str
    expires_ns: int


def digest(token: str) -> str:
    """What is stored of a random token: 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()


def bad_link() -> MintageError:
    return MintageError(
        "unauthenticated",
        "This sign-in link is not valid.",
        "It works once and for a short time. Make another with `mintage staff link`, or ask who invited you.",
    )


class Links:
    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def issue(self, actor: str, person_id: str, *, life_ns: int = LINK_LIFE_NS) -> SignInLink:
        """A new link for an active person. Raises not_found, or conflict when too many of theirs are open."""
        token = secrets.token_urlsafe(32)
        with self._changes.change(actor, "link.issue", person_id) as change:
            connection, now = change.connection, change.now_ns
            person = find_person(connection, person_id)
            if person is None:
                raise MintageError("not_found", "There is no such active person.", "Check the id.")
            change.attribute(tenant_of(person))
            connection.execute(sign_in_links.delete().where(sign_in_links.c.expires_ns <= now))
            mine = sa.select(sa.func.count()).where(
                sign_in_links.c.person_id == person.id, sign_in_links.c.used_ns.is_(None)
            )
            if (connection.scalar(mine) or 0) >= LINKS_OPEN_MAX:
                raise MintageError(
                    "conflict", f"{LINKS_OPEN_MAX} sign-in links are open already.", "Use one, or wait 15 minutes."
                )
            expires_ns = now + life_ns
            connection.execute(
                sign_in_links.insert().values(
                    digest=digest(token), person_id=person.id, created_ns=now, expires_ns=expires_ns
                )
            )
        return SignInLink(token=token, person_id=person.id, expires_ns=expires_ns)

    def check(self, token: str) -> None:
        """Refuse a guess by reading alone: a stranger must not take the write lock. Raises unauthenticated."""
        known = sa.select(sign_in_links.c.digest).where(sign_in_links.c.digest == digest(token))
        with self._changes.database.read() as connection:
            if connection.scalar(known) is None:
                raise bad_link()

    @staticmethod
    def use(connection: sa.Connection, token: str, now_ns: int) -> Person:
        """Use the link up, in the caller's transaction. Raises unauthenticated, the same for every reason."""
        used = connection.execute(
            sign_in_links.update()
            .where(
                sign_in_links.c.digest == digest(token),
                sign_in_links.c.used_ns.is_(None),
                sign_in_links.c.expires_ns > now_ns,
            )
            .values(used_ns=now_ns)
            .returning(sign_in_links.c.person_id)
        ).scalar_one_or_none()
        person = None if used is None else find_person(connection, used)
        if person is None:
            raise bad_link()
        return person

    @staticmethod
    def withdraw(connection: sa.Connection, person_id: str) -> None:
        """No open link of this person works any more."""
        connection.execute(sign_in_links.delete().where(sign_in_links.c.person_id == person_id))
