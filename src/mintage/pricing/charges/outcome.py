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
_NEVER: Final = -(2**80)


class Outcome(ChargeFields, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="outcome"):
    """price_each x subjects with an outcome, less those reversed within the clawback window.

    Events of `outcome_kind` name their subject (a conversation, a ticket) in a dimension; a subject is charged
    once. An event of `reversal_kind` with the same subject, at most clawback_days later, takes it back: within
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
        new = earlier = 0
        for charged_ns, reversed_ns in self.settle(events):
            undone = reversed_ns is not None and span.holds(reversed_ns)
            if span.holds(charged_ns):
                new += not undone
            elif undone:
                earlier += 1
        price = Fraction(self.price_each)
        steps = []
        if new:
            steps.append(per_unit_step("outcomes", "成果", Fraction(new), price))
        if earlier:
            steps.append(per_unit_step("outcomes reversed later", "事后撤销的成果", Fraction(-earlier), price))
        return Fraction(new - earlier), steps

    def settle(self, events: Sequence[Event]) -> list[tuple[int, int | None]]:
        """(when it was charged, when that was taken back) for each charge; one taken back may be earned again."""
        window = self.clawback_days * _DAY_NS
        standing: dict[str, int] = {}
        settled: list[tuple[int, int | None]] = []
        for event in sorted(events, key=lambda event: (event.at_ns, event.id)):
            subject = event.dimensions.get(self.subject, "")
            if not subject:
                continue
            if event.kind == self.outcome_kind:
                standing.setdefault(subject, event.at_ns)
            elif event.kind == self.reversal_kind and event.at_ns <= standing.get(subject, _NEVER) + window:
                settled.append((standing.pop(subject), event.at_ns))
        return settled + [(charged_ns, None) for charged_ns in standing.values()]
