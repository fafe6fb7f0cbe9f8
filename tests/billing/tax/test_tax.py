"""Which tax applies, at which dated rate, what it comes to, and numbers that are checked rather than believed."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.accounts import Accounts
from mintage.base import ManualClock, MintageError
from mintage.billing.tax import (
    EU,
    Buyer,
    RateRow,
    Seller,
    TaxBasis,
    TaxRate,
    TaxTable,
    apply_tax,
    check_tax_id,
    decide,
    eu_rates,
)
from mintage.books import Database
from mintage.pricing.period.rounding import round_places

CENT = 10**7
BERLIN = Seller(country="DE", tax_id="DE136695976")


def rates(country, region):
    table = {
        ("DE", ""): [TaxRate(name="VAT", percent="19")],
        ("FR", ""): [TaxRate(name="VAT", percent="20")],
        ("CN", ""): [TaxRate(name="VAT", percent="6")],
        ("US", "NY"): [TaxRate(name="State", percent="4"), TaxRate(name="City", percent="4.5")],
    }
    return table.get((country, region), [])


@pytest.mark.parametrize(
    ("seller", "buyer", "scheme", "percents"),
    [
        (BERLIN, Buyer(country="DE", tax_id="x", tax_id_valid=True), "domestic", ["19"]),
        (BERLIN, Buyer(country=""), "domestic", ["19"]),
        (BERLIN, Buyer(country="FR", tax_id="x", tax_id_valid=True), "reverse_charge", []),
        (BERLIN, Buyer(country="FR", tax_id="x"), "destination", ["20"]),
        (BERLIN, Buyer(country="GB", tax_id="x", tax_id_valid=True), "outside_scope", []),
        (BERLIN, Buyer(country="DE", exempt="EX-1"), "exempt", []),
        (Seller(country="DE"), Buyer(country="DE"), "none", []),
        (Seller(country="US", tax_id="x"), Buyer(country="US", region="NY"), "domestic", ["4", "4.5"]),
        (Seller(country="US", tax_id="x"), Buyer(country="US", region="OR"), "none", []),
        (Seller(country="CN", tax_id="x"), Buyer(country="CN"), "domestic", ["6"]),
    ],
)
def test_which_tax_applies(seller, buyer, scheme, percents):
    basis = decide(seller, buyer, rates)
    assert (basis.scheme, [rate.percent for rate in basis.rates]) == (scheme, percents)
    assert bool(basis.note_en) == bool(basis.note_zh) == (scheme in ("reverse_charge", "outside_scope", "exempt"))


def test_once_per_rate_and_shared_by_largest_remainder():
    """Three lines of 0.33: 19 % of 0.99 is 0.1881, rounded once; line by line it would be 0.06 three times."""
    lines, shares = apply_tax([33 * CENT] * 3, decide(BERLIN, Buyer(country="DE"), rates), "EUR")
    assert [(line.base_nanos, line.tax_nanos) for line in lines] == [(99 * CENT, 19 * CENT)]
    assert shares == [7 * CENT, 6 * CENT, 6 * CENT]


def test_a_prepaid_amount_contains_its_tax():
    basis = TaxBasis(scheme="domestic", rates=(TaxRate(name="VAT", percent="19"),), inclusive=True)
    [line], shares = apply_tax([119 * 100 * CENT], basis, "EUR")
    assert (line.base_nanos, line.tax_nanos, shares) == (10_000 * CENT, 1_900 * CENT, [1_900 * CENT])


RATES = st.lists(st.decimals("0", "30", places=3).map(lambda d: f"{d:f}"), max_size=3)


@given(st.lists(st.integers(0, 10**7), max_size=12), RATES, st.booleans(), st.sampled_from(["EUR", "JPY", "KWD"]))
def test_shares_add_up_and_each_rate_is_rounded_once(minor, percents, inclusive, currency):
    unit = {"EUR": 10**7, "JPY": 10**9, "KWD": 10**6}[currency]
    amounts = [amount * unit for amount in minor]
    basis = TaxBasis(
        scheme="domestic", rates=tuple(TaxRate(name="T", percent=p) for p in percents), inclusive=inclusive
    )
    lines, shares = apply_tax(amounts, basis, currency)
    assert sum(shares) == sum(line.tax_nanos for line in lines)
    assert all(share >= 0 and share % unit == 0 for share in shares)
    over = 100 + sum(map(Fraction, percents)) if inclusive else Fraction(100)
    for line in lines:
        assert line.tax_nanos == round_places(sum(minor) * Fraction(Decimal(line.percent)) / over, 0) * unit


@pytest.mark.parametrize(
    ("country", "number", "compact"),
    [
        ("DE", "136695976", "DE136695976"),
        ("GR", "EL 094259216", "EL094259216"),
        ("FR", "FR 40 303 265 045", "FR40303265045"),
        ("GB", "GB 980 7806 84", "980780684"),
        ("CN", "91110000600037341L", "91110000600037341L"),
        ("US", "91-1144442", "911144442"),
        ("ZZ", " AB  12 ", "AB 12"),
    ],
)
def test_numbers_with_right_check_digits(country, number, compact):
    assert check_tax_id(country, number) == compact


@pytest.mark.parametrize(("country", "number"), [("DE", "136695978"), ("GB", "802311781"), ("CN", "9111000060003734")])
def test_numbers_with_wrong_check_digits_are_refused(country, number):
    with pytest.raises(MintageError) as caught:
        check_tax_id(country, number)
    assert (caught.value.code, caught.value.param) == ("invalid_request", "tax_id")


@pytest.fixture
def table(tmp_path):
    database = Database.open(tmp_path / "books.db")
    database.migrate()
    yield TaxTable(Accounts(database, ManualClock(), tmp_path).changes)
    database.close()


def test_rates_have_dates(table):
    rows = [
        RateRow(country="DE", percent="19", from_day="2007-01-01"),
        RateRow(country="DE", percent="16.0", from_day="2020-07-01"),
        RateRow(country="DE", percent="19", from_day="2021-01-01"),
        RateRow(country="US", region="NY", name="State", percent="4", from_day="2005-06-01"),
        RateRow(country="US", region="NY", name="City", percent="4.5", from_day="2009-08-01"),
    ]
    assert table.put("t", rows) == 5
    assert table.put("t", rows) == 0
    assert [rate.percent for rate in table.on("2020-12-31", "DE", "")] == ["16"]
    assert [rate.percent for rate in table.on("2021-01-01", "DE", "BE")] == ["19"]
    assert table.on("2006-12-31", "DE", "") == []
    assert [(rate.name, rate.percent) for rate in table.on("2026-01-01", "US", "NY")] == [
        ("City", "4.5"),
        ("State", "4"),
    ]
    table.put("t", [RateRow(country="US", region="NY", name="City", percent="0", from_day="2026-02-01")])
    assert [rate.name for rate in table.on("2026-03-01", "US", "NY")] == ["State"]


@pytest.mark.parametrize("bad", [{"percent": "101"}, {"percent": "x"}, {"from_day": "soon"}, {"country": "Germany"}])
def test_a_bad_row_is_named_and_nothing_is_kept(table, bad):
    good = {"country": "DE", "percent": "19", "from_day": "2026-01-01"}
    with pytest.raises(MintageError) as caught:
        table.put("t", [RateRow(**good), RateRow(**good | bad)])
    assert caught.value.param == "rates[1]"
    assert table.all() == []


def test_europes_rates_come_from_the_package(table):
    found = eu_rates("2026-01-01")
    assert {row.country for row in found} >= EU
    assert table.put("t", found) == len(found)
    [germany] = table.on("2026-06-01", "DE", "")
    assert germany.percent == "19"
