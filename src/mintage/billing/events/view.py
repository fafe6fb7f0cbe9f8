"""Accepted events as the lake has them, a page at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from mintage.accounts import Page, check_limit, decode_cursor, encode_cursor
from mintage.base import METERS, MintageError

#: Rows of one SELECT over the lake's table `usage`, after everything durable has reached it.
LakeQuery = Callable[[str, Sequence[object]], Awaitable[Sequence[Sequence[Any]]]]

_METERS_SQL: Final = ", ".join(METERS)


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted event; seq is its place in the log. superseded: a later correction counts instead of it."""

    seq: int
    source: str
    id: str
    kind: str
    at_ns: int
    model: str
    product: str
    project_id: str
    end_user: str | None
    supersedes: str
    superseded: bool
    meters: dict[str, int]
    properties: dict[str, str]


class EventList:
    def __init__(self, query: LakeQuery | None) -> None:
        self._query = query

    async def page(self, tenant_id: str, *, limit: int, cursor: str | None = None) -> Page[EventView]:
        """In the order in which they were accepted. Raises unavailable where no lake is at hand."""
        if self._query is None:
            raise MintageError("unavailable", "Reported events cannot be read here.", "Start the server.")
        after = decode_cursor(cursor) if cursor else "0"
        rows = await self._query(
            "SELECT seq, source, event_id, epoch_us(occurred), model, product, project_id, end_user, supersedes,"  # noqa: S608 - names are ours
            " EXISTS (SELECT 1 FROM usage AS later WHERE later.kind = 'event' AND later.tenant_id = usage.tenant_id"
            " AND later.source = usage.source AND later.supersedes = usage.event_id),"
            f" map_keys(properties), map_values(properties), {_METERS_SQL} FROM usage"
            " WHERE kind = 'event' AND tenant_id = ? AND seq > ? ORDER BY seq LIMIT ?",
            [tenant_id, int(after) if after.isdecimal() and len(after) < 19 else 0, check_limit(limit) + 1],
        )
        items = [_view(row) for row in rows[:limit]]
        return Page(items=items, next_cursor=encode_cursor(str(items[-1].seq)) if len(rows) > limit else None)


def _view(cells: Sequence[Any]) -> EventView:
    seq, source, name, at_us, model, product, project, user, supersedes, superseded, keys, texts, *meters = cells
    properties = dict(zip(keys, texts, strict=True))
    return EventView(
        seq=seq,
        source=source,
        id=name,
        kind=properties.pop("kind", "usage"),
        at_ns=at_us * 1000,
        model=model,
        product=product,
        project_id=project,
        end_user=user,
        supersedes=supersedes,
        superseded=superseded,
        meters={meter: count for meter, count in zip(METERS, meters, strict=True) if count},
        properties=properties,
    )
