"""The worker: claims what is due, runs it, keeps its leases alive, records how it ended. One in each server process."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import time
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from mintage.base import Clock, MintageError
from mintage.books import Database
from mintage.jobs.job import Job, JobError
from mintage.jobs.kinds import Kinds
from mintage.jobs.leases import Held, Leases
from mintage.jobs.queue import Queue
from mintage.jobs.schedules import Schedules
from mintage.jobs.work import Ending, Work

log = logging.getLogger("mintage.jobs")
LEASE_S: Final = 60.0
TICK_S: Final = 1.0
RECORD_TRIES_MAX: Final = 20  # of telling the database how a job ended, a second apart at most


class Runner:
    """children: heavy jobs at once, each in a process. here: light ones, on the loop and in threads.

    exclusive: no other process works on this database (the home's lock says so), so what is found running at the
    start was left by a dead one and goes back into the queue at once; else only when its lease has run out.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        kinds: Kinds,
        queue: Queue,
        schedules: Schedules,
        *,
        home: Path,
        children: int = 2,
        here: int = 8,
        exclusive: bool = True,
        lease_s: float = LEASE_S,
        tick_s: float = TICK_S,
    ) -> None:
        worker = f"{socket.gethostname()[:30]}:{os.getpid()}:{secrets.token_hex(4)}"
        self.leases = Leases(database, clock, worker, lease_s)
        self._kinds = kinds
        self._queue = queue
        self._schedules = schedules
        self._home = home
        self._slots = {True: children, False: here}
        self._exclusive = exclusive
        self._tick_s = tick_s
        self._work: dict[str, Work] = {}
        self._claiming = False  # between the database's word and ours
        self._tasks: set[asyncio.Task[None]] = set()
        self._main: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._stopping = False
        self._reaped_s = 0.0

    @property
    def running(self) -> bool:
        return self._main is not None

    async def start(self) -> None:
        """Find what a dead worker left, then work until stop(). Safe to call twice."""
        if self._main is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._queue.on_change(self._on_change)
        if self._exclusive and (left := await asyncio.to_thread(self.leases.reap, all_others=True)):
            log.warning("%d jobs were left running by a worker that died", left)
        self._main = asyncio.create_task(self._forever())

    def _on_change(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    async def stop(self, grace_s: float = 10.0) -> None:
        """Claim nothing more; ask what runs to end, and hand it back to the queue."""
        self._stopping = True
        if self._main is None:
            return
        self._main.cancel()
        await asyncio.gather(self._main, return_exceptions=True)
        self._main = None
        for work in self._work.values():
            work.end("stopping")
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace_s)
            for work in self._work.values():
                work.end("lost")
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _forever(self) -> None:
        while True:
            try:
                await self.turn()
            except (MintageError, sa.exc.SQLAlchemyError) as error:
                log.error("jobs cannot be looked after: %s", error)
            except Exception:
                log.exception("jobs cannot be looked after")
            self._wake.clear()
            try:
                async with asyncio.timeout(self._tick_s):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def turn(self) -> None:
        """One round: beats and cancellations, schedules, dead workers' jobs, new claims."""
        await self._look_after()
        await asyncio.to_thread(self._schedules.tick)
        if (now_s := time.monotonic()) - self._reaped_s >= self.leases.lease_s / 4:
            self._reaped_s = now_s
            await asyncio.to_thread(self.leases.reap)
        while not self._stopping and (kinds := self._wanted()):
            self._claiming = True
            try:
                if (job := await asyncio.to_thread(self.leases.claim, kinds)) is None:
                    return
                self._begin(job)
            finally:
                self._claiming = False

    def _wanted(self) -> dict[str, int]:
        """The kinds for which this process has a slot free, with their own limits."""
        used = {True: 0, False: 0}
        for work in self._work.values():
            used[work.kind.in_child] += 1
        return {k.name: k.running_max for k in self._kinds.all() if used[k.in_child] < self._slots[k.in_child]}

    def _begin(self, job: Job) -> None:
        work = Work(job, self._kinds.get(job.kind), self._home)
        work.renewed_s = time.monotonic()
        self._work[job.id] = work
        task = asyncio.create_task(self._see_through(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Looking after what runs

    async def _look_after(self) -> None:
        if not self._work:
            return
        now_s = time.monotonic()
        due_s = now_s - self.leases.lease_s / 3
        beats = [beat for work in self._work.values() if (beat := work.beat(due=work.renewed_s <= due_s)) is not None]
        try:
            for held in await asyncio.to_thread(self.leases.beat, beats) if beats else ():
                self._heard(held, now_s)
            for job_id in await asyncio.to_thread(self.leases.cancelled, list(self._work)):
                if (work := self._work.get(job_id)) is not None and not work.why:
                    work.end("cancelled")
        finally:
            for work in self._work.values():  # silent for a whole lease: another worker may have it by now
                if time.monotonic() - work.renewed_s > self.leases.lease_s:
                    work.end("lost")

    def _heard(self, held: Held, now_s: float) -> None:
        work = self._work.get(held.job_id)
        if work is None or work.job.fence != held.fence:
            return
        if held.mine:
            work.renewed_s = now_s
        else:
            work.end("lost")

    async def _see_through(self, work: Work) -> None:
        try:
            ending = await work.run()
            await self._record(work, ending)
        finally:
            del self._work[work.job.id]
            self._wake.set()

    async def _record(self, work: Work, ending: Ending) -> None:
        """Tell the database how it ended, again until it hears; what it never hears, the lease's end resolves."""
        delay_s = 0.05
        for _ in range(RECORD_TRIES_MAX):
            try:
                await asyncio.to_thread(self._tell, work, ending)
            except MintageError as error:
                if error.code == "conflict":
                    log.warning("the end of job %s was not recorded: %s", work.job.id, error)
                    return
                if error.code != "books_unavailable":  # the result is too large, or its effect refused
                    told = JobError(code=error.code, message=error.message, hint=error.hint)
                    ending = Ending(error=told, final=True, output=ending.output)
            except sa.exc.OperationalError as error:
                log.warning("the database does not hear how job %s ended: %s", work.job.id, error)
            except Exception as error:  # of an effect: it and the completion are both undone
                log.exception("the effect of job %s failed", work.job.id)
                told = JobError(code="internal", message=f"{type(error).__name__}: {error}"[:1000])
                ending = Ending(error=told, output=ending.output)
            else:
                return
            await asyncio.sleep(delay_s)
            delay_s = min(1.0, delay_s * 2)

    def _tell(self, work: Work, ending: Ending) -> None:
        job, leases, output = work.job, self.leases, ending.output or work.output()
        if ending.error is None and not ending.cancelled:
            leases.complete(
                job, ending.done.result, progress=work.context.told, output=output, effect=ending.done.effect
            )
        elif work.why == "stopping":
            leases.release(job, checkpoint=work.context.saved, output=output)
        elif ending.error is not None:
            wait_s = ending.retry_after_s or work.kind.retry_delay_s(job.attempts)
            leases.fail(
                job,
                ending.error,
                retry_after_s=None if ending.final else wait_s,
                progress=work.context.told,
                checkpoint=work.context.saved,
                output=output,
            )
        else:
            leases.cancel(job, output=output)

    async def drain(self, job_id: str | None = None) -> None:
        """Return when this job has ended, or, without one, when nothing is due and nothing runs. For commands."""
        while True:
            if job_id is not None:
                if (await asyncio.to_thread(self._queue.get, job_id)).ended:
                    return
            # In this order: what was due a moment ago is claimed, begun, or ended by the second look.
            elif not await asyncio.to_thread(self._queue.due) and not self._claiming and not self._work:
                return
            await asyncio.sleep(min(0.1, self._tick_s))
