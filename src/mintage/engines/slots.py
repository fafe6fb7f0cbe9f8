"""The queue before a local engine: so many answers at once, so many waiting, and a clear refusal for the rest."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from mintage.base import MintageError

_RETRY_MIN_S: Final = 1.0
_RETRY_MAX_S: Final = 60.0
_SMOOTHING: Final = 0.2  # weight of the newest answer in the average that retry_after_s is guessed from


class Slots:
    """First come, first served. One request may need several slots (its n); it waits until all are free at once.

    Used on one event loop. A waiting caller may be cancelled at any moment without losing a slot.
    """

    def __init__(self, capacity: int, queue_limit: int) -> None:
        self.capacity = capacity
        self.queue_limit = queue_limit
        self._free = capacity
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        self._average_s = 2.0
        self._closed: MintageError | None = None

    @property
    def running(self) -> int:
        """Slots in use."""
        return self.capacity - self._free

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    async def acquire(self, count: int = 1) -> None:
        """Take count slots, waiting in line. Raises engine_busy at once if the line is full."""
        if self._closed is not None:
            raise self._closed
        if count <= self._free and not self._waiting:
            self._free -= count
            return
        if len(self._waiting) >= self.queue_limit:
            raise self._busy()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, count))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._free += count  # the turn came in the same moment as the cancellation
            self._serve()
            raise

    def release(self, count: int, held_s: float) -> None:
        """Give slots back after held_s seconds, and let the next in line go."""
        self._average_s += _SMOOTHING * (held_s - self._average_s)
        self._free += count
        self._serve()

    def close(self, error: MintageError) -> None:
        """Refuse everyone who waits, and whoever comes."""
        self._closed = error
        for turn, _ in self._waiting:
            if not turn.done():
                turn.set_exception(error)
        self._waiting.clear()

    def _serve(self) -> None:
        while self._waiting:
            turn, count = self._waiting[0]
            if turn.done():
                self._waiting.popleft()
            elif count <= self._free:
                self._waiting.popleft()
                self._free -= count
                turn.set_result(None)
            else:
                return

    def _busy(self) -> MintageError:
        rounds = (len(self._waiting) + self.running) / self.capacity
        wait_s = min(max(round(rounds * self._average_s, 1), _RETRY_MIN_S), _RETRY_MAX_S)
        return MintageError(
            "engine_busy",
            f"The engine writes {self.running} answers, and {len(self._waiting)} requests wait.",
            f"Try again in about {wait_s:.0f} s.",
            retry_after_s=wait_s,
        )
