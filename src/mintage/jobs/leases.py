"""The queue as workers see it: claim, keep alive, hand back, complete, fail, and find what dead workers left.

A claim raises the job's fence; whatever a worker writes afterwards names the fence it holds, and writes nothing if
another has claimed the job since. So a job may be tried more than once, but its completion is recorded exactly once.
Claims are serialised (SQLite: the write lock; PostgreSQL: an advisory lock), so that limits on what runs are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from mintage.base import Clock, MintageError
from mintage.books import Database, failpoints
from mintage.jobs.job import (
    CHECKPOINT_MAX_BYTES,
    MESSAGE_MAX,
    OUTPUT_MAX_BYTES,
    RESULT_MAX_BYTES,
    Job,
    JobError,
    Progress,
    encode_json,
    error_text,
    job_of,
)
from mintage.jobs.tables import attempts, jobs

TENANT_RUNNING_MAX: Final = 4  # of one customer at once, so that nobody's thousand jobs keep the others waiting
REAP_MAX: Final = 1_000
_CLAIM_LOCK: Final = 7210433002
_INT64_MAX: Final = 2**63 - 1


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker tells of a job that it runs. None: as it was."""

    job_id: str
    fence: int
    progress: Progress | None = None
    checkpoint: str | None = None
    output: str | None = None


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker hears: whether the job is still its own, and whether it should end."""

    job_id: str
    fence: int
    mine: bool
    cancel: bool


class Leases:
    """worker: unique among the processes that run now. lease_s: how long a silent worker keeps its jobs."""

    def __init__(self, database: Database, clock: Clock, worker: str, lease_s: float = 60.0) -> None:
        self._database = database
        self._clock = clock
        self.worker = worker
        self.lease_s = lease_s

    def _until(self, now_ns: int) -> int:
        return now_ns + round(self.lease_s * 1e9)

    def claim(self, kinds: Mapping[str, int]) -> Job | None:
        """The next due job of these kinds, now ours; None when there is none. kinds: name -> running_max of it."""
        now = self._clock.now_ns()
        with self._database.write() as connection:
            if not self._database.is_sqlite:
                connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_CLAIM_LOCK})"))
            row = connection.execute(_due(connection, kinds, now)).mappings().one_or_none()
            if row is None:
                return None
            taken = {
                "state": "running",
                "worker": self.worker,
                "fence": row["fence"] + 1,
                "attempts": row["attempts"] + 1,
                "lease_until_ns": self._until(now),
                "started_ns": now,
                "rate_per_s": 0.0,
            }
            connection.execute(jobs.update().where(jobs.c.id == row["id"]).values(**taken))
            connection.execute(
                attempts.insert().values(
                    job_id=row["id"],
                    fence=taken["fence"],
                    worker=self.worker,
                    started_ns=now,
                    ended_ns=None,
                    outcome="running",
                    error="",
                    output="",
                )
            )
        _point("jobs.claimed")
        return job_of({**row, **taken})

    def beat(self, beats: list[Beat]) -> list[Held]:
        """Prolong the leases of what we run and write its progress: one transaction, once or twice a lease."""
        now = self._clock.now_ns()
        with self._database.write() as connection:
            return [self._beat(connection, one, now) for one in beats]

    def _beat(self, connection: sa.Connection, one: Beat, now_ns: int) -> Held:
        values: dict[str, Any] = {"lease_until_ns": self._until(now_ns)}
        if (progress := one.progress) is not None:
            values |= progress_values(progress)
        if one.checkpoint is not None:
            values["checkpoint"] = one.checkpoint
        mine = bool(
            connection.execute(jobs.update().where(*self._ours(one.job_id, one.fence)).values(**values)).rowcount
        )
        if mine and one.output is not None:
            same = (attempts.c.job_id == one.job_id) & (attempts.c.fence == one.fence)
            connection.execute(attempts.update().where(same).values(output=clip(one.output)))
        asked = connection.scalar(sa.select(jobs.c.cancel_ns).where(jobs.c.id == one.job_id))
        return Held(job_id=one.job_id, fence=one.fence, mine=mine, cancel=asked is not None)

    def cancelled(self, job_ids: list[str]) -> set[str]:
        """Which of these were asked to end. A read: cheap enough for every second."""
        select = sa.select(jobs.c.id).where(jobs.c.id.in_(job_ids[:REAP_MAX]), jobs.c.cancel_ns.is_not(None))
        with self._database.read() as connection:
            return set(connection.scalars(select))

    def complete(
        self,
        job: Job,
        result: Any,
        *,
        progress: Progress | None = None,
        output: str = "",
        effect: Callable[[sa.Connection], None] | None = None,
    ) -> None:
        """Record that it is done, once; effect runs in the same transaction. Raises conflict if the job is no longer
        ours, and payload_too_large for a result beyond RESULT_MAX_BYTES."""
        values: dict[str, Any] = {
            "state": "done",
            "result": encode_json(result, RESULT_MAX_BYTES, "result"),
            "error": "",
        }
        if progress is not None:
            values |= progress_values(progress)
        _point("jobs.completing")
        self._end(job, "done", values, error=None, output=output, effect=effect)
        _point("jobs.completed")

    def cancel(self, job: Job, *, output: str = "") -> None:
        """It ended because someone asked it to."""
        self._end(job, "cancelled", {"state": "cancelled"}, error=None, output=output)

    def fail(
        self,
        job: Job,
        error: JobError,
        *,
        retry_after_s: float | None,
        progress: Progress | None = None,
        checkpoint: str | None = None,
        output: str = "",
    ) -> None:
        """An attempt failed. retry_after_s: queue it again for then, if tries are left; None: failed for good."""
        again = retry_after_s is not None and job.attempts < job.attempts_max
        values: dict[str, Any] = {"state": "failed", "error": error_text(error)}
        if again:
            due = self._clock.now_ns() + round((retry_after_s or 0) * 1e9)
            values |= {"state": "queued", "run_at_ns": due, "worker": "", "lease_until_ns": 0}
        if progress is not None:
            values |= progress_values(progress)
        if checkpoint is not None:
            values["checkpoint"] = checkpoint
        self._end(job, "failed", values, error=error, output=output)

    def release(self, job: Job, *, checkpoint: str | None = None, output: str = "") -> None:
        """Hand a job back at an orderly stop: this try does not count."""
        now = self._clock.now_ns()
        values = {
            "state": "queued",
            "attempts": max(0, job.attempts - 1),
            "run_at_ns": now,
            "worker": "",
            "lease_until_ns": 0,
        }
        if checkpoint is not None:
            values["checkpoint"] = checkpoint
        self._end(job, "released", values, error=None, output=output)

    def _end(
        self,
        job: Job,
        outcome: str,
        values: dict[str, Any],
        *,
        error: JobError | None,
        output: str,
        effect: Callable[[sa.Connection], None] | None = None,
    ) -> None:
        now = self._clock.now_ns()
        if values["state"] != "queued":
            values["ended_ns"] = now
        with self._database.write() as connection:
            if not connection.execute(jobs.update().where(*self._ours(job.id, job.fence)).values(**values)).rowcount:
                raise MintageError("conflict", f"The job {job.id} is no longer ours.", "Another worker has it.")
            connection.execute(
                attempts.update()
                .where(attempts.c.job_id == job.id, attempts.c.fence == job.fence)
                .values(ended_ns=now, outcome=outcome, error=error_text(error), output=clip(output))
            )
            if effect is not None:
                effect(connection)

    def _ours(self, job_id: str, fence: int) -> tuple[sa.ColumnElement[bool], ...]:
        return (
            jobs.c.id == job_id,
            jobs.c.state == "running",
            jobs.c.worker == self.worker,
            jobs.c.fence == fence,
        )

    def reap(self, *, all_others: bool = False) -> int:
        """Queue again what workers that died left running; how many. Never our own jobs.

        all_others: we are the only process that may work here, so whoever else holds a job is dead, lease or not.
        """
        now = self._clock.now_ns()
        dead = (jobs.c.state == "running") & (jobs.c.worker != self.worker)
        if not all_others:
            dead &= jobs.c.lease_until_ns < now
        with self._database.write() as connection:
            rows = connection.execute(sa.select(jobs).where(dead).limit(REAP_MAX).with_for_update()).mappings().all()
            for row in rows:
                _bury(connection, row, now)
        return len(rows)


def _bury(connection: sa.Connection, row: Any, now_ns: int) -> None:
    """End the attempt of a dead worker: cancelled if that was asked, failed if it was the last, else queued again."""
    lost = error_text(JobError(code="unavailable", message=f"Its worker {row['worker']} died.", hint="See its log."))
    values: dict[str, Any] = {"state": "queued", "run_at_ns": now_ns, "worker": "", "lease_until_ns": 0, "error": lost}
    if row["cancel_ns"] is not None:
        values |= {"state": "cancelled", "ended_ns": now_ns}
    elif row["attempts"] >= row["attempts_max"]:
        values |= {"state": "failed", "ended_ns": now_ns}
    connection.execute(jobs.update().where(jobs.c.id == row["id"]).values(**values))
    connection.execute(
        attempts.update()
        .where(attempts.c.job_id == row["id"], attempts.c.fence == row["fence"])
        .values(ended_ns=now_ns, outcome="lost", error=lost)
    )


def _due(connection: sa.Connection, kinds: Mapping[str, int], now_ns: int) -> sa.Select[Any]:
    """The one job to run next: highest priority, then longest due; within what may run at once."""
    running = sa.select(jobs.c.kind, sa.func.count()).where(jobs.c.state == "running").group_by(jobs.c.kind)
    busy = {kind: int(count) for kind, count in connection.execute(running)}
    free = [name for name, most in kinds.items() if busy.get(name, 0) < most]
    full = (
        sa.select(jobs.c.scope)
        .where(jobs.c.state == "running", jobs.c.scope != "")
        .group_by(jobs.c.scope)
        .having(sa.func.count() >= TENANT_RUNNING_MAX)
    )
    return (
        sa.select(jobs)
        .where(jobs.c.state == "queued", jobs.c.run_at_ns <= now_ns, jobs.c.kind.in_(free), jobs.c.scope.not_in(full))
        .order_by(jobs.c.priority.desc(), jobs.c.run_at_ns, jobs.c.id)
        .limit(1)
    )


def progress_values(progress: Progress) -> dict[str, Any]:
    return {
        "done": max(0, min(progress.done, _INT64_MAX)),
        "total": None if progress.total is None else max(0, min(progress.total, _INT64_MAX)),
        "message": progress.message[:MESSAGE_MAX],
        "rate_per_s": progress.rate_per_s,
    }


def checkpoint_text(value: Any) -> str:
    return encode_json(value, CHECKPOINT_MAX_BYTES, "checkpoint")


def clip(output: str) -> str:
    """The end of it, at most OUTPUT_MAX_BYTES; NUL, which PostgreSQL refuses, becomes a space."""
    return output[-OUTPUT_MAX_BYTES:].replace("\0", " ")


def _point(name: str) -> None:
    if failpoints.armed is not None:
        failpoints.hit(name)
