"""Tiers: bounds, rates and flat amounts, shared by the graduated and the volume models."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mintage.pricing.rates import RateFields

#: A quantity of 5.001 over a bound of 5: it enters the next tier, or stays until a whole unit is over.
Fractions = Literal["enter_next", "stay"]


class Tier(RateFields, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Prices of the units above the previous tier's up_to. No up_to: without end."""

    up_to: Annotated[Decimal | None, Meta(description="Last quantity of the tier; none: no end.")] = None
    above: Annotated[
        Decimal | None, Meta(description="Stated start, checked against the previous up_to; may be left out.")
    ] = None
    flat: Annotated[Decimal, Meta(description="Amount for entering the tier.")] = Decimal(0)


class PercentTier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A share of the amounts above the previous tier's up_to."""

    percent: Annotated[Decimal, Meta(description="Of the amount within the tier.")]
    up_to: Annotated[Decimal | None, Meta(description="Last amount of the tier; none: no end.")] = None
    above: Annotated[
        Decimal | None, Meta(description="Stated start, checked against the previous up_to; may be left out.")
    ] = None
    flat: Annotated[Decimal, Meta(description="Amount for entering the tier.")] = Decimal(0)


AnyTier = Tier | PercentTier


class Flaw(msgspec.Struct, frozen=True):
    """Tiers that leave units without a price, or price them twice, from this quantity on."""

    kind: Literal["gap", "overlap"]
    tier: int
    at: Fraction


def find_flaws(tiers: Sequence[AnyTier]) -> list[Flaw]:
    """Where a stated start is not the previous end. A quantity of exactly the end belongs to the earlier tier."""
    flaws = []
    end = Fraction(0)
    for index, tier in enumerate(tiers):
        if tier.above is not None and tier.above != end:
            kind: Literal["gap", "overlap"] = "gap" if tier.above > end else "overlap"
            flaws.append(Flaw(kind, index, min(end, Fraction(tier.above))))
        if tier.up_to is not None:
            end = Fraction(tier.up_to)
    return flaws


def check_tiers(tiers: Sequence[AnyTier]) -> None:
    """Raise ValueError unless the bounds rise and only the last tier has none."""
    if not tiers:
        raise ValueError("tiers is empty")
    end = Decimal(0)
    for index, tier in enumerate(tiers):
        if tier.up_to is None:
            if index != len(tiers) - 1:
                raise ValueError(f"tier {index + 1} has no up_to, but more tiers follow")
        elif tier.up_to <= end:
            raise ValueError(f"tier {index + 1} ends at {tier.up_to}, at or below {end} where it starts")
        else:
            end = tier.up_to


def tier_index(tiers: Sequence[AnyTier], quantity: Fraction, fractions: Fractions) -> int | None:
    """The tier that a positive quantity lies in, or None past the last bound."""
    reached = quantity if fractions == "enter_next" else Fraction(quantity.numerator // quantity.denominator)
    for index, tier in enumerate(tiers):
        if tier.up_to is None or reached <= tier.up_to:
            return index
    return None


def tier_parts(tiers: Sequence[AnyTier], quantity: Fraction, last: int) -> list[Fraction]:
    """How much of the quantity lies in each tier up to `last`, which takes whatever is left."""
    parts, start = [], Fraction(0)
    for tier in tiers[:last]:
        end = Fraction(tier.up_to or 0)
        parts.append(end - start)
        start = end
    return [*parts, quantity - start]
