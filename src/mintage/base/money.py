"""Money: integers of nano-units beside a currency code, never a float.

1 nano = 1e-9 of the currency's unit. Rating works in attos (1e-18), so that a rate of 12 places times a
percentage of 6 stays an exact integer; the books hold nanos; an invoice line is rounded once, half up, to the
currency's ISO 4217 exponent.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Final

import msgspec

from mintage.base.errors import MintageError

NANOS_PER_UNIT: Final = 10**9
ATTOS_PER_NANO: Final = 10**9
ATTOS_PER_UNIT: Final = 10**18
NANOS_MAX: Final = 2**63 - 1
RATE_PLACES: Final = 12

#: Wide enough for any product of int64 amounts and 12-place rates; nothing is rounded inside it by accident.
EXACT: Final = Context(prec=60)

#: ISO 4217 minor-unit exponents that differ from 2.
_EXPONENTS: Final[dict[str, int]] = {
    **dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
    **dict.fromkeys("CLF UYW".split(), 4),
}


def currency_exponent(currency: str) -> int:
    """Number of minor-unit digits of an ISO 4217 currency, e.g. 2 for USD, 0 for JPY."""
    return _EXPONENTS.get(currency, 2)


def check_currency(currency: str) -> str:
    if len(currency) != 3 or not currency.isascii() or not currency.isalpha() or not currency.isupper():
        raise MintageError(
            "invalid_request",
            f"{currency[:12]!r} is not a currency code.",
            "Use three capital letters of ISO 4217, such as USD or CNY.",
            param="currency",
        )
    return currency


def check_nanos(nanos: int) -> int:
    """Return nanos, or refuse what int64 cannot hold (9.2e9 units): storage must never wrap."""
    if not -NANOS_MAX <= nanos <= NANOS_MAX:
        raise MintageError(
            "invalid_request",
            "The amount is beyond 9.2 billion currency units.",
            "Split it into smaller amounts.",
        )
    return nanos


def parse_decimal(text: str | int | Decimal, *, places: int = RATE_PLACES, param: str | None = None) -> Decimal:
    """An exact, finite Decimal of at most `places` fractional digits. Floats are refused: they are already wrong."""
    if isinstance(text, bool) or not isinstance(text, (str, int, Decimal)):
        raise MintageError(
            "invalid_request",
            f"A {type(text).__name__} is not an exact number.",
            'Write it as a string: "0.15".',
            param=param,
        )
    try:
        value = Decimal(text) if not isinstance(text, str) else Decimal(text.strip())
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or abs(value.adjusted()) > 30 or len(value.as_tuple().digits) > 48:
        raise MintageError(
            "invalid_request", f"{str(text)[:40]!r} is not a decimal number.", "Write it like 12.50.", param=param
        )
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -places and EXACT.quantize(value, Decimal(1).scaleb(-places)) != value:
        raise MintageError(
            "invalid_request",
            f"{str(text)[:40]} has more than {places} decimal places.",
            f"Round it to {places} places.",
            param=param,
        )
    return value


def rate_attos(rate: Decimal) -> int:
    """A rate in currency units (at most 18 places) as an exact integer of attos."""
    scaled = EXACT.scaleb(rate, 18)
    whole = int(scaled)
    if scaled != whole:
        raise MintageError("invalid_request", f"The rate {rate} has more than 18 places.", "Round it.")
    return whole


class Money(msgspec.Struct, frozen=True, order=True):
    """An amount of one currency. Arithmetic across currencies is refused."""

    nanos: int
    currency: str

    @classmethod
    def parse(cls, text: str | int | Decimal, currency: str, *, param: str | None = None) -> Money:
        """From currency units: Money.parse("0.08", "USD").nanos == 80_000_000."""
        value = parse_decimal(text, places=9, param=param)
        return cls(check_nanos(int(EXACT.scaleb(value, 9))), check_currency(currency))

    def _same(self, other: Money) -> None:
        if self.currency != other.currency:
            raise MintageError(
                "invalid_request",
                f"Cannot mix {self.currency} and {other.currency}.",
                "Convert one of them at a dated rate first.",
            )

    def __add__(self, other: Money) -> Money:
        self._same(other)
        return Money(check_nanos(self.nanos + other.nanos), self.currency)

    def __sub__(self, other: Money) -> Money:
        self._same(other)
        return Money(check_nanos(self.nanos - other.nanos), self.currency)

    def __neg__(self) -> Money:
        return Money(-self.nanos, self.currency)

    @property
    def units(self) -> Decimal:
        """The exact amount in currency units."""
        return EXACT.scaleb(Decimal(self.nanos), -9)

    def rounded(self) -> Decimal:
        """Half up, away from zero, to the currency's own exponent: what an invoice line shows."""
        exponent = Decimal(1).scaleb(-currency_exponent(self.currency))
        return self.units.quantize(exponent, ROUND_HALF_UP, context=EXACT)

    def __str__(self) -> str:
        whole = format(self.units.normalize(EXACT), "f")
        return f"{whole} {self.currency}"
