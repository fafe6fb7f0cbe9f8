"""What serving a workload costs: provider price books as of each day, a plan of costs, own GPUs, fixed amounts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from fractions import Fraction
from typing import Any, Final

import msgspec

from mintage.base import ATTOS_PER_UNIT, MintageError, Usage
from mintage.lab.checks import require
from mintage.lab.engine import Engine, Grain, Totals
from mintage.lab.engine.rates import cell_units
from mintage.pricing import CostBook
from mintage.pricing.period import local_day, midnight_ns
from mintage.pricing.vector import common_unit

_PROBE: Final = 1_000_000  # units of a meter whose cost is a whole number of attos at every price per million
_SECONDS_PER_HOUR: Final = 3_600


class ProviderCost(msgspec.Struct, frozen=True, kw_only=True, tag="provider"):
    """A provider's model at the price book's price of the event's day, with its context cliffs."""

    provider: str
    model: str


class GpuCost(msgspec.Struct, frozen=True, kw_only=True, tag="own"):
    """Own GPUs: prompt tokens at the prefill rate, written tokens at the decode rate, all at a utilisation.

    cached_share: of the prefill work that a cached token still needs. Tokens a second are of all the GPUs at full load.
    """

    gpus: float
    usd_gpu_hour: float
    prefill_tok_s: float
    decode_tok_s: float
    utilisation: float = 0.5
    cached_share: float = 0.0

    def rates(self) -> dict[str, Fraction]:
        """Currency units of one token, to 1e-18."""
        require(self.gpus > 0 and self.usd_gpu_hour >= 0, "gpus is above 0", "gpus")
        require(self.prefill_tok_s > 0 and self.decode_tok_s > 0, "rates are above 0", "prefill_tok_s")
        require(0 < self.utilisation <= 1, "utilisation lies in (0, 1]", "utilisation")
        second = Fraction(str(self.gpus)) * Fraction(str(self.usd_gpu_hour)) / _SECONDS_PER_HOUR
        second /= Fraction(str(self.utilisation))
        prompt, written = second / Fraction(str(self.prefill_tok_s)), second / Fraction(str(self.decode_tok_s))
        cached = prompt * Fraction(str(self.cached_share))
        exact = {
            "input_tokens": prompt,
            "cache_write_tokens": prompt,
            "cached_read_tokens": cached,
            "output_tokens": written,
            "reasoning_tokens": written,
        }
        return {meter: Fraction(round(rate * ATTOS_PER_UNIT), ATTOS_PER_UNIT) for meter, rate in exact.items()}


ModelCost = ProviderCost | GpuCost


def parse_cost(text: str) -> tuple[str, ModelCost]:
    """`small=openai/gpt-4o-mini`, or `small=own:gpus=8,usd_gpu_hour=2,prefill_tok_s=50000,decode_tok_s=14800`."""
    model, found, what = text.partition("=")
    if not found:
        raise MintageError("invalid_request", f"{text!r} names no cost.", "Write MODEL=PROVIDER/NAME.", param="cost")
    if what.startswith("own:"):
        try:
            pairs = {name: float(value) for name, _, value in (p.partition("=") for p in what[4:].split(","))}
            return model, msgspec.convert(pairs, GpuCost)
        except (ValueError, msgspec.ValidationError) as error:
            raise MintageError(
                "invalid_request", f"{text[:80]!r}: {error}.", f"Fields: {', '.join(GpuCost.__struct_fields__)}."
            ) from error
    provider, _, name = what.partition("/")
    if not name:
        raise MintageError("invalid_request", f"{what!r} is no provider's model.", "Write openai/gpt-4o.", param="cost")
    return model, ProviderCost(provider=provider, model=name)


def cost_units(engine: Engine, costs: Mapping[str, ModelCost], book: CostBook) -> tuple[Any, Fraction, Totals]:
    """(cost of each group of the totals as multiples of a unit, the unit, the totals).

    Models without a cost cost nothing: the caller lists them. Provider prices are those of the UTC day.
    """
    import numpy as np

    totals = engine.totals(_grain(engine, costs, book))
    rates = [
        _rates(costs.get(c.model), book, c.prompt_tokens, c.at_ns, totals, i) for i, c in enumerate(totals.contexts)
    ]
    unit = common_unit(rate for each in rates for rate in each.values())
    by_group = Totals(np.arange(len(totals.cell)), totals.context, totals.contexts, totals.sums, len(totals.cell))
    return cell_units(by_group, rates, unit), unit, totals


def _grain(engine: Engine, costs: Mapping[str, ModelCost], book: CostBook) -> Grain:
    spans = engine.calendar.spans
    bought = [cost for cost in costs.values() if isinstance(cost, ProviderCost)]
    if not bought:
        return Grain()
    cliffs = {at for cost in bought for at in book.cliffs(cost.provider, cost.model, spans[-1].start_ns)}
    day, last = local_day(spans[0].start_ns, "UTC"), local_day(spans[-1].end_ns, "UTC")
    days = [midnight_ns(day + timedelta(days=i), "UTC") for i in range((last - day).days + 1)]
    changed = [
        at for i, at in enumerate(days) if not i or _prices(bought, book, at) != _prices(bought, book, days[i - 1])
    ]
    return Grain(thresholds=tuple(sorted(cliffs)), instants=tuple(changed))


def _prices(bought: list[ProviderCost], book: CostBook, at_ns: int) -> list[dict[str, Fraction]]:
    return [book.rates(cost.provider, cost.model, at_ns) for cost in bought]


def _rates(  # noqa: PLR0917 - what chooses a price
    cost: ModelCost | None, book: CostBook, prompt_tokens: int, at_ns: int, totals: Totals, place: int
) -> dict[str, Fraction]:
    if cost is None:
        return {}
    if isinstance(cost, GpuCost):
        return cost.rates()
    found = {}
    mine = totals.context == place
    listed = book.rates(cost.provider, cost.model, at_ns, prompt_tokens=prompt_tokens)
    for meter, sums in totals.sums.items():
        if meter == "requests" and meter not in listed:
            continue
        if sums[mine].any():
            if meter not in listed:
                book.cost(cost.provider, cost.model, Usage(**{meter: _PROBE}), at_ns)  # raises: it has no price
            found[meter] = listed[meter]
    return found
