"""A period's usage as a file, for quotes: rows of numbers and words, each an event.

    start = 2026-11-01T00:00:00Z
    end = 2026-12-01T00:00:00Z
    [[usage]]
    model = "smollm2-135m"
    input_tokens = 1_000_000

In a row, `at` is when it happened (else the period's start), `kind` what it was (else `usage`), `id` its name; every
other word is a dimension and every other number a value.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from mintage.base import MintageError, parse_decimal
from mintage.pricing.metric import Event, Span
from mintage.pricing.parse import Format, check_numbers, convert_data, parse_tree
from mintage.pricing.period.calendar import period_of, span_of
from mintage.pricing.words import Moment, Period, Slug

_PLACES: Final = 18
_HINT: Final = 'A row looks like { model = "m", input_tokens = 1000, output_tokens = 200, requests = 1 }.'


class PoolTotals(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of every creator together: money in the pool, and units."""

    amount: Decimal
    units: Decimal


class PeriodUsage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happened in a period, and what earlier periods left behind."""

    usage: Annotated[tuple[dict[str, object], ...], Meta(max_length=1_000_000)] = ()
    start: Moment | None = None
    end: Moment | None = None
    joined: Moment | None = None  # the plan began or ended within the period: fees are prorated
    left: Moment | None = None
    zone: Annotated[str, Meta(max_length=64)] = "UTC"
    first_period: bool = False  # fees that are due once are due now
    carried: dict[Slug, Decimal] = {}  # allowance charge -> units of earlier periods still usable
    committed_before: Decimal = Decimal(0)  # list-price usage of the term's earlier periods
    term_period: Annotated[int, Meta(ge=0, le=1200)] = 0
    pools: dict[Slug, PoolTotals] = {}  # pool charge -> totals over all creators

    def span(self, period: Period, at_ns: int) -> Span:
        """The stated period, or the calendar's one that holds the instant."""
        if self.start is not None and self.end is not None:
            if self.start >= self.end:
                raise MintageError("invalid_request", "end is not after start.", "Check the dates.", param="end")
            return Span(to_ns(self.start), to_ns(self.end))
        if self.start is not None or self.end is not None:
            raise MintageError("invalid_request", "start and end go together.", "Give both or neither.", param="start")
        day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_ns // 1000)).date()
        anchor = day - timedelta(days=day.weekday()) if period == "week" else date(day.year, 1, 1)
        _, first, after = period_of(day, anchor, period)
        return span_of(first, after, self.zone)

    def active(self, span: Span) -> Span:
        """The part of the period in which the plan was held."""
        start = span.start_ns if self.joined is None else max(span.start_ns, to_ns(self.joined))
        end = span.end_ns if self.left is None else min(span.end_ns, to_ns(self.left))
        if start >= end:
            raise MintageError("invalid_request", "left is not after joined.", "Check the dates.", param="left")
        return Span(start, end)

    def events(self, span: Span) -> list[Event]:
        """The rows as events. Raises MintageError("invalid_request") that names the row at fault."""
        return [_event(row, index, span) for index, row in enumerate(self.usage)]


def to_ns(moment: datetime) -> int:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000


def _refuse(index: int, name: str, problem: str) -> MintageError:
    return MintageError("invalid_request", f"usage[{index}].{name} {problem}.", _HINT, param=f"usage[{index}].{name}")


def _event(row: dict[str, object], index: int, span: Span) -> Event:
    values: dict[str, Decimal] = {}
    words: dict[str, str] = {}
    at_ns = span.start_ns
    for name, cell in row.items():
        if name == "at":
            at_ns = _instant(cell, index)
        elif isinstance(cell, bool) or not isinstance(cell, (int, Decimal, str)):
            raise _refuse(index, name, "is neither a number nor a word")
        elif isinstance(cell, str):
            words[name] = cell
        else:
            values[name] = parse_decimal(cell, places=_PLACES, param=f"usage[{index}].{name}")
    kind = words.pop("kind", "usage")
    return Event(at_ns=at_ns, values=values, dimensions=words, kind=kind, id=words.pop("id", f"{index:09d}"))


def _instant(cell: object, index: int) -> int:
    try:
        return to_ns(msgspec.convert(cell, Moment))
    except msgspec.ValidationError as error:
        raise _refuse(index, "at", "is no time with a time zone, such as 2026-11-01T12:00:00Z") from error


def load_usage(raw: bytes, form: Format = "toml") -> PeriodUsage:
    """The usage in raw, numbers exact. Raises MintageError("invalid_request") that names the field at fault."""
    usage = convert_data(parse_tree(raw, form), PeriodUsage, "The usage")
    check_numbers(msgspec.structs.replace(usage, usage=()))  # a row may take back: its numbers may be negative
    return usage
