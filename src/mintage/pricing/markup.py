"""Cost plus: mark-ups of a plan become stated rates when it is applied, so that a price version stays what it is.

A later price book changes no version: apply the plan again, and the linter shows what moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Final

import msgspec

from mintage.pricing.costs import CostBook
from mintage.pricing.plan import CostPlus, Plan, Price
from mintage.pricing.rates import UNITS, Rate

_PLACES: Final = 12
_WORDS: Final[Mapping[str, str]] = {"audio_ms": "per_hour", "duration_ms": "per_hour", "requests": "per_thousand"}


def _rate(meter: str, each: Fraction) -> Rate:
    """Rounded up to 12 places, so that a mark-up of 0 % never sells below cost."""
    word = _WORDS.get(meter, "per_million")
    scaled = each * UNITS[word] * 10**_PLACES
    return Rate(**{word: Decimal(-(-scaled.numerator // scaled.denominator)).scaleb(-_PLACES).normalize()})


def _expand(price: Price, markup: CostPlus, book: CostBook, at_ns: int) -> list[Price]:
    """One entry per context cliff, the longest prompt first. No meter's rate falls below its cost at any hour."""
    name, factor = markup.model or price.model, 1 + Fraction(markup.percent) / 100
    entries = []
    for above in (*reversed(book.cliffs(markup.provider, name, at_ns, markup.context)), 0):
        if above and above < price.above_prompt_tokens:
            continue
        prompt = max(above, price.above_prompt_tokens) + 1
        rates = book.rates(markup.provider, name, at_ns, prompt_tokens=prompt, context=markup.context)
        stated = {meter: _rate(meter, each * factor) for meter, each in rates.items()}
        entries.append(
            msgspec.structs.replace(
                price,
                markup=None,
                above_prompt_tokens=max(above, price.above_prompt_tokens),
                note=f"{book.id} {markup.provider}/{name} +{markup.percent}%",
                **stated,
            )
        )
    return entries


def resolve_markups(plan: Plan, book: CostBook, at_ns: int) -> Plan:
    """The plan with every mark-up written out at the book's prices of that instant.

    Raises MintageError("unpriceable") for a provider, model or service class that the book does not know.
    """
    prices: list[Price] = []
    for price in plan.prices:
        prices += [price] if price.markup is None else _expand(price, price.markup, book, at_ns)
    return msgspec.structs.replace(plan, prices=tuple(prices))
