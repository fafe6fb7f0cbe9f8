"""Charges on what lasts: seats, reserved throughput, licences with maintenance."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, ClassVar, Final, Literal

from msgspec import Meta

from mintage.pricing.charges.base import ONE_HUNDRED, ChargeFields, State, Step, per_unit_step
from mintage.pricing.charges.levels import average, peak, taken
from mintage.pricing.metric import Event, Span

_HOUR_NS: Final = 3_600_000_000_000
_YEAR_NS: Final = 365 * 24 * _HOUR_NS
_INTERVAL: Final[frozenset[State]] = frozenset({"interval"})


class Seats(ChargeFields, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="seats"):
    """price_each x seats. Events of kind `seat` change the number of `seats`; active counts users instead."""

    states: ClassVar[frozenset[State]] = _INTERVAL

    price_each: Annotated[Decimal, Meta(description="Price of a seat and period.")]
    counted: Annotated[
        Literal["peak", "prorated", "active"],
        Meta(description="Most seats at once; seats by the time they were taken; or users seen in usage events."),
    ] = "prorated"
    user: Annotated[str, Meta(max_length=64, description="With active: the dimension that names a user.")] = "user"
    included: Annotated[Decimal, Meta(description="Seats that cost nothing.")] = Decimal(0)
    minimum_seats: Annotated[Decimal, Meta(description="Least number of seats that is charged.")] = Decimal(0)

    def price(self, events: Sequence[Event], span: Span) -> tuple[Fraction, list[Step]]:
        seats = self._count(events, span)
        charged = max(seats, Fraction(self.minimum_seats)) - Fraction(self.included)
        if charged <= 0:
            return seats, []
        return seats, [per_unit_step("seats", "席位", charged, Fraction(self.price_each))]

    def _count(self, events: Sequence[Event], span: Span) -> Fraction:
        if self.counted == "active":
            seen = (e.dimensions.get(self.user, "") for e in events if e.kind == "usage" and span.holds(e.at_ns))
            return Fraction(len(set(seen) - {""}))
        measure = peak if self.counted == "peak" else average
        return measure(events, "seat", "seats", span)


class Reservation(
    ChargeFields, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="reservation"
):
    """price_per_hour x reserved units x hours, used or not. Events of kind `reservation` change `units`."""

    states: ClassVar[frozenset[State]] = _INTERVAL

    price_per_hour: Annotated[Decimal, Meta(description="Price of a unit and hour.")]
    minimum_units: Annotated[Decimal, Meta(description="Least units that are charged at any time.")] = Decimal(0)

    def price(self, events: Sequence[Event], span: Span) -> tuple[Fraction, list[Step]]:
        units = max(average(events, "reservation", "units", span), Fraction(self.minimum_units))
        hours = units * span.length_ns / _HOUR_NS
        if not hours:
            return hours, []
        return hours, [per_unit_step("unit-hours reserved", "预留单元小时", hours, Fraction(self.price_per_hour))]


class Licence(ChargeFields, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="licence"):
    """price_each once for each licence taken, then maintenance by the time it is in force.

    Events of kind `licence` change `licences`. A year of maintenance has 365 days.
    """

    states: ClassVar[frozenset[State]] = _INTERVAL

    price_each: Annotated[Decimal, Meta(description="Price of a licence, paid once.")]
    maintenance_percent: Annotated[Decimal, Meta(description="Of the price, a year.")] = Decimal(0)

    def price(self, events: Sequence[Event], span: Span) -> tuple[Fraction, list[Step]]:
        bought = taken(events, "licence", "licences", span)
        years = average(events, "licence", "licences", span) * span.length_ns / _YEAR_NS
        steps = []
        if bought:
            steps.append(per_unit_step("licences", "授权", bought, Fraction(self.price_each)))
        yearly = Fraction(self.price_each) * Fraction(self.maintenance_percent) / ONE_HUNDRED
        if years and yearly:
            steps.append(per_unit_step("licence-years of maintenance", "维保（授权·年）", years, yearly))
        return bought, steps
