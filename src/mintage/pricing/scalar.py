"""The exact scalar path of one request: slow, plain, and the reference that every fast path must equal bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from mintage.base import METERS, MintageError, RatedLine, Usage
from mintage.pricing.live import LiveRates, live_rates
from mintage.pricing.match import Dimensions, pattern_matches
from mintage.pricing.plan import Plan, Price
from mintage.pricing.rates import Rate, to_attos
from mintage.pricing.select import candidates, conditions_hold

#: A meter without its own rate takes the rate of another: a cached token is an input token.
FALLBACK: Mapping[str, str] = {
    "cached_read_tokens": "input_tokens",
    "cache_write_tokens": "input_tokens",
    "reasoning_tokens": "output_tokens",
}


def unpriceable(plan: Plan, model: str, meter: str = "") -> MintageError:
    """What a price list that does not know the answer raises: nothing is served at an unknown price."""
    what = f"{meter} of model {model[:100]!r}" if meter else f"model {model[:100]!r}"
    return MintageError(
        "unpriceable",
        f"Plan {plan.id} has no price for {what}.",
        "Add a price for it to the plan; a rate of 0 makes it free.",
        details={"plan": plan.id, "model": model[:100], "meter": meter},
    )


def negative_quantity(meter: str, quantity: int) -> MintageError:
    """A negative count would pay the customer."""
    return MintageError("invalid_request", f"{meter} is {quantity}.", "Usage is never negative.", param=meter)


def meter_rates(price: Price | None, factor: Fraction, live: LiveRates) -> dict[str, Fraction]:
    """meter -> currency units for one: the price's rate (or the one it falls back to) x factor, plus the live rate."""
    found = dict(live)
    for meter in METERS if price is not None else ():
        rate: Rate | None = getattr(price, meter)
        if rate is None and meter in FALLBACK:
            rate = getattr(price, FALLBACK[meter])
        if rate is not None:
            found[meter] = found.get(meter, Fraction(0)) + rate.exact * factor
    return found


def choose_price(plan: Plan, model: str, prompt_tokens: int, at_ns: int, dimensions: Dimensions) -> Price | None:
    """The one price of a request, or None."""
    for price in candidates(plan.prices, model):
        long_enough = price.above_prompt_tokens == 0 or prompt_tokens > price.above_prompt_tokens
        if long_enough and conditions_hold(price, at_ns, dimensions):
            return price
    return None


def factor_of(plan: Plan, model: str, at_ns: int, dimensions: Dimensions) -> Fraction:
    """The product of all adjustments that apply."""
    factor = Fraction(1)
    for item in plan.adjustments:
        if pattern_matches(item.model, model) and conditions_hold(item, at_ns, dimensions):
            factor *= Fraction(item.factor)
    return factor


def bounds_line(price: Price, attos: int) -> RatedLine | None:
    """The line that lifts a request to its minimum or lowers it to its maximum."""
    limit = attos
    if price.minimum is not None:
        limit = max(limit, to_attos(Fraction(price.minimum)))
    if price.maximum is not None:
        limit = min(limit, to_attos(Fraction(price.maximum)))
    if limit == attos:
        return None
    return RatedLine(
        meter="minimum" if limit > attos else "maximum", quantity=1, rate_attos=limit - attos, attos=limit - attos
    )


def rate_request(
    plan: Plan, model: str, usage: Usage, at_ns: int = 0, dimensions: Dimensions | None = None
) -> tuple[RatedLine, ...]:
    """The lines of one request as it settles, each rounded half up at 1e-18. Raises MintageError("unpriceable")."""
    where = dimensions or {}
    return _rate(plan, model, usage, at_ns=at_ns, where=where, live=live_rates(plan, model, where))


def rate_prices(plan: Plan, model: str, usage: Usage, at_ns: int, dimensions: Dimensions) -> tuple[RatedLine, ...]:
    """The same by the plan's prices alone: what the charges of a period count is priced there, not here.

    Raises MintageError("invalid_request") for a row of several requests whose price depends on each one.
    """
    covered = dict.fromkeys(live_rates(plan, model, dimensions), Fraction(0))
    price = choose_price(plan, model, usage.prompt_tokens, at_ns, dimensions)
    if usage.requests > 1 and any(
        price.above_prompt_tokens or price.minimum is not None or price.maximum is not None
        for price in candidates(plan.prices, model)
    ):
        raise MintageError(
            "invalid_request", f"The price of {model[:100]} depends on the single request.", "Give one row per request."
        )
    lines = _rate(plan, model, usage, at_ns=at_ns, where=dimensions, live=covered)
    own = meter_rates(price, Fraction(1), {})
    return tuple(line for line in lines if line.meter in own or line.meter not in METERS)


def _rate(
    plan: Plan, model: str, usage: Usage, *, at_ns: int, where: Dimensions, live: LiveRates
) -> tuple[RatedLine, ...]:
    price = choose_price(plan, model, usage.prompt_tokens, at_ns, where)
    if price is None and not live:
        raise unpriceable(plan, model)
    rates = meter_rates(price, factor_of(plan, model, at_ns, where), live)
    lines = []
    for meter in METERS:
        quantity: int = getattr(usage, meter)
        if quantity < 0:
            raise negative_quantity(meter, quantity)
        if quantity == 0:
            continue
        each = rates.get(meter)
        if each is None:
            if meter == "requests":
                continue
            raise unpriceable(plan, model, meter)
        lines.append(
            RatedLine(meter=meter, quantity=quantity, rate_attos=to_attos(each), attos=to_attos(each * quantity))
        )
    if price is not None and (line := bounds_line(price, sum(line.attos for line in lines))):
        lines.append(line)
    return tuple(lines)
