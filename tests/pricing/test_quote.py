from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.base import METERS, MintageError, Usage
from mintage.pricing import (
    PeriodUsage,
    Plan,
    compile_plan,
    freeze_plan,
    load_plan,
    load_usage,
    quote,
)

from .strategies import MODELS, plans, simple_plan

ROOT = Path(__file__).parents[2]
NOW_NS = 1_793_534_400_000_000_000  # 2026-11-01T12:00:00Z
TIERS = b"""
id = "tiers"
currency = "USD"
name = { en = "Tiers", zh = "\xe9\x98\xb6\xe6\xa2\xaf" }
[[charges]]
kind = "graduated"
id = "units"
name = { en = "Units" }
metric = { values = ["units"] }
tiers = [{ up_to = 10, per_unit = 5, flat = 2 }, { up_to = 20, per_unit = 3 }, { per_unit = "0.335" }]
"""


def used(plan: Plan, text: str, at_ns: int = NOW_NS):
    return quote(plan, load_usage(text.encode()), at_ns)


def test_every_tier_is_shown() -> None:
    result = used(load_plan(TIERS), "usage = [{ units = 12 }, { units = 13 }]")
    (line,) = result.lines
    shown = [(step.en, str(step.quantity), str(step.rate), str(step.amount)) for step in line.steps]
    assert shown == [
        ("tier 1 (0 to 10)", "10", "5", "50"),
        ("tier 1 (0 to 10), flat", "1", "2", "2"),
        ("tier 2 (10 to 20)", "10", "3", "30"),
        ("tier 3 (above 20)", "5", "0.335", "1.675"),
    ]
    assert line.steps[2].zh == "第 2 档（10 至 20）"
    assert (line.amount, result.total) == (Decimal("83.68"), Decimal("83.68"))  # 83.675, half up, once
    assert msgspec.json.decode(msgspec.json.encode(result), type=type(result)) == result


def test_without_dates_the_calendar_month_of_the_question() -> None:
    result = used(load_plan(TIERS), "")
    assert (result.start_ns, result.end_ns) == (1_793_491_200 * 10**9, 1_796_083_200 * 10**9)
    assert result.total == Decimal(2)  # zero usage pays the first tier's flat amount


@given(plans(), st.data())
def test_usage_costs_what_the_requests_settled(plan, data) -> None:
    """The quote and the live charge are one arithmetic."""
    card, settled, listed = compile_plan(freeze_plan(plan, applied_ns=0)), 0, []
    for _ in range(data.draw(st.integers(0, 4))):
        model = data.draw(st.sampled_from(MODELS))
        counts = data.draw(st.dictionaries(st.sampled_from(["input_tokens", "output_tokens"]), st.integers(0, 3)))
        usage = Usage(requests=1, **counts)
        settled += card.rate(model, usage, NOW_NS, {}).attos
        listed.append({"model": model, "requests": 1, **counts})
    start = "2026-11-01T12:00:00Z"
    period = msgspec.convert({"usage": listed, "start": start, "end": "2026-12-01T00:00:00Z"}, PeriodUsage)
    assert quote(plan, period, NOW_NS).total_attos == settled


@given(st.permutations([("a", 5), ("b", 9), ("a", 700), ("c", 1), ("b", 0)]))
def test_the_order_of_events_does_not_change_the_bill(rows) -> None:
    plan = load_plan(TIERS + b'group_by = ["team"]\nminimum = 4\n')
    text = "usage = [" + ",".join(f'{{ team = "{team}", units = {units} }}' for team, units in rows) + "]"
    result = used(plan, text)
    assert [line.group for line in result.lines] == [{"team": "a"}, {"team": "b"}, {"team": "c"}]
    assert result.total == Decimal("311.48") + 47 + 7


def test_filters_choose_events() -> None:
    plan = load_plan(TIERS + b'where = { region = "eu-*" }\n')
    text = 'usage = [{ units = 1, region = "eu-1" }, { units = 50, region = "us" }, { units = 50 }]'
    assert used(plan, text).total == Decimal(7)


