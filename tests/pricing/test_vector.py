"""Arrays of usage against quote(), bit for bit."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mintage.base import MintageError
from mintage.pricing import Fee, Metric, Names, PeriodUsage, Plan, Price, Rate, load_plan, quote
from mintage.pricing.charges import Allowance, Graduated, Package, PerUnit, Tier, Volume
from mintage.pricing.vector import common_unit, vectorise

from .strategies import simple_plan

np = pytest.importorskip("numpy", reason="the extra `lab` is not installed")

ROOT = Path(__file__).parents[2]
MODELS = ["tiny", "tiny-long", "other"]
TOKENS = ["input_tokens", "cached_read_tokens", "output_tokens"]
NAME = Names(en="x")
START = {"start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z"}

money = st.decimals(min_value=0, max_value=100, places=6)
counts = st.one_of(st.just(0), st.integers(0, 30), st.integers(0, 2**30))
rates = st.builds(lambda word, value: Rate(**{word: value}), st.sampled_from(["per_unit", "per_million"]), money)


@st.composite
def metrics(draw: st.DrawFn) -> Metric:
    values = draw(st.lists(st.sampled_from([*TOKENS, "total_tokens", "requests"]), min_size=1, max_size=2, unique=True))
    weights = {values[0]: draw(st.decimals(min_value=0, max_value=9, places=2))} if draw(st.booleans()) else {}
    return Metric(values=tuple(values), weights=weights, divide_by=draw(st.sampled_from([Decimal(1), Decimal(8)])))


@st.composite
def charges(draw: st.DrawFn, number: int):
    limits = sorted(draw(st.lists(money, max_size=2)))
    common = {
        "id": f"c{number}",
        "name": NAME,
        "metric": draw(metrics()),
        "live": "none",
        "where": draw(st.sampled_from([{}, {"model": "tiny*"}])),
        "minimum": limits[0] if limits else None,
        "maximum": limits[1] if len(limits) > 1 else None,
    }
    kind = draw(st.sampled_from([PerUnit, Graduated, Volume, Package, Allowance]))
    if kind is PerUnit:
        return PerUnit(rate=draw(rates), **common)
    if kind is Package:
        return Package(
            size=draw(st.decimals(min_value=1, max_value=50, places=1)),
            price_each=draw(money),
            free_units=draw(st.decimals(min_value=0, max_value=9, places=1)),
            round=draw(st.sampled_from(["up", "down"])),
            **common,
        )
    if kind is Allowance:
        return Allowance(included=draw(money), overage=draw(rates), **common)
    ends = sorted(draw(st.sets(st.decimals(min_value=1, max_value=60, places=1), max_size=3)))
    listed = tuple(Tier(up_to=end, per_unit=draw(money), flat=draw(money)) for end in (*ends, None))
    return kind(tiers=listed, zero_usage=draw(st.sampled_from(["first_tier_flat", "zero"])), **common)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    some = Price(model=draw(st.sampled_from(["tiny", "tiny*"])), input_tokens=draw(rates), output_tokens=draw(rates))
    limits = sorted(draw(st.lists(money, max_size=2)))
    return simple_plan(
        prices=(some, Price(model="*", input_tokens=draw(rates), output_tokens=draw(rates))),
        charges=tuple(draw(charges(number)) for number in range(draw(st.integers(0, 3)))),
        fees=(Fee(name=NAME, amount=draw(money)),),
        minimum=limits[0] if limits else None,
        maximum=limits[1] if len(limits) > 1 else None,
    )


def quoted(plan: Plan, customer: dict[str, dict[str, int]]) -> int:
    rows = [{"model": model, **meters} for model, meters in customer.items()]
    return quote(plan, msgspec.convert({**START, "usage": rows}, PeriodUsage), 0).total_attos


def columns(customers: list[dict[str, dict[str, int]]]):
    return {
        model: {meter: np.array([c[model][meter] for c in customers]) for meter in customers[0][model]}
        for model in customers[0]
    }


customers_of = st.lists(
    st.fixed_dictionaries({m: st.fixed_dictionaries(dict.fromkeys(TOKENS, counts)) for m in MODELS}),
    min_size=1,
    max_size=4,
)


@settings(max_examples=60)
@given(plans(), customers_of)
def test_arrays_cost_what_each_customer_is_quoted(plan, customers) -> None:
    assert vectorise(plan, MODELS).attos(columns(customers)) == [quoted(plan, customer) for customer in customers]


@settings(max_examples=60)
@given(plans(), customers_of)
def test_beyond_int64_the_answer_is_the_same(plan, customers) -> None:
    huge = [{m: {k: n * 2**25 for k, n in meters.items()} for m, meters in c.items()} for c in customers]
    assert vectorise(plan, MODELS).attos(columns(huge)) == [quoted(plan, customer) for customer in huge]


@pytest.mark.parametrize("file", sorted((ROOT / "examples" / "plans" / "models").glob("*.toml")), ids=lambda f: f.stem)
def test_an_example_plan_is_equal_or_says_that_it_needs_events(file: Path) -> None:
    plan = load_plan(file.read_bytes())
    models = ["smollm2-135m"]
    try:
        vector = vectorise(plan, models)
    except MintageError as error:
        assert error.code == "unsupported"
        return
    drawn = [{models[0]: dict.fromkeys(TOKENS, n)} for n in (0, 1, 100_000, 9_000_000)]
    try:
        expected = [quoted(plan, customer) for customer in drawn]
    except MintageError as error:
        with pytest.raises(MintageError) as caught:
            vector.attos(columns(drawn))
        assert caught.value.code == error.code
    else:
        assert vector.attos(columns(drawn)) == expected


def test_which_example_plans_run_on_arrays() -> None:
    able = set()
    for file in (ROOT / "examples" / "plans" / "models").glob("*.toml"):
        try:
            vectorise(load_plan(file.read_bytes()), ["smollm2-135m"])
            able.add(int(file.name[:2]))
        except MintageError as error:
            assert "arrays of totals are not enough" in error.message
    assert {1, 2, 3, 4, 5, 6, 8, 11, 23} <= able
    assert not able & {7, 9, 10, 12, 13, 18, 21, 22}


def test_ordinary_bills_are_int64_arithmetic() -> None:
    file = ROOT / "examples" / "plans" / "models" / "02-graduated-tiers.toml"
    bills = vectorise(load_plan(file.read_bytes()), ["m"]).bill({"m": {"input_tokens": np.array([10**12])}})
    assert bills.dtype == np.int64


def test_amounts_that_would_be_rounded_are_left_to_the_scalar_engine() -> None:
    third = Metric(values=("total_tokens",), divide_by=Decimal(3))
    charge = PerUnit(id="c", name=NAME, metric=third, rate=Rate(per_unit=Decimal(1)))
    with pytest.raises(MintageError, match="more than 18 decimal places"):
        vectorise(simple_plan(charges=(charge,)), ["m"])


def test_what_no_customer_has_a_price_for() -> None:
    vector = vectorise(simple_plan(), ["tiny", "huge"])
    none, some = np.zeros(2, dtype=np.int64), np.array([0, 1])
    assert vector.attos({"tiny": {"input_tokens": some}, "huge": {"input_tokens": none}}) == [0, 600 * 10**9]
    for usage in ({"huge": {"input_tokens": some}}, {"tiny": {"image_count": some}}):
        with pytest.raises(MintageError) as caught:
            vector.attos(usage)
        assert caught.value.code == "unpriceable"
    for bad in ({"tiny": {"input_tokens": -some}}, {"tiny": {"input_tokens": some, "output_tokens": some[:1]}}):
        with pytest.raises(MintageError, match="Columns differ in length or count below 0"):
            vector.attos(bad)


def test_usage_past_the_last_tier_is_refused_here_too() -> None:
    charge = Graduated(
        id="c",
        name=NAME,
        metric=Metric(values=("total_tokens",)),
        tiers=(Tier(up_to=Decimal(10), per_unit=Decimal(1)),),
    )
    vector = vectorise(simple_plan(prices=(), charges=(charge,)), ["m"])
    assert vector.attos({"m": {"input_tokens": np.array([10])}}) == [10 * 10**18]
    with pytest.raises(MintageError, match="up to 10 units; the period has 11"):
        vector.attos({"m": {"input_tokens": np.array([3, 11])}})


@given(st.lists(st.fractions(min_value=-100, max_value=100, max_denominator=1000), max_size=6))
def test_the_unit_divides_every_amount_and_nothing_larger_does(amounts) -> None:
    unit = common_unit(amounts)
    multiples = [amount / unit for amount in amounts]
    assert all(multiple.denominator == 1 for multiple in multiples)
    if any(multiples):
        assert np.gcd.reduce([int(multiple) for multiple in multiples]) == 1
