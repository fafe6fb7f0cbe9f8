"""One claimed job while it runs: in a child process, on the event loop or in a thread; asked to end, then made to."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec

from mintage.base import MintageError
from mintage.jobs.child import word_of
from mintage.jobs.child_process import ChildProcess
from mintage.jobs.context import Context
from mintage.jobs.job import OUTPUT_MAX_BYTES, Done, Job, JobCancelled, JobError, Progress
from mintage.jobs.kinds import Kind
from mintage.jobs.leases import Beat

Why = Literal["", "cancelled", "stopping", "timeout", "lost"]


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended. error None and not cancelled: well, with `done`."""

    done: Done = Done()
    error: JobError | None = None
    final: bool = False
    retry_after_s: float | None = None
    cancelled: bool = False
    output: str = ""


class Work:
    """run() once; end(why) at any time makes it stop. why is the first reason given."""

    def __init__(self, job: Job, kind: Kind, home: Path) -> None:
        self.job = job
        self.kind = kind
        self.context = Context(job, home)
        self.why: Why = ""
        self.renewed_s = 0.0
        self._child: ChildProcess | None = None
        self._task: asyncio.Future[Any] | None = None
        self._beaten: tuple[Progress | None, str | None, int] = (None, None, 0)

    async def run(self) -> Ending:
        """What became of it. Never raises but when cancelled itself."""
        timer = asyncio.get_running_loop().call_later(self.kind.timeout_s, self.end, "timeout")
        try:
            ending = await (self._run_child() if isinstance(self.kind.run, str) else self._run_here(self.kind.run))
        except MintageError as error:
            ending = _ending(error)
        finally:
            timer.cancel()
        if self.why == "timeout" and (ending.cancelled or ending.error is not None):
            late = JobError(
                code="unavailable",
                message=f"It took longer than {self.kind.timeout_s:g} seconds.",
                hint="Make it smaller, or give its kind more time.",
            )
            ending = msgspec.structs.replace(ending, error=late, cancelled=False, final=False)
        return ending

    async def _run_child(self) -> Ending:
        child = self._child = ChildProcess(
            self.job, str(self.kind.run), self.context.home, self.context, self.kind.grace_s
        )
        if self.why:
            return Ending(cancelled=True)
        word = await child.run()
        return Ending(
            done=Done(msgspec.json.decode(word.result)) if word.result is not None else Done(),
            error=word.error,
            final=word.final,
            retry_after_s=word.retry_after_s,
            cancelled=word.cancelled,
            output=child.tail.text(),
        )

    async def _run_here(self, run: Callable[[Any], Any]) -> Ending:
        if inspect.iscoroutinefunction(run):
            self._task = asyncio.ensure_future(run(self.context))
            if self.why:
                self._task.cancel()
        else:
            self._task = asyncio.ensure_future(asyncio.to_thread(run, self.context))
        try:
            await asyncio.wait([self._task])
        except asyncio.CancelledError:
            self._task.cancel()
            raise
        if self._task.cancelled():
            return Ending(cancelled=True)
        if (error := self._task.exception()) is not None:
            return _ending(error)
        result = self._task.result()
        return Ending(done=result if isinstance(result, Done) else Done(result))

    def end(self, why: Why) -> None:
        """Ask it to stop. A child that does not within its grace is killed; one whose job is lost, at once; a coroutine
        is cancelled; a thread has to look (context.check)."""
        self.why = self.why or why
        self.context.cancelled = True
        if self._child is not None:
            if why == "lost":
                self._child.kill()
            else:
                self._child.cancel()
        elif self._task is not None and inspect.iscoroutinefunction(self.kind.run):
            self._task.cancel()

    def beat(self, *, due: bool) -> Beat | None:
        """What is new since the last beat; an empty one when the lease is due; else None."""
        seen = self._child.tail.seen_bytes if self._child is not None else 0
        now = (self.context.told, self.context.saved, seen)
        if now == self._beaten and not due:
            return None
        before, self._beaten = self._beaten, now
        return Beat(
            job_id=self.job.id,
            fence=self.job.fence,
            progress=now[0] if now[0] != before[0] else None,
            checkpoint=now[1] if now[1] != before[1] else None,
            output=self.output() if seen != before[2] else None,
        )

    def output(self) -> str:
        return self._child.tail.text() if self._child is not None else ""


def _ending(error: BaseException) -> Ending:
    if isinstance(error, JobCancelled):
        return Ending(cancelled=True)
    word = word_of(error)
    trace = "" if isinstance(error, MintageError) else "".join(traceback.format_exception(error))[-OUTPUT_MAX_BYTES:]
    return Ending(error=word.error, final=word.final, retry_after_s=word.retry_after_s, output=trace)
