"""What an answer costs us: the provider price book, the operator's overrides, and our own machines."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Final

from mintage.base import ATTOS_PER_UNIT, METERS, Cost, MintageError, Usage, check_currency
from mintage.pricing.card import RateCard
from mintage.pricing.costs.data import ModelPrices, PriceFile, ProviderPrices, decode_provider, read_price_file
from mintage.pricing.costs.match import Matcher, compile_clause, dashed_dates
from mintage.pricing.costs.schedule import Schedule, total_attos
from mintage.pricing.rates import round_half_up, to_attos
from mintage.pricing.sheet import FREE

_CACHE_LIMIT: Final = 4096
_NAME_LIMIT: Final = 256
_NOTHING: Final[Mapping[str, str]] = {}


class CostBook:
    """Dated provider prices. Reading one price decodes one provider; nothing else is kept in memory.

    overrides: by provider, a rate card of the operator's own prices (a negotiated discount, a private endpoint);
    a model that it sells is costed by it alone.
    """

    def __init__(self, file: PriceFile, overrides: Mapping[str, RateCard] | None = None) -> None:
        self._file = file
        self._overrides = dict(overrides or {})
        self._decoded: dict[str, ProviderPrices] = {}
        self._matchers: dict[str, list[tuple[Matcher, ModelPrices]]] = {}
        self._schedules: dict[tuple[str, str], Schedule | None] = {}
        self.id = f"{file.version}@{file.date.isoformat()}"

    @classmethod
    def load(cls, path: Path | None = None, overrides: Mapping[str, RateCard] | None = None) -> CostBook:
        """The book in the package, or the one at path. Raises MintageError if the file is missing or malformed."""
        return cls(read_price_file(path), overrides)

    @property
    def date(self) -> date:
        """The day on which the prices were compiled."""
        return self._file.date

    @property
    def providers(self) -> tuple[str, ...]:
        return tuple(self._file.providers)

    def models(self, provider: str) -> tuple[str, ...]:
        """The canonical model names that the book prices for a provider."""
        name = self._provider_name(provider)
        return tuple(model.id for model in self._provider(name).models) if name else ()

    def cost(
        self,
        provider: str,
        model: str,
        usage: Usage,
        at_ns: int,
        *,
        context: Mapping[str, str] | None = None,
        parts: Mapping[str, int] | None = None,
    ) -> Cost:
        """What one request at the provider costs us, exact.

        context: service class and the like, e.g. {"processing": "batch"}. parts: counts of the book's narrower
        units, e.g. {"input_audio_tokens": 40, "web_searches": 1}. Raises MintageError("unpriceable") for an
        unknown provider, model or context, and for any count without a price.
        """
        card = self._overrides.get(provider)
        if card is not None and card.sells(model):
            charge = card.rate(model, usage, at_ns, context)
            return _cost(provider, charge.price_id, charge.currency, charge.attos, usage)
        schedule = self._schedule(provider, model)
        if parts or schedule.model.least_audio_seconds:
            attos = to_attos(schedule.exact(usage, parts or {}, at_ns, context or _NOTHING))
        else:
            attos = total_attos(schedule.compiled(usage.prompt_tokens, at_ns, context or _NOTHING), usage, model)
        return _cost(provider, self.id, self._file.currency, attos, usage)

    def rates(
        self, provider: str, model: str, at_ns: int, *, prompt_tokens: int = 0, context: Mapping[str, str] | None = None
    ) -> dict[str, Fraction]:
        """meter -> currency units for one unit, where the book has a price; the dearest hour of the day counts.

        For mark-ups and for the linter. Raises MintageError("unpriceable") for what the book does not know.
        """
        schedule = self._schedule(provider, model)
        found: dict[str, Fraction] = {}
        for moment in schedule.moments(at_ns):
            compiled = schedule.compiled(prompt_tokens, moment, context or _NOTHING)
            for meter, rate in zip(METERS, compiled, strict=True):
                if rate is not None and rate is not FREE:
                    each = Fraction(rate[1], rate[2] * ATTOS_PER_UNIT)
                    found[meter] = max(found.get(meter, each), each)
        return found

    def cliffs(self, provider: str, model: str, at_ns: int, context: Mapping[str, str] | None = None) -> list[int]:
        """Prompt lengths above which another price holds, at any hour of the day."""
        schedule = self._schedule(provider, model)
        found = {start for moment in schedule.moments(at_ns) for start in schedule.cliffs(moment, context or _NOTHING)}
        return sorted(found)

    def _schedule(self, provider: str, model: str) -> Schedule:
        key = (provider, model)
        found = self._schedules.get(key)
        if found is None and key not in self._schedules:
            found = self._find(provider, model)
            if len(self._schedules) < _CACHE_LIMIT:
                self._schedules[key] = found
        if found is None:
            raise MintageError(
                "unpriceable",
                f"The price book of {self._file.date.isoformat()} has no {model[:100]!r} of {provider[:100]!r}.",
                "Check the names, update the price book, or add an override.",
                details={"provider": provider[:100], "model": model[:100]},
            )
        return found

    def _find(self, provider: str, model: str) -> Schedule | None:
        name = self._provider_name(provider)
        if name is None or len(model) > _NAME_LIMIT:
            return None
        lowered = model.lower()
        for asked in dict.fromkeys((lowered, dashed_dates(lowered))):
            for source in (name, *self._provider(name).fallback):
                for matches, prices in self._models(source):
                    if matches(asked):
                        return Schedule(prices, self._file.units, own=source == name)
        return None

    def _provider_name(self, provider: str) -> str | None:
        """The provider's id in the book: the id itself, else the first whose clause means the name."""
        name = provider.lower().strip()
        if len(name) > _NAME_LIMIT or name in self._file.providers:
            return name if name in self._file.providers else None
        for candidate in self._file.providers:
            clause = self._provider(candidate).match
            if clause is not None and compile_clause(clause)(name):
                return candidate
        return None

    def _provider(self, name: str) -> ProviderPrices:
        found = self._decoded.get(name)
        if found is None:
            found = self._decoded[name] = decode_provider(self._file.providers[name])
        return found

    def _models(self, name: str) -> list[tuple[Matcher, ModelPrices]]:
        found = self._matchers.get(name)
        if found is None:
            found = [(compile_clause(model.match), model) for model in self._provider(name).models]
            self._matchers[name] = found
        return found


def _cost(provider: str, price_id: str, currency: str, attos: int, usage: Usage) -> Cost:
    return Cost(provider=provider, price_id=price_id, currency=currency, attos=attos, usage=usage)


def compute_cost(price_per_hour: Decimal, engine_ms: float, currency: str) -> Cost:
    """Our own machine: its price an hour times the time it worked. Time is taken to the nanosecond."""
    if price_per_hour < 0 or not engine_ms >= 0 or engine_ms == float("inf"):
        raise MintageError(
            "invalid_request", "Compute has a price and a time of at least zero.", "Check compute_price_per_hour."
        )
    engine_ns = round(engine_ms * 1_000_000)
    attos = round_half_up(Fraction(price_per_hour) * 10**18 * engine_ns / 3_600_000_000_000)
    return Cost(
        provider="own",
        price_id=f"own@{format(price_per_hour.normalize(), 'f')}/hour",
        currency=check_currency(currency),
        attos=attos,
        engine_ms=engine_ms,
    )
