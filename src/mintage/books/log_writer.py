"""The one writer thread: takes what is queued, commits it as one frame, wakes the event loop once per commit.

While one commit waits for the disk, the next batch gathers in the queue. Where many requests are open and entries come
fast, the writer waits a moment before it takes a batch: a commit costs the processor as much as most of a request, and
a thread that wakes for every two entries takes the interpreter from the event loop (docs/log.md, Gateway).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import repeat, starmap
from operator import itemgetter
from queue import SimpleQueue
from typing import Any, Final

import msgspec

from mintage.base import MintageError
from mintage.books import failpoints
from mintage.books.entries import Body, Reported, encode_frame
from mintage.books.log_keeper import Keeper
from mintage.books.log_state import Index
from mintage.books.log_store import Store
from mintage.books.wallets import Snapshot

WAL_PAGES: Final = 4000  # 16 MB: then the keeper is asked for a checkpoint
EVENT_KEYS: Final = 65_536  # keys of usage events that are indexed in one go
EVENTS_SPAN: Final = 262_144  # entries after which a few keys are indexed too: opening reads from the last indexed on
GATHER_S: Final = 0.001
GATHER_OPEN: Final = 16  # open requests from which on a moment more is lost in their own queue
GATHER_ENTRIES: Final = 2  # that came per moment lately: fewer are not worth waiting for
GATHER_ENOUGH: Final = 64  # in the queue already: a commit of so many costs each of them little


class EventBatch(msgspec.Struct, gc=False):
    """Accepted usage events, with the (hash, digest) of each for the index."""

    bodies: list[Reported]
    keys: list[tuple[int, int]]


#: One queued thing: what to write (None only asks to be told when all before it is durable), the future to resolve,
#: and the result to resolve it with.
Item = tuple[Body | EventBatch | Snapshot | None, Any, Any]
_SPECIAL: Final = frozenset((Snapshot, EventBatch, type(None)))


def unavailable(error: BaseException | None = None) -> MintageError:
    """books_unavailable: for good after an error, for a moment without."""
    if error is None:
        return MintageError("books_unavailable", "The books are behind.", "Retry after a moment.", retry_after_s=1.0)
    return MintageError(
        "books_unavailable", "The books cannot be written.", "The server must be restarted with a working disk."
    )


class Writer:
    """Owns the store from start() to the end of its thread.

    The callbacks are called from the writer's or the keeper's thread and must only hand over: on_commit(batch, bodies,
    first_seq), on_snapshot() and on_event_keys(keys) after the keeper is done, on_failure(batch, error).
    """

    def __init__(
        self,
        store: Store,
        index: Index,
        event_keys: list[tuple[int, int]],
        *,
        batch_limit: int,
        open_count: Callable[[], int],
        on_commit: Callable[[list[Item], list[Body], int], None],
        on_failure: Callable[[list[Item], BaseException], None],
        on_snapshot: Callable[[], None],
        on_event_keys: Callable[[list[tuple[int, int]]], None],
    ) -> None:
        self.queue: deque[Item] = deque()
        self.idle = False
        self._store = store
        self._index = index
        self._event_keys = event_keys
        self._batch_limit = batch_limit
        self._open_count = open_count
        self._took_s = 0.0
        self._took = 0
        self._on_commit = on_commit
        self._on_failure = on_failure
        self._on_snapshot = on_snapshot
        self._on_event_keys = on_event_keys
        self._indexing = False
        self._indexed_seq = store.last_seq
        self._ended = False
        self._checkpoint = "none"  # or "asked", or "rest": the keeper has done most of it
        self._signal: SimpleQueue[bool] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="mintage-commit-log", daemon=True)

    def start(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._thread.start()

    @property
    def running(self) -> bool:
        return not self._ended

    def wake(self) -> None:
        """Call after queueing while `idle` is set. A wake too many does no harm."""
        self.idle = False
        self._signal.put(True)

    def stop(self, timeout_s: float) -> bool:
        """Commit what is queued, hand the rest of the index to the keeper, end. True when it did in time."""
        self._signal.put(False)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        running = True
        queue = self.queue
        while running or queue:
            if not queue:
                self.idle = True
                if not queue:  # something may have been queued between the two looks, by one who saw us busy
                    running = self._signal.get() and running
                self.idle = False
                continue
            batch = self._take()
            try:
                bodies, first_seq = self._commit(batch)
            except BaseException as error:  # whatever failed, no later write may follow it
                self._ended = True
                self._on_failure(batch, error)
                return
            self._on_commit(batch, bodies, first_seq)
            self._housekeeping()
        self._index_events()

    def _take(self) -> list[Item]:
        queue = self.queue
        now = time.monotonic()
        fast = self._took * GATHER_S >= GATHER_ENTRIES * (now - self._took_s)
        if fast and len(queue) < GATHER_ENOUGH and self._open_count() >= GATHER_OPEN:
            time.sleep(GATHER_S)
        self._took_s = now
        batch = list(starmap(queue.popleft, repeat((), min(len(queue), self._batch_limit))))
        self._took = len(batch)
        return batch

    def _commit(self, batch: list[Item]) -> tuple[list[Body], int]:
        """Make a batch durable: (its bodies, the seq of the first)."""
        bodies: list[Any] = list(map(itemgetter(0), batch))
        if _SPECIAL.isdisjoint(set(map(type, bodies))):
            return bodies, self._write(bodies)
        first_seq = self._store.last_seq + 1
        everything: list[Body] = []
        run: list[Body] = []
        for body in bodies:
            if type(body) is EventBatch:
                run += body.bodies
                self._event_keys += body.keys
            elif type(body) is Snapshot:  # it describes exactly what was queued before it
                self._write(run)
                everything += run
                run = []
                self._hand_over(body)
            elif body is not None:
                run.append(body)
        self._write(run)
        return everything + run, first_seq

    def _write(self, bodies: list[Any]) -> int:
        store = self._store
        if not bodies:
            return store.last_seq + 1
        if failpoints.armed is not None:
            failpoints.hit("log.write")
        first_seq = store.write(len(bodies), encode_frame(bodies))
        if failpoints.armed is not None:
            failpoints.hit("log.commit")
        self._index.add(bodies, first_seq)
        return first_seq

    def _hand_over(self, snapshot: Snapshot) -> None:
        index, self._index = self._index, Index()
        mark = (self._store.last_seq, self._store.chain)
        all_indexed = not self._event_keys and not self._indexing
        if all_indexed:
            self._indexed_seq = mark[0]
        self._keeper.snapshot(snapshot, index, mark, all_indexed, self._on_snapshot)

    # -- between commits ---------------------------------------------------------------------------------------------

    def _housekeeping(self) -> None:
        if self._checkpoint == "rest":
            self._checkpoint = "none"
            self._store.checkpoint()
        elif self._checkpoint == "none" and self._store.wal_pages > WAL_PAGES:
            self._checkpoint = "asked"
            self._keeper.checkpoint(self._checkpointed)
        span = self._store.last_seq - self._indexed_seq
        if (len(self._event_keys) >= EVENT_KEYS or span >= EVENTS_SPAN) and not self._indexing:
            self._index_events()

    def _checkpointed(self) -> None:
        self._checkpoint = "rest"

    def _index_events(self) -> None:
        if self._event_keys:
            self._indexing = True
            self._indexed_seq = self._store.last_seq
            keys, self._event_keys = self._event_keys, []

            def done() -> None:
                self._indexing = False
                self._on_event_keys(keys)

            self._keeper.event_keys(keys, self._store.last_seq, done)
