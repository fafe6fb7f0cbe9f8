"""The fast evaluator against the reference, bit for bit: all 24 profit models and drawn plans on drawn workloads."""

import math
from datetime import time
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mintage.base import MintageError
from mintage.lab.engine import Grain, aggregate, open_engine, reference_quotes
from mintage.lab.engine import fast as fast_module
from mintage.lab.workload import Workload, write_arrays
from mintage.pricing import Adjustment, Names, Plan, Price, Rate, Window, load_plan
from mintage.pricing.period import Commitment

np = pytest.importorskip("numpy", reason="the extra `lab` is not installed")

ROOT = Path(__file__).resolve().parents[2]
PLANS = sorted((ROOT / "examples" / "plans" / "models").glob("*.toml"))
START_NS = 1_767_225_600 * 10**9  # 2026-01-01
DAY_NS = 86_400 * 10**9
PHASES = [Phase.explicit, Phase.reuse, Phase.generate]  # a shrink would rate the reference a thousand times
SLOW = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)

#: Plans that price requests by their model; the others see other events only.
USAGE_MODELS = {"01": "smollm2-135m", "08": "smollm2-135m", "12": "smollm2-135m", "19": "ft:mine", "23": "smollm2-135m"}
ANY_MODEL = {"02", "03", "04", "05", "06", "07", "09", "10", "13"}
KINDS = {
    "07": ("seat", "seats"),
    "10": ("reservation", "units"),
    "13": ("resolution", ""),
    "14": ("run", ""),
    "15": ("revenue", "amount"),
    "16": ("impression", ""),
    "17": ("order", "amount"),
    "18": ("licence", "licences"),
    "19": ("training", "token_epochs"),
    "20": ("order", "amount"),
    "21": ("app_usage", "minutes"),
    "22": ("report", "units"),
    "24": ("contract", "arr"),
}


@st.composite
def rows(draw, number: str):
    """(customer, day, second, kind, model, class, subject, tokens in, cached, out, value)"""
    kind, value = KINDS.get(number, ("", ""))
    sells = number in USAGE_MODELS or number in ANY_MODEL or number == "11"
    kinds = [*(["usage"] if sells else []), *([kind] if kind else []), *(["reopened"] if number == "13" else [])]
    tokens = st.one_of(st.just(0), st.integers(1, 50), st.integers(1, 4_000 if number == "11" else 9_000_000))
    return draw(
        st.lists(
            st.tuples(
                st.sampled_from("abc"),
                st.integers(0, 95),
                st.integers(0, 86_399),
                st.sampled_from(kinds),
                st.sampled_from(["standard", "batch", "priority"]),
                st.sampled_from(["c1", "c2", "c3"]),
                tokens,
                tokens,
                tokens,
                st.integers(1, 40_000) if value else st.just(0),
            ),
            min_size=1,
            max_size=40,
        )
    )


def make(path: Path, drawn, number: str = "") -> Workload:
    usage = np.array([row[3] == "usage" for row in drawn])

    def column(place: int):
        return np.where(usage, np.array([row[place] for row in drawn], dtype=np.int64), 0)

    model = USAGE_MODELS.get(number, "m")
    columns = {
        "at_ns": np.array([START_NS + row[1] * DAY_NS + row[2] * 10**9 for row in drawn], dtype=np.int64),
        "customer": np.array([row[0] for row in drawn], dtype=object),
        "id": np.array([f"{place:06d}" for place in range(len(drawn))], dtype=object),
        "kind": np.array([row[3] for row in drawn], dtype=object),
        "model": np.where(usage, model, "").astype(object),
        "class": np.array([row[4] for row in drawn], dtype=object),
        "conversation": np.array([row[5] for row in drawn], dtype=object),
        "workflow": np.array(["report" for _ in drawn], dtype=object),
        "input_tokens": column(6),
        "cached_read_tokens": column(7),
        "output_tokens": column(8),
        "requests": usage.astype(np.int64),
    }
    _, value = KINDS.get(number, ("", ""))
    if value and value not in columns:
        columns[value] = np.where(usage, 0, np.array([row[9] for row in drawn], dtype=np.int64))
    return write_arrays(path, columns)


def equal(plan: Plan, workload: Workload, pools=None) -> dict:
    engine = open_engine(workload, plan.period)
    pools = pools or {}
    slow, error = [], ""
    try:
        slow = [q.total_attos for q in reference_quotes(plan, workload, engine.calendar, engine.roll, pools)]
    except MintageError as caught:
        error = caught.code
    try:
        made = engine.evaluate(plan, pools)
    except MintageError as caught:
        assert caught.code == error
        return {}
    assert not error
    assert made.attos == slow
    return made.how


@pytest.mark.parametrize("file", PLANS, ids=lambda file: file.stem)
def test_every_profit_model_is_the_same_both_ways(file, tmp_path_factory):
    plan, number = load_plan(file.read_bytes()), file.stem[:2]
    pools = {"pool": Decimal(10_000)} if number == "21" else {}
    folder = tmp_path_factory.mktemp("drawn")

    @SLOW
    @given(drawn=rows(number))
    def check(drawn):
        equal(plan, make(folder / "w.parquet", drawn, number), pools)

    check()


NAME = Names(en="x")
COMMITMENT = Commitment(amount=Decimal(90), periods=2, discount_percent=Decimal(20))
money = st.decimals(min_value=0, max_value=100, places=4)
rates = st.builds(lambda word, value: Rate(**{word: value}), st.sampled_from(["per_unit", "per_million"]), money)


