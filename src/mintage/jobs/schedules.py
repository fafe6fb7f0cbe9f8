"""Work that comes again: cron expressions with a time zone. Each due time becomes one job, whoever looks first.

Times that passed while nothing ran are made up for once, not once each: a nightly job runs after a week's pause, but
not seven times. Syntax and daylight saving are Debian cron's (cronsim).
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
import sqlalchemy as sa

from mintage.base import Clock, MintageError
from mintage.books import Database
from mintage.jobs.job import PAYLOAD_MAX_BYTES, Job, encode_json
from mintage.jobs.queue import Queue
from mintage.jobs.tables import schedules

log = logging.getLogger("mintage.jobs")
SCHEDULES_MAX: Final = 1_000
CRON_MAX: Final = 100


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    kind: str
    tenant_id: str | None
    payload: Any
    cron: str
    time_zone: str
    priority: int
    enabled: bool
    next_ns: int
    last_job_id: str | None
    updated_ns: int


def next_time_ns(cron: str, time_zone: str, after_ns: int) -> int:
    """The first moment after after_ns that cron names. Raises MintageError("invalid_request")."""
    from cronsim import CronSim, CronSimError

    try:
        zone = ZoneInfo(time_zone)
    except (KeyError, ValueError, OSError) as error:
        raise MintageError(
            "invalid_request", f"{time_zone[:64]!r} is no time zone.", "Write it as Europe/Paris.", param="time_zone"
        ) from error
    try:
        if len(cron) > CRON_MAX or len(cron.split()) != 5:
            raise CronSimError("five fields are needed")
        after = datetime.fromtimestamp(after_ns // 10**9, UTC).astimezone(zone)
        moment = next(CronSim(cron, after))
    except (CronSimError, StopIteration) as error:
        raise MintageError(
            "invalid_request",
            f"{cron[:CRON_MAX]!r} is no schedule: {error}.",
            "Write minute, hour, day, month, weekday: 0 3 * * * is every night at three.",
            param="cron",
        ) from error
    return int(moment.timestamp()) * 10**9


class Schedules:
    """tick() is called by the runner; everything else by people and by parts that need regular work."""

    def __init__(self, database: Database, clock: Clock, queue: Queue) -> None:
        self._database = database
        self._clock = clock
        self._queue = queue

    def set(
        self,
        name: str,
        kind: str,
        cron: str,
        payload: Any = None,
        *,
        time_zone: str = "UTC",
        tenant_id: str | None = None,
        priority: int = 0,
        enabled: bool = True,
    ) -> Schedule:
        """Make or replace a schedule."""
        if not 1 <= len(name) <= 64:
            raise MintageError("invalid_request", "A schedule's name has 1 to 64 characters.", "Shorten it.")
        now = self._clock.now_ns()
        row = {
            "kind": kind,
            "scope": tenant_id or "",
            "payload": encode_json(payload, PAYLOAD_MAX_BYTES, "payload"),
            "cron": cron,
            "time_zone": time_zone,
            "priority": priority,
            "enabled": enabled,
            "next_ns": next_time_ns(cron, time_zone, now),
            "updated_ns": now,
        }
        with self._database.write() as connection:
            if not connection.execute(schedules.update().where(schedules.c.name == name).values(**row)).rowcount:
                if (connection.scalar(sa.select(sa.func.count()).select_from(schedules)) or 0) >= SCHEDULES_MAX:
                    raise MintageError("conflict", f"There are {SCHEDULES_MAX} schedules.", "Delete some first.")
                connection.execute(schedules.insert().values(name=name, last_job_id=None, **row))
        return self.get(name)

    def ensure(self, name: str, kind: str, cron: str, payload: Any = None, *, time_zone: str = "UTC") -> Schedule:
        """A schedule that a part of the program needs: made when it is missing, else left as the operator set it."""
        try:
            return self.get(name)
        except MintageError:
            return self.set(name, kind, cron, payload, time_zone=time_zone)

    def get(self, name: str) -> Schedule:
        """Raises not_found."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(schedules).where(schedules.c.name == name)).mappings().one_or_none()
        if row is None:
            raise MintageError("not_found", f"There is no schedule {name[:64]!r}.", "`mintage jobs schedules` lists.")
        return _schedule(row)

    def all(self) -> list[Schedule]:
        everything = sa.select(schedules).order_by(schedules.c.name)
        with self._database.read() as connection:
            return [_schedule(row) for row in connection.execute(everything).mappings()]

    def enable(self, name: str, enabled: bool) -> Schedule:
        """Pause or resume. What passed while it was paused is not made up for."""
        found = self.get(name)
        values = {"enabled": enabled, "updated_ns": self._clock.now_ns()}
        if enabled:
            values["next_ns"] = next_time_ns(found.cron, found.time_zone, values["updated_ns"])
        with self._database.write() as connection:
            connection.execute(schedules.update().where(schedules.c.name == name).values(**values))
        return self.get(name)

    def delete(self, name: str) -> None:
        with self._database.write() as connection:
            if not connection.execute(schedules.delete().where(schedules.c.name == name)).rowcount:
                raise MintageError("not_found", f"There is no schedule {name[:64]!r}.", "Nothing was deleted.")

    def tick(self) -> int:
        """Enqueue what is due; how many. The job and the next time are one transaction, and the due time is the job's
        idempotency key, so that two processes that look at once make one job."""
        now = self._clock.now_ns()
        due = sa.select(schedules).where(schedules.c.enabled, schedules.c.next_ns <= now)
        with self._database.read() as connection:
            names = [row["name"] for row in connection.execute(due).mappings()]
        return sum(self._fire(name, now) for name in names)

    def _fire(self, name: str, now_ns: int) -> bool:
        with self._database.write() as connection:
            again = sa.select(schedules).where(
                schedules.c.name == name, schedules.c.enabled, schedules.c.next_ns <= now_ns
            )
            row = connection.execute(again.with_for_update()).mappings().one_or_none()
            if row is None:
                return False
            values: dict[str, Any] = {"next_ns": next_time_ns(row["cron"], row["time_zone"], now_ns)}
            try:
                values["last_job_id"] = self._enqueue(connection, row).id
            except MintageError as error:  # an unknown kind, a full queue: this time is missed, the next may not be
                log.error("schedule %s missed its time: %s", name, error)
            connection.execute(schedules.update().where(schedules.c.name == name).values(**values))
        return "last_job_id" in values

    def _enqueue(self, connection: sa.Connection, row: Any) -> Job:
        return self._queue.enqueue(
            row["kind"],
            msgspec.json.decode(row["payload"]),
            tenant_id=row["scope"] or None,
            key=f"schedule:{row['name']}:{row['next_ns']}",
            priority=row["priority"],
            actor=f"schedule:{row['name']}",
            connection=connection,
        )


def _schedule(row: Any) -> Schedule:
    return Schedule(
        name=row["name"],
        kind=row["kind"],
        tenant_id=row["scope"] or None,
        payload=msgspec.json.decode(row["payload"]),
        cron=row["cron"],
        time_zone=row["time_zone"],
        priority=row["priority"],
        enabled=bool(row["enabled"]),
        next_ns=row["next_ns"],
        last_job_id=row["last_job_id"],
        updated_ns=row["updated_ns"],
    )
