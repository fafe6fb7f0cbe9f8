"""Usage events that others report: each (tenant, source, id) enters the log once, whatever is delivered again.

A thread of its own decides, so that a burst of events delays no customer's hold: it looks keys up in bulk, among the
events of the last minutes in memory and the others in the state, and queues what is new for the writer.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

import msgspec

from mintage.base import MintageError
from mintage.books.entries import Reported, UsageEvent
from mintage.books.log_state import StateReader
from mintage.books.log_writer import EVENT_KEYS, EventBatch, Item

EVENTS_LIMIT: Final = 10_000  # in one call
WAITING_LIMIT: Final = EVENT_KEYS // 2  # events between the call and the disk
_TEXT_LIMIT: Final = 256
_encode: Final = msgspec.json.Encoder(order="deterministic").encode


class EventsReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """accepted events are new and durable; duplicates were durable before; conflicts lists the ids that were refused
    because the same (tenant, source, id) is in the log with another payload."""

    accepted: int
    duplicates: int
    conflicts: tuple[str, ...] = ()


def event_key(event: UsageEvent) -> tuple[int, int]:
    """(hash of the event's identity, digest of its payload), each 64 bits with a sign, as SQLite stores integers."""
    name = f"{event.tenant_id}\x1f{event.source}\x1f{event.id}".encode()
    return (
        int.from_bytes(blake2b(name, digest_size=8).digest(), "little", signed=True),
        int.from_bytes(blake2b(_encode(event), digest_size=8).digest(), "little", signed=True),
    )


def check_events(events: Sequence[UsageEvent]) -> None:
    """Raises MintageError("invalid_request", "payload_too_large")."""
    if len(events) > EVENTS_LIMIT:
        raise MintageError(
            "payload_too_large", f"{len(events)} events are too many.", f"Send at most {EVENTS_LIMIT} at a time."
        )
    for event in events:
        for value in (event.tenant_id, event.source, event.id):
            if not value or len(value) > _TEXT_LIMIT or "\x1f" in value:
                raise MintageError(
                    "invalid_request",
                    "An event needs a tenant, a source and an id.",
                    f"Give each as 1 to {_TEXT_LIMIT} characters without control characters.",
                    param="id",
                )


class Intake:
    """The thread. put() may be called from the event loop only; `submit` queues an item for the writer."""

    def __init__(
        self,
        log: Path,
        known: dict[int, int],
        submit: Callable[[Item], None],
        on_failure: Callable[[list[Item], BaseException], None],
        vfs: str | None,
    ) -> None:
        self._log = log
        self._vfs = vfs
        self._submit = submit
        self._on_failure = on_failure
        self._known = known  # hash -> digest of events that the index may not hold yet
        self._indexed: deque[Sequence[tuple[int, int]]] = deque()
        self._calls: SimpleQueue[tuple[int, Sequence[UsageEvent], bool, Any] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def put(self, at_ns: int, events: Sequence[UsageEvent], whole: bool, future: Any) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="mintage-log-events", daemon=True)
            self._thread.start()
        self._calls.put((at_ns, events, whole, future))

    def indexed(self, keys: Sequence[tuple[int, int]]) -> None:
        """These keys are in the state now and need no memory. From any thread."""
        self._indexed.append(keys)

    def _run(self) -> None:
        reader = StateReader(self._log, self._vfs)
        while (call := self._calls.get()) is not None:
            at_ns, events, whole, future = call
            try:
                batch, receipt = self._decide(reader, at_ns, events, whole)
            except BaseException as error:
                self._on_failure([(None, future, None)], error)
                break
            self._submit((batch, future, receipt))
        reader.close()

    def _decide(
        self, reader: StateReader, at_ns: int, events: Sequence[UsageEvent], whole: bool
    ) -> tuple[EventBatch | None, EventsReceipt]:
        known = self._known
        while self._indexed:
            for key, _ in self._indexed.popleft():
                known.pop(key, None)
        keys = [event_key(event) for event in events]
        stored = reader.event_keys([key for key, _ in keys if key not in known])
        batch = EventBatch([], [])
        duplicates = 0
        conflicts: list[str] = []
        for event, (key, digest) in zip(events, keys, strict=True):
            found = known.get(key)
            if found is None:
                found = stored.get(key)
            if found is None:
                known[key] = digest
                batch.bodies.append(Reported(at_ns, event))
                batch.keys.append((key, digest))
            elif found == digest:
                duplicates += 1
            else:
                conflicts.append(event.id)
        if whole and conflicts:
            for key, _ in batch.keys:
                del known[key]
            batch, duplicates = EventBatch([], []), 0
        receipt = EventsReceipt(accepted=len(batch.bodies), duplicates=duplicates, conflicts=tuple(conflicts))
        return (batch if batch.bodies else None), receipt

    def stop(self, timeout_s: float) -> bool:
        """Submit what was put, then end. True when it did in time."""
        if self._thread is None:
            return True
        self._calls.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()
