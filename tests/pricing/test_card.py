from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.base import METERS, MintageError, Usage
from mintage.pricing import Adjustment, Plan, Price, Rate, RateCard, Window, compile_plan, freeze_plan
from mintage.pricing.scalar import rate_request

from .strategies import DIMENSIONS, MODELS, MOMENTS, plans, simple_plan, usages

NIGHT_NS = 1_767_225_600_000_000_000 + 2 * 3600 * 10**9  # 2026-01-01T02:00:00Z
NOON_NS = 1_767_225_600_000_000_000 + 12 * 3600 * 10**9


def card_of(plan: Plan) -> RateCard:
    return compile_plan(freeze_plan(plan, applied_ns=0))


@given(plans(), st.sampled_from(MODELS), st.lists(st.tuples(usages, MOMENTS, DIMENSIONS), min_size=1, max_size=4))
def test_the_card_equals_the_exact_scalar_path_bit_for_bit(plan, model, requests) -> None:
    card = card_of(plan)  # several requests on one card, so that what it remembers is tested too
    for usage, at_ns, dimensions in requests:
        try:
            expected = rate_request(plan, model, usage, at_ns, dimensions)
        except MintageError as error:
            with pytest.raises(MintageError) as caught:
                card.rate(model, usage, at_ns, dimensions)
            assert caught.value.code == error.code
            assert caught.value.message == error.message
        else:
            try:
                charge = card.rate(model, usage, at_ns, dimensions)
            except MintageError as error:
                assert "9.2 billion" in error.message
            else:
                assert charge.lines == expected
                assert charge.attos == sum(line.attos for line in expected)


def within(data: st.DataObject, most: Usage) -> Usage:
    """A usage whose classes split the bounds in any way."""
    prompt = data.draw(st.integers(0, most.input_tokens), label="prompt")
    cached = data.draw(st.integers(0, prompt), label="cached")
    written = data.draw(st.integers(0, prompt - cached), label="written")
    completion = data.draw(st.integers(0, most.output_tokens), label="completion")
    reasoning = data.draw(st.integers(0, completion), label="reasoning")
    return Usage(
        input_tokens=prompt - cached - written,
        cached_read_tokens=cached,
        cache_write_tokens=written,
        output_tokens=completion - reasoning,
        reasoning_tokens=reasoning,
        requests=data.draw(st.integers(0, 1), label="requests"),
        image_count=data.draw(st.integers(0, most.image_count), label="images"),
        audio_ms=data.draw(st.integers(0, most.audio_ms), label="audio"),
    )


@given(plans(), st.sampled_from(MODELS), MOMENTS, DIMENSIONS, st.data())
def test_a_bound_holds_whatever_happens_within_it(plan, model, at_ns, dimensions, data) -> None:
    small = st.integers(0, 2**21)
    most = Usage(
        input_tokens=data.draw(small),
        output_tokens=data.draw(small),
        image_count=data.draw(st.integers(0, 3)),
        audio_ms=data.draw(st.integers(0, 10**6)),
    )
    others = Usage(image_count=most.image_count, audio_ms=most.audio_ms)
    card = card_of(plan)
    try:
        bound = card.bound(
            model,
            input_bound_tokens=most.input_tokens,
            output_bound_tokens=most.output_tokens,
            at_ns=at_ns,
            dimensions=dimensions,
            others=others if others != Usage() or data.draw(st.booleans()) else None,
        )
    except MintageError as error:
        assert error.code in ("unpriceable", "invalid_request")
        return
    charge = card.rate(model, within(data, most), at_ns, dimensions)  # whatever had a bound has a price
    assert charge.attos <= bound * 10**9


def test_a_bound_of_whole_nanos_is_tight() -> None:
    card = card_of(simple_plan())
    usage = Usage(input_tokens=1000, output_tokens=500, requests=1)
    for _ in range(2):  # first by the careful path, then by the fast one
        assert card.bound("tiny", input_bound_tokens=1000, output_bound_tokens=500) == 1_800_000
    assert card.rate("tiny", usage).attos == 1_800_000 * 10**9


