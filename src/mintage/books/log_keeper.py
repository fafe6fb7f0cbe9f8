"""The keeper thread: writes snapshots and indexes to the state, and empties the log's WAL, beside the writer.

All of it can wait and none of it is needed for durability, so no customer waits for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue

import apsw

from mintage.books import failpoints
from mintage.books.log_state import Index, StateStore
from mintage.books.log_store import connect
from mintage.books.wallets import Snapshot


class Keeper:
    """One thread with its own connections. on_failure(error) is called from that thread, which then ends."""

    def __init__(
        self, log: Path, state: StateStore, on_failure: Callable[[BaseException], None], vfs: str | None
    ) -> None:
        self._log = connect(log, vfs=vfs)
        self._log.pragma("wal_autocheckpoint", 0)
        self._log.execute(
            "SELECT 1 FROM frames LIMIT 1"
        ).fetchall()  # opens the WAL: without it a checkpoint is a no-op
        self._state = state
        self._on_failure = on_failure
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="mintage-log-keeper", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except BaseException as error:
                self._on_failure(error)
                return

    def snapshot(
        self,
        snapshot: Snapshot,
        index: Index,
        mark: tuple[int, bytes],
        events_indexed: bool,
        done: Callable[[], None],
    ) -> None:
        """Bring the state to `mark`, which the writer has committed; `done` is called from the keeper's thread."""

        def job() -> None:
            self._state.save(snapshot, index, *mark, events_indexed=events_indexed)
            done()

        self._jobs.put(job)

    def event_keys(self, keys: Sequence[tuple[int, int]], seq: int, done: Callable[[], None]) -> None:
        def job() -> None:
            self._state.save_event_keys(keys, seq)
            done()

        self._jobs.put(job)

    def checkpoint(self, done: Callable[[], None]) -> None:
        """Copy most of the WAL while the writer goes on; `done` tells the writer to copy the small rest itself."""

        def job() -> None:
            if failpoints.armed is not None:
                failpoints.hit("log.checkpoint")
            self._log.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            done()

        self._jobs.put(job)

    def forget_before(self, seq: int) -> None:
        """Drop the keys of archived holds."""
        self._jobs.put(lambda: self._state.forget_before(seq))

    def close(self, timeout_s: float) -> bool:
        """Finish all jobs and end. True when it did in time."""
        self._jobs.put(None)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            return False
        self._log.close()
        self._state.close()
        return True
