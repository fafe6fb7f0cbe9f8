"""What a customer used in a stretch of time, as pricing's events: the ledger's rollup, and what was reported.

Requests come from the rollup: by quarter of an hour a sum of each meter, which is all that sums and counts need.
Charges that look at single requests (a maximum, unique users, other dimensions) get them from the lake one by one.
Reported events come from the lake too: their properties are dimensions and, where they are numbers, values; the
property `kind` says what happened. An event that another supersedes is not counted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeVar

import msgspec

from mintage.base import METERS, MintageError
from mintage.books import CLOSING, Ledger, UsageLine
from mintage.pricing import Event, Plan
from mintage.pricing.charges import Allowance, ChargeFields, QuantityCharge, Seats
from mintage.pricing.live import meters_of

#: Rows of one SELECT over the lake's table `usage`, everything durable read first. Raises MintageError.
LakeQuery = Callable[[str, Sequence[object]], Awaitable[Sequence[Sequence[Any]]]]

Charge = TypeVar("Charge", bound=ChargeFields)

PAGE: Final = 50_000  # events of one question
EVENTS_MAX: Final = 20_000_000  # of one customer and period
_ROLLED: Final = frozenset(("model", "product"))  # dimensions that the rollup keeps
_DIMENSIONS: Final = ("model", "product", "project_id", "key_id", "end_user", "operation")
_HISTORY: Final = frozenset(("seats", "reservation", "licence", "outcome"))


def counts_single_requests(charge: ChargeFields) -> bool:
    """Whether a charge needs each request by itself rather than sums."""
    if isinstance(charge, Seats):
        return charge.counted == "active"
    metric = getattr(charge, "metric", None)
    if metric is None or metric.kind != "usage":
        return False
    if (set(charge.where) | set(charge.group_by)) - _ROLLED:
        return True
    if not isinstance(charge, QuantityCharge):
        return True
    cells = {name for cell in getattr(charge, "cells", ()) for name in cell.cell} - _ROLLED
    return bool(cells) or metric.aggregate not in ("sum", "count") or not meters_of(charge)


def countable(charge: Charge) -> Charge:
    """The charge as it counts sums: a count of requests is the sum of `requests`."""
    if isinstance(charge, QuantityCharge) and charge.metric.kind == "usage" and charge.metric.aggregate == "count":
        metric = msgspec.structs.replace(charge.metric, aggregate="sum", values=("requests",))
        return msgspec.structs.replace(charge, metric=metric)
    return charge


def looks_back(plan: Plan) -> bool:
    """Whether events of earlier periods count: seats that are still taken, outcomes that may be reversed."""
    return any(
        type(charge).__struct_config__.tag in _HISTORY
        or getattr(getattr(charge, "metric", None), "aggregate", "") == "weighted_sum"
        for charge in plan.charges
    )


def wants_events(plan: Plan) -> bool:
    """Whether the plan's charges count anything but sums of requests."""
    return any(
        counts_single_requests(charge) or not isinstance(charge, QuantityCharge) or charge.metric.kind != "usage"
        for charge in plan.charges
    )


def carries(plan: Plan) -> list[Allowance]:
    """The allowances whose unused units go on to later periods."""
    return [charge for charge in plan.charges if isinstance(charge, Allowance) and charge.rollover_periods]


def rolled_events(rows: Sequence[UsageLine], at_ns: int) -> list[Event]:
    """Sums of meters by model and product as events. Lines that are no meter count nothing."""
    sums: dict[tuple[str, str], dict[str, int]] = {}
    for row in rows:
        if row.meter in METERS:
            values = sums.setdefault((row.model, row.product), {})
            values[row.meter] = values.get(row.meter, 0) + row.quantity
    return [
        Event(at_ns=at_ns, values=values, dimensions={"model": model, "product": product}, id=f"{model}\n{product}")
        for (model, product), values in sorted(sums.items())
    ]


def usage_rows(ledger: Ledger, tenant_id: str, start_ns: int, end_ns: int) -> list[UsageLine]:
    return ledger.usage_lines(tenant_id, start_ns, end_ns)


def reported_event(
    seq: int, at_ns: int, values: Mapping[str, int], dimensions: Mapping[str, str], properties: Mapping[str, str]
) -> Event:
    """A usage event as pricing counts it. A property that reads as a number is a value as well as a dimension."""
    numbers: dict[str, int | Decimal] = {name: value for name, value in values.items() if value}
    for name, text in properties.items():
        number = _number(text)
        if number is not None:
            numbers.setdefault(name, number)
    words = {**{name: value for name, value in dimensions.items() if value}, **properties}
    kind = words.pop("kind", "usage")
    if user := dimensions.get("end_user"):
        words.setdefault("user", user)
    return Event(at_ns=at_ns, values=numbers, dimensions=words, kind=kind, id=f"{seq:020d}")


