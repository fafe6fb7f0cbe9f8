"""Fees and minimums: shares of a period add up to the whole, whatever the rule and wherever plans change."""

import itertools
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.billing.conftest import plan

from mintage.billing.fees import Stretch, fee_lines, prorate, to_attos
from mintage.billing.periods import period
from mintage.pricing import freeze_plan, load_plan

MONTH = period(date(2026, 1, 31), "Europe/Berlin", "month", 1)  # Feb 28 to Mar 31, with a 23-hour day
HOUR_NS = 3_600 * 10**9


def version(more=""):
    return freeze_plan(load_plan(plan("p", "", more)), applied_ns=0)


def stretches(*cuts_ns, more="", first=True):
    edges = [MONTH.start_ns, *sorted(cuts_ns), MONTH.end_ns]
    return [
        Stretch(version=version(more), start_ns=start, end_ns=end, first=first and index == 0)
        for index, (start, end) in enumerate(itertools.pairwise(edges))
        if start < end
    ]


@given(
    whole=st.integers(0, 10**24),
    rule=st.sampled_from(("none", "days", "seconds", "fixed_30")),
    cuts=st.lists(st.integers(MONTH.start_ns, MONTH.end_ns), max_size=6),
)
def test_shares_of_a_period_add_up_to_the_whole(whole, rule, cuts):
    parts = [prorate(whole, rule, stretch, MONTH, "Europe/Berlin") for stretch in stretches(*cuts)]
    assert sum(parts) == whole
    assert all(part >= 0 for part in parts)


@given(cut=st.integers(MONTH.start_ns, MONTH.end_ns), whole=st.integers(0, 10**24))
def test_a_thirty_day_month_never_charges_a_stretch_more_than_the_fee(cut, whole):
    for stretch in stretches(cut):
        assert 0 <= prorate(whole, "fixed_30", stretch, MONTH, "Europe/Berlin") <= whole
    assert prorate(whole, "fixed_30", stretches()[0], MONTH, "Europe/Berlin") == whole


@pytest.mark.parametrize(
    ("rule", "shares"),
    [("none", (0, 310)), ("days", (100, 210)), ("seconds", (103, 207)), ("fixed_30", (124, 186))],
)
def test_a_plan_changed_on_the_eleventh_day(rule, shares):
    """31 days from Feb 28; the change comes 10 days and 8 hours in; a day counts for the plan that it ends with.

    30/360 counts Feb 28 to Mar 10 as 12 days of 30, whatever the calendar says.
    """
    cut = MONTH.start_ns + 10 * 24 * HOUR_NS + 8 * HOUR_NS
    found = [prorate(310, rule, stretch, MONTH, "Europe/Berlin") for stretch in stretches(cut)]
    assert tuple(found) == shares


def test_once_is_once_and_every_period_is_every_period():
    more = (
        '[[fees]]\nname = { en = "Set-up" }\namount = "100"\nevery = "once"\ntiming = "arrears"\n'
        '[[fees]]\nname = { en = "Base" }\namount = "9.99"\ntiming = "arrears"\n'
    )
    [first] = fee_lines(stretches(more=more), MONTH, "Europe/Berlin")
    assert [(line.meter, line.attos) for line in first.lines] == [
        ("fee:0", 100 * 10**18),
        ("fee:1", 9_990_000 * 10**12),
    ]
    [later] = fee_lines(stretches(more=more, first=False), MONTH, "Europe/Berlin")
    assert [line.meter for line in later.lines] == ["fee:1"]
    assert fee_lines(stretches(), MONTH, "Europe/Berlin") == []


def test_amounts_are_exact_in_attos():
    from decimal import Decimal

    assert to_attos(Decimal("0.000000000001")) == 1_000_000
