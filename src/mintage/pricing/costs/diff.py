"""What changed between two price books, to be read and confirmed before the new one is used."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from mintage.pricing.costs.data import DatedPrices, ModelPrices, PriceFile, Tiered, Variant, decode_provider


def _models(file: PriceFile | None) -> dict[tuple[str, str], ModelPrices]:
    if file is None:
        return {}
    return {(name, model.id): model for name, raw in file.providers.items() for model in decode_provider(raw).models}


def _price(value: Decimal | Tiered) -> str:
    if isinstance(value, Tiered):
        return str(value.base) + "".join(f", above {start}: {price}" for start, price in value.tiers)
    return str(value)


def _entry(entry: DatedPrices) -> str:
    when = "".join(f" {key}={value}" for key, value in entry.when.items()) if isinstance(entry, Variant) else ""
    since = f" since {entry.since}" if entry.since else ""
    between = f" between seconds {entry.between[0]} and {entry.between[1]}" if entry.between else ""
    rates = "; ".join(f"{unit} {_price(value)}" for unit, value in entry.rates.items())
    return f"{when}{since}{between} {rates}".strip()


def diff_files(before: PriceFile | None, after: PriceFile) -> Iterator[str]:
    """One line per price that came, went or changed: `openai/gpt-4o: - input_tokens 2.5 ...` and `+ ...`."""
    old, new = _models(before), _models(after)
    for key in sorted(old.keys() | new.keys()):
        gone, come = old.get(key), new.get(key)
        lines_old = [_entry(entry) for entry in (*gone.prices, *gone.variants)] if gone else []
        lines_new = [_entry(entry) for entry in (*come.prices, *come.variants)] if come else []
        name = "/".join(key)
        yield from (f"{name}: - {line}" for line in lines_old if line not in lines_new)
        yield from (f"{name}: + {line}" for line in lines_new if line not in lines_old)
