"""Figures for people: every digit of money is shown or padded, none is invented."""

from __future__ import annotations

from decimal import Context, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.base import NANOS_MAX
from mintage.console.figures import (
    MINUS,
    clock_time,
    count,
    duration,
    iso_time,
    money,
    money_attos,
    rate_per_million,
    share,
)

CURRENCIES = st.sampled_from(["USD", "CNY", "JPY", "BHD", "CHF", "EUR"])


def value_of(shown: str) -> Decimal:
    digits = "".join(c for c in shown if c.isdigit() or c == ".")
    return Decimal(("-" if MINUS in shown else "") + digits)


@given(st.integers(-NANOS_MAX, NANOS_MAX), CURRENCIES)
def test_money_reads_back_exactly(nanos: int, currency: str) -> None:
    shown = money(nanos, currency)
    assert value_of(shown.text) == Decimal(nanos).scaleb(-9)
    assert shown.negative == (nanos < 0)
    assert f"{abs(nanos):,}" in shown.exact and shown.exact.endswith(currency)


@given(st.integers(-NANOS_MAX, NANOS_MAX), CURRENCIES)
def test_padded_amounts_of_one_currency_end_in_the_same_place(nanos: int, currency: str) -> None:
    shown = money(nanos, currency)
    fraction = (shown.whole + shown.fine + shown.pad).partition(".")[2]
    assert len(fraction) == 9


@given(st.integers(-(10**30), 10**30), CURRENCIES)
def test_amounts_below_a_nano_are_not_lost(attos: int, currency: str) -> None:
    shown = money_attos(attos, currency)
    assert value_of(shown.text) == Decimal(attos).scaleb(-18, Context(prec=60))
    assert shown.negative == (attos < 0)


@pytest.mark.parametrize(
    ("nanos", "currency", "text"),
    [
        (48_200, "USD", "$0.0000482"),
        (0, "USD", "$0.00"),
        (-1_234_567_890_123, "USD", f"{MINUS}$1,234.567890123"),
        (5 * 10**9, "JPY", "JP¥5"),
        (1, "JPY", "JP¥0.000000001"),
        (10**9, "CHF", "CHF\N{NARROW NO-BREAK SPACE}1.00"),
    ],
)
def test_money_as_people_write_it(nanos: int, currency: str, text: str) -> None:
    assert money(nanos, currency).text == text


def test_a_rate_is_quoted_per_million() -> None:
    assert rate_per_million(80 * 10**9, "USD").text == "$0.08"
    assert rate_per_million(7_500_000_000, "USD").text == "$0.0075"


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**12))
def test_a_share_is_rounded_half_up_to_a_tenth_of_a_percent(part: int, of: int) -> None:
    shown = share(part, of)
    assert shown is not None
    assert abs(value_of(shown) - Decimal(part) * 100 / Decimal(of)) <= Decimal("0.05")


def test_a_share_of_nothing_is_nothing() -> None:
    assert share(5, 0) is None


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0 ms"), (46.4, "46 ms"), (999.4, "999 ms"), (1_840, "1.84 s"), (12_345, "12.3 s"), (125_000, "2 min 5 s")],
)
def test_durations(milliseconds: float, text: str) -> None:
    assert duration(milliseconds) == text


def test_times_are_utc() -> None:
    at_ns = 1_795_459_923_000_000_000
    assert iso_time(at_ns) == "2026-11-23T18:52:03Z"
    assert clock_time(at_ns) == "18:52:03"
    assert count(-1234) == f"{MINUS}1,234"
