"""Retries with an Idempotency-Key: the first answer again, never a second charge.

Answers are kept in memory only, for a short time and up to a total size: content does not belong into the books. What
the memory has forgotten, the books still know, and refuse.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from mintage.base import Clock, MintageError

_KEEP_NS: Final = 600 * 1_000_000_000
_TOTAL_LIMIT_BYTES: Final = 32 * 1024 * 1024
_ENTRIES_LIMIT: Final = 10_000
KEY_LIMIT_CHARACTERS: Final = 255


@dataclass(slots=True)
class Replay:
    """A finished answer as it went over the wire."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


@dataclass(slots=True)
class _Entry:
    payload_hash: str
    expires_ns: int
    request_id: str = ""
    done: asyncio.Future[Replay | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    size_bytes: int = 0


class ReplayStore:
    """Keyed by (tenant, Idempotency-Key): one customer's key never meets another's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._size_bytes = 0

    async def begin(self, tenant_id: str, key: str, payload_hash: str) -> Replay | None:
        """None: go ahead, then call finish or abandon. A Replay: send that. Waits for a first try that still runs.

        Raises idempotency_conflict if the key was used with another body, or for an answer that was streamed.
        """
        if not 1 <= len(key) <= KEY_LIMIT_CHARACTERS:
            raise MintageError(
                "invalid_request",
                f"An Idempotency-Key has 1 to {KEY_LIMIT_CHARACTERS} characters.",
                "Use a UUID.",
                param="Idempotency-Key",
            )
        self._forget_old()
        entry = self._entries.get((tenant_id, key))
        if entry is None:
            self._entries[tenant_id, key] = _Entry(payload_hash, self._clock.monotonic_ns() + _KEEP_NS)
            return None
        if entry.payload_hash != payload_hash:
            raise other_body()
        replay = await asyncio.shield(entry.done)
        if replay is None:
            raise already_answered(entry.request_id)
        return replay

    def finish(self, tenant_id: str, key: str, request_id: str, replay: Replay | None) -> None:
        """The first try was answered and charged. None: its answer was streamed and is not kept."""
        entry = self._entries.get((tenant_id, key))
        if entry is None or entry.done.done():
            return
        entry.request_id = request_id
        entry.size_bytes = len(replay.body) if replay else 0
        self._size_bytes += entry.size_bytes
        entry.done.set_result(replay)
        while self._size_bytes > _TOTAL_LIMIT_BYTES:
            self._drop_oldest()

    def abandon(self, tenant_id: str, key: str) -> None:
        """The first try failed without a charge: the next one is a first try again. After finish it does nothing."""
        entry = self._entries.get((tenant_id, key))
        if entry is not None and not entry.done.done():
            del self._entries[tenant_id, key]
            entry.done.set_exception(
                MintageError("conflict", "The first try with this Idempotency-Key failed.", "Send it again.")
            )
            entry.done.exception()  # retrieved here, in case nobody waits

    def _forget_old(self) -> None:
        now_ns = self._clock.monotonic_ns()
        while self._entries:
            first = next(iter(self._entries.values()))
            if len(self._entries) < _ENTRIES_LIMIT and first.expires_ns > now_ns:
                return
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, entry = self._entries.popitem(last=False)
        self._size_bytes -= entry.size_bytes
        if not entry.done.done():
            entry.done.set_result(None)


def other_body() -> MintageError:
    return MintageError(
        "idempotency_conflict",
        "This Idempotency-Key was used with another body.",
        "Use a new key for a new request.",
        param="Idempotency-Key",
    )


def already_answered(request_id: str) -> MintageError:
    return MintageError(
        "idempotency_conflict",
        "A request with this Idempotency-Key was answered and charged before; its answer is not kept.",
        f"GET /v1/receipts/{request_id} shows the charge. Use a new key to ask again.",
        param="Idempotency-Key",
        details={"request_id": request_id},
    )
