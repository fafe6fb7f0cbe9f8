"""From a body to the log: every event of it is recorded, or none."""

from __future__ import annotations

from typing import Final

import msgspec

from mintage.base import Clock, MintageError
from mintage.billing.events.read import event_type, read_events
from mintage.books import CommitLog

_NAMED: Final = 10  # conflicting ids that an error lists


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """accepted are new and durable now; duplicates were durable before."""

    accepted: int
    duplicates: int


class EventIntake:
    """On the event loop."""

    def __init__(self, log: CommitLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock

    async def record(self, raw: bytes, media: str, *, tenant_id: str, project_id: str = "") -> Recorded:
        """Returns when all events of the body are durable.

        Raises invalid_json, invalid_request (naming line and field), unsupported_media_type, payload_too_large,
        conflict when an id is known with another payload, books_unavailable; nothing is recorded then.
        """
        events = read_events(
            raw, event_type(media), tenant_id=tenant_id, project_id=project_id, now_ns=self._clock.now_ns()
        )
        receipt = await self._log.record_events(events, whole=True)
        if receipt.conflicts:
            shown = ", ".join(repr(name[:80]) for name in receipt.conflicts[:_NAMED])
            raise MintageError(
                "conflict",
                f"Known with another payload: {shown}{' and others' if len(receipt.conflicts) > _NAMED else ''}.",
                "Nothing was recorded. A correction is a new event with a new id that names the old one in supersedes.",
                param="id",
                details={"ids": list(receipt.conflicts[:100])},
            )
        return Recorded(accepted=receipt.accepted, duplicates=receipt.duplicates)
