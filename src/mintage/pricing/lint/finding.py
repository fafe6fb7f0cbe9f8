"""What the linter says: where, what, and from which usage on."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Literal

import msgspec

Code = Literal[
    "gap",
    "overlap",
    "bounded",
    "volume_cliff",
    "context_cliff",
    "below_cost",
    "unpriceable",
    "shadowed",
    "rises_after_hold",
    "no_credit",
]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """path: the field at fault. at: the quantity from which on it bites, counted in `unit`; None: always.

    An error is a plan that refuses or misprices usage; a warning is one that may surprise.
    """

    code: Code
    severity: Literal["error", "warning"]
    path: str
    en: str
    zh: str
    at: Decimal | None = None
    unit: str = ""


def quantity(value: Fraction) -> Decimal:
    """Exact if it has finite decimals, else to 28 digits."""
    return (Decimal(value.numerator) / Decimal(value.denominator)).normalize()


def money(value: Fraction) -> str:
    return format((Decimal(value.numerator) / Decimal(value.denominator)).normalize(), "f")


def first_integer_above(value: Fraction) -> Fraction:
    return Fraction(value.numerator // value.denominator + 1)