def _number(text: str) -> Decimal | None:
    """Plain decimals of at most 18 places; no exponents, infinities or blanks."""
    if not text or len(text) > 40 or not set(text) <= set("0123456789.-"):
        return None
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    exponent = found.as_tuple().exponent
    return found if isinstance(exponent, int) and exponent >= -18 else None


class EventReader:
    """Events of one customer from the lake, in order, at a watermark."""

    def __init__(self, query: LakeQuery) -> None:
        self._query = query

    async def reported(
        self, tenant_id: str, start_ns: int, end_ns: int, watermark: int, closings: Sequence[tuple[int, int]]
    ) -> list[Event]:
        """Reported events that count in [start, end). What came after a period was closed counts at its end."""
        found = await self._page(
            "tenant_id = ? AND kind = 'event' AND NOT EXISTS (SELECT 1 FROM usage AS later WHERE "
            "later.kind = 'event' AND later.tenant_id = usage.tenant_id AND later.source = usage.source "
            "AND later.supersedes = usage.event_id AND later.seq <= ?)",
            [tenant_id, watermark],
            start_ns,
            watermark,
            closings,
        )
        return _within(found, start_ns, end_ns, closings)

    async def requests(
        self, tenant_id: str, start_ns: int, end_ns: int, watermark: int, closings: Sequence[tuple[int, int]]
    ) -> list[Event]:
        """Single requests that were charged in [start, end)."""
        found = await self._page(
            f"tenant_id = ? AND kind = 'request' AND NOT replay AND outcome <> 'failed' AND operation <> '{CLOSING}'",
            [tenant_id],
            start_ns,
            watermark,
            closings,
        )
        return _within(found, start_ns, end_ns, closings)

    async def _page(
        self,
        where: str,
        values: Sequence[object],
        start_ns: int,
        watermark: int,
        closings: Sequence[tuple[int, int]],
    ) -> list[Sequence[Any]]:
        """Rows that occurred since start_ns, or came after what was closed before it."""
        closed_seq = max((seq for until_ns, seq in closings if until_ns <= start_ns), default=0)
        names = ", ".join((*_DIMENSIONS, *METERS))
        sql = (
            f"SELECT seq, epoch_us(occurred), {names}, CAST(to_json(properties) AS VARCHAR) FROM usage "  # noqa: S608
            f"WHERE {where} AND (occurred >= make_timestamp(?::BIGINT) OR seq > ?) AND seq > ? AND seq <= ? "
            f"ORDER BY seq LIMIT {PAGE}"
        )
        rows: list[Sequence[Any]] = []
        after = 0
        while True:
            page = await self._query(sql, [*values, start_ns // 1000, closed_seq, after, watermark])
            rows.extend(page)
            if len(page) < PAGE:
                return rows
            if len(rows) >= EVENTS_MAX:
                raise MintageError("payload_too_large", f"More than {EVENTS_MAX:,} events.", "Use shorter periods.")
            after = int(page[-1][0])


def _event_of(row: Sequence[Any]) -> Event:
    seq, at_us, *rest = row
    words = dict(zip(_DIMENSIONS, rest, strict=False))
    meters = dict(zip(METERS, map(int, rest[len(_DIMENSIONS) : -1]), strict=True))
    properties: dict[str, str] = msgspec.json.decode(rest[-1] or "{}", type=dict[str, str])
    return reported_event(int(seq), int(at_us) * 1000, meters, words, properties)


def _within(
    rows: Sequence[Sequence[Any]], start_ns: int, end_ns: int, closings: Sequence[tuple[int, int]]
) -> list[Event]:
    events = []
    for row in rows:
        event = _event_of(row)
        at_ns = _moved(event.at_ns, int(row[0]), closings)
        if start_ns <= at_ns < end_ns:
            events.append(msgspec.structs.replace(event, at_ns=at_ns))
    return events


def _moved(at_ns: int, seq: int, closings: Sequence[tuple[int, int]]) -> int:
    for until_ns, closed_seq in closings:
        if seq > closed_seq:
            at_ns = max(at_ns, until_ns)
    return at_ns
