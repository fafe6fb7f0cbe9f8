"""Tax rates with dates: a row holds from its first day until the next row of the same place and name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from mintage.accounts import Changes, check_country, check_name
from mintage.base import MintageError
from mintage.billing.tables_invoicing import tax_rates
from mintage.billing.tax.decide import TaxRate

ROWS_MAX: Final = 20_000


class RateRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """percent is text, such as "19" or "8.875"; "0" ends a rate. region is empty for a whole country's rate."""

    country: str
    region: str = ""
    name: str = "VAT"
    percent: str
    from_day: str
    source: str = ""


class TaxTable:
    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def put(self, actor: str, rows: Sequence[RateRow]) -> int:
        """Add or replace rows by (country, region, name, from_day), all or none; returns how many changed."""
        clean = [_clean(row, place) for place, row in enumerate(rows)]
        known = {_key(row): row for row in self.all()}
        changed = [row for row in clean if known.get(_key(row)) != row]
        if len(known.keys() | {_key(row) for row in clean}) > ROWS_MAX:
            raise MintageError("invalid_request", f"A table holds at most {ROWS_MAX} rates.", "Remove old ones.")
        if changed:
            with self._changes.change(actor, "tax.rates", "tax_rates", rows=len(changed)) as change:
                for row in changed:
                    keys = [tax_rates.c[name] == value for name, value in zip(_KEYS, _key(row), strict=True)]
                    change.connection.execute(tax_rates.delete().where(*keys))
                    change.connection.execute(tax_rates.insert().values(**msgspec.structs.asdict(row)))
        return len(changed)

    def all(self, country: str | None = None) -> list[RateRow]:
        """In the order of place, name and day."""
        select = sa.select(tax_rates).order_by(*(tax_rates.c[name] for name in _KEYS)).limit(ROWS_MAX)
        if country is not None:
            select = select.where(tax_rates.c.country == country)
        with self._changes.database.read() as connection:
            rows: list[dict[str, Any]] = [dict(row) for row in connection.execute(select).mappings()]
        return [RateRow(**row) for row in rows]

    def on(self, day: str, country: str, region: str) -> list[TaxRate]:
        """Rates in force: the country's own first, then the region's. A rate of 0 is none."""
        latest: dict[tuple[str, str], RateRow] = {}
        for row in self.all(country):
            if row.region in ("", region) and row.from_day <= day:
                latest[row.region, row.name] = row
        return [TaxRate(name=row.name, percent=row.percent) for row in latest.values() if Decimal(row.percent)]


_KEYS: Final = ("country", "region", "name", "from_day")


def _key(row: RateRow) -> tuple[str, str, str, str]:
    return (row.country, row.region, row.name, row.from_day)


def _clean(row: RateRow, place: int) -> RateRow:
    try:
        percent = Decimal(row.percent)
        if not percent.is_finite() or not 0 <= percent <= 100 or int(percent.as_tuple().exponent) < -6:
            raise MintageError("invalid_request", f"{row.percent} is no percentage.", "Give 0 to 100, six places.")
        day = str(date.fromisoformat(row.from_day))
        return msgspec.structs.replace(
            row,
            country=check_country(row.country or "?"),
            name=check_name(row.name),
            percent=f"{percent.normalize():f}" if percent else "0",
            from_day=day,
        )
    except (InvalidOperation, ValueError, MintageError) as error:
        raise MintageError(
            "invalid_request",
            f"rates[{place}]: {error}",
            'A row looks like {"country": "US", "region": "NY", "name": "State", "percent": "4", '
            '"from_day": "2026-01-01"}.',
            param=f"rates[{place}]",
        ) from error


def eu_rates(from_day: str) -> list[RateRow]:
    """Standard rates of Europe from the package eu-vat-rates-data. Raises unsupported without the extra `billing`."""
    try:
        import eu_vat_rates_data as data
    except ImportError as error:
        raise MintageError(
            "unsupported", "eu-vat-rates-data is not installed.", "Install it with: pip install 'mintage[billing]'"
        ) from error
    return [
        RateRow(
            country=country,
            name="VAT",
            percent=f"{Decimal(str(rate['standard'])).normalize():f}",
            from_day=from_day,
            source=f"eu-vat-rates-data {data.data_version}",
        )
        for country, rate in sorted(data.get_all_rates().items())
        if len(country) == 2
    ]
