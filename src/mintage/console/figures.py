"""Figures for people: money exact to the nano, counts, shares, durations, times. Pure; no float touches money."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec

from mintage.base import ATTOS_PER_NANO, NANOS_PER_UNIT, currency_exponent

MINUS: Final = "\N{MINUS SIGN}"
NONE: Final = "\N{EM DASH}"
_SYMBOLS: Final = {"USD": "$", "EUR": "€", "GBP": "£", "CNY": "¥", "INR": "₹", "KRW": "₩", "JPY": "JP¥"}


class MoneyText(msgspec.Struct, frozen=True):
    """One amount, ready to show: `whole` down to the currency's minor unit, `fine` the digits below it.

    $0.0000482 is sign "", symbol "$", whole "0.00", fine "00482". exact is the full value for a hover.
    """

    nanos: int
    currency: str
    sign: str
    symbol: str
    whole: str
    fine: str
    exact: str

    @property
    def text(self) -> str:
        return f"{self.sign}{self.symbol}{self.whole}{self.fine}"

    @property
    def negative(self) -> bool:
        return self.sign != ""

    @property
    def pad(self) -> str:
        """What is missing to all nine places: set invisibly in a column."""
        places = currency_exponent(self.currency)
        shown = len(self.fine.lstrip("."))
        point = "." if not places and not self.fine else ""
        return point + "0" * max(0, 9 - places - shown)


def symbol_of(currency: str) -> str:
    """What stands before an amount: a sign where everyone knows it, else the code and a narrow space."""
    return _SYMBOLS.get(currency, currency + "\N{NARROW NO-BREAK SPACE}")


def money(nanos: int, currency: str) -> MoneyText:
    """Every digit that is not a trailing zero, and never fewer than the currency's own."""
    units, rest = divmod(abs(nanos), NANOS_PER_UNIT)
    return _money_text(nanos, currency, units, f"{rest:09d}", f"{nanos:,} nano-{currency}")


def money_attos(attos: int, currency: str) -> MoneyText:
    """An amount of 1e-18 units, for receipts: lines may be finer than the nanos that are posted."""
    nanos, below = divmod(abs(attos), ATTOS_PER_NANO)
    units, rest = divmod(nanos, NANOS_PER_UNIT)
    sign = -1 if attos < 0 else 1
    finer = f".{below:09d}".rstrip("0") if below else ""
    exact = f"{nanos:,}{finer} nano-{currency}"
    return _money_text(sign * nanos if nanos else sign * bool(below), currency, units, f"{rest:09d}{below:09d}", exact)


def _money_text(signed: int, currency: str, units: int, fraction: str, exact: str) -> MoneyText:
    places = currency_exponent(currency)
    fine = fraction[places:].rstrip("0")
    point = "." if places else ""
    if not places and fine:
        fine = "." + fine
    whole = f"{units:,}{point}{fraction[:places]}"
    return MoneyText(signed, currency, MINUS if signed < 0 else "", symbol_of(currency), whole, fine, exact)


def share(part: int, of: int) -> str | None:
    """A percentage with one decimal, half up; None of nothing."""
    if of <= 0:
        return None
    tenths, rest = divmod(abs(part) * 1000, of)
    tenths += 2 * rest >= of
    return f"{MINUS if part < 0 and tenths else ''}{tenths // 10:,}.{tenths % 10}%"


def count(number: int) -> str:
    return f"{number:,}".replace("-", MINUS)


def duration(milliseconds: float) -> str:
    """ "46 ms", "1.84 s", "12.3 s", "2 min 5 s"."""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def rate_per_million(rate_attos: int, currency: str) -> MoneyText:
    """A price per token as people quote it: per million."""
    return money_attos(rate_attos * 1_000_000, currency)


def when(at_ns: int) -> datetime:
    """A UTC time. Books are kept in UTC, and so are the pages."""
    return datetime.fromtimestamp(at_ns // 1_000_000_000, UTC)


def iso_time(at_ns: int) -> str:
    return when(at_ns).strftime("%Y-%m-%dT%H:%M:%SZ")


def clock_time(at_ns: int) -> str:
    return when(at_ns).strftime("%H:%M:%S")