@st.composite
def plans(draw):
    windows = st.sampled_from(
        [
            None,
            Window(start=time(0, 30), end=time(8, 30), zone="Asia/Shanghai"),
            Window(start=time(22), end=time(6), zone="America/New_York", days=("fri", "sat")),
        ]
    )
    common = {"input_tokens": draw(rates), "output_tokens": draw(rates)}
    prices = [Price(model="*", **common)]
    if draw(st.booleans()):
        prices.insert(0, Price(model="m", above_prompt_tokens=draw(st.sampled_from([10, 100_000])), **common))
    if draw(st.booleans()):
        prices.insert(0, Price(model="*", where={"class": "batch"}, cached_read_tokens=draw(rates), **common))
    limits = sorted(draw(st.lists(money, max_size=2)))
    return Plan(
        id="drawn",
        name=NAME,
        currency="USD",
        prices=tuple(prices),
        adjustments=tuple(
            Adjustment(factor=draw(st.decimals(min_value=0, max_value=2, places=3)), where=draw(
                st.sampled_from([{}, {"class": "batch"}])))
            for _ in range(draw(st.integers(0, 2)))
        ),
        minimum=limits[0] if limits else None,
        maximum=limits[1] if len(limits) > 1 else None,
        commitment=draw(st.sampled_from([None, COMMITMENT])),
    ), draw(windows)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
@given(drawn=rows("02"), made=plans())
def test_drawn_plans_are_the_same_both_ways(drawn, made, tmp_path_factory):
    plan, window = made
    if window is not None:
        off_peak = Adjustment(factor=Decimal("0.5"), during=window)
        plan = msgspec.structs.replace(plan, adjustments=(*plan.adjustments, off_peak))
    workload = make(tmp_path_factory.mktemp("w") / "w.parquet", drawn)
    assert equal(plan, workload)["prices"] in ("sums", "events")


def per_unit(price_in: str, price_out: str, **fields) -> Plan:
    price = Price(
        model="*", input_tokens=Rate(per_unit=Decimal(price_in)), output_tokens=Rate(per_unit=Decimal(price_out))
    )
    return Plan(id="p", name=NAME, currency="USD", prices=(price,), **fields)


def tokens(count: int, customer: str = "a"):
    return (customer, 0, 0, "usage", "standard", "c1", count, 0, 0, 0)


def test_sums_beyond_int64_are_refused_and_products_beyond_it_are_exact(tmp_path):
    huge = make(tmp_path / "h.parquet", [tokens(2**62), tokens(2**62), tokens(2**62)])
    with pytest.raises(MintageError, match="passes 2"):
        engine = open_engine(huge)
        aggregate(huge, engine.calendar, engine.roll, Grain())
    plan = per_unit("0.999999999999", "3")
    large = make(tmp_path / "l.parquet", [tokens(2**50), tokens(2**50 - 1)])
    assert open_engine(large).evaluate(plan).attos == [(2**51 - 1) * 999_999_999_999 * 10**6]


def test_a_planted_overflow_is_caught(tmp_path, monkeypatch):
    """With the guard taken out, int64 wraps, and the comparison with the reference says so."""
    from mintage.lab.engine import rates as rates_module

    plan = per_unit("0.999999999999", "3")
    workload = make(tmp_path / "l.parquet", [tokens(2**50)])
    monkeypatch.setattr(rates_module, "SAFE", 2**200)
    with np.errstate(over="ignore"), pytest.raises((AssertionError, OverflowError)):
        equal(plan, workload)


def test_a_planted_ordering_bug_is_caught(tmp_path, monkeypatch):
    """A percentage whose first order is free depends on order: reading events backwards is found."""
    plan = load_plan((ROOT / "examples" / "plans" / "models" / "13-outcome.toml").read_bytes())
    drawn = [
        ("a", 0, 10, "resolution", "standard", "c1", 0, 0, 0, 0),
        ("a", 0, 20, "reopened", "standard", "c1", 0, 0, 0, 0),
        *(("a", 1, n, "resolution", "standard", f"d{n}", 0, 0, 0, 0) for n in range(80)),
    ]
    workload = make(tmp_path / "o.parquet", drawn, "13")
    equal(plan, workload)
    whole = fast_module.reference_quotes

    def early(plan, workload, calendar, roll, pools, kinds=()):
        return whole(plan, workload, calendar, roll, pools, tuple(kind for kind in kinds if kind != "reopened"))

    monkeypatch.setattr(fast_module, "reference_quotes", early)
    with pytest.raises(AssertionError):
        equal(plan, workload)


def test_windows_change_where_the_clock_says(tmp_path):
    """Half price between 00:30 and 08:30 in Shanghai is 16:30 to 00:30 UTC, to the nanosecond."""
    window = Window(start=time(0, 30), end=time(8, 30), zone="Asia/Shanghai")
    plan = per_unit("1", "1", adjustments=(Adjustment(factor=Decimal("0.5"), during=window),))
    edge = START_NS + (16 * 3600 + 1800) * 10**9
    columns = {
        "at_ns": np.array([edge - 1, edge], dtype=np.int64),
        "customer": np.array(["a", "b"], dtype=object),
        "model": np.array(["m", "m"], dtype=object),
        "input_tokens": np.array([10, 10], dtype=np.int64),
        "requests": np.array([1, 1], dtype=np.int64),
    }
    workload = write_arrays(tmp_path / "w.parquet", columns)
    assert open_engine(workload).evaluate(plan).attos == [10 * 10**18, 5 * 10**18]
    assert math.isclose(workload.summary().top_share, 0.5)
