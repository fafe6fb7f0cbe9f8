"""The prices of one model of one provider, resolved for a moment, a context and a prompt length."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from itertools import compress
from typing import Final

import msgspec

from mintage.base import ATTOS_PER_UNIT, METERS, MintageError, Usage
from mintage.pricing.costs.data import DatedPrices, ModelPrices, Tiered, Unit
from mintage.pricing.rates import to_attos
from mintage.pricing.sheet import FREE, CompiledRate

_NOTHING: Final[Mapping[str, str]] = {}

_SECOND_NS: Final = 1_000_000_000
_DAY_NS: Final = 86_400 * _SECOND_NS

#: A context value that asks for nothing special, in any context.
STANDARD: Final = frozenset({"standard", "default"})

#: meter -> the units it counts in, narrowest first, and how many meter units make one of theirs.
_CHAINS: Final[dict[str, tuple[tuple[str, ...], int]]] = {
    "input_tokens": (("input_tokens",), 1),
    "cached_read_tokens": (("cache_read_tokens", "input_tokens"), 1),
    "cache_write_tokens": (("cache_write_tokens", "input_tokens"), 1),
    "output_tokens": (("output_tokens",), 1),
    "reasoning_tokens": (("output_reasoning_tokens", "output_tokens"), 1),
    "audio_ms": (("input_audio_seconds", "audio_seconds"), 1000),
    "characters": (("input_characters",), 1),
    "requests": (("requests",), 1),
}

Compiled = tuple[CompiledRate | None, ...]
PriceSet = Mapping[str, Decimal | Tiered]


class Schedule:
    """Every price of one model. own: False if it was found through another provider, whose contexts do not apply."""

    def __init__(self, model: ModelPrices, units: Mapping[str, Unit], *, own: bool = True) -> None:
        self.model = model
        self._units = units
        self._variants = model.variants if own else ()
        self._known = {pair for variant in self._variants for pair in variant.when.items()}
        self._bands: dict[tuple[int, tuple[int, ...]], tuple[tuple[int, ...], tuple[Compiled, ...]]] = {}

    def compiled(self, prompt_tokens: int, at_ns: int, context: Mapping[str, str] = _NOTHING) -> Compiled:
        """One integer rate per meter of Usage. Raises MintageError("unpriceable") for a context nobody priced."""
        key = self._select(at_ns, context)
        found = self._bands.get(key)
        if found is None:
            prices = self._prices(*key)
            starts = _starts(prices)
            bands = tuple(self._compile_all(prices, start + 1) for start in (-1, *starts))
            found = self._bands[key] = starts, bands
        return found[1][bisect_left(found[0], prompt_tokens)]

    def cliffs(self, at_ns: int, context: Mapping[str, str] = _NOTHING) -> tuple[int, ...]:
        """Prompt lengths above which another price holds."""
        self.compiled(0, at_ns, context)
        return self._bands[self._select(at_ns, context)][0]

    def moments(self, at_ns: int) -> list[int]:
        """The instant and, of its day, every other one at which a price by the hour begins."""
        day = at_ns - at_ns % _DAY_NS
        listed = (*self.model.prices, *self._variants)
        return [at_ns, *(day + second * _SECOND_NS for entry in listed for second in entry.between or ())]

    def exact(
        self, usage: Usage, parts: Mapping[str, int], at_ns: int, context: Mapping[str, str] = _NOTHING
    ) -> Fraction:
        """Currency units, with parts: counts of narrower units of the price book, such as input_audio_tokens.

        A part lies within its meter: 100 audio tokens are among the prompt's tokens, not beside them. A unit that
        is part of none (web_searches) stands for itself.
        """
        prices = self._prices(*self._select(at_ns, context))
        counts = self._counts(usage, parts)
        leaves = self._leaves(counts, prices)
        total = Fraction(0)
        for unit, count in leaves.items():
            total += count * Fraction(_at(prices[unit], usage.prompt_tokens)) / self._units[unit].per
        return total

    def _select(self, at_ns: int, context: Mapping[str, str]) -> tuple[int, tuple[int, ...]]:
        entries = self.model.prices
        entry = len(entries) - 1
        while entry and not entries[entry].active(at_ns):
            entry -= 1
        if not context:
            return entry, ()
        for pair in context.items():
            if pair not in self._known and pair[1] not in STANDARD:
                raise MintageError(
                    "unpriceable",
                    f"{self.model.id} has no price for {pair[0]} = {pair[1]!r}.",
                    "Use the standard service class or add an override to the price book.",
                )
        return entry, tuple(
            index
            for index, variant in enumerate(self._variants)
            if variant.when.items() <= context.items() and variant.active(at_ns)
        )

    def _prices(self, entry: int, chosen: tuple[int, ...]) -> PriceSet:
        standard: DatedPrices = self.model.prices[entry]
        if not chosen:
            return standard.rates
        merged = dict(standard.rates)
        for index in reversed(chosen):  # the first variant that names a unit wins
            merged.update(self._variants[index].rates)
        return merged

    def _compile_all(self, prices: PriceSet, prompt_tokens: int) -> Compiled:
        return tuple(self._compile(meter, prices, prompt_tokens) for meter in METERS)

    def _compile(self, meter: str, prices: PriceSet, prompt_tokens: int) -> CompiledRate | None:
        chain, size = _CHAINS.get(meter, ((), 1))
        unit = next((name for name in chain if name in prices), None)
        if unit is None:
            return FREE if meter == "requests" else None
        each = Fraction(_at(prices[unit], prompt_tokens)) / (self._units[unit].per * size)
        attos = each * ATTOS_PER_UNIT
        return meter, attos.numerator, attos.denominator, to_attos(each)

    def _counts(self, usage: Usage, parts: Mapping[str, int]) -> dict[str, Fraction]:
        unknown = sorted(parts.keys() - self._units.keys())
        if unknown:
            raise MintageError(
                "unpriceable", f"{unknown[0][:100]!r} is no unit of the price book.", "See its list of units."
            )
        seconds = Fraction(usage.audio_ms, 1000)
        if seconds:
            seconds = max(seconds, Fraction(self.model.least_audio_seconds))
        counts = {
            "input_tokens": Fraction(usage.prompt_tokens),
            "cache_read_tokens": Fraction(usage.cached_read_tokens),
            "cache_write_tokens": Fraction(usage.cache_write_tokens),
            "output_tokens": Fraction(usage.completion_tokens),
            "output_reasoning_tokens": Fraction(usage.reasoning_tokens),
            "audio_seconds": seconds,
            "input_audio_seconds": seconds,
            "input_characters": Fraction(usage.characters),
            "requests": Fraction(usage.requests),
        }
        return counts | {unit: Fraction(count) for unit, count in parts.items()}

    def _leaves(self, counts: Mapping[str, Fraction], prices: PriceSet) -> dict[str, Fraction]:
        """Each priced unit's own part: its count less what narrower priced units within it count."""
        for unit, count in counts.items():
            if count and unit != "requests" and not {unit, *self._units[unit].within} & prices.keys():
                raise MintageError(
                    "unpriceable", f"{self.model.id} has no price for {unit}.", "Add an override to the price book."
                )
        leaves: dict[str, Fraction] = {}
        for unit in sorted(prices, key=lambda name: -len(self._units[name].within)):
            inside = sum((leaves[name] for name in leaves if unit in self._units[name].within), Fraction(0))
            leaves[unit] = counts.get(unit, Fraction(0)) - inside
            if leaves[unit] < 0:
                raise MintageError(
                    "invalid_request", f"The parts of {unit} count more than {unit}.", "Count each part once."
                )
        return leaves


def _starts(prices: PriceSet) -> tuple[int, ...]:
    starts = (start for price in prices.values() if isinstance(price, Tiered) for start, _ in price.tiers)
    return tuple(sorted(set(starts)))


def _at(price: Decimal | Tiered, prompt_tokens: int) -> Decimal:
    return price.at(prompt_tokens) if isinstance(price, Tiered) else price


def total_attos(compiled: Compiled, usage: Usage, model: str) -> int:
    """The exact sum over the meters that counted. Raises MintageError("unpriceable") for one without a price."""
    total = 0
    quantities = msgspec.structs.astuple(usage)
    for meter, quantity, rate in compress(zip(METERS, quantities, compiled, strict=True), quantities):
        if rate is None or quantity < 0:
            raise MintageError(
                "unpriceable",
                f"{model[:100]} has no price for {quantity} {meter}.",
                "Add an override to the price book.",
            )
        _, attos, units, _ = rate
        total += quantity * attos if units == 1 else (2 * quantity * attos + units) // (2 * units)
    return total
