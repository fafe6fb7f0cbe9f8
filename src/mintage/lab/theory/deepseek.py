"""The DeepSeek-V3/R1 day: what one day of serving would have earned at list prices, and what the GPUs cost.

Source: deepseek-ai/open-infra-index, "Day 6: DeepSeek-V3/R1 Inference System Overview", 27 to 28 February 2025: 608B
input tokens (342B of them cache hits), 168B output tokens, 226.75 nodes of 8 H800 on average at $2 a GPU-hour, all
priced as R1. They state $87,072 of cost, $562,027 of income, a cost profit margin of 545 %.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from mintage.pricing import Names, PeriodUsage, Plan, Price, Rate, quote

_DAY: Final = {"start": "2025-02-27T12:00:00Z", "end": "2025-02-28T12:00:00Z"}
_METERS: Final = ("input_tokens", "cached_read_tokens", "output_tokens")
_AT_NS: Final = 1_740_657_600_000_000_000


def deepseek_day(
    *,
    input_tokens: int = 608_000_000_000,
    cached_tokens: int = 342_000_000_000,
    output_tokens: int = 168_000_000_000,
    price_cached: str = "0.14",
    price_input: str = "0.55",
    price_output: str = "2.19",
    nodes: str = "226.75",
    gpus_per_node: int = 8,
    usd_gpu_hour: str = "2",
    hours: int = 24,
) -> dict[str, object]:
    """The day in full, rated by quote(): revenue by class of tokens, cost, profit, and margins as shares.

    Prices per million tokens in dollars; numbers come back as exact Decimals. margin_on_cost is their 545 %:
    profit over cost. cost_per_M: of all tokens.
    """
    import msgspec

    price = Price(
        model="deepseek-r1",
        input_tokens=Rate(per_million=Decimal(price_input)),
        cached_read_tokens=Rate(per_million=Decimal(price_cached)),
        output_tokens=Rate(per_million=Decimal(price_output)),
    )
    plan = Plan(id="deepseek-day", name=Names(en="DeepSeek, R1 list price"), currency="USD", prices=(price,))
    row: dict[str, Any] = {
        "model": "deepseek-r1",
        "input_tokens": input_tokens - cached_tokens,
        "cached_read_tokens": cached_tokens,
        "output_tokens": output_tokens,
    }
    made = quote(plan, msgspec.convert({**_DAY, "usage": [row]}, PeriodUsage), _AT_NS)
    amounts = iter(step.amount for step in made.lines[0].steps)  # of the meters that counted, in their order
    plain, cached, out = (next(amounts) if row[meter] else Decimal(0) for meter in _METERS)
    cost = Fraction(Decimal(nodes)) * gpus_per_node * Fraction(Decimal(usd_gpu_hour)) * hours
    profit = Fraction(made.total) - cost
    seconds = Fraction(Decimal(nodes)) * hours * 3600
    return {
        "revenue_cached": cached,
        "revenue_input": plain,
        "revenue_output": out,
        "revenue": made.total,
        "cost": _decimal(cost),
        "profit": _decimal(profit),
        "margin_on_cost": float(profit / cost),
        "gross_margin": float(profit / Fraction(made.total)),
        "cache_share": cached_tokens / input_tokens,
        "input_tokens_per_node_second": float(input_tokens / seconds),
        "output_tokens_per_node_second": float(output_tokens / seconds),
        "cost_per_M": float(cost / (input_tokens + output_tokens) * 10**6),
        "breakeven_share_of_list_price": float(cost / Fraction(made.total)),
    }


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)
