"""The compiled price book of providers, as stored: dated prices by model and unit, with when and for whom they hold.

Units are those of genai-prices: a unit may lie within others (`cache_read_tokens` within `input_tokens`), and a
counted part takes the price of the narrowest priced unit it lies in. compile_prices.py writes the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any, Final

import msgspec

from mintage.base import MintageError

Clause = dict[str, Any]
DATA_FILE: Final = "provider_prices.json"


class Tiered(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """base, or the price of the highest tier whose start the prompt exceeds: the whole request moves."""

    base: Decimal
    tiers: tuple[tuple[int, Decimal], ...]

    def at(self, prompt_tokens: int) -> Decimal:
        return next((price for start, price in reversed(self.tiers) if prompt_tokens > start), self.base)


Rates = dict[str, Decimal | Tiered]


class DatedPrices(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Prices in currency units for Unit.per units, valid since a day or between two UTC seconds of the day."""

    rates: Rates
    since: date | None = None
    between: tuple[int, int] | None = None

    def active(self, at_ns: int) -> bool:
        if self.since is not None:
            return at_ns >= (self.since - date(1970, 1, 1)).days * 86_400_000_000_000
        if self.between is None:
            return True
        second, (start, end) = at_ns // 1_000_000_000 % 86_400, self.between
        return start <= second < end if start <= end else second >= start or second < end


class Variant(DatedPrices, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Prices that replace the standard ones for requests of this context, e.g. {processing: batch}."""

    when: dict[str, str] = {}


class ModelPrices(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """prices: the last active entry holds, or the first. variants: the first that applies holds, unit by unit."""

    id: str
    match: Clause
    prices: tuple[DatedPrices, ...]
    variants: tuple[Variant, ...] = ()
    least_audio_seconds: int = 0


class ProviderPrices(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    name: str
    match: Clause | None = None
    fallback: tuple[str, ...] = ()
    models: tuple[ModelPrices, ...] = ()


class Unit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """per: how many units a price pays for. within: the wider units that count the same things."""

    per: int
    within: tuple[str, ...] = ()


class PriceFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: str
    date: date
    source: str
    licence: str
    currency: str
    units: dict[str, Unit]
    providers: dict[str, msgspec.Raw]  # ProviderPrices, decoded when first asked for


def read_price_file(path: Path | None = None) -> PriceFile:
    """The file at path, or the one in the package. Raises MintageError("invalid_request") if it is no price book."""
    raw = resources.files("mintage.pricing").joinpath("data", DATA_FILE).read_bytes() if path is None else _read(path)
    try:
        return msgspec.json.decode(raw, type=PriceFile)
    except msgspec.DecodeError as error:
        raise MintageError(
            "invalid_request", f"{path} is not a price book: {error}.", "Write one with mintage.pricing.compile_prices."
        ) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MintageError("not_found", f"{path}: {error.strerror}.", "Check the path of the price book.") from error


def decode_provider(raw: msgspec.Raw) -> ProviderPrices:
    return msgspec.json.decode(raw, type=ProviderPrices)


def all_rates(model: ModelPrices) -> Iterator[Rates]:
    yield from (entry.rates for entry in model.prices)
    yield from (variant.rates for variant in model.variants)
