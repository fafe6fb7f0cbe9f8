"""What a job's function is given: its payload, where it got to, and how it tells of itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from mintage.jobs.job import Job, JobCancelled, Progress
from mintage.jobs.leases import checkpoint_text


class Context:
    """job: as it was claimed. home: the home folder. Every method is cheap and may be called from any thread.

    Work that can go on where it stopped calls save(...) now and then and looks at `checkpoint` when it begins: after a
    crash, a restart or a failure it is called again with what it saved last. Whatever it does outside must be safe to
    do again; only its completion is recorded exactly once.
    """

    def __init__(self, job: Job, home: Path) -> None:
        self.job = job
        self.payload: Any = job.payload
        self.checkpoint: Any = job.checkpoint
        self.home = home
        self.cancelled = False
        self._told = Progress(done=job.progress.done, total=job.progress.total, message=job.progress.message)
        self._saved: str | None = None
        self._began_s: float | None = None
        self._began_done = 0

    def progress(self, done: int, total: int | None = None, message: str | None = None) -> None:
        """Tell how far it is: done of total units, and a few words. What is left out stays. Raises JobCancelled."""
        now_s = time.monotonic()
        if self._began_s is None:
            self._began_s, self._began_done = now_s, done
        elapsed_s = now_s - self._began_s
        self._told = Progress(
            done=done,
            total=self._told.total if total is None else total,
            message=self._told.message if message is None else message,
            rate_per_s=(done - self._began_done) / elapsed_s if elapsed_s > 0 else 0.0,
        )
        self._publish(progress=self._told)
        self.check()

    def save(self, checkpoint: Any) -> None:
        """Keep plain data (at most 256 KiB of JSON) for the next attempt, if there has to be one."""
        self._saved = checkpoint_text(checkpoint)
        self.checkpoint = checkpoint
        self._publish(checkpoint=self._saved)

    def check(self) -> None:
        """Raises JobCancelled if the job was asked to end. Call it at least once a second."""
        if self.cancelled:
            raise JobCancelled

    def _publish(self, *, progress: Progress | None = None, checkpoint: str | None = None) -> None:
        """A child process tells its parent; in the server, the runner looks at what was told."""

    def hear(self, progress: Progress | None, checkpoint: str | None) -> None:
        """What a child process told of itself, kept for the runner."""
        if progress is not None:
            self._told = progress
        if checkpoint is not None:
            self._saved = checkpoint

    @property
    def told(self) -> Progress:
        return self._told

    @property
    def saved(self) -> str | None:
        """The last checkpoint as JSON, if one was saved in this attempt."""
        return self._saved
