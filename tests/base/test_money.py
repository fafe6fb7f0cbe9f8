from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.base import NANOS_MAX, MintageError, Money, parse_decimal, rate_attos

amounts = st.integers(-NANOS_MAX, NANOS_MAX)


@given(amounts)
def test_units_are_exact(nanos: int) -> None:
    assert Money(nanos, "USD").units * 10**9 == nanos


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=9))
def test_parse_and_units_are_inverse(value: Decimal) -> None:
    assert Money.parse(str(value), "EUR").units == value


@given(amounts, st.sampled_from(["USD", "JPY", "KWD"]))
def test_rounding_is_half_up_to_the_currencys_exponent(nanos: int, currency: str) -> None:
    money = Money(nanos, currency)
    places = {"USD": 2, "JPY": 0, "KWD": 3}[currency]
    assert money.rounded() == money.units.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


@given(amounts, amounts)
def test_a_sum_is_exact_or_refused(left: int, right: int) -> None:
    if abs(left + right) <= NANOS_MAX:
        assert (Money(left, "USD") + Money(right, "USD")).nanos == left + right
    else:
        with pytest.raises(MintageError):
            Money(left, "USD") + Money(right, "USD")


def test_currencies_do_not_mix() -> None:
    with pytest.raises(MintageError, match="Cannot mix"):
        Money(1, "USD") + Money(1, "CNY")


@pytest.mark.parametrize("bad", ["", "abc", "NaN", "Infinity", "1e400", "0.0000000000001", 0.1, True, None])
def test_inexact_or_foreign_values_are_refused(bad: object) -> None:
    with pytest.raises(MintageError):
        parse_decimal(bad)  # type: ignore[arg-type]


def test_23_digits_survive() -> None:
    assert str(parse_decimal("12345678901.123456789012")) == "12345678901.123456789012"


@given(st.decimals(min_value=0, max_value=10**6, places=12))
def test_a_rate_of_twelve_places_is_a_whole_number_of_attos(rate: Decimal) -> None:
    assert Decimal(rate_attos(rate)).scaleb(-18) == rate


@pytest.mark.parametrize("currency", ["usd", "US", "USDX", "U$D", "ÜSD"])
def test_a_currency_is_three_capital_letters(currency: str) -> None:
    with pytest.raises(MintageError):
        Money.parse("1", currency)
