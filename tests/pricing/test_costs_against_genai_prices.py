"""Our compiled price book against genai-prices' own calculator, over every model it knows."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mintage.base import MintageError, Usage
from mintage.pricing import CostBook
from mintage.pricing.compile_prices import compile_book
from mintage.pricing.costs.data import PriceFile, read_price_file

genai_prices = pytest.importorskip("genai_prices", reason="the extra `pricebook` is not installed")
SNAPSHOT = pytest.importorskip("genai_prices.data_snapshot").get_snapshot()
BOOK = CostBook.load()
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def units(attos: int) -> Decimal:
    return Decimal(attos).scaleb(-18)


def test_the_committed_book_is_what_the_installed_release_compiles_to() -> None:
    ours = read_price_file()
    if ours.version != f"genai-prices {genai_prices.__version__}":
        pytest.skip("another release of genai-prices is installed")
    assert msgspec.json.decode(compile_book(ours.date), type=PriceFile) == ours


def theirs(provider: str, model: str, usage: Usage, when: datetime, context=None) -> Decimal:
    counted = {
        "input_tokens": usage.prompt_tokens,
        "cache_read_tokens": usage.cached_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "output_tokens": usage.completion_tokens,
        "output_reasoning_tokens": usage.reasoning_tokens,
        "audio_seconds": Decimal(usage.audio_ms) / 1000,
        "input_audio_seconds": Decimal(usage.audio_ms) / 1000,
        "input_characters": usage.characters,
    }
    with localcontext(prec=50):
        return SNAPSHOT.calc(genai_prices.Usage(**counted), model, provider, None, when, context).total_price


def test_every_model_costs_the_same() -> None:
    compared = 0
    for provider in SNAPSHOT.providers:
        for model in provider.models:
            for when in (NOW, datetime(2025, 1, 1, 3, tzinfo=UTC), datetime(2026, 6, 30, 23, 59, tzinfo=UTC)):
                for usage in usages():
                    compared += compare(provider.id, model.id, usage, when)
    assert compared > 10_000


def usages() -> list[Usage]:
    tokens = Usage(
        input_tokens=70,
        cached_read_tokens=20,
        cache_write_tokens=10,
        output_tokens=33,
        reasoning_tokens=5,
        requests=1,
    )
    long = msgspec.structs.replace(tokens, input_tokens=300_000)
    return [
        tokens,
        long,
        Usage(audio_ms=61_000, requests=1),
        Usage(audio_ms=1_000, requests=1),
        Usage(characters=1234, requests=1),
    ]


def compare(provider: str, model: str, usage: Usage, when: datetime, context=None) -> bool:
    """Whether we priced it; then genai-prices must agree to 1e-17."""
    try:
        ours = BOOK.cost(provider, model, usage, int(when.timestamp()) * 10**9, context=context)
    except MintageError as error:
        assert error.code == "unpriceable"
        return False
    assert abs(units(ours.attos) - theirs(provider, model, usage, when, context)) <= Decimal("1e-17")
    return True


def test_every_service_class_costs_the_same() -> None:
    compared = 0
    for provider in SNAPSHOT.providers:
        for model in provider.models:
            for variant in model.price_variants or ():
                for when in (NOW, datetime(2026, 1, 1, tzinfo=UTC)):
                    for usage in usages()[:2]:
                        compared += compare(provider.id, model.id, usage, when, variant.when)
    assert compared > 500


@settings(max_examples=300)
@given(data=st.data())
def test_any_name_usage_and_moment(data) -> None:
    provider = data.draw(st.sampled_from(SNAPSHOT.providers))
    suffix = data.draw(st.sampled_from(["", "-20251211", "-2025-12-11", ":free", "x"]))
    model = data.draw(st.sampled_from(provider.models)).id + suffix
    counts = st.integers(0, 500_000)
    usage = Usage(
        input_tokens=data.draw(counts),
        cached_read_tokens=data.draw(counts),
        cache_write_tokens=data.draw(counts),
        output_tokens=data.draw(counts),
        reasoning_tokens=data.draw(counts),
        requests=1,
    )
    when = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=data.draw(st.integers(0, 100_000_000)))
    if compare(provider.id, model, usage, when):
        return
    try:
        found = SNAPSHOT.find_provider_model(model, None, provider.id, None)[1]
    except LookupError:
        return
    assert not (
        hasattr(found.get_prices(when), "input_mtok")
        and found.get_prices(when).input_mtok is not None
        and found.get_prices(when).output_mtok is not None
    )
