"""Every change of the control plane goes through here: one transaction, one audit entry, one step of the version.

The audit log is a hash chain: each entry's hash covers the one before, and the control row keeps the head, so an
entry that was altered, inserted or cut off shows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from mintage.accounts.pages import PAGE_DEFAULT, Page, fetch_page
from mintage.accounts.tables import audit, control
from mintage.base import Clock
from mintage.books import Database

SYSTEM: Final = "system"
GENESIS: Final = "0" * 64


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """details holds what changed, never a secret. actor is `staff:ID`, `token` (the CLI) or `system`."""

    seq: int
    at_ns: int
    actor: str
    action: str
    subject: str
    tenant_id: str | None
    details: dict[str, Any]
    hash: str


class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    intact: bool
    entries: int
    broken_seq: int | None = None  # the first entry that does not fit the chain


class Change:
    """An open change: write through `connection`; `note` adds to the audit entry's details.

    attribute and act_as say whose data it was and who did it, where only the transaction itself finds out.
    """

    def __init__(self, connection: sa.Connection, now_ns: int, entry: dict[str, Any], details: dict[str, Any]) -> None:
        self.connection = connection
        self.now_ns = now_ns
        self._entry = entry
        self._details = details

    def note(self, **details: Any) -> None:
        self._details.update(details)

    def attribute(self, tenant_id: str | None) -> None:
        self._entry["tenant_id"] = tenant_id

    def act_as(self, actor: str) -> None:
        self._entry["actor"] = actor[:200]

    def record(self, *, moves: bool) -> None:
        """Append the audit entry and move the version, in the change's own transaction."""
        head = self.connection.execute(sa.select(control).with_for_update()).mappings().one()
        fields = {
            **self._entry,
            "seq": head["audit_seq"] + 1,
            "at_ns": self.now_ns,
            "details": msgspec.json.encode(self._details, order="sorted").decode(),
        }
        digest = _hash(head["audit_hash"], fields)
        self.connection.execute(audit.insert().values(hash=digest, **fields))
        self.connection.execute(
            control.update().values(version=control.c.version + moves, audit_seq=fields["seq"], audit_hash=digest)
        )


def _hash(previous: str, fields: Mapping[str, Any]) -> str:
    row = [fields[name] for name in ("seq", "at_ns", "actor", "action", "subject", "tenant_id", "details")]
    return hashlib.sha256(previous.encode() + msgspec.json.encode(row)).hexdigest()


def _action(action: str) -> sa.ColumnElement[bool]:
    return audit.c.action.startswith(action, autoescape=True) if action.endswith(".") else audit.c.action == action


class Changes:
    """Opens changes, and reads and verifies their log."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database = database
        self.clock = clock
        self._listeners: list[Callable[[], None]] = []

    def on_change(self, listener: Callable[[], None]) -> None:
        """listener() runs after each commit, in the thread that changed something; it must be quick."""
        self._listeners.append(listener)

    def version(self) -> int:
        """Moves with every change. A snapshot built at another version is stale."""
        with self.database.read() as connection:
            return int(connection.scalar(sa.select(control.c.version)) or 0)

    @contextmanager
    def change(
        self, actor: str, action: str, subject: str, *, tenant_id: str | None = None, moves: bool = True, **details: Any
    ) -> Iterator[Change]:
        """One transaction. An exception inside leaves neither the change nor its audit entry.

        moves=False: nothing that the gateway's snapshot is made of changes (a session begins), so it need not be made
        again.
        """
        entry = {"actor": actor[:200], "action": action, "subject": subject[:200], "tenant_id": tenant_id}
        with self.database.write() as connection:
            change = Change(connection, self.clock.now_ns(), entry, dict(details))
            yield change
            change.record(moves=moves)
        for listener in self._listeners:
            listener()

    def log(
        self,
        *,
        tenant_id: str | None = None,
        subject: str | None = None,
        actor: str | None = None,
        action: str | None = None,
        start_ns: int | None = None,
        end_ns: int | None = None,
        limit: int = PAGE_DEFAULT,
        cursor: str | None = None,
    ) -> Page[AuditEntry]:
        """Newest first. action: a whole one such as key.create, or a group such as `key.` with all that begins so.
        Times are half-open: [start_ns, end_ns)."""
        columns = audit.c
        terms = {
            "tenant_id": None if tenant_id is None else columns.tenant_id == tenant_id,
            "subject": None if subject is None else columns.subject == subject,
            "actor": None if actor is None else columns.actor == actor,
            "action": None if action is None else _action(action),
            "start": None if start_ns is None else columns.at_ns >= start_ns,
            "end": None if end_ns is None else columns.at_ns < end_ns,
        }
        select = sa.select(audit).where(*(term for term in terms.values() if term is not None))
        with self.database.read() as connection:
            rows, following = fetch_page(connection, select, audit.c.seq, limit=limit, cursor=cursor, newest_first=True)
        items = [AuditEntry(**{**row, "details": msgspec.json.decode(row["details"])}) for row in rows]
        return Page(items=items, next_cursor=following)

    def verify(self) -> AuditReport:
        """Walk the whole chain, oldest first."""
        previous, count = GENESIS, 0
        with self.database.read() as connection:
            head = connection.execute(sa.select(control)).mappings().one()
            rows = connection.execution_options(yield_per=1000).execute(sa.select(audit).order_by(audit.c.seq))
            for row in rows.mappings():
                count += 1
                if row["seq"] != count or _hash(previous, dict(row)) != row["hash"]:
                    return AuditReport(intact=False, entries=count, broken_seq=int(row["seq"]))
                previous = row["hash"]
        if previous != head["audit_hash"] or count != head["audit_seq"]:
            return AuditReport(intact=False, entries=count, broken_seq=count + 1)
        return AuditReport(intact=True, entries=count)
