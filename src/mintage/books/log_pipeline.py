"""From the event loop to the disk and back: the queue, the three threads behind it, and who is told what.

Everything that waits is resolved on the event loop, one wake-up per commit. After the first failure everything that
waits fails, and nothing more is accepted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from mintage.base import MintageError
from mintage.books import failpoints
from mintage.books.entries import Body, Entry, UsageEvent, number
from mintage.books.log_events import WAITING_LIMIT, EventsReceipt, Intake
from mintage.books.log_keeper import Keeper
from mintage.books.log_load import Loader
from mintage.books.log_state import StateStore
from mintage.books.log_store import Store
from mintage.books.log_writer import Item, Writer, unavailable

SNAPSHOT_ENTRIES: Final = 16_384
QUEUE_LIMIT: Final = 65_536  # entries waiting for the disk; beyond it new holds are refused
CLOSE_TIMEOUT_S: Final = 30.0


class Pipeline:
    """All methods belong to the event loop's thread. The loop is the one that first puts something in."""

    def __init__(
        self,
        path: Path,
        store: Store,
        state: StateStore,
        loaded: Loader,
        *,
        batch_limit: int,
        vfs: str | None,
    ) -> None:
        self.accepting = True  # False after a failure or close: one look on the hot path
        self.error: BaseException | None = None
        self.closed = False
        self.subscribers: list[Callable[[Sequence[Entry]], None]] = []
        self._store = store
        self._book = loaded.book
        self._recent = loaded.recent
        self._loop: asyncio.AbstractEventLoop | None = None
        self._events_waiting = 0
        self._unsnapped = 0
        self._snapping = False
        self._intake = Intake(path, dict(loaded.event_keys), self._submit, self._on_failure, vfs)
        self._writer = Writer(
            store,
            loaded.index,
            loaded.event_keys,
            batch_limit=batch_limit,
            open_count=lambda: len(self._book.holds),
            on_commit=self._on_commit,
            on_failure=self._on_failure,
            on_snapshot=self._on_snapshot,
            on_event_keys=self._intake.indexed,
        )
        self.queue = self._writer.queue
        self.keeper = Keeper(path, state, lambda error: self._on_failure([], error), vfs)
        self._writer.start(self.keeper)

    def check(self) -> None:
        """Raises MintageError("books_unavailable") after a failure, "shutting_down" after close."""
        if self.accepting:
            return
        if self.error is not None:
            raise unavailable(self.error)
        self.check_open()

    def check_open(self) -> None:
        """Raises MintageError("shutting_down") after close."""
        if self.closed:
            raise MintageError("shutting_down", "The commit log is closed.", "Retry on a running server.")

    def _bind(self) -> asyncio.AbstractEventLoop:
        self._loop = asyncio.get_running_loop()
        return self._loop

    # -- in --------------------------------------------------------------------------------------------------------

    def put(self, body: Any, result: Any) -> asyncio.Future[Any]:
        """Queue `body`; the future gives `result` once it and all before it are durable. None only waits."""
        future = (self._loop or self._bind()).create_future()
        self.queue.append((body, future, result))
        if self._writer.idle:
            self._writer.wake()
        if failpoints.armed is not None:
            failpoints.hit("log.enqueue")
        return future

    def put_events(self, at_ns: int, events: Sequence[UsageEvent], whole: bool) -> asyncio.Future[EventsReceipt]:
        """Raises MintageError("books_unavailable") while too many events wait."""
        count = len(events)
        if self._events_waiting + count > WAITING_LIMIT:
            raise unavailable()
        future = (self._loop or self._bind()).create_future()
        self._events_waiting += count
        future.add_done_callback(lambda _: self._events_done(count))
        self._intake.put(at_ns, events, whole, future)
        return future

    def _events_done(self, count: int) -> None:
        self._events_waiting -= count

    def _submit(self, item: Item) -> None:
        """Queue an item from the intake's thread."""
        self.queue.append(item)
        if self._writer.idle:
            self._writer.wake()
        if self.error is not None:
            self._on_failure([], self.error)

    def _snapshot(self) -> asyncio.Future[None]:
        self._snapping = True
        self._unsnapped = 0
        return self.put(self._book.snapshot(), None)

    # -- out: the first half of each pair runs in another thread -------------------------------------------------------

    def _tell(self, callback: Callable[..., None], *arguments: Any) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(callback, *arguments)

    def _on_commit(self, batch: list[Item], bodies: list[Body], first_seq: int) -> None:
        if failpoints.armed is not None:
            failpoints.hit("log.ack")
        self._tell(self._committed, batch, bodies, first_seq)

    def _committed(self, batch: list[Item], bodies: list[Body], first_seq: int) -> None:
        for _, future, result in batch:
            if not future.done():
                future.set_result(result)
        if self.subscribers and bodies:
            entries = list(number(bodies, first_seq))
            for callback in self.subscribers:
                callback(entries)
        self._unsnapped += len(bodies)
        if self._unsnapped >= SNAPSHOT_ENTRIES and not self._snapping and not self.closed:
            self._snapshot()

    def _on_snapshot(self) -> None:
        self._tell(self._snapped)

    def _snapped(self) -> None:
        self._recent.rotate()
        self._snapping = False

    def _on_failure(self, batch: list[Item], error: BaseException) -> None:
        self.error = error
        self.accepting = False
        self._tell(self._fail_all, batch)

    def _fail_all(self, batch: list[Item]) -> None:
        lost = list(batch)
        if not self._writer.running:
            while self.queue:
                lost.append(self.queue.popleft())
        for _, future, _ in lost:
            if not future.done():
                future.set_exception(unavailable(self.error))
                future.exception()  # a caller that no longer waits is no fault of the log

    async def stop(self) -> bool:
        """Commit what is queued, hand a snapshot to the keeper, end the other threads. True when they did in time."""
        self.closed = True
        self.accepting = False
        self._bind()
        stopped = await asyncio.to_thread(self._intake.stop, CLOSE_TIMEOUT_S)
        if self.error is None:
            await asyncio.wait([self._snapshot()], timeout=CLOSE_TIMEOUT_S)
        return await asyncio.to_thread(self._writer.stop, CLOSE_TIMEOUT_S) and stopped

    async def close(self) -> None:
        """After stop, and after all readers are closed: SQLite tidies up when the last connection, a writer, closes."""
        if await asyncio.to_thread(self.keeper.close, CLOSE_TIMEOUT_S):
            self._store.close()
