"""The comparison: their rows against ours, by request id where both have one, else by bucket of time and model."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, Literal

import msgspec

from mintage.base import MintageError, Usage
from mintage.pricing.costs import CostBook
from mintage.pricing.reconcile.records import BillRecord, meters_that_differ

Verdict = Literal["equal", "amount_differs", "usage_differs", "only_billed", "only_recorded"]
_DAY_NS: Final = 86_400 * 10**9
_ZERO: Final = Decimal(0)


class ReconciliationRow(msgspec.Struct, frozen=True, kw_only=True):
    """key: a request's id, or the bucket's start. Amounts in currency units; difference = billed - recorded."""

    key: str
    model: str
    verdict: Verdict
    billed_amount: Decimal
    recorded_amount: Decimal
    difference: Decimal
    notes: tuple[str, ...] = ()


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """problems: what could not be compared and why; nothing is left out in silence."""

    provider: str
    currency: str
    book: str
    rows: tuple[ReconciliationRow, ...]
    equal: int
    different: int
    billed: Decimal
    recorded: Decimal
    difference: Decimal
    problems: tuple[str, ...] = ()


class _Group(msgspec.Struct):
    """What one key adds up to."""

    usage: Usage = Usage()
    amount: Decimal = _ZERO
    stated: bool = False  # an amount was stated
    metered: bool = False  # tokens were counted
    rows: int = 0

    def add(self, record: BillRecord) -> None:
        self.usage += record.usage
        self.metered = self.metered or record.metered
        if record.amount is not None:
            self.amount += record.amount
            self.stated = True
        self.rows += 1


_Key = tuple[str, str]


class _Comparing:
    def __init__(self, provider: str, book: CostBook, tolerance: Decimal) -> None:
        self.provider, self.book, self.tolerance = provider, book, tolerance
        self.problems: dict[str, None] = {}

    def priced(self, record: BillRecord) -> BillRecord:
        """The record with an amount: the stated one, else the price book's for its usage."""
        if record.amount is not None or not record.metered:
            return record
        try:
            cost = self.book.cost(self.provider, record.model, record.usage, record.start_ns or 0)
        except MintageError as error:
            self.problems.setdefault(f"Row {record.row}: {error.message}")
            return record
        return msgspec.structs.replace(record, amount=_units(cost.attos))

    def row(self, key: _Key, theirs: _Group | None, ours: _Group | None) -> ReconciliationRow:
        billed, recorded = theirs.amount if theirs else _ZERO, ours.amount if ours else _ZERO
        verdict, notes = self._verdict(theirs, ours, billed - recorded)
        return ReconciliationRow(
            key=key[0],
            model=key[1],
            verdict=verdict,
            billed_amount=billed,
            recorded_amount=recorded,
            difference=billed - recorded,
            notes=tuple(notes),
        )

    def _verdict(self, theirs: _Group | None, ours: _Group | None, difference: Decimal) -> tuple[Verdict, list[str]]:
        if theirs is None or ours is None:
            return ("only_recorded" if theirs is None else "only_billed"), []
        notes = []
        if theirs.metered and ours.metered:
            notes += [
                f"{meter}: billed {getattr(theirs.usage, meter)}, recorded {getattr(ours.usage, meter)}"
                for meter in meters_that_differ(theirs.usage, ours.usage)
            ]
            billed, known = theirs.usage.requests, ours.usage.requests
            if billed and known and billed != known:
                notes.append(f"requests: billed {billed}, recorded {known}")
        if notes:
            return "usage_differs", notes
        if theirs.stated and ours.stated and abs(difference) > self.tolerance:
            return "amount_differs", ["same usage, another price"] if theirs.metered else []
        return "equal", notes


def _units(attos: int) -> Decimal:
    return Decimal(format(Decimal(attos).scaleb(-18).normalize(), "f")) if attos else _ZERO


def _iso(at_ns: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_ns // 1000)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _same_model(theirs: str, known: Sequence[str]) -> str:
    """Our name of their model: itself, else the longest of ours that theirs begins with (a dated snapshot)."""
    if theirs in known or not theirs:
        return theirs
    return max((name for name in known if name and theirs.startswith(f"{name}-")), key=len, default=theirs)


def _buckets(bill: Sequence[BillRecord]) -> list[tuple[int, int]]:
    """Their buckets of time, in order; a row without an end lasts its UTC day."""
    found = {(r.start_ns, r.end_ns or (r.start_ns // _DAY_NS + 1) * _DAY_NS) for r in bill if r.start_ns is not None}
    return sorted(found)


def reconcile_records(
    provider: str,
    bill: Sequence[BillRecord],
    recorded: Sequence[BillRecord],
    book: CostBook,
    *,
    tolerance: Decimal = _ZERO,
) -> Reconciliation:
    """tolerance: in currency units, what rounding on their side may explain; tokens are never tolerated."""
    comparing = _Comparing(provider, book, tolerance)
    known = sorted({record.model for record in recorded})
    by_request = all(record.request_id for record in bill) and any(record.request_id for record in recorded)
    theirs: dict[_Key, _Group] = {}
    ours: dict[_Key, _Group] = {}
    modelled = any(record.model for record in bill)
    buckets = [] if by_request else _buckets(bill)
    if not by_request and not buckets:
        raise MintageError(
            "invalid_request", "The bill has neither request ids nor times.", "Map a column: --column start=NAME."
        )
    for record in map(comparing.priced, bill):
        model = _same_model(record.model, known)
        place = record.request_id if by_request else _iso(record.start_ns or 0)
        theirs.setdefault((place, "" if by_request else model), _Group()).add(record)
    outside = 0
    for record in map(comparing.priced, recorded):
        place = record.request_id
        if not by_request:
            held = next((b for b in buckets if record.start_ns is not None and b[0] <= record.start_ns < b[1]), None)
            if held is None:
                outside += 1
                continue
            place = _iso(held[0])
        ours.setdefault((place, record.model if modelled and not by_request else ""), _Group()).add(record)
    if outside:
        comparing.problems[f"{outside} recorded requests lie outside the bill's times."] = None
    currencies = {record.currency for record in (*bill, *recorded) if record.currency} or {"USD"}
    if len(currencies) > 1:
        raise MintageError("invalid_request", f"Currencies are mixed: {sorted(currencies)}.", "Bill one at a time.")
    rows = tuple(comparing.row(key, theirs.get(key), ours.get(key)) for key in sorted(theirs.keys() | ours.keys()))
    billed = sum((row.billed_amount for row in rows), _ZERO)
    total = sum((row.recorded_amount for row in rows), _ZERO)
    return Reconciliation(
        provider=provider,
        currency=currencies.pop(),
        book=book.id,
        rows=rows,
        equal=sum(row.verdict == "equal" for row in rows),
        different=sum(row.verdict != "equal" for row in rows),
        billed=billed,
        recorded=total,
        difference=billed - total,
        problems=tuple(comparing.problems),
    )
