"""From events to a quantity: what a charge counts, over which events, and in which unit.

An event has numbers (input_tokens, seats, an order's amount) and dimensions (model, region, conversation). A usage
of one request is an event. Aggregations: count, sum, max, unique, latest, weighted sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from mintage.base import MintageError, Usage
from mintage.pricing.match import dimensions_match
from mintage.pricing.rates import round_half_up
from mintage.pricing.words import Conditions, Slug

Aggregate = Literal["sum", "count", "max", "unique", "latest", "weighted_sum"]
Rounding = Literal["none", "up", "down", "half_up"]
Number = int | Decimal

#: Names for sums of usage meters, so that a plan need not list the classes of tokens.
ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "prompt_tokens": ("input_tokens", "cached_read_tokens", "cache_write_tokens"),
    "completion_tokens": ("output_tokens", "reasoning_tokens"),
    "total_tokens": ("input_tokens", "cached_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"),
}


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened once. kind: "usage" for a request; others are the operator's own names."""

    at_ns: int
    values: Mapping[str, Number] = {}
    dimensions: Mapping[str, str] = {}
    kind: str = "usage"
    id: str = ""

    def value(self, name: str) -> Fraction:
        """0 for a number that the event does not carry; an alias is the sum of its meters unless the event has it."""
        found = self.values.get(name)
        if found is None:
            found = sum(self.values.get(meter, 0) for meter in ALIASES.get(name, ()))
        return Fraction(found)


class Span(msgspec.Struct, frozen=True):
    """From start up to but not including end, in nanoseconds of the epoch."""

    start_ns: int
    end_ns: int

    def __post_init__(self) -> None:
        if self.start_ns >= self.end_ns:
            raise ValueError("a span ends after it starts")

    @property
    def length_ns(self) -> int:
        return self.end_ns - self.start_ns

    def holds(self, at_ns: int) -> bool:
        return self.start_ns <= at_ns < self.end_ns


class Metric(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is counted, and how many of the charge's units that is.

    quantity = round((aggregate of sum(weight x value)) x multiply_by / divide_by) - free_units, at least 0.
    """

    values: Annotated[
        tuple[Slug, ...],
        Meta(max_length=16, description="Numbers of an event that are added up, e.g. input_tokens and output_tokens."),
    ] = ()
    weights: Annotated[
        dict[Slug, Decimal], Meta(description="Units that one of a value counts for, e.g. credits a token; else 1.")
    ] = msgspec.field(default_factory=dict)
    kind: Annotated[str, Meta(max_length=64, description="Only events of this kind.")] = "usage"
    aggregate: Annotated[
        Aggregate,
        Meta(
            description="sum, count, max or latest of the events; unique counts the values of one dimension; "
            "weighted_sum adds changes, each for the part of the period that it lasted."
        ),
    ] = "sum"
    unique_by: Annotated[str, Meta(max_length=64, description="With unique: the dimension whose values count.")] = ""
    multiply_by: Annotated[Decimal, Meta(description="Charged units for one counted unit.")] = Decimal(1)
    divide_by: Annotated[Decimal, Meta(description="Counted units for one charged unit.")] = Decimal(1)
    round: Annotated[Rounding, Meta(description="Rounding of the quantity to whole units.")] = "none"
    free_units: Annotated[Decimal, Meta(description="Units of each period that cost nothing.")] = Decimal(0)

    def __post_init__(self) -> None:
        if (self.aggregate == "unique") != bool(self.unique_by):
            raise ValueError("unique_by goes with aggregate = unique, and only with it")
        if self.aggregate in ("count", "unique") and (self.values or self.weights):
            raise ValueError(f"aggregate = {self.aggregate} counts events; it takes no values")
        if self.aggregate not in ("count", "unique") and not self.values:
            raise ValueError("values names the numbers that are counted, e.g. input_tokens")
        if unknown := sorted(self.weights.keys() - set(self.values)):
            raise ValueError(f"weights names {unknown[0]}, which values does not")
        if not self.divide_by:
            raise ValueError("divide_by is 0")

    def of(self, event: Event) -> Fraction:
        """What one event counts, before conversion."""
        if self.aggregate in ("count", "unique"):
            return Fraction(1)
        return sum((Fraction(self.weights.get(name, 1)) * event.value(name) for name in self.values), Fraction(0))

    def convert(self, counted: Fraction) -> Fraction:
        """Charged units of a counted total."""
        units = counted * Fraction(self.multiply_by) / Fraction(self.divide_by)
        if self.round != "none":
            units = Fraction(round_units(units, self.round))
        return max(units - Fraction(self.free_units), Fraction(0))


def round_units(value: Fraction, how: Rounding) -> int | Fraction:
    """Whole units; half_up is away from zero."""
    if how == "up":
        return -(-value.numerator // value.denominator)
    if how == "down":
        return value.numerator // value.denominator
    return round_half_up(value) if how == "half_up" else value


def count(metric: Metric, events: Sequence[Event], span: Span) -> Fraction:
    """The aggregate of events, before conversion. The order of events does not matter.

    weighted_sum takes changes from before the span as lasting all of it; every other aggregate takes the events
    of the span alone. Raises MintageError("invalid_request") for a negative total: it would pay the customer.
    """
    counted = [event for event in events if event.kind == metric.kind]
    if metric.aggregate != "weighted_sum":
        counted = [event for event in counted if span.holds(event.at_ns)]
    total = _aggregate(metric, counted, span)
    if total < 0:
        raise MintageError(
            "invalid_request",
            f"The {metric.aggregate} of {', '.join(metric.values)} is negative.",
            "Send a correcting event; a period's quantity is at least 0.",
        )
    return total


def _aggregate(metric: Metric, events: Sequence[Event], span: Span) -> Fraction:
    if metric.aggregate == "unique":
        return Fraction(len({value for event in events if (value := event.dimensions.get(metric.unique_by))}))
    if metric.aggregate == "max":
        return max((metric.of(event) for event in events), default=Fraction(0))
    if metric.aggregate == "latest":
        last = max(events, key=lambda event: (event.at_ns, event.id), default=None)
        return Fraction(0) if last is None else metric.of(last)
    if metric.aggregate == "weighted_sum":
        weighted = (metric.of(event) * _lasting(event.at_ns, span) for event in events)
        return sum(weighted, Fraction(0)) / span.length_ns
    return sum((metric.of(event) for event in events), Fraction(0))


def _lasting(at_ns: int, span: Span) -> int:
    """Nanoseconds of the span that a change made then lasted."""
    return min(max(span.end_ns - at_ns, 0), span.length_ns)


def usage_event(
    usage: Usage, *, model: str, at_ns: int, dimensions: Mapping[str, str] | None = None, event_id: str = ""
) -> Event:
    """One request's usage as an event."""
    return Event(at_ns=at_ns, values=usage.meters(), dimensions={**(dimensions or {}), "model": model}, id=event_id)


def group_events(events: Iterable[Event], where: Conditions, by: Sequence[str]) -> dict[tuple[str, ...], list[Event]]:
    """The events that a condition holds for, by the values of some dimensions ("" where an event lacks one)."""
    groups: dict[tuple[str, ...], list[Event]] = {}
    for event in events:
        if dimensions_match(where, event.dimensions):
            groups.setdefault(tuple(event.dimensions.get(name, "") for name in by), []).append(event)
    return groups
