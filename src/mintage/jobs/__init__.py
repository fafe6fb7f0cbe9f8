"""One durable queue and scheduler: leases, retries, cancellation, progress, cron; heavy work in child processes.

In: jobs.enqueue("kind", payload, tenant_id=..., key=...) from anywhere, also inside the caller's own transaction.
Out: the kind's function is called with a Context until it returns (at least once); its completion is recorded once.
jobs.kinds.register("lab.simulate", "mintage.lab.job:run") runs that function in a child process, register("close",
app.close) runs a coroutine function here. Inside: context.payload, context.progress(done, total, message),
context.save(checkpoint), context.check(). Return plain data, or Done(data, effect).
Start with queue.py (what users see), then leases.py (what workers see), then runner.py (the worker).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mintage.base import Clock
from mintage.books import Database
from mintage.jobs.context import Context
from mintage.jobs.job import (
    OPEN_MAX,
    OPEN_PER_TENANT_MAX,
    OUTPUT_MAX_BYTES,
    STATES,
    Attempt,
    Done,
    Job,
    JobCancelled,
    JobError,
    JobState,
    Progress,
)
from mintage.jobs.kinds import Kind, Kinds
from mintage.jobs.leases import Leases
from mintage.jobs.queue import Queue
from mintage.jobs.runner import Runner
from mintage.jobs.schedules import Schedule, Schedules, next_time_ns


class Jobs:
    """All of this room, over one database.

    >>> jobs.kinds.register("greet", "shop.work:greet", attempts_max=5)
    >>> job = jobs.enqueue("greet", {"name": "Ada"}, tenant_id="cus_1", key="greet-ada")
    >>> jobs.queue.get(job.id).state
    'queued'
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.kinds = Kinds()
        self.queue = Queue(database, clock, self.kinds)
        self.schedules = Schedules(database, clock, self.queue)

    def enqueue(self, kind: str, payload: Any = None, **options: Any) -> Job:
        """Queue.enqueue."""
        return self.queue.enqueue(kind, payload, **options)

    def runner(self, *, home: Path, **options: Any) -> Runner:
        """A worker of this queue; see Runner."""
        return Runner(self._database, self._clock, self.kinds, self.queue, self.schedules, home=home, **options)


__all__ = [
    "OPEN_MAX",
    "OPEN_PER_TENANT_MAX",
    "OUTPUT_MAX_BYTES",
    "STATES",
    "Attempt",
    "Context",
    "Done",
    "Job",
    "JobCancelled",
    "JobError",
    "JobState",
    "Jobs",
    "Kind",
    "Kinds",
    "Leases",
    "Progress",
    "Queue",
    "Runner",
    "Schedule",
    "Schedules",
    "next_time_ns",
]
