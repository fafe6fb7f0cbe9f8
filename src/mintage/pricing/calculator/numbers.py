"""Numbers of the calculator: text in, exact fractions, text out without trailing zeros."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

from mintage.pricing.period import round_places


def exact(value: Any) -> Fraction:
    """From text, an integer or a Decimal. A float is read as it prints."""
    return Fraction(str(value))


def text(value: Fraction | int) -> str:
    """Finite decimals in full, others to 28 digits."""
    found = Decimal(Fraction(value).numerator) / Decimal(Fraction(value).denominator)
    return format(found.normalize(), "f") if found else "0"


def whole(value: Fraction) -> str:
    """Rounded half up to an integer: minor units."""
    return text(round_places(value, 0))
