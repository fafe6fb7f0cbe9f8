"""Pay for results (按效果付费): an outcome is charged once per subject and taken back if it did not last."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, ClassVar, Final

from msgspec import Meta

from mintage.pricing.charges.base import ChargeFields, State, Step, per_unit_step
from mintage.pricing.metric import Event, Span

_DAY_NS: Final = 86_400_000_000_000


class Outcome(ChargeFields, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="outcome"):
    """price_each x subjects with an outcome, less those reversed within the clawback window.

    Events of `outcome_kind` name their subject (a conversation, a ticket) in a dimension; the first one of a subject
    counts. An event of `reversal_kind` with the same subject, at most clawback_days later, takes it back: within
    the same period the outcome is not charged; in a later period it is credited there, so closed periods stand.
    """

    states: ClassVar[frozenset[State]] = frozenset({"path"})

    price_each: Annotated[Decimal, Meta(description="Price of an outcome.")]
    outcome_kind: Annotated[str, Meta(max_length=64, description="Kind of the events that are results.")] = "outcome"
    reversal_kind: Annotated[str, Meta(max_length=64, description="Kind of the events that undo one.")] = "reversal"
    subject: Annotated[str, Meta(max_length=64, description="Dimension that names what was resolved.")] = "conversation"
    clawback_days: Annotated[int, Meta(ge=0, le=3660, description="Days in which a reversal takes it back.")] = 0

    def price(self, events: Sequence[Event], span: Span) -> tuple[Fraction, list[Step]]:
        """events: of the span, and of the clawback window before it."""
        charged, reversed_ = self.settle(events)
        new = sum(span.holds(at) for at in charged.values())
        same = sum(span.holds(charged[subject]) for subject, at in reversed_.items() if span.holds(at))
        earlier = sum(charged[subject] < span.start_ns for subject, at in reversed_.items() if span.holds(at))
        price = Fraction(self.price_each)
        steps = []
        if new - same:
            steps.append(per_unit_step("outcomes", "成果", Fraction(new - same), price))
        if earlier:
            steps.append(per_unit_step("outcomes reversed later", "事后撤销的成果", Fraction(-earlier), price))
        return Fraction(new - same - earlier), steps

    def settle(self, events: Sequence[Event]) -> tuple[dict[str, int], dict[str, int]]:
        """(subject -> when it was charged, subject -> when that was taken back)."""
        charged: dict[str, int] = {}
        reversed_: dict[str, int] = {}
        window = self.clawback_days * _DAY_NS
        for event in sorted(events, key=lambda event: (event.at_ns, event.id)):
            subject = event.dimensions.get(self.subject, "")
            if not subject:
                continue
            if event.kind == self.outcome_kind:
                charged.setdefault(subject, event.at_ns)
            elif event.kind == self.reversal_kind and event.at_ns <= charged.get(subject, -window) + window:
                reversed_.setdefault(subject, event.at_ns)
        return charged, reversed_
