"""The queue as its users see it: enqueue, look, cancel, retry, prune. What workers do to it is in leases.py."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from mintage.base import Clock, MintageError, new_id
from mintage.books import Database
from mintage.jobs.job import (
    ATTEMPTS_MAX,
    ENDED,
    KEY_MAX,
    OPEN_MAX,
    OPEN_PER_TENANT_MAX,
    PAYLOAD_MAX_BYTES,
    PRIORITY_MAX,
    STATES,
    Attempt,
    Job,
    encode_json,
    error_of,
    job_of,
)
from mintage.jobs.kinds import Kinds
from mintage.jobs.tables import attempts, jobs

PRUNE_BATCH: Final = 500


class Queue:
    """Every call is one transaction, and safe from any thread or process."""

    def __init__(self, database: Database, clock: Clock, kinds: Kinds) -> None:
        self._database = database
        self._clock = clock
        self._kinds = kinds
        self._listeners: list[Callable[[], None]] = []

    def on_change(self, listener: Callable[[], None]) -> None:
        """listener() runs, in the thread that changed something, after new work or a cancellation."""
        self._listeners.append(listener)

    def _changed(self) -> None:
        for listener in self._listeners:
            listener()

    def _writing(self, connection: sa.Connection | None) -> AbstractContextManager[sa.Connection]:
        return self._database.write() if connection is None else nullcontext(connection)

    def enqueue(
        self,
        kind: str,
        payload: Any = None,
        *,
        tenant_id: str | None = None,
        key: str | None = None,
        priority: int = 0,
        run_at_ns: int | None = None,
        attempts_max: int | None = None,
        actor: str = "system",
        connection: sa.Connection | None = None,
    ) -> Job:
        """Put a job into the queue, durably; with `connection`, as a part of the caller's transaction.

        kind: a registered name. payload: plain data, at most PAYLOAD_MAX_BYTES of JSON. key: the same key of the same
        kind and tenant gives the job that is there already. priority: -100 to 100, higher first. Raises MintageError:
        not_found (kind), idempotency_conflict (another payload under this key), rate_limited (the queue is full).
        """
        known = self._kinds.get(kind)
        now = self._clock.now_ns()
        text = encode_json(payload, PAYLOAD_MAX_BYTES, "payload")
        tries = known.attempts_max if attempts_max is None else attempts_max
        _check(key, priority, tries)
        row = {
            "kind": kind,
            "scope": tenant_id or "",
            "idempotency_key": key,
            "payload": text,
            "priority": priority,
            "run_at_ns": now if run_at_ns is None else run_at_ns,
            "attempts_max": tries,
            "created_by": actor[:200],
            "created_ns": now,
        }
        try:
            with self._writing(connection) as writing:
                job = _insert(writing, row, now)
        except sa.exc.IntegrityError:  # another process put the same key there in between
            if connection is not None or key is None:
                raise
            with self._database.write() as writing:
                job = _insert(writing, row, now)
        self._changed()
        return job

    def get(self, job_id: str, *, tenant_id: str | None = None) -> Job:
        """Raises not_found. tenant_id: also for another tenant's job and the operator's."""
        select = sa.select(jobs).where(jobs.c.id == job_id)
        if tenant_id is not None:
            select = select.where(jobs.c.scope == tenant_id)
        with self._database.read() as connection:
            row = connection.execute(select).mappings().one_or_none()
        if row is None:
            raise _missing(job_id)
        return job_of(row)

    def attempts(self, job_id: str) -> list[Attempt]:
        """Every try of a job, the first one first, with what it wrote."""
        select = sa.select(attempts).where(attempts.c.job_id == job_id).order_by(attempts.c.fence)
        with self._database.read() as connection:
            rows = connection.execute(select).mappings().all()
        return [
            Attempt(
                fence=row["fence"],
                worker=row["worker"],
                started_ns=row["started_ns"],
                ended_ns=row["ended_ns"],
                outcome=row["outcome"],
                error=error_of(row["error"]),
                output=row["output"],
            )
            for row in rows
        ]

    def page(
        self,
        *,
        tenant_id: str | None = None,
        kind: str | None = None,
        state: str | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> list[Job]:
        """Newest first, at most 500; before: the id of the last job seen. Without what can be large (see `brief`)."""
        if state is not None and state not in STATES:
            raise MintageError(
                "invalid_request", f"{state[:40]!r} is no state of a job.", f"Use {', '.join(STATES)}.", param="state"
            )
        select = sa.select(jobs).order_by(jobs.c.id.desc()).limit(max(1, min(limit, 500)))
        for column, value in ((jobs.c.scope, tenant_id), (jobs.c.kind, kind), (jobs.c.state, state)):
            if value is not None:
                select = select.where(column == value)
        if before is not None:
            select = select.where(jobs.c.id < before)
        with self._database.read() as connection:
            return [brief(job_of(row)) for row in connection.execute(select).mappings()]

    def counts(self) -> dict[tuple[str, str], int]:
        """(kind, state) -> how many jobs."""
        select = sa.select(jobs.c.kind, jobs.c.state, sa.func.count()).group_by(jobs.c.kind, jobs.c.state)
        with self._database.read() as connection:
            return {(kind, state): int(count) for kind, state, count in connection.execute(select)}

    def due(self) -> int:
        """How many jobs of known kinds wait to run now."""
        names = [kind.name for kind in self._kinds.all()]
        waiting = (jobs.c.state == "queued") & (jobs.c.run_at_ns <= self._clock.now_ns()) & jobs.c.kind.in_(names)
        with self._database.read() as connection:
            return int(connection.scalar(sa.select(sa.func.count()).select_from(jobs).where(waiting)) or 0)

    def cancel(self, job_id: str, *, tenant_id: str | None = None) -> Job:
        """A queued job ends now; a running one is asked to, and killed after its kind's grace. Ended ones stay."""
        now = self._clock.now_ns()
        with self._database.write() as connection:
            row = _locked(connection, job_id, tenant_id)
            if row["state"] == "queued":
                values: dict[str, Any] = {"state": "cancelled", "cancel_ns": now, "ended_ns": now}
                connection.execute(jobs.update().where(jobs.c.id == job_id).values(**values))
            elif row["state"] == "running" and row["cancel_ns"] is None:
                connection.execute(jobs.update().where(jobs.c.id == job_id).values(cancel_ns=now))
        self._changed()
        return self.get(job_id)

    def retry(self, job_id: str, *, tenant_id: str | None = None) -> Job:
        """Queue a failed or cancelled job again, with its payload and checkpoint and all its tries. Raises conflict."""
        now = self._clock.now_ns()
        with self._database.write() as connection:
            row = _locked(connection, job_id, tenant_id)
            if row["state"] not in ("failed", "cancelled"):
                raise MintageError(
                    "conflict", f"The job is {row['state']}.", "Only a failed or cancelled job can be tried again."
                )
            _check_room(connection, row["scope"])
            connection.execute(
                jobs.update()
                .where(jobs.c.id == job_id)
                .values(state="queued", attempts=0, cancel_ns=None, ended_ns=None, error="", run_at_ns=now)
            )
        self._changed()
        return self.get(job_id)

    def prune(self, ended_before_ns: int) -> int:
        """Forget jobs that ended before then; how many. In small transactions, so that nobody waits long."""
        gone = 0
        while True:
            with self._database.write() as connection:
                old = sa.select(jobs.c.id).where(jobs.c.ended_ns < ended_before_ns, jobs.c.state.in_(ENDED))
                ids = list(connection.scalars(old.limit(PRUNE_BATCH)))
                if not ids:
                    return gone
                connection.execute(attempts.delete().where(attempts.c.job_id.in_(ids)))
                gone += connection.execute(jobs.delete().where(jobs.c.id.in_(ids))).rowcount


