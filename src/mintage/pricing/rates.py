"""A rate: an exact price of so many units of a meter. `per_million = "0.60"` is 600 billion attos a token."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from mintage.base import ATTOS_PER_UNIT

#: How many units of the meter each way of writing a rate pays for. A meter of time counts milliseconds.
UNITS: Final[dict[str, int]] = {
    "per_unit": 1,
    "per_thousand": 1_000,
    "per_million": 1_000_000,
    "per_second": 1_000,
    "per_minute": 60_000,
    "per_hour": 3_600_000,
}
TIME_WORDS: Final = frozenset({"per_second", "per_minute", "per_hour"})


class RateFields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """At most one of the fields is set, in currency units, at most 12 decimal places."""

    per_unit: Annotated[Decimal | None, Meta(description="Price of one unit: a token, a request, an image.")] = None
    per_thousand: Annotated[Decimal | None, Meta(description="Price of 1,000 units.")] = None
    per_million: Annotated[Decimal | None, Meta(description="Price of 1,000,000 units, as for tokens.")] = None
    per_second: Annotated[Decimal | None, Meta(description="Price of a second, on meters of time.")] = None
    per_minute: Annotated[Decimal | None, Meta(description="Price of a minute, on meters of time.")] = None
    per_hour: Annotated[Decimal | None, Meta(description="Price of an hour, on meters of time.")] = None

    def __post_init__(self) -> None:
        if sum(getattr(self, word) is not None for word in UNITS) > 1:
            raise ValueError(f"A rate has exactly one of {', '.join(UNITS)}")

    @property
    def word(self) -> str:
        """How the rate is written, e.g. "per_million"; "" if there is none."""
        return next((word for word in UNITS if getattr(self, word) is not None), "")

    @property
    def amount(self) -> Decimal:
        """The number as written, in currency units for UNITS[word] units."""
        value: Decimal = getattr(self, self.word) if self.word else Decimal(0)
        return value

    @property
    def exact(self) -> Fraction:
        """Currency units for one unit of the meter. An hour has 3,600,000 ms, so no finite decimal would do."""
        return Fraction(self.amount) / UNITS[self.word] if self.word else Fraction(0)


class Rate(RateFields, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Exactly one of the fields is set, in currency units, at most 12 decimal places."""

    def __post_init__(self) -> None:
        if sum(getattr(self, word) is not None for word in UNITS) != 1:
            raise ValueError(f"A rate has exactly one of {', '.join(UNITS)}")


def round_half_up(value: Fraction) -> int:
    """The nearest integer, halves away from zero: the one rounding rule of this room."""
    numerator, denominator = value.numerator, value.denominator
    if numerator < 0:
        return -((-2 * numerator + denominator) // (2 * denominator))
    return (2 * numerator + denominator) // (2 * denominator)


def to_attos(units: Fraction) -> int:
    """Currency units as attos; what is below 1e-18 is rounded half up."""
    return round_half_up(units * ATTOS_PER_UNIT)
