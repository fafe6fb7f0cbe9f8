"""Wallet paths: the compiled kernel against the plain reference, bit for bit; guards that refuse rather than wrap."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mintage.base import MintageError
from mintage.pricing import load_plan
from mintage.pricing.paths import FIELDS, WalletPath, WalletRules, rules_of, walk_wallet, walk_wallets
from mintage.pricing.paths.rules import NEVER_NS

np = pytest.importorskip("numpy", reason="the extra `lab` is not installed")
pytest.importorskip("numba", reason="the extra `lab` is not installed")

ROOT = Path(__file__).resolve().parents[2]
UNIT = 10**9
lives = st.sampled_from([NEVER_NS, 50, 10 * UNIT, 400 * UNIT])
amounts = st.sampled_from([0, 1, 7, 5_000, 10**6])


@st.composite
def rules(draw) -> WalletRules:
    credit = draw(st.sampled_from([1_000, 7_777, 10**5]))
    return WalletRules(
        grant_nanos=draw(amounts),
        grant_life_ns=draw(lives),
        top_up_below_nanos=draw(amounts),
        top_up_price_nanos=draw(st.sampled_from([credit, credit * 2])),
        top_up_credit_nanos=credit,
        top_up_bonus_nanos=draw(st.sampled_from([0, 5])),
        top_up_life_ns=draw(lives),
        month_limit_nanos=draw(st.sampled_from([0, 20_000, 10**6])),
        automatic=draw(st.booleans()),
        on_demand=draw(st.booleans()),
        tokens_per_minute=draw(st.sampled_from([0, 0, 40, 4000])),
    )


event = st.tuples(st.integers(0, 500 * UNIT), st.integers(0, 90), st.integers(0, 90), st.integers(0, 1))


def walk_both(wallets, plans, rates):
    """The kernel's and the reference's paths, [plan][wallet]."""
    wallets = [sorted(w) for w in wallets]
    flat = [e for w in wallets for e in w]
    offsets = np.cumsum([0, *map(len, wallets)]).astype(np.int64)
    months = np.array([e[0] // (100 * UNIT) for e in flat], dtype=np.int64)
    meters = np.array([[e[1], e[2]] for e in flat], dtype=np.int64).reshape(-1, 2)
    contexts = np.array([e[3] for e in flat], dtype=np.int64)
    at_ns = np.array([e[0] for e in flat], dtype=np.int64)
    fast = walk_wallets(
        offsets, at_ns, months, meters, contexts, np.array(rates, dtype=np.int64), plans, end_ns=600 * UNIT
    )
    slow = [
        [
            walk_wallet(
                [(t, a * rates[p][c][0] + b * rates[p][c][1], a + b, t // (100 * UNIT)) for t, a, b, c in wallet],
                plan,
                end_ns=600 * UNIT,
            )
            for wallet in wallets
        ]
        for p, plan in enumerate(plans)
    ]
    made = [
        [WalletPath(**{name: int(fast[name][p, w]) for name in FIELDS}) for w in range(len(wallets))]
        for p in range(len(plans))
    ]
    return made, slow


rate = st.sampled_from([0, 1, 999_999_999, 10**9, 75 * 10**8, 10**12])


@settings(max_examples=150, deadline=None)
@given(
    wallets=st.lists(st.lists(event, max_size=25), min_size=1, max_size=3),
    plans=st.lists(rules(), min_size=1, max_size=3),
    data=st.data(),
)
def test_the_kernel_is_the_reference_bit_for_bit(wallets, plans, data):
    rates = [[[data.draw(rate), data.draw(rate)] for _ in range(2)] for _ in plans]
    made, slow = walk_both(wallets, plans, rates)
    assert made == slow
    for path in (path for row in slow for path in row):
        assert path.charged == path.burned_bought + path.burned_given + path.shortfall


def test_money_is_neither_made_nor_lost():
    rule = WalletRules(grant_nanos=50, grant_life_ns=20 * UNIT, top_up_price_nanos=100, top_up_credit_nanos=100,
                       top_up_bonus_nanos=10, top_up_life_ns=100 * UNIT, on_demand=True)  # fmt: skip
    events = [(n * 7 * UNIT, 13 * UNIT, 1, 0) for n in range(40)]
    path = walk_wallet(events, rule, end_ns=400 * UNIT)
    given = path.burned_given + path.lapsed_given
    assert path.cash + 10 * path.top_ups + 50 == path.burned_bought + path.breakage + given + path.left
    assert path.recognised_nanos == path.burned_bought + path.breakage
    assert path.lapsed_given > 0


def test_events_out_of_order_are_refused():
    with pytest.raises(MintageError, match="out of order"):
        walk_wallets(
            np.array([0, 2]), np.array([5, 4]), np.zeros(2, np.int64), np.ones((2, 1), np.int64),
            np.zeros(2, np.int64), np.ones((1, 1, 1), np.int64), [WalletRules()],
        )  # fmt: skip


@pytest.mark.parametrize(("count", "price"), [(2**40, 2**30), (10**12, 10**8)])
def test_products_that_pass_int64_are_refused_rather_than_wrapped(count, price):
    """A limit of 10^12 times milliseconds once overflowed and charged nothing."""
    with pytest.raises(MintageError, match=r"2\^6"):
        walk_wallets(
            np.array([0, 1]), np.array([5]), np.zeros(1, np.int64), np.full((1, 1), count, np.int64),
            np.zeros(1, np.int64), np.full((1, 1, 1), price, np.int64), [WalletRules()],
        )  # fmt: skip
    with pytest.raises(MintageError, match="top_up_price_nanos"):
        WalletRules(top_up_price_nanos=2**61)


def test_a_plans_packs_and_top_ups_become_rules():
    rule = rules_of(load_plan((ROOT / "examples" / "plans" / "models" / "08-prepaid-credits.toml").read_bytes()))
    assert (rule.top_up_below_nanos, rule.top_up_credit_nanos, rule.month_limit_nanos) == (
        5 * UNIT,
        10 * UNIT,
        200 * UNIT,
    )
    assert rule.automatic
    trial = rules_of(load_plan((ROOT / "examples" / "plans" / "trial.toml").read_bytes()))
    assert trial.grant_nanos > 0
