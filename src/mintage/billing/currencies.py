"""Rates between currencies, with dates: a rate holds from its day until the next. Exact text, never a float."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Final

import msgspec
import sqlalchemy as sa

from mintage.accounts import Changes
from mintage.base import NANOS_PER_UNIT, MintageError, check_currency, currency_exponent
from mintage.billing.tables_invoicing import currency_rates
from mintage.pricing.period import to_minor

OLD_DAYS: Final = 40  # a rate older than this is no rate of the day: refuse rather than guess


class CurrencyRate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One unit of base costs `rate` units of quote, from `day` on."""

    base: str
    quote: str
    day: str
    rate: str
    source: str = ""


class Currencies:
    """Blocking, for a thread."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def put(self, actor: str, rates: Sequence[CurrencyRate]) -> int:
        """Add or replace rates, all or none; returns how many were given."""
        clean = [_clean(rate, place) for place, rate in enumerate(rates)]
        if clean:
            with self._changes.change(actor, "currency.rates", "currency_rates", rows=len(clean)) as change:
                for rate in clean:
                    row = msgspec.structs.asdict(rate)
                    keys = [currency_rates.c[name] == row[name] for name in ("base", "quote", "day")]
                    change.connection.execute(currency_rates.delete().where(*keys))
                    change.connection.execute(currency_rates.insert().values(**row))
        return len(clean)

    def all(self, limit: int = 500) -> list[CurrencyRate]:
        """Newest day first."""
        select = sa.select(currency_rates).order_by(currency_rates.c.day.desc(), currency_rates.c.base).limit(limit)
        with self._changes.database.read() as connection:
            return [CurrencyRate(**row) for row in connection.execute(select).mappings()]

    def on(self, day: str, base: str, quote: str) -> CurrencyRate:
        """The rate of the day, turned around where only the other direction is known.

        Raises not_found when there is none, or only one that is older than OLD_DAYS.
        """
        if base == quote:
            return CurrencyRate(base=base, quote=quote, day=day, rate="1", source="same currency")
        found = self._latest(day, base, quote)
        if found is None and (other := self._latest(day, quote, base)) is not None:
            turned = Fraction(1) / Fraction(Decimal(other.rate))
            text = f"{Decimal(round(turned * 10**12)).scaleb(-12).normalize():f}"
            found = msgspec.structs.replace(other, base=base, quote=quote, rate=text)
        if found is None or (date.fromisoformat(day) - date.fromisoformat(found.day)).days > OLD_DAYS:
            raise MintageError(
                "not_found",
                f"There is no rate of {base} in {quote} for {day}.",
                f"Enter one: mintage currency set {base} {quote} RATE --day {day}.",
            )
        return found

    def _latest(self, day: str, base: str, quote: str) -> CurrencyRate | None:
        table = currency_rates.c
        select = sa.select(currency_rates).where(table.base == base, table.quote == quote, table.day <= day)
        with self._changes.database.read() as connection:
            row = connection.execute(select.order_by(table.day.desc()).limit(1)).mappings().one_or_none()
        return None if row is None else CurrencyRate(**row)


def convert_nanos(nanos: int, rate: CurrencyRate) -> int:
    """nanos of the base in the quote's minor units, half up, as nanos."""
    unit = int(10 ** (9 - currency_exponent(rate.quote)))
    return to_minor(Fraction(nanos, NANOS_PER_UNIT) * Fraction(Decimal(rate.rate)), rate.quote) * unit


def _clean(rate: CurrencyRate, place: int) -> CurrencyRate:
    try:
        value = Decimal(rate.rate)
        if not value.is_finite() or not Decimal("1e-9") <= value <= Decimal("1e9"):
            raise MintageError("invalid_request", f"{rate.rate[:40]} is no rate.", "Give a number above 0.")
        if check_currency(rate.base) == check_currency(rate.quote):
            raise MintageError("invalid_request", "Both currencies are the same.", "Name two.")
        return msgspec.structs.replace(rate, day=str(date.fromisoformat(rate.day)), rate=f"{value.normalize():f}")
    except (InvalidOperation, ValueError, MintageError) as error:
        raise MintageError(
            "invalid_request",
            f"rates[{place}]: {error}",
            'A rate looks like {"base": "EUR", "quote": "USD", "day": "2026-11-02", "rate": "1.0843"}.',
            param=f"rates[{place}]",
        ) from error