def test_a_plans_minimum_and_maximum_close_the_quote() -> None:
    low, high = (
        load_plan(TIERS.replace(b"[[charges]]", limit + b"\n[[charges]]"))
        for limit in (b"minimum = 10", b"maximum = 40")
    )
    results = [used(low, "usage = [{ units = 1 }]"), used(high, "usage = [{ units = 25 }]")]
    assert [(line.kind, line.amount) for line in (results[0].lines[-1], results[1].lines[-1])] == [
        ("minimum", Decimal("3.00")),
        ("maximum", Decimal("-43.68")),
    ]
    assert results[0].total == Decimal(10)


def test_a_fee_for_a_part_of_the_period() -> None:
    plan = load_plan((ROOT / "examples" / "plans" / "business.toml").read_bytes())
    half = "start = 2026-11-01T00:00:00Z\nend = 2026-12-01T00:00:00Z\nleft = 2026-11-16T00:00:00Z\n"
    lines = {line.kind: line for line in used(plan, half).lines}
    assert (lines["fee"].amount, lines["fee"].steps[0].en) == (Decimal("10.00"), "1/2 of the period")
    assert lines["minimum"].amount == Decimal("15.00")


def test_what_has_no_price_has_no_quote() -> None:
    with pytest.raises(MintageError) as caught:
        used(simple_plan(), 'usage = [{ model = "huge", input_tokens = 1 }]')
    assert caught.value.code == "unpriceable"


def test_a_plan_is_quoted_from_when_it_takes_effect() -> None:
    plan = load_plan(TIERS.replace(b"currency", b"effective = 2027-01-01T00:00:00Z\ncurrency"))
    with pytest.raises(MintageError, match="takes effect on 2027-01-01"):
        used(plan, "")


def test_requests_are_not_lumped_together_where_each_one_counts() -> None:
    text = (ROOT / "examples" / "plans" / "payg.toml").read_text("utf-8")
    plan = load_plan(text.replace('model = "smollm2-135m*"', 'model = "smollm2-135m*"\nminimum = "0.001"').encode())
    with pytest.raises(MintageError, match="one row per request"):
        used(plan, 'usage = [{ model = "smollm2-135m", input_tokens = 9, requests = 2 }]')


@pytest.mark.parametrize(
    ("text", "param", "words"),
    [
        ("usage = [{ model = true }]", "usage[0].model", "neither a number nor a word"),
        ("usage = [{ units = 1 }, { at = 5 }]", "usage[1].at", "no time"),
        ("usage = [{ at = 2026-11-01T00:00:00 }]", "usage[0].at", "no time"),
        ("usage = [{ units = nan }]", "usage[0].units", "not a decimal number"),
        ("start = 2026-11-01T00:00:00Z", "start", "go together"),
        ("start = 2026-11-02T00:00:00Z\nend = 2026-11-01T00:00:00Z", "end", "not after"),
        ("colour = 1", None, "unknown field"),
        ('zone = "Mars"', "zone", "time zone"),
        ("carried = { x = -1 }", "carried.x", "negative"),
        ("joined = 2099-01-01T00:00:00Z", "left", "not after joined"),
    ],
)
def test_bad_usage_is_refused_by_the_name_of_its_field(text, param, words) -> None:
    with pytest.raises(MintageError) as caught:
        used(load_plan(TIERS), text)
    assert (caught.value.code, caught.value.param) == ("invalid_request", param)
    assert words in caught.value.message


def test_a_fraction_of_a_token_is_refused() -> None:
    with pytest.raises(MintageError, match="whole units"):
        used(simple_plan(), 'usage = [{ model = "tiny", input_tokens = 1.5 }]')


def test_numbers_of_usage_are_exact() -> None:
    plan = load_plan(TIERS.replace(b"per_unit = 5, flat = 2", b"per_unit = 1"))
    result = used(plan, "usage = [{ units = 0.1 }, { units = 0.2 }]")
    assert result.lines[0].quantity == Decimal("0.3")
    assert Fraction(result.total_attos, 10**18) == Fraction("0.3")


def test_meters_and_custom_values_live_side_by_side() -> None:
    assert "units" not in METERS
    result = used(load_plan(TIERS), 'usage = [{ kind = "usage", units = 3 }]')
    assert result.lines[0].kind == "charge"
