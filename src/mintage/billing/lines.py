"""What a stretch of a customer's time comes to, line by line and exact: the list that an invoice is made from.

Closing produces it from (customer, stretch, watermark); invoices round it, tax it and number it. Every line says what
it counts, at which rate, by which price version; `steps` is the working of a charge, tier by tier.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Literal

import msgspec

from mintage.pricing import Names, QuoteStep
from mintage.pricing.charges import Step
from mintage.pricing.quote import decimal

#: usage: requests as they settled. charge, commitment, minimum, maximum, discount: what the whole period comes to.
#: fee: a flat fee, in arrears or ahead. credit: usage of the period that an earlier invoice has billed already.
LineKind = Literal["usage", "charge", "commitment", "minimum", "maximum", "discount", "credit", "fee"]

_PLACES: dict[LineKind, int] = {
    "usage": 0,
    "charge": 1,
    "commitment": 2,
    "minimum": 3,
    "maximum": 3,
    "discount": 4,
    "credit": 5,
    "fee": 6,
}


class PeriodLine(msgspec.Struct, frozen=True, kw_only=True):
    """attos: exact amount in 1e-18 currency units, below zero for what is taken off.

    id: the meter of usage, the id of a charge, `fee:0`. rate_attos: price of one unit where there is one price.
    start_ns, end_ns: what a fee is for, if that is another time than the stretch. requests: settlements counted in.
    """

    kind: LineKind
    id: str
    attos: int
    quantity: int | Decimal = 1
    product: str = ""
    model: str = ""
    price_id: str = ""
    rate_attos: int = 0
    requests: int = 0
    name: Names | None = None
    group: dict[str, str] = {}
    steps: tuple[QuoteStep, ...] = ()
    start_ns: int | None = None
    end_ns: int | None = None

    def sort_key(self) -> tuple[int, str, str, str]:
        return (_PLACES[self.kind], self.product, self.model, self.price_id)


class RatedPeriod(msgspec.Struct, frozen=True, kw_only=True):
    """One plan's part of a period, rated whole.

    settled_attos is what its requests settled at, request by request; adjustment_attos what closing adds to that.
    quantities and listed_attos are what later periods of a term or an allowance need to know of this one.
    payouts: charge -> (amount in attos that goes OUT to the customer): a share of a pool.
    """

    plan: str
    price_id: str
    index: int
    start_ns: int
    end_ns: int
    watermark: int
    lines: tuple[PeriodLine, ...]
    settled_attos: int
    listed_attos: int = 0
    quantities: dict[str, str] = {}
    payouts: dict[str, int] = {}

    @property
    def rated_attos(self) -> int:
        return sum(line.attos for line in self.lines if line.kind not in ("fee", "credit"))

    @property
    def adjustment_attos(self) -> int:
        return self.rated_attos - self.settled_attos


def quote_step(step: Step) -> QuoteStep:
    """The working as it is shown."""
    return QuoteStep(
        en=step.en, zh=step.zh, quantity=decimal(step.quantity), rate=decimal(step.rate), amount=decimal(step.amount)
    )


def quantity(value: Fraction) -> int | Decimal:
    """Whole where it is whole, else to 18 places."""
    return value.numerator if value.denominator == 1 else decimal(value)
