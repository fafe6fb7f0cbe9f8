"""One price of a plan, with its factor and live rates, compiled to integers: what a rate card multiplies with."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import msgspec

from mintage.base import ATTOS_PER_UNIT, METERS, NANOS_MAX, MintageError, Usage
from mintage.pricing.live import LiveRates
from mintage.pricing.plan import Plan, Price
from mintage.pricing.rates import to_attos
from mintage.pricing.scalar import meter_rates, negative_quantity, unpriceable

_INPUT: Final = tuple(METERS.index(m) for m in ("input_tokens", "cached_read_tokens", "cache_write_tokens"))
_OUTPUT: Final = tuple(METERS.index(m) for m in ("output_tokens", "reasoning_tokens"))
_REQUESTS: Final = METERS.index("requests")
_OTHERS: Final = tuple(i for i in range(len(METERS)) if i not in _INPUT + _OUTPUT)

#: (meter, attos, units, rate_attos): `units` of the meter cost `attos`; rate_attos is the rounded rate of one unit.
CompiledRate = tuple[str, int, int, int]


#: A request that is not priced as such: free, and no line of the receipt.
FREE: Final[CompiledRate] = ("requests", 0, 1, 0)


def compile_rate(meter: str, each: Fraction | None) -> CompiledRate | None:
    """None: nothing says what the meter costs."""
    if each is None:
        return FREE if meter == "requests" else None
    attos = each * ATTOS_PER_UNIT
    return meter, attos.numerator, attos.denominator, to_attos(each)


class Sheet:
    """compiled[i] belongs to METERS[i]. above: the prompt must be longer than this; negative: any prompt."""

    __slots__ = (
        "above",
        "ceiling",
        "compiled",
        "floor",
        "input",
        "limited",
        "output",
        "price",
        "request",
        "slack",
        "tokens_priced",
    )

    def __init__(self, price: Price | None, factor: Fraction, live: LiveRates) -> None:
        self.price = price
        self.above = (0 if price is None else price.above_prompt_tokens) or -NANOS_MAX
        rates = meter_rates(price, factor, live)
        self.compiled = tuple(compile_rate(meter, rates.get(meter)) for meter in METERS)
        self.input = self._dearest(_INPUT)
        self.output = self._dearest(_OUTPUT)
        self.tokens_priced = all(self.compiled[index] is not None for index in _INPUT + _OUTPUT)
        self.request = self._most(_REQUESTS, 1)
        least, most = (None, None) if price is None else (price.minimum, price.maximum)
        self.floor = 0 if least is None else to_attos(Fraction(least))
        self.ceiling = None if most is None else to_attos(Fraction(most))
        self.limited = least is not None or most is not None
        # Each line of a rate that is no whole number of attos may be rounded up by half an atto.
        self.slack = sum(rate is not None and rate[2] != 1 for rate in self.compiled)

    def _dearest(self, indexes: tuple[int, ...]) -> tuple[int, int]:
        """(attos, units) of the dearest of these meters; (0, 1) if none has a price: flaw() finds those."""
        rates = [rate[1:3] for index in indexes if (rate := self.compiled[index]) is not None]
        return max(rates, key=lambda rate: Fraction(*rate), default=(0, 1))

    def _most(self, index: int, quantity: int) -> int:
        """Attos, rounded up, of a quantity of METERS[index]; 0 if it has no price."""
        rate = self.compiled[index]
        return 0 if rate is None else -(-quantity * rate[1] // rate[2])

    def bound(self, input_tokens: int, output_tokens: int, others: int) -> int:
        """Attos, not less than any request of these sizes costs. others: attos of all that is no token."""
        attos = others + self.slack
        attos += -(-input_tokens * self.input[0] // self.input[1])
        attos += -(-output_tokens * self.output[0] // self.output[1])
        attos = max(attos, self.floor)
        if self.ceiling is not None and attos > self.ceiling:
            attos = self.ceiling
        return attos

    def bound_all(self, most: Usage) -> int:
        """Attos, not less than any request costs whose every meter is at most this."""
        quantities = msgspec.structs.astuple(most)
        others = sum(self._most(index, quantities[index]) for index in _OTHERS)
        return self.bound(most.prompt_tokens, most.completion_tokens, others)

    def flaw(self, plan: Plan, model: str, usage: Usage) -> MintageError | None:
        """Why the usage cannot be rated: "unpriceable" for a meter without price, "invalid_request" if negative."""
        for meter, quantity, rate in zip(METERS, msgspec.structs.astuple(usage), self.compiled, strict=True):
            if quantity < 0:
                return negative_quantity(meter, quantity)
            if quantity and rate is None:
                return unpriceable(plan, model, meter)
        return None
