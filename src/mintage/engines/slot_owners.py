"""Whose prompt a slot remembers. A slot keeps the last prompt it read, which makes the next one with the same
beginning cheaper and faster; across customers that would be a discount for guessing another one's prompt, and a clock
that tells whether the guess was right. So a slot's memory is used again by its own customer only.
"""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """slot None: the engine chooses. reuse: whether the slot's memory may be used."""

    slot: int | None
    reuse: bool


class SlotOwners:
    """Gives each answer a slot. An answer with several choices spreads over slots that the engine chooses, so while one
    runs, nothing is reused, and afterwards every slot is a stranger's."""

    def __init__(self, capacity: int) -> None:
        self._owners: list[str] = [""] * capacity
        self._busy: set[int] = set()
        self._spread = 0

    def take(self, scope: str, choices: int) -> Place:
        """A place for an answer of `scope` ("" shares with nobody). Give it back when the answer has ended."""
        if choices > 1:
            self._spread += 1
            self._forget()
            return Place(None, False)
        free = [slot for slot in range(len(self._owners)) if slot not in self._busy]
        if not free:
            return Place(None, False)
        own = [slot for slot in free if scope and self._owners[slot] == scope]
        slot = own[0] if own else min(free, key=lambda slot: bool(self._owners[slot]))
        self._busy.add(slot)
        self._owners[slot] = scope
        return Place(slot, bool(own) and not self._spread)

    def give_back(self, place: Place, choices: int) -> None:
        if choices > 1:
            self._spread -= 1
            self._forget()
        elif place.slot is not None:
            self._busy.discard(place.slot)

    def _forget(self) -> None:
        self._owners = [""] * len(self._owners)
