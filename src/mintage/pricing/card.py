"""A rate card: a price version compiled to integers of attos (1e-18), for the path of every request.

rate() is what settle posts, bound() what hold sets aside, explain() what a person reads. rate() equals scalar.py bit
for bit; bound() is never below the rate() of anything within its bounds.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import compress
from typing import Final

import msgspec

from mintage.base import ATTOS_PER_NANO, NANOS_MAX, Charge, MintageError, RatedLine, Usage
from mintage.pricing.explain import ExplainedLine, explain_lines
from mintage.pricing.live import LiveRates, depends_on_dimensions, live_rates, meters_of
from mintage.pricing.match import Dimensions, pattern_matches
from mintage.pricing.plan import Adjustment, Price
from mintage.pricing.policies import Policies
from mintage.pricing.scalar import bounds_line, factor_of, unpriceable
from mintage.pricing.select import candidates, conditions_hold
from mintage.pricing.sheet import FREE, Sheet
from mintage.pricing.version import PriceVersion

_CACHE_LIMIT: Final = 4096
_ATTOS_MAX: Final = NANOS_MAX * ATTOS_PER_NANO
_NO_DIMENSIONS: Final[Dimensions] = {}
_astuple = msgspec.structs.astuple


class RateCard:
    """Answers never change; safe to share between tasks. Made by compile_plan."""

    def __init__(self, version: PriceVersion) -> None:
        self.version = version
        self.plan = version.plan
        self.id = version.id
        self.currency = version.plan.currency
        self._single: dict[str, Sheet] = {}  # models with one unconditional price: all the hot path looks at
        self._static: dict[str, tuple[Sheet, ...]] = {}  # models whose price depends on the prompt's length alone
        self._compiled: dict[tuple[object, ...], Sheet] = {}

    @property
    def policies(self) -> Policies:
        return self.plan.policies

    def sells(self, model: str) -> bool:
        """Whether the plan has any price for the model, whatever the other conditions."""
        return model in self._single or any(
            pattern_matches(pattern, model)
            for pattern in (
                *(price.model for price in self.plan.prices),
                *(charge.where.get("model", "*") for charge in self.plan.charges if meters_of(charge)),
            )
        )

    def rate(self, model: str, usage: Usage, at_ns: int = 0, dimensions: Dimensions | None = None) -> Charge:
        """The exact charge of one request. at_ns: when it was asked, the same instant as at bound().

        Raises MintageError("unpriceable") if the plan has no price for the model or for a meter that counted.
        """
        sheet = self._single.get(model)
        if sheet is None:
            sheet = self._choose(model, usage.prompt_tokens, at_ns, dimensions or _NO_DIMENSIONS)
        lines: list[RatedLine] = []
        total = 0
        quantities = _astuple(usage)
        for quantity, rate in compress(zip(quantities, sheet.compiled, strict=True), quantities):  # those that counted
            if rate is None or quantity < 0:
                raise sheet.flaw(self.plan, model, usage) or unpriceable(self.plan, model)
            if rate is FREE:
                continue
            meter, attos, units, rate_attos = rate
            amount = quantity * attos if units == 1 else (2 * quantity * attos + units) // (2 * units)
            total += amount
            lines.append(RatedLine(meter, quantity, rate_attos, amount))
        if sheet.price is not None and sheet.limited and (line := bounds_line(sheet.price, total)):
            total += line.attos
            lines.append(line)
        if total > _ATTOS_MAX:
            raise _too_much(self.currency)
        return Charge(price_id=self.id, currency=self.currency, attos=total, lines=tuple(lines))

    def bound(
        self,
        model: str,
        *,
        input_bound_tokens: int,
        output_bound_tokens: int,
        at_ns: int = 0,
        dimensions: Dimensions | None = None,
        others: Usage | None = None,
    ) -> int:
        """Nanos, rounded up, that one request within the bounds cannot exceed, whatever its split into classes.

        others: bounds of the meters that are no tokens (images, audio, characters); without it they are zero and
        the request counts once. Raises MintageError("unpriceable") if anything within the bounds has no price.
        """
        sheet = self._single.get(model)
        if input_bound_tokens < 0 or output_bound_tokens < 0:
            raise MintageError("invalid_request", "A bound of tokens is negative.", "Bounds start at 0.")
        if sheet is not None and others is None and sheet.tokens_priced:
            return _nanos_up(sheet.bound(input_bound_tokens, output_bound_tokens, sheet.request), self.currency)
        most = others or Usage()
        most = msgspec.structs.replace(
            most,
            input_tokens=most.input_tokens + input_bound_tokens,
            output_tokens=most.output_tokens + output_bound_tokens,
            requests=max(1, most.requests),
        )
        return _nanos_up(self._bound(model, most, at_ns, dimensions or _NO_DIMENSIONS), self.currency)

    def explain(self, charge: Charge) -> list[ExplainedLine]:
        """The charge's lines in words, English and 中文."""
        return explain_lines(charge.lines, charge.currency)

    def _bound(self, model: str, most: Usage, at_ns: int, where: Dimensions) -> int:
        dearest = -1
        sheets = self._sheets(model, at_ns, where)
        for sheet in sheets:
            if most.prompt_tokens > sheet.above:
                if flaw := sheet.flaw(self.plan, model, _any_class(most)):
                    raise flaw
                dearest = max(dearest, sheet.bound_all(most))
        if not sheets or sheets[-1].above >= 0:
            raise unpriceable(self.plan, model)  # a shorter prompt than bounded would have no price
        return dearest

    def _choose(self, model: str, prompt_tokens: int, at_ns: int, where: Dimensions) -> Sheet:
        for sheet in self._sheets(model, at_ns, where):
            if prompt_tokens > sheet.above:
                return sheet
        raise unpriceable(self.plan, model)

    def _sheets(self, model: str, at_ns: int, where: Dimensions) -> tuple[Sheet, ...]:
        """The prices that the prompt's length chooses from, in order; the first that takes any prompt ends them."""
        known = self._static.get(model)
        if known is not None:
            return known
        prices = candidates(self.plan.prices, model)
        factor = factor_of(self.plan, model, at_ns, where)
        live = live_rates(self.plan, model, where)
        sheets: list[Sheet] = []
        for price in prices:
            if conditions_hold(price, at_ns, where):
                sheets.append(self._sheet(price, factor, live))
                if sheets[-1].above < 0:
                    break
        else:
            if live:
                sheets.append(self._sheet(None, factor, live))
        found = tuple(sheets)
        if found and self._is_static(model, prices) and len(self._static) < _CACHE_LIMIT:
            self._static[model] = found
            if len(found) == 1 and found[0].above < 0:
                self._single[model] = found[0]
        return found

    def _is_static(self, model: str, prices: list[Price]) -> bool:
        items: list[Price | Adjustment] = [*prices]
        items += [item for item in self.plan.adjustments if pattern_matches(item.model, model)]
        conditional = any(item.where or item.during is not None for item in items)
        return not conditional and not depends_on_dimensions(self.plan)

    def _sheet(self, price: Price | None, factor: Fraction, live: LiveRates) -> Sheet:
        """Compiled once per price, factor and live rates; their number is finite, and bounded here all the same."""
        key = (id(price), factor, tuple(live.items()))
        sheet = self._compiled.get(key)
        if sheet is None:
            if len(self._compiled) >= _CACHE_LIMIT:
                self._compiled.clear()
            sheet = self._compiled[key] = Sheet(price, factor, live)
        return sheet


def _any_class(most: Usage) -> Usage:
    """A usage that counts something in every class that tokens within the bounds may turn out to be."""
    prompt, completion = most.prompt_tokens, most.completion_tokens
    return msgspec.structs.replace(
        most,
        input_tokens=prompt,
        cached_read_tokens=prompt,
        cache_write_tokens=prompt,
        output_tokens=completion,
        reasoning_tokens=completion,
    )


def _nanos_up(attos: int, currency: str) -> int:
    if attos > _ATTOS_MAX:
        raise _too_much(currency)
    return -(-attos // ATTOS_PER_NANO)


def _too_much(currency: str) -> MintageError:
    return MintageError(
        "invalid_request",
        f"One request would cost more than 9.2 billion {currency}.",
        "Check the plan's rates and the size of the request.",
    )


def compile_plan(version: PriceVersion) -> RateCard:
    """The rate card of a price version."""
    return RateCard(version)
