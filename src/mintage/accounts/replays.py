"""What a call under an Idempotency-Key was answered, for a day: sent again, it changes nothing and is told the same.

Answers are sealed: one may hold a secret that is shown once, and only who sent the first call, with the same words,
gets it again. A first try that never reported back (its process died) stays unknown: it may have done its work.
"""

from __future__ import annotations

from typing import Final

import msgspec
import sqlalchemy as sa

from mintage.accounts.changes import Changes
from mintage.accounts.secrets import Vault
from mintage.accounts.tables import replays
from mintage.base import MintageError

KEEP_NS: Final = 24 * 3600 * 1_000_000_000
BODY_MAX_BYTES: Final = 256 * 1024
KEY_MAX_CHARS: Final = 255
ENTRIES_MAX: Final = 10_000  # per actor


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """A finished answer. headers: those worth sending again."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Replays:
    def __init__(self, changes: Changes, vault: Vault) -> None:
        self._changes = changes
        self._vault = vault

    def begin(self, actor: str, key: str, request_hash: str) -> Replay | None:
        """None: go ahead, then call finish or abandon. A Replay: send that. Raises invalid_request for a key that is
        none, idempotency_conflict for one used with other words, conflict while its first try has not reported back."""
        if not 1 <= len(key) <= KEY_MAX_CHARS or not key.isprintable():
            raise MintageError(
                "invalid_request",
                f"An Idempotency-Key has 1 to {KEY_MAX_CHARS} characters.",
                "Use a UUID.",
                param="Idempotency-Key",
            )
        now = self._changes.clock.now_ns()
        with self._changes.database.write() as connection:
            connection.execute(replays.delete().where(replays.c.expires_ns <= now))
            row = connection.execute(sa.select(replays).where(_is(actor, key))).mappings().one_or_none()
            if row is None:
                count = sa.select(sa.func.count()).select_from(replays).where(replays.c.actor == actor)
                if (connection.scalar(count) or 0) >= ENTRIES_MAX:
                    raise MintageError(
                        "rate_limited", "Too many Idempotency-Keys in a day.", "Send calls without.", retry_after_s=60
                    )
                connection.execute(
                    replays.insert().values(
                        actor=actor, key=key, request_hash=request_hash, status=0, head="[]", expires_ns=now + KEEP_NS
                    )
                )
                return None
        if row["request_hash"] != request_hash:
            raise _conflict("This Idempotency-Key was used for another call.", "Use a new key for a new call.")
        if row["status"] == 0:
            raise MintageError(
                "conflict",
                "The first call with this Idempotency-Key has not reported back.",
                "Wait a moment; if it stays so, look whether the first took effect before you use a new key.",
                retry_after_s=1,
            )
        if row["sealed"] is None:
            raise _conflict("The answer to this Idempotency-Key was too long to keep.", "Read what it made.")
        head = msgspec.json.decode(row["head"], type=list[tuple[str, str]])
        return Replay(
            status=row["status"], headers=head, body=self._vault.unseal(_seal_name(actor, key), row["sealed"])
        )

    def finish(self, actor: str, key: str, replay: Replay) -> None:
        """The first try was answered."""
        fits = len(replay.body) <= BODY_MAX_BYTES
        sealed = self._vault.seal(_seal_name(actor, key), replay.body) if fits else None
        head = msgspec.json.encode(replay.headers).decode()
        with self._changes.database.write() as connection:
            connection.execute(
                replays.update().where(_is(actor, key)).values(status=replay.status, head=head, sealed=sealed)
            )

    def abandon(self, actor: str, key: str) -> None:
        """The first try failed and changed nothing: the next one is a first try again."""
        with self._changes.database.write() as connection:
            connection.execute(replays.delete().where(_is(actor, key), replays.c.status == 0))


def _is(actor: str, key: str) -> sa.ColumnElement[bool]:
    return (replays.c.actor == actor) & (replays.c.key == key)


def _seal_name(actor: str, key: str) -> str:
    return f"replay/{actor}/{key}"


def _conflict(problem: str, hint: str) -> MintageError:
    return MintageError("idempotency_conflict", problem, hint, param="Idempotency-Key")
