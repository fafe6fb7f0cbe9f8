"""The optimiser: theory's optima to 1e-6, better than a grid where theory has none, promises to every customer kept."""

import itertools
import math
import time
from decimal import Decimal
from pathlib import Path

import pytest

from mintage import lab
from mintage.base import MintageError
from mintage.lab.answers import Constraints, maximise, optimise
from mintage.lab.workload import Workload
from mintage.pricing import load_plan

np = pytest.importorskip("numpy", reason="the extra `lab` is not installed")
pytest.importorskip("scipy", reason="the extra `lab` is not installed")

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "lab"


def test_linear_demand():
    exact = lab.linear_monopoly(a=100, b=2, c=10)
    made = maximise(lambda x: (x[0] - 10) * max(100 - 2 * x[0], 0), [(0, 60)])
    assert made.x[0] == pytest.approx(exact["p"], rel=1e-6)
    assert made.value == pytest.approx(exact["profit"], rel=1e-6)


def test_logit_demand_of_three_products():
    a, c, beta = [3.0, 2.5, 1.0], [1.0, 0.5, 0.2], 1.3
    exact = lab.multinomial_logit_optimum(a=a, c=c, beta=beta)

    def profit(x):
        weight = np.exp(np.array(a) - beta * x)
        return float(((x - np.array(c)) * weight).sum() / (1 + weight.sum()))

    made = maximise(profit, [(0, 10)] * 3)
    assert made.value == pytest.approx(exact["profit"], rel=1e-6)
    assert made.x == pytest.approx(exact["prices"], rel=1e-5)


def test_two_part_tariff():
    demands = [(5, 0.25), (5, 0.2)]
    exact = lab.two_part_tariff(demands, c=8)

    def surplus(p):
        return np.array([max(a - b * p, 0) ** 2 / (2 * b) for a, b in demands])

    made = maximise(
        lambda x: 2 * x[1] + (x[0] - 8) * sum(max(a - b * x[0], 0) for a, b in demands),
        [(0, 20), (0, 60)],
        slack=lambda x: surplus(x[0]) - x[1],  # both must want to buy
    )
    assert made.value == pytest.approx(exact["by_types_served"][-1]["profit"], rel=1e-6)
    assert made.x == pytest.approx([exact["p"], exact["F"]], rel=1e-5)


def test_two_type_screening():
    low, high, share = 1.0, 1.5, 0.3
    exact = lab.screening_menu(theta=[low, high], share_high=share)

    def profit(x):
        q_low, t_low, q_high, t_high = x
        return (1 - share) * (t_low - q_low**2 / 2) + share * (t_high - q_high**2 / 2)

    def choose(x):
        q_low, t_low, q_high, t_high = x
        return np.array([
            low * q_low - t_low, high * q_high - t_high,
            high * q_high - t_high - (high * q_low - t_low), low * q_low - t_low - (low * q_high - t_high),
        ])  # fmt: skip

    made = maximise(profit, [(0, 3)] * 4, slack=choose)
    assert made.value == pytest.approx(exact["profit"], rel=1e-6)


def test_without_a_closed_form_it_beats_a_grid_at_equal_time():
    """A menu of three prices against customers with kinked demand."""
    rng = np.random.default_rng(3)
    wants = rng.gamma(2.0, 2.0, (200, 3))

    def profit(x):
        gain = wants - x
        chosen = gain.argmax(axis=1)
        bought = gain[np.arange(len(gain)), chosen] > 0
        smooth = 1 / (1 + np.exp(-4 * gain[np.arange(len(gain)), chosen]))
        return float(((x[chosen] - 0.3 * np.arange(1, 4)[chosen]) * smooth * bought).sum())

    start = time.perf_counter()
    made = maximise(profit, [(0, 12)] * 3)
    spent = time.perf_counter() - start
    best, until = -math.inf, time.perf_counter() + spent
    side = max(4, round(made.evaluations ** (1 / 3)))
    for point in itertools.product(np.linspace(0, 12, side), repeat=3):
        if time.perf_counter() > until:
            break
        best = max(best, profit(np.array(point)))
    assert made.value > best


def test_no_bill_breaks_the_promise_and_the_corner_is_reached():
    workload = Workload(EXAMPLES / "october.parquet")
    plan = load_plan((EXAMPLES / "today.toml").read_bytes())
    made = optimise(workload, plan, constraints=Constraints(max_bill_increase=0.15, digits=6))
    assert made.largest_increase <= 0.15 + 1e-9
    assert list(made.factors.values()) == pytest.approx([1.15] * 3, abs=1e-4)  # demand is inelastic: all may rise
    assert made.margin_after > made.margin_before
    assert "max_bill_increase" in made.binding
    with pytest.raises(MintageError, match="no price"):
        optimise(workload, load_plan(b'id = "f"\nname = { en = "F" }\ncurrency = "USD"'))


def test_elastic_demand_lowers_prices():
    from mintage.lab.answers import Assumptions, Uncertain

    workload = Workload(EXAMPLES / "october.parquet")
    plan = load_plan((EXAMPLES / "today.toml").read_bytes())
    given = Assumptions(elasticity=Uncertain(mean=-2.5))
    costs = {"small": lab.ProviderCost(provider="openai", model="gpt-4o-mini")}
    made = optimise(workload, plan, costs=costs, assumptions=given, constraints=Constraints(low=0.2))
    assert all(factor < 1 for factor in made.factors.values())
    assert Decimal(str(made.plan.prices[0].output_tokens.amount)) < Decimal("2.4")


@pytest.mark.parametrize("runs", [500])
def test_intervals_hold_the_truth(runs):
    """500 simulated businesses: the 90 % interval of revenue holds the true mean in 85 to 95 % of them."""
    check_coverage(runs, 0.85, 0.95)


@pytest.mark.soak
def test_intervals_hold_the_truth_over_many_businesses():
    check_coverage(5_000, 0.88, 0.92)


def check_coverage(runs, low, high):
    from mintage.lab.answers.uncertainty import Assumptions, Uncertain, simulate

    held, sigma, mean = 0, 0.6, math.exp(0.6**2 / 2)
    still = {name: Uncertain(mean=0.0 if name != "cost_factor" else 1.0) for name in
             ("elasticity", "churn_response", "cost_factor")}  # fmt: skip
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        bills = [int(b * 10**18) for b in rng.lognormal(0, sigma, 150)]
        (made,) = simulate([bills], [0] * 150, 0, Assumptions(runs=200, seed=seed, **still))
        held += made.revenue.low <= 150 * mean <= made.revenue.high
    assert low <= held / runs <= high
