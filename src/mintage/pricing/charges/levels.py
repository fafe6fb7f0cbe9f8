"""Levels that last: seats taken, throughput reserved, licences in force. Events carry changes, up or down."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from mintage.base import MintageError
from mintage.pricing.metric import Event, Span


def _changes(events: Sequence[Event], kind: str, value: str) -> list[tuple[int, Fraction]]:
    mine = (event for event in events if event.kind == kind)
    return [(event.at_ns, event.value(value)) for event in sorted(mine, key=lambda event: (event.at_ns, event.id))]


def level_at(events: Sequence[Event], kind: str, value: str, at_ns: int) -> Fraction:
    """The level just before an instant."""
    return sum((change for when, change in _changes(events, kind, value) if when < at_ns), Fraction(0))


def intervals(events: Sequence[Event], kind: str, value: str, span: Span) -> list[tuple[Fraction, int]]:
    """(level, nanoseconds that it lasted) through the span, zero lengths left out.

    Raises MintageError("invalid_request") if the level falls below 0: more was given back than was taken.
    """
    level = level_at(events, kind, value, span.start_ns)
    found: list[tuple[Fraction, int]] = []
    since = span.start_ns
    for when, change in [(w, c) for w, c in _changes(events, kind, value) if span.holds(w)] + [
        (span.end_ns, Fraction(0))
    ]:
        if when > since:
            if level < 0:
                raise MintageError(
                    "invalid_request", f"{value} falls below 0 at {since} ns.", "Correct the events that give back."
                )
            found.append((level, when - since))
            since = when
        level += change
    return found


def peak(events: Sequence[Event], kind: str, value: str, span: Span) -> Fraction:
    return max((level for level, _ in intervals(events, kind, value, span)), default=Fraction(0))


def average(events: Sequence[Event], kind: str, value: str, span: Span) -> Fraction:
    """The level weighted by how long it lasted."""
    return sum((level * lasted for level, lasted in intervals(events, kind, value, span)), Fraction(0)) / span.length_ns


def taken(events: Sequence[Event], kind: str, value: str, span: Span) -> Fraction:
    """What was added within the span."""
    changes = _changes(events, kind, value)
    return sum((change for when, change in changes if span.holds(when) and change > 0), Fraction(0))
