"""Rules that price a quantity: tiers, packages, blocks, percentages, tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from mintage.base import Usage
from mintage.pricing.calculator.numbers import exact, text
from mintage.pricing.card import compile_plan
from mintage.pricing.charges import (
    Block,
    Graduated,
    GraduatedPercentage,
    Package,
    Percentage,
    PercentTier,
    Tier,
    TieredBlocks,
    Volume,
    amount_between,
    total,
)
from mintage.pricing.metric import Event, Metric, Span
from mintage.pricing.period import StatementLine, compute_statement, round_places
from mintage.pricing.period import Terms as StatementTerms
from mintage.pricing.plan import Plan, Price
from mintage.pricing.rates import Rate
from mintage.pricing.version import freeze_plan
from mintage.pricing.words import Names

Inputs = dict[str, Any]
_NAMES: Final = Names(en="units")
_METRIC: Final = Metric(values=("units",))
_FIRST_TIER_FLAT: Final = "first_tier_flat"


def _decimal(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _tiers(inputs: Inputs) -> tuple[Tier, ...]:
    return tuple(
        Tier(up_to=_decimal(tier["up_to"]), per_unit=_decimal(tier.get("unit")), flat=Decimal(str(tier.get("flat", 0))))
        for tier in inputs["tiers"]
    )


def _tiered(kind: type[Graduated | Volume], inputs: Inputs) -> Graduated | Volume:
    zero = inputs.get("zero_usage", _FIRST_TIER_FLAT)
    return kind(id="units", name=_NAMES, metric=_METRIC, tiers=_tiers(inputs), zero_usage=zero)


def _part(charge: Graduated | Volume, inputs: Inputs) -> Fraction:
    before = exact(inputs.get("already_billed_quantity", 0))
    quantity = exact(inputs["quantity"])
    return amount_between(charge, before, quantity) if before else total(charge.price_quantity(quantity))


def graduated(inputs: Inputs) -> str:
    return text(_part(_tiered(Graduated, inputs), inputs))


def volume(inputs: Inputs) -> str:
    return text(_part(_tiered(Volume, inputs), inputs))


def graduated_plus_tax(inputs: Inputs) -> Inputs:
    line = StatementLine(id="units", amount=exact(graduated(inputs)))
    done = compute_statement([line], StatementTerms(tax_percent=exact(inputs["tax_pct"])), "USD")
    return {name: text(Fraction(getattr(done, name), 100)) for name in ("subtotal", "tax", "total")}


def package(inputs: Inputs) -> str:
    charge = Package(
        id="units",
        name=_NAMES,
        metric=_METRIC,
        size=Decimal(str(inputs["package_size"])),
        price_each=Decimal(str(inputs["package_amount"])),
        free_units=Decimal(str(inputs.get("free_units", 0))),
        round=inputs.get("round", "up"),
    )
    return text(total(charge.price_quantity(exact(inputs["quantity"]))))


def tier_blocks(inputs: Inputs) -> str:
    """policy: TOP_TIER or ALL_TIERS. Past the last bounded tier its price goes on."""
    blocks = tuple(
        Block(
            size=Decimal(str(block["size"])),
            price=Decimal(str(block["price"])),
            max_blocks=None if block.get("max_blocks") is None else int(block["max_blocks"]),
        )
        for block in inputs["blocks"]
    )
    charge = TieredBlocks(
        id="units",
        name=_NAMES,
        metric=_METRIC,
        blocks=blocks,
        policy=inputs["policy"].lower(),
        past_last="last_tier",
    )
    return text(total(charge.price_quantity(exact(inputs["quantity"]))))


def convert_then_unit(inputs: Inputs) -> str:
    metric = Metric(
        values=("units",),
        multiply_by=Decimal(str(inputs.get("multiply_by", 1))),
        divide_by=Decimal(str(inputs.get("divide_by", 1))),
        round=inputs.get("round", "none"),
        free_units=Decimal(str(inputs.get("usage_discount", 0))),
    )
    return text(metric.convert(exact(inputs["quantity"])) * exact(inputs["unit"]))


def percentage(inputs: Inputs) -> str:
    charge = Percentage(
        id="amounts",
        name=_NAMES,
        metric=_METRIC,
        percent=Decimal(str(inputs["rate_pct"])),
        fixed_per_event=Decimal(str(inputs.get("fixed_per_event", 0))),
        free_events=int(inputs["free_events"]) if inputs.get("free_events") else None,
        free_amount=_decimal(inputs.get("free_amount")),
        minimum_per_event=_decimal(inputs.get("minimum_per_event")),
        maximum_per_event=_decimal(inputs.get("maximum_per_event")),
    )
    listed = enumerate(inputs["events"])
    events = [Event(at_ns=place, values={"units": Decimal(str(value))}, id=f"{place:09d}") for place, value in listed]
    return text(total(charge.price(events, Span(0, len(events) + 1))[1]))


def graduated_percentage(inputs: Inputs) -> str:
    tiers = tuple(
        PercentTier(
            up_to=_decimal(tier["up_to"]),
            percent=Decimal(str(tier["rate_pct"])),
            flat=Decimal(str(tier.get("flat", 0))),
        )
        for tier in inputs["tiers"]
    )
    charge = GraduatedPercentage(
        id="amounts",
        name=_NAMES,
        metric=_METRIC,
        tiers=tiers,
        zero_usage=inputs.get("zero_usage", _FIRST_TIER_FLAT),
    )
    return text(total(charge.price_quantity(exact(inputs["quantity"]))))


_CLASSES: Final[Mapping[str, str]] = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cached_read_tokens",
    "cache_write": "cache_write_tokens",
    "reasoning": "reasoning_tokens",
}


def token_cost(inputs: Inputs) -> Inputs:
    """Disjoint classes of tokens at rates of a million. rounded: half up, to six places."""
    rates: dict[str, Any] = {
        _CLASSES[name]: Rate(per_million=Decimal(str(rate))) for name, rate in inputs["rates_per_million"].items()
    }
    usage = Usage(**{_CLASSES[name]: int(count) for name, count in inputs["tokens"].items()})
    prices = (Price(model="m", **rates),)
    card = compile_plan(freeze_plan(Plan(id="tokens", name=_NAMES, currency="USD", prices=prices), applied_ns=0))
    amount = Fraction(card.rate("m", usage).attos, 10**18)
    return {"exact": text(amount), "rounded": text(round_places(amount, int(inputs.get("places", 6))))}


RULES: Final[dict[str, Callable[[Inputs], Any]]] = {
    rule.__name__: rule
    for rule in (
        graduated,
        volume,
        graduated_plus_tax,
        package,
        tier_blocks,
        convert_then_unit,
        percentage,
        graduated_percentage,
        token_cost,
    )
}