def test_a_fraction_of_a_nano_is_held_as_a_whole_one() -> None:
    plan = simple_plan(prices=(Price(model="tiny", input_tokens=Rate(per_million=Decimal("0.0075"))),))
    card = card_of(plan)
    assert card.rate("tiny", Usage(input_tokens=1)).attos == 7_500_000_000
    assert card.bound("tiny", input_bound_tokens=1, output_bound_tokens=0) == 8


def test_what_has_no_price_is_refused_before_and_after() -> None:
    card = card_of(simple_plan())
    refusals = [
        lambda: card.rate("huge", Usage(input_tokens=1)),
        lambda: card.rate("tiny", Usage(image_count=1)),
        lambda: card.bound("huge", input_bound_tokens=1, output_bound_tokens=1),
        lambda: card.bound("tiny", input_bound_tokens=1, output_bound_tokens=1, others=Usage(audio_ms=5)),
    ]
    for _ in range(2):
        for refused in refusals:
            with pytest.raises(MintageError) as caught:
                refused()
            assert caught.value.code == "unpriceable"
            assert caught.value.hint
    assert not card.sells("huge")
    assert card.sells("tiny")


def test_a_negative_count_never_pays_the_customer() -> None:
    card = card_of(simple_plan())
    with pytest.raises(MintageError, match="input_tokens is -5"):
        card.rate("tiny", Usage(input_tokens=-5))
    with pytest.raises(MintageError, match="negative"):
        card.bound("tiny", input_bound_tokens=-1, output_bound_tokens=1)


def test_cached_and_reasoning_tokens_default_to_their_family() -> None:
    usage = Usage(cached_read_tokens=10, cache_write_tokens=10, reasoning_tokens=10)
    lines = {line.meter: line.rate_attos for line in card_of(simple_plan()).rate("tiny", usage).lines}
    assert lines == {
        "cached_read_tokens": 600 * 10**9,
        "cache_write_tokens": 600 * 10**9,
        "reasoning_tokens": 2400 * 10**9,
    }


def test_tokens_of_every_class_add_up_once() -> None:
    """BerriAI/litellm#11789: four input, 2,455 cached and 23 output tokens cost 0.0002916 USD, not 7 times that."""
    price = Price(
        model="tiny",
        input_tokens=Rate(per_million=Decimal("0.80")),
        cached_read_tokens=Rate(per_million=Decimal("0.08")),
        output_tokens=Rate(per_million=Decimal("4.00")),
    )
    charge = card_of(simple_plan(prices=(price,))).rate(
        "tiny", Usage(input_tokens=4, cached_read_tokens=2455, output_tokens=23)
    )
    assert Decimal(charge.attos).scaleb(-18) == Decimal("0.0002916")


def test_a_context_cliff_moves_the_whole_request() -> None:
    """Gemini 2.5 Pro: 200,001 instead of 200,000 input tokens, and the bill goes from 0.260 to 0.515 USD."""
    long = Price(
        model="tiny",
        above_prompt_tokens=200_000,
        input_tokens=Rate(per_million=Decimal("2.50")),
        output_tokens=Rate(per_million=Decimal("15")),
    )
    short = Price(
        model="tiny", input_tokens=Rate(per_million=Decimal("1.25")), output_tokens=Rate(per_million=Decimal("10"))
    )
    card = card_of(simple_plan(prices=(long, short)))
    assert card.rate("tiny", Usage(input_tokens=200_000, output_tokens=1000)).attos == 26 * 10**16
    assert card.rate("tiny", Usage(input_tokens=200_001, output_tokens=1000)).attos == 515_002_500_000_000_000
    assert card.bound("tiny", input_bound_tokens=200_000, output_bound_tokens=1000) == 260_000_000
    assert card.bound("tiny", input_bound_tokens=200_001, output_bound_tokens=1000) == 515_002_500


def test_a_cliff_without_a_price_below_it_is_not_sold() -> None:
    long = Price(model="tiny", above_prompt_tokens=10, input_tokens=Rate(per_million=Decimal(1)))
    with pytest.raises(MintageError) as caught:
        card_of(simple_plan(prices=(long,))).bound("tiny", input_bound_tokens=50, output_bound_tokens=0)
    assert caught.value.code == "unpriceable"


