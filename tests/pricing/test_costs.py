from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest

from mintage.base import MintageError, Usage
from mintage.pricing import CostBook, Price, Rate, compile_plan, compute_cost, freeze_plan
from mintage.pricing.costs.data import PriceFile, read_price_file
from mintage.pricing.costs.diff import diff_files

from .strategies import simple_plan

BOOK = CostBook.load()
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOW_NS = int(NOW.timestamp()) * 10**9


def units(attos: int) -> Decimal:
    return Decimal(attos).scaleb(-18)


def test_a_context_cliff_moves_the_whole_request() -> None:
    below = BOOK.cost("google", "gemini-2.5-pro", Usage(input_tokens=200_000, output_tokens=1000), NOW_NS)
    above = BOOK.cost("google", "gemini-2.5-pro", Usage(input_tokens=200_001, output_tokens=1000), NOW_NS)
    assert units(below.attos) == Decimal("0.260")
    assert units(above.attos) == Decimal("0.5150025")


def test_prices_depend_on_the_hour_where_the_provider_says_so() -> None:
    day = datetime(2026, 11, 2, tzinfo=UTC)
    usage = Usage(input_tokens=1_000_000)
    night, noon = (
        units(
            BOOK.cost(
                "openrouter" if False else "deepseek",
                "deepseek-chat",
                usage,
                int((day + timedelta(hours=hour)).timestamp()) * 10**9,
            ).attos
        )
        for hour in (17, 12)
    )
    assert (night, noon) == (Decimal("0.135"), Decimal("0.27"))


def test_a_service_class_has_its_own_price_and_an_unknown_one_none() -> None:
    usage = Usage(input_tokens=1_000_000)
    standard = BOOK.cost("google", "gemini-2.5-pro", usage, NOW_NS).attos
    batch = BOOK.cost("google", "gemini-2.5-pro", usage, NOW_NS, context={"processing": "batch"}).attos
    assert batch * 2 == standard
    assert BOOK.cost("google", "gemini-2.5-pro", usage, NOW_NS, context={"processing": "standard"}).attos == standard
    for context in ({"processing": "Batch"}, {"tier": "batch"}):
        with pytest.raises(MintageError) as caught:
            BOOK.cost("google", "gemini-2.5-pro", usage, NOW_NS, context=context)
        assert caught.value.code == "unpriceable"


@pytest.mark.parametrize(
    ("provider", "model", "usage"),
    [
        ("nobody", "gpt-4o", Usage(input_tokens=1)),
        ("openai", "no-such-model", Usage(input_tokens=1)),
        ("openai", "m" * 10_000, Usage(input_tokens=1)),
        ("openai", "gpt-4o", Usage(seats=1)),
        ("openai", "gpt-4o", Usage(input_tokens=-1)),
    ],
)
def test_what_the_book_does_not_know_has_no_price(provider: str, model: str, usage: Usage) -> None:
    for _ in range(2):
        with pytest.raises(MintageError) as caught:
            BOOK.cost(provider, model, usage, NOW_NS)
        assert caught.value.code == "unpriceable"


def test_parts_lie_within_their_meter() -> None:
    usage = Usage(input_tokens=1000, output_tokens=100)
    plain = BOOK.cost("openai", "gpt-4o-mini-realtime-preview", usage, NOW_NS)
    mixed = BOOK.cost("openai", "gpt-4o-mini-realtime-preview", usage, NOW_NS, parts={"input_audio_tokens": 400})
    assert units(mixed.attos - plain.attos) == 400 * (Decimal("10") - Decimal("0.6")) / 10**6
    with pytest.raises(MintageError, match="count more than"):
        BOOK.cost("openai", "gpt-4o-mini-realtime-preview", usage, NOW_NS, parts={"input_audio_tokens": 1001})
    with pytest.raises(MintageError, match="no unit"):
        BOOK.cost("openai", "gpt-4o", usage, NOW_NS, parts={"smiles": 1})
    with pytest.raises(MintageError, match="no price for rerank_searches"):
        BOOK.cost("openai", "gpt-4o", usage, NOW_NS, parts={"rerank_searches": 1})


def test_an_override_is_the_operators_own_price() -> None:
    price = Price(model="gpt-4o", input_tokens=Rate(per_million=Decimal(1)), output_tokens=Rate(per_million=Decimal(2)))
    card = compile_plan(freeze_plan(simple_plan(prices=(price,)), applied_ns=0))
    book = CostBook.load(overrides={"openai": card})
    cost = book.cost("openai", "gpt-4o", Usage(input_tokens=1_000_000), NOW_NS)
    assert (units(cost.attos), cost.price_id) == (Decimal(1), card.id)
    assert book.cost("openai", "gpt-4o-mini", Usage(input_tokens=1), NOW_NS).price_id == book.id


def test_rates_are_those_the_cost_is_made_of() -> None:
    rates = BOOK.rates("openai", "gpt-4o", NOW_NS)
    usage = Usage(input_tokens=7, cached_read_tokens=11, output_tokens=13)
    expected = sum(count * rates[meter] for meter, count in usage.meters().items())
    assert Fraction(BOOK.cost("openai", "gpt-4o", usage, NOW_NS).attos, 10**18) == expected


def test_own_compute_costs_its_share_of_the_hour() -> None:
    cost = compute_cost(Decimal("0.10"), 3_600_000.0, "USD")
    assert (units(cost.attos), cost.provider, cost.engine_ms) == (Decimal("0.10"), "own", 3_600_000.0)
    assert compute_cost(Decimal("2"), 226.75 * 8 * 24 * 3_600_000, "USD").attos == 87_072 * 10**18
    for price, time_ms in (
        (Decimal(-1), 1.0),
        (Decimal(1), -1.0),
        (Decimal(1), float("nan")),
        (Decimal(1), float("inf")),
    ):
        with pytest.raises(MintageError):
            compute_cost(price, time_ms, "USD")


def test_a_new_book_shows_what_it_changes(tmp_path: Path) -> None:
    before = read_price_file()
    assert list(diff_files(before, before)) == []
    raw = msgspec.json.encode(before)
    changed = raw.replace(b'"input_tokens":"2.5"', b'"input_tokens":"2.6"', 1)
    lines = list(diff_files(before, msgspec.json.decode(changed, type=PriceFile)))
    assert len(lines) == 2
    assert any(": - " in line and "input_tokens 2.5" in line for line in lines)
    assert any(": + " in line and "input_tokens 2.6" in line for line in lines)
    assert len(list(diff_files(None, before))) > 2000


def test_a_file_that_is_no_price_book_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(MintageError, match="not a price book"):
        CostBook.load(tmp_path / "bad.json")
    with pytest.raises(MintageError, match="No such file"):
        CostBook.load(tmp_path / "none.json")
