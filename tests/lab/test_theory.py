"""Closed-form answers: every published case, properties that theory promises, and inputs that make no sense."""

import importlib.util
import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mintage import lab
from mintage.base import MintageError

pytest.importorskip("scipy", reason="the extra `lab` is not installed")

ROOT = Path(__file__).resolve().parents[2]
_SPEC = importlib.util.spec_from_file_location("published", ROOT / "scripts" / "generate_published_numbers.py")
assert _SPEC is not None
assert _SPEC.loader is not None
published = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(published)
CASES = json.loads(published.CASES.read_text("utf-8"))
shares = st.floats(0.05, 0.6)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_published_number(case):
    made = published.answer(case)
    for name, expected in case["expected"].items():
        assert made[name] == pytest.approx(expected, rel=case["tol_rel"], abs=1e-12), name


def test_the_page_is_current():
    assert published.PAGE.read_text("utf-8") == published.page(), "Run: python scripts/generate_published_numbers.py"


def test_the_deepseek_day():
    made = lab.deepseek_day()
    assert made["cost"] == 87_072
    assert made["revenue"] == 562_100
    assert float(made["revenue"]) == pytest.approx(562_027, rel=2e-4)
    assert math.floor(made["margin_on_cost"] * 100) == 545
    half = lab.deepseek_day(cached_tokens=0)
    assert half["revenue"] > made["revenue"]


@given(a=st.floats(-1, 4), beta=st.floats(0.3, 3), c=st.floats(0, 2))
def test_no_price_near_the_logit_optimum_earns_more(a, beta, c):
    made = lab.logit_optimum(a=a, beta=beta, c=c)

    def profit(p):
        weight = math.exp(a - beta * p)
        return (p - c) * weight / (1 + weight)

    assert profit(made["p"]) == pytest.approx(made["profit"], rel=1e-9)
    assert all(profit(made["p"] + step) <= made["profit"] * (1 + 1e-12) for step in (-0.1, -1e-3, 1e-3, 0.1))


@given(a1=st.floats(2, 9), a2=st.floats(2, 9), b1=st.floats(0.1, 1), b2=st.floats(0.1, 1), c=st.floats(0, 1.5))
def test_no_two_part_tariff_on_a_grid_earns_more(a1, a2, b1, b2, c):
    made = lab.two_part_tariff([(a1, b1), (a2, b2)], c=c)

    def profit(p):
        bought = [(max(a - b * p, 0) ** 2 / (2 * b), max(a - b * p, 0)) for a, b in ((a1, b1), (a2, b2))]
        both = 2 * min(s for s, _ in bought) + (p - c) * sum(q for _, q in bought)
        high = max(s + (p - c) * q for s, q in bought)
        return max(both, high)

    top = min(a1 / b1, a2 / b2)
    assert max(profit(top * i / 400) for i in range(401)) <= made["profit"] * (1 + 1e-9)


@given(low=st.floats(0.5, 1), high=st.floats(1.01, 2), share=shares)
def test_the_menu_binds_where_theory_says(low, high, share):
    made = lab.screening_menu(theta=[low, high], share_high=share)
    assert low * made["qL"] - made["TL"] == pytest.approx(0, abs=1e-12)  # the low type is left with nothing
    assert high * made["qH"] - made["TH"] == pytest.approx(high * made["qL"] - made["TL"], abs=1e-12)
    assert made["qH"] >= made["qL"] >= 0


@settings(max_examples=10, deadline=None)
@given(alpha=st.floats(0.4, 3), beta=st.floats(1, 6))
def test_a_fit_recovers_the_curve_that_made_the_data(alpha, beta):
    curve = [10_000 * share for share in lab.sbg_survival(alpha=alpha, beta=beta, periods=8)]
    made = lab.fit_sbg(survivors=curve)
    assert (made["alpha"], made["beta"]) == (pytest.approx(alpha, rel=1e-3), pytest.approx(beta, rel=1e-3))


def test_sampled_sensitivity_agrees_with_quadrature():
    import numpy as np

    def model(x):
        return np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])

    bounds = [(-math.pi, math.pi)] * 3
    exact, sampled = lab.sobol_indices(model, bounds), lab.sobol_sampled(model, bounds, samples=8192, seed=3)
    for name in ("S", "ST"):
        assert sampled[name] == pytest.approx(exact[name], abs=0.02)


def test_a_survey_gives_curves_and_prices():
    answers = [(5 + i, 8 + i, 14 + i, 20 + i) for i in range(10)]
    made = lab.van_westendorp(**lab.survey_curves(answers))
    assert made["PMC"] <= made["OPP"] <= made["PME"]
    assert made["PMC"] <= made["IDP"] <= made["PME"]


def test_gabor_granger_takes_the_best_price():
    made = lab.gabor_granger(prices=[10, 20, 30], buy_share=[0.9, 0.6, 0.2], c=5, buyers=100)
    assert (made["price"], made["profit"]) == (20, pytest.approx(900))
    assert made["revenue_price"] == 20


def test_intervals_of_an_elasticity_hold_the_truth():
    import numpy as np

    rng = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        p = np.array([1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
        q = 100 * p**-1.2 * np.exp(rng.normal(0, 0.2, len(p)))
        made = lab.price_elasticity(p=list(p), q=list(q), level=0.9)
        held += made["low"] <= -1.2 <= made["high"]
    assert 0.86 <= held / 400 <= 0.94


@pytest.mark.parametrize(
    ("topic", "inputs", "code"),
    [
        ("no such topic", {}, "not_found"),
        ("logit demand optimum", {"a": 1}, "invalid_request"),
        ("logit demand optimum", {"a": 1, "beta": 0, "c": 1}, "invalid_request"),
        ("two-part tariff, one buyer of each type", {"Q1": "5+0.25p", "c": 8}, "invalid_request"),
        (
            "reserved vs on-demand GPUs",
            {"mean": 1, "sd": 1, "reserved_per_h": 5, "on_demand_per_h": 2},
            "invalid_request",
        ),
        ("retention curve: shifted beta-geometric", {"survivors_by_year": [10, 20]}, "invalid_request"),
        ("CLV: BG/NBD on CDNOW (2,357 customers)", {"data": "no/such/file.csv"}, "not_found"),
        ("own GPUs", {"gpus": 0, "usd_gpu_hour": 2, "tok_per_s": 1}, "invalid_request"),
    ],
)
def test_inputs_that_make_no_sense_are_refused(topic, inputs, code):
    with pytest.raises(MintageError) as caught:
        lab.solve(topic, inputs)
    assert caught.value.code == code
