"""The one writer thread: takes what is queued, commits it as one frame, wakes the event loop once per commit.

Group commit needs no timer: while one commit waits for the disk, the next batch gathers in the queue.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final

from mintage.base import MintageError
from mintage.books import failpoints
from mintage.books.entries import (
    Body,
    Expired,
    Held,
    Released,
    Settled,
    ToppedUp,
    WalletOpened,
    encode_frame,
)
from mintage.books.log_store import Index, Store
from mintage.books.wallets import Snapshot

#: One queued thing: what to write (a body, a snapshot, or None for "tell me when all before me is durable"), the
#: future to resolve, and the result to resolve it with.
Item = tuple[Body | Snapshot | None, Any, Any]

_ENDING: Final = frozenset((Settled, Released, Expired))
_BODIES: Final = frozenset((WalletOpened, ToppedUp, Held, Settled, Released, Expired))
FRAMES_PER_CHECKPOINT: Final = 1000


def source_key(source: str, source_id: str) -> str:
    return f"top_up\x1f{source}\x1f{source_id}"


def idempotency_source(tenant_id: str, key: str) -> str:
    return f"settle\x1f{tenant_id}\x1f{key}"


def index_bodies(index: Index, bodies: list[Body], first_seq: int) -> None:
    """Note the keys by which these entries must be found again after they have left memory."""
    for seq, body in enumerate(bodies, first_seq):
        if type(body) in _ENDING:
            index.ended.append((body.hold_id, seq))  # type: ignore[union-attr]
            if type(body) is Settled and body.idempotency_key is not None and not body.replay_of:
                index.sources.append((idempotency_source(body.tenant_id, body.idempotency_key), seq))
        elif type(body) is ToppedUp:
            index.sources.append((source_key(body.source, body.source_id), seq))


class Writer:
    """Owns the store from start() to the end of its thread.

    on_commit(batch, bodies, first_seq) and on_failure(batch, error) are called from the writer thread; they must only
    hand over to the event loop.
    """

    def __init__(
        self,
        store: Store,
        index: Index,
        batch_limit: int,
        on_commit: Callable[[list[Item], list[Body], int], None],
        on_failure: Callable[[list[Item], BaseException], None],
    ) -> None:
        self.queue: deque[Item] = deque()
        self.idle = False
        self._store = store
        self._index = index
        self._batch_limit = batch_limit
        self._on_commit = on_commit
        self._on_failure = on_failure
        self._signal: SimpleQueue[bool] = SimpleQueue()
        self._frames = 0
        self._thread = threading.Thread(target=self._run, name="mintage-commit-log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Call after queueing while `idle` is set."""
        self.idle = False
        self._signal.put(True)

    def stop(self) -> None:
        """Ask the thread to commit what is queued and end."""
        self._signal.put(False)

    def join(self, timeout_s: float) -> bool:
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        running = True
        queue = self.queue
        while running or queue:
            if not queue:
                self.idle = True
                if not queue:  # the loop may have queued between the two looks, and seen us busy
                    running = self._signal.get() and running
                self.idle = False
                continue
            batch = [queue.popleft() for _ in range(min(len(queue), self._batch_limit))]
            try:
                bodies, first_seq = self._commit(batch)
            except BaseException as error:  # whatever failed, no later write may follow it
                self._on_failure(batch, error)
                return
            self._on_commit(batch, bodies, first_seq)

    def _commit(self, batch: list[Item]) -> tuple[list[Body], int]:
        bodies: list[Body] = [item[0] for item in batch if type(item[0]) in _BODIES]  # type: ignore[misc]
        if len(bodies) != len(batch) and any(type(item[0]) is Snapshot for item in batch):
            return self._commit_around_snapshots(batch)
        return bodies, self._write(bodies)

    def _commit_around_snapshots(self, batch: list[Item]) -> tuple[list[Body], int]:
        """A snapshot describes exactly the entries queued before it: commit those, then it, then the rest."""
        first_seq = self._store.last_seq + 1
        everything: list[Body] = []
        run: list[Body] = []
        for body, _, _ in batch:
            if type(body) is Snapshot:
                self._write(run)
                everything += run
                run = []
                self._store.write_snapshot(body, self._index)
                self._index.clear()
                self._store.checkpoint()
            elif body is not None:
                run.append(body)  # type: ignore[arg-type]
        self._write(run)
        return everything + run, first_seq

    def _write(self, bodies: list[Body]) -> int:
        if not bodies:
            return self._store.last_seq + 1
        if failpoints.armed is not None:
            failpoints.hit("log.write")
        first_seq = self._store.write(len(bodies), encode_frame(bodies))
        if failpoints.armed is not None:
            failpoints.hit("log.commit")
        index_bodies(self._index, bodies, first_seq)
        self._frames += 1
        if self._frames % FRAMES_PER_CHECKPOINT == 0:
            self._store.checkpoint()
        return first_seq


def unavailable(error: BaseException | None = None) -> MintageError:
    return MintageError(
        "books_unavailable",
        "The books cannot be written.",
        "Nothing more is accepted until the server restarts with a working disk." if error else "Retry later.",
    )