def test_the_most_specific_pattern_wins_then_the_first_entry() -> None:
    def flat(model: str, amount: str) -> Price:
        return Price(model=model, requests=Rate(per_unit=Decimal(amount)))

    card = card_of(
        simple_plan(
            prices=(
                flat("*", "1"),
                flat("gpt-*", "2"),
                flat("gpt-4*", "3"),
                flat("gpt-4o", "4"),
                flat("gpt-5*", "5"),
                flat("*-gpt5", "6"),
            )
        )
    )
    asked = ["llama", "gpt-3", "gpt-4-turbo", "gpt-4o", "GPT-4o", "gpt-5-gpt5"]
    charged = [card.rate(model, Usage(requests=1)).attos // 10**18 for model in asked]
    assert charged == [1, 2, 3, 4, 1, 5]


def test_batch_at_night_is_cheaper_and_a_window_may_pass_midnight() -> None:
    from datetime import time

    plan = simple_plan(
        adjustments=(
            Adjustment(factor=Decimal("0.5"), where={"class": "batch"}),
            Adjustment(factor=Decimal("0.8"), during=Window(start=time(22), end=time(6))),
        )
    )
    card = card_of(plan)
    usage = Usage(input_tokens=1_000_000)
    assert card.rate("tiny", usage, NOON_NS).attos == 6 * 10**17
    assert card.rate("tiny", usage, NOON_NS, {"class": "batch"}).attos == 3 * 10**17
    assert card.rate("tiny", usage, NIGHT_NS).attos == 48 * 10**16
    assert card.rate("tiny", usage, NIGHT_NS, {"class": "batch"}).attos == 24 * 10**16


def test_a_request_costs_at_least_its_minimum_and_at_most_its_maximum() -> None:
    price = Price(model="tiny", input_tokens=Rate(per_unit=Decimal(1)), minimum=Decimal(3), maximum=Decimal(5))
    card = card_of(simple_plan(prices=(price,)))
    totals = [card.rate("tiny", Usage(input_tokens=n)).attos // 10**18 for n in (0, 1, 3, 4, 5, 99)]
    assert totals == [3, 3, 3, 4, 5, 5]
    assert [line.meter for line in card.rate("tiny", Usage(input_tokens=99)).lines] == ["input_tokens", "maximum"]
    assert card.bound("tiny", input_bound_tokens=99, output_bound_tokens=0) == 5 * 10**9


def test_an_amount_beyond_the_books_is_refused() -> None:
    card = card_of(simple_plan())
    with pytest.raises(MintageError, match=r"9\.2 billion"):
        card.rate("tiny", Usage(input_tokens=2**60))
    with pytest.raises(MintageError, match=r"9\.2 billion"):
        card.bound("tiny", input_bound_tokens=2**60, output_bound_tokens=0)


def test_a_charge_is_explained_in_both_languages() -> None:
    card = card_of(simple_plan())
    line = card.explain(card.rate("tiny", Usage(input_tokens=1250, requests=1)))[0]
    assert line.en == "1,250 input tokens at 0.6 USD per million = 0.00075 USD"
    assert line.zh == "1,250 输入 token，每百万 0.6 USD = 0.00075 USD"
    assert line.amount == Decimal("0.00075")


def test_an_hour_is_charged_exactly_though_its_millisecond_is_no_decimal() -> None:
    price = Price(model="gpu", duration_ms=Rate(per_hour=Decimal(2)))
    card = card_of(simple_plan(prices=(price,)))
    assert card.rate("gpu", Usage(duration_ms=3_600_000 * 1814)).attos == 3628 * 10**18
    third = card.rate("gpu", Usage(duration_ms=1)).attos
    assert abs(Fraction(third, 10**18) - Fraction(2, 3_600_000)) <= Fraction(1, 2 * 10**18)


@given(st.integers(1, 2**20), st.integers(0, 2**20))
def test_meters_are_charged_independently(prompt, completion) -> None:
    card = card_of(simple_plan())
    whole = card.rate("tiny", Usage(input_tokens=prompt, output_tokens=completion)).attos
    parts = (
        card.rate("tiny", Usage(input_tokens=prompt)).attos + card.rate("tiny", Usage(output_tokens=completion)).attos
    )
    assert whole == parts
    assert set(METERS) >= {"input_tokens", "output_tokens"}