_FRESH: Final[dict[str, Any]] = {
    "state": "queued",
    "attempts": 0,
    "fence": 0,
    "worker": "",
    "lease_until_ns": 0,
    "cancel_ns": None,
    "done": 0,
    "total": None,
    "message": "",
    "rate_per_s": 0.0,
    "checkpoint": "null",
    "result": "null",
    "error": "",
    "started_ns": None,
    "ended_ns": None,
}


def brief(job: Job) -> Job:
    """A job without its payload, checkpoint and result, for lists."""
    return msgspec.structs.replace(job, payload=None, checkpoint=None, result=None)


def _missing(job_id: str) -> MintageError:
    return MintageError("not_found", f"There is no job {job_id[:80]!r}.", "`mintage jobs list` shows those there are.")


def _check(key: str | None, priority: int, tries: int) -> None:
    if key is not None and not 1 <= len(key) <= KEY_MAX:
        raise MintageError("invalid_request", f"A key has 1 to {KEY_MAX} characters.", "Shorten it.", param="key")
    if abs(priority) > PRIORITY_MAX:
        raise MintageError(
            "invalid_request", f"priority is {priority}.", f"Use -{PRIORITY_MAX} to {PRIORITY_MAX}.", param="priority"
        )
    if not 1 <= tries <= ATTEMPTS_MAX:
        raise MintageError(
            "invalid_request", f"attempts_max is {tries}.", f"Use 1 to {ATTEMPTS_MAX}.", param="attempts_max"
        )


def _insert(connection: sa.Connection, row: dict[str, Any], now_ns: int) -> Job:
    """The job of this row: the one that is there under its key, or a new one."""
    scope, kind, key = row["scope"], row["kind"], row["idempotency_key"]
    if key is not None and (there := _by_key(connection, scope, kind, key)) is not None:
        if there["payload"] != row["payload"]:
            raise MintageError(
                "idempotency_conflict",
                f"A job with the key {key!r} is there, with another payload.",
                "Use a new key for new work.",
            )
        return job_of(there)
    _check_room(connection, scope)
    values = {**_FRESH, **row, "id": new_id("job", now_ns)}
    connection.execute(jobs.insert().values(**values))
    return job_of(values)


def _by_key(connection: sa.Connection, scope: str, kind: str, key: str) -> Any:
    select = sa.select(jobs).where(jobs.c.scope == scope, jobs.c.kind == kind, jobs.c.idempotency_key == key)
    return connection.execute(select).mappings().one_or_none()


def _locked(connection: sa.Connection, job_id: str, tenant_id: str | None) -> Any:
    select = sa.select(jobs).where(jobs.c.id == job_id).with_for_update()
    if tenant_id is not None:
        select = select.where(jobs.c.scope == tenant_id)
    row = connection.execute(select).mappings().one_or_none()
    if row is None:
        raise _missing(job_id)
    return row


def _check_room(connection: sa.Connection, scope: str) -> None:
    unfinished = sa.select(sa.func.count()).select_from(jobs).where(jobs.c.state.in_(("queued", "running")))
    if (connection.scalar(unfinished) or 0) >= OPEN_MAX:
        raise MintageError("rate_limited", f"{OPEN_MAX} jobs wait already.", "Try again later.", retry_after_s=60)
    if scope and (connection.scalar(unfinished.where(jobs.c.scope == scope)) or 0) >= OPEN_PER_TENANT_MAX:
        raise MintageError(
            "rate_limited",
            f"{OPEN_PER_TENANT_MAX} jobs of this customer wait already.",
            "Try again when some have ended.",
            retry_after_s=60,
        )
