"""What a tax comes to: once per rate and invoice, half up to the minor unit, then shared over the lines exactly."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

import msgspec

from mintage.base import NANOS_PER_UNIT, currency_exponent
from mintage.billing.tax.decide import TaxBasis
from mintage.pricing.period import to_minor
from mintage.pricing.period.rounding import largest_remainder


class TaxLine(msgspec.Struct, frozen=True, kw_only=True):
    """One rate on everything that it taxes; nanos are whole minor units."""

    name: str
    percent: str
    base_nanos: int
    tax_nanos: int


def apply_tax(amounts: Sequence[int], basis: TaxBasis, currency: str) -> tuple[list[TaxLine], list[int]]:
    """(one TaxLine per rate, the tax of each line in nanos). amounts: the rounded lines, in nanos.

    inclusive: the amounts contain the tax, which is taken out of them: total x rate / (100 + all rates).
    The lines' taxes add up to the rates' taxes, to the minor unit.
    """
    total = sum(amounts)
    percents = [Fraction(Decimal(rate.percent)) for rate in basis.rates]
    every = sum(percents, Fraction(0))
    over = 100 + every if basis.inclusive else Fraction(100)
    unit = 10 ** (9 - currency_exponent(currency))
    taxes = [to_minor(Fraction(total, NANOS_PER_UNIT) * percent / over, currency) * unit for percent in percents]
    base = total - sum(taxes) if basis.inclusive else total
    lines = [
        TaxLine(name=rate.name, percent=rate.percent, base_nanos=base, tax_nanos=tax)
        for rate, tax in zip(basis.rates, taxes, strict=True)
    ]
    return lines, _shared(sum(taxes) // unit, amounts, unit)


def _shared(tax_minor: int, amounts: Sequence[int], unit: int) -> list[int]:
    """By largest remainder over the lines' sizes. Lines of both signs share what each side alone would not carry."""
    if not tax_minor:
        return [0] * len(amounts)
    sign = 1 if tax_minor > 0 else -1
    weights = [Fraction(max(amount * sign, 0)) for amount in amounts]
    return [share * sign * unit for share in largest_remainder(abs(tax_minor), weights)]
