"""`python -m mintage.pricing.compile_prices [--date YYYY-MM-DD] [FILE]`: compile genai-prices into our price book.

Needs the extra `pricebook`. Prints what changed against the file it replaces, one line per model, so that the diff
can be read before it is committed. The running server never imports genai-prices.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec

from mintage.pricing.costs.data import (
    DATA_FILE,
    Clause,
    DatedPrices,
    ModelPrices,
    PriceFile,
    ProviderPrices,
    Rates,
    Tiered,
    Unit,
    Variant,
    read_price_file,
)
from mintage.pricing.costs.diff import diff_files

_SOURCE: Final = "https://github.com/pydantic/genai-prices"
_LICENCE: Final = "MIT, Copyright (c) Pydantic Services Inc. 2025 to present"

#: genai-prices bills at least ten seconds of audio for these, in its calculator rather than in its data.
_LEAST_AUDIO_SECONDS: Final = {("groq", "whisper-large-v3"): 10, ("groq", "whisper-large-v3-turbo"): 10}


def _clause(match: Any) -> Clause:
    ((kind, value),) = vars(match).items()
    if kind in ("or_", "and_"):
        return {kind.rstrip("_"): [_clause(part) for part in value]}
    return {kind: value}


def _second(moment: time) -> int:
    """Seconds of the UTC day. A time without zone is UTC."""
    aware = datetime.combine(date(1970, 1, 1), moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    utc = aware.astimezone(UTC)
    return utc.hour * 3600 + utc.minute * 60 + utc.second


def _condition(constraint: Any) -> dict[str, Any]:
    if constraint is None:
        return {}
    if hasattr(constraint, "start_date"):
        return {"since": constraint.start_date}
    return {"between": (_second(constraint.start_time), _second(constraint.end_time))}


def _rates(price: Any, keys: dict[str, str]) -> Rates:
    """KeyError: a price of a unit that the units table lacks. Better no book than one with a hole."""
    found: Rates = {}
    for key, value in vars(price).items():
        if isinstance(value, Decimal):
            found[keys[key]] = value
        elif value is not None:
            found[keys[key]] = Tiered(value.base, tuple((tier.start, tier.price) for tier in value.tiers))
    return found


def _model(provider_id: str, model: Any, keys: dict[str, str]) -> ModelPrices:
    listed = model.prices if isinstance(model.prices, list) else None
    if listed is None:
        prices: tuple[DatedPrices, ...] = (DatedPrices(_rates(model.prices, keys)),)
    else:
        prices = tuple(DatedPrices(_rates(item.prices, keys), **_condition(item.constraint)) for item in listed)
    variants = tuple(
        Variant(_rates(item.prices, keys), when=item.when, **_condition(item.constraint))
        for item in model.price_variants or ()
    )
    least = _LEAST_AUDIO_SECONDS.get((provider_id, model.id), 0)
    return ModelPrices(model.id, _clause(model.match), prices, variants, least)


def _providers(providers: Iterable[Any], keys: dict[str, str]) -> Iterator[tuple[str, ProviderPrices]]:
    for provider in providers:
        yield (
            provider.id,
            ProviderPrices(
                name=provider.name,
                match=None if provider.provider_match is None else _clause(provider.provider_match),
                fallback=tuple(provider.fallback_model_providers or ()),
                models=tuple(_model(provider.id, model, keys) for model in provider.models),
            ),
        )


def _units(raw: dict[str, Any]) -> dict[str, Unit]:
    def wider(name: str) -> tuple[str, ...]:
        own = raw[name]["dimensions"].items()
        return tuple(other for other in raw if other != name and raw[other]["dimensions"].items() <= own)

    return {name: Unit(unit["per"], wider(name)) for name, unit in raw.items()}


def compile_book(day: date) -> bytes:
    """The price book as JSON, one model a line, so that a change of a price is a change of a line."""
    import genai_prices
    from genai_prices.data import providers
    from genai_prices.data_units import unit_data

    keys = {unit.get("price_key", name): name for name, unit in unit_data.items()}
    encode = msgspec.json.encode
    head = {
        "version": f"genai-prices {genai_prices.__version__}",
        "date": day,
        "source": _SOURCE,
        "licence": _LICENCE,
        "currency": "USD",
        "units": _units(unit_data),
    }
    blocks = []
    for name, provider in _providers(providers, keys):
        outer = encode(msgspec.structs.replace(provider, models=()))[:-1]
        models = b",\n".join(encode(model) for model in provider.models)
        blocks.append(encode(name) + b":" + outer + b',"models":[\n' + models + b"\n]}")
    return encode(head)[:-1] + b',\n"providers":{\n' + b",\n".join(blocks) + b"\n}}\n"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m mintage.pricing.compile_prices", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=Path(__file__).parent / "data" / DATA_FILE)
    parser.add_argument("--date", type=date.fromisoformat, default=datetime.now(UTC).date())
    options = parser.parse_args(arguments)
    raw = compile_book(options.date)
    before = read_price_file(options.file) if options.file.exists() else None
    lines = diff_files(before, msgspec.json.decode(raw, type=PriceFile))
    options.file.parent.mkdir(parents=True, exist_ok=True)
    options.file.write_bytes(raw)
    sys.stdout.write("".join(f"{line}\n" for line in lines) or "no price changed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
