"""Engine time, shared: what one answer's use of an engine cost, when several are written at once.

A moment in which k answers run costs each of them 1/k of that moment. So the shares of all answers sum to the wall time
in which the engine was busy at all, whatever overlapped with what: no second is sold twice and none is lost.

The usual trick for processor sharing keeps it O(1): a virtual clock runs at 1/k of real time; an answer's share is how
far that clock went between its start and its end (Parekh and Gallager, 1993).
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class EngineShares:
    """Thread-safe. weight: how many answers one call writes (its n), each of which counts as one of the k."""

    def __init__(self, monotonic_ns: Callable[[], int]) -> None:
        self._now_ns = monotonic_ns
        self._lock = threading.Lock()
        self._virtual_ns = 0.0
        self._last_ns = 0
        self._busy_ns = 0
        self._weight = 0

    def enter(self, weight: int = 1) -> float:
        """An answer begins. Keep the mark for share_ms and leave."""
        with self._lock:
            self._advance()
            self._weight += weight
            return self._virtual_ns

    def share_ms(self, mark: float, weight: int = 1) -> float:
        """The share so far of an answer that runs."""
        with self._lock:
            self._advance()
            return (self._virtual_ns - mark) * weight / 1e6

    def leave(self, mark: float, weight: int = 1) -> float:
        """The answer ended. Returns its share in milliseconds."""
        with self._lock:
            self._advance()
            self._weight -= weight
            return (self._virtual_ns - mark) * weight / 1e6

    @property
    def busy_ms(self) -> float:
        """Wall time so far in which at least one answer ran."""
        with self._lock:
            self._advance()
            return self._busy_ns / 1e6

    def _advance(self) -> None:
        now_ns = self._now_ns()
        if self._weight:
            passed_ns = now_ns - self._last_ns
            self._virtual_ns += passed_ns / self._weight
            self._busy_ns += passed_ns
        self._last_ns = now_ns
