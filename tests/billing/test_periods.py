"""Periods never lose a day: they follow the anchor, the calendar and the customer's clock."""

import calendar
from datetime import UTC, date, datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mintage.billing.periods import period, period_at
from mintage.pricing.period import local_day, midnight_ns, period_start

ZONES = (
    "UTC",
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Asia/Shanghai",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Pacific/Apia",
    "Pacific/Chatham",
)
LENGTHS = ("week", "month", "quarter", "year")
anchors = st.dates(date(2000, 1, 1), date(2060, 12, 31))
instants = st.integers(946_684_800 * 10**9, 4_000_000_000 * 10**9)


def starts(anchor, length, count):
    return [str(period_start(date.fromisoformat(anchor), length, index)) for index in range(count)]


def test_the_31st_falls_on_the_last_day_of_short_months_and_comes_back():
    assert starts("2028-01-31", "month", 5) == ["2028-01-31", "2028-02-29", "2028-03-31", "2028-04-30", "2028-05-31"]
    assert starts("2027-01-31", "month", 3) == ["2027-01-31", "2027-02-28", "2027-03-31"]
    assert starts("2027-11-30", "quarter", 3) == ["2027-11-30", "2028-02-29", "2028-05-30"]
    assert starts("2028-02-29", "year", 5) == ["2028-02-29", "2029-02-28", "2030-02-28", "2031-02-28", "2032-02-29"]
    assert starts("2028-02-28", "week", 2) == ["2028-02-28", "2028-03-06"]


@pytest.mark.parametrize(
    ("day", "zone", "utc"),
    [
        ("2026-03-29", "Europe/Berlin", "2026-03-28T23:00"),
        ("2026-03-30", "Europe/Berlin", "2026-03-29T22:00"),
        ("2026-07-01", "Asia/Kolkata", "2026-06-30T18:30"),
        ("2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00"),  # midnight did not exist: clocks went to 01:00
        ("2018-02-18", "America/Sao_Paulo", "2018-02-18T03:00"),  # 23:00 to 24:00 came twice the evening before
        ("2011-12-31", "Pacific/Apia", "2011-12-30T10:00"),  # the day before did not exist
        ("2011-12-30", "Pacific/Apia", "2011-12-30T10:00"),
    ],
)
def test_a_day_begins_at_its_first_instant(day, zone, utc):
    expected = datetime.fromisoformat(utc).replace(tzinfo=UTC)
    assert midnight_ns(date.fromisoformat(day), zone) == int(expected.timestamp()) * 10**9


@given(anchor=anchors, zone=st.sampled_from(ZONES), length=st.sampled_from(LENGTHS), at_ns=instants)
def test_every_instant_lies_in_exactly_one_period(anchor, zone, length, at_ns):
    assume(local_day(at_ns, zone) >= anchor)
    found = period_at(anchor, zone, length, at_ns)
    assert found.start_ns <= at_ns < found.end_ns
    assert period(anchor, zone, length, found.index) == found
    assert period(anchor, zone, length, found.index + 1).start_ns == found.end_ns
    assert found.index == 0 or period(anchor, zone, length, found.index - 1).end_ns == found.start_ns


@given(anchor=anchors, length=st.sampled_from(("month", "quarter", "year")), index=st.integers(0, 400))
def test_a_boundary_keeps_the_anchors_day_or_takes_the_months_last(anchor, length, index):
    day = period_start(anchor, length, index)
    last = calendar.monthrange(day.year, day.month)[1]
    assert day.day == min(anchor.day, last)


@given(anchor=anchors, zone=st.sampled_from(ZONES), at_ns=instants)
def test_the_first_instant_of_a_day_belongs_to_it_and_the_one_before_does_not(anchor, zone, at_ns):
    day = local_day(at_ns, zone)
    start_ns = midnight_ns(day, zone)
    assert start_ns <= at_ns
    assert local_day(start_ns, zone) == day
    assert local_day(start_ns - 1000, zone) < day
    assert start_ns % (15 * 60 * 10**9) == 0  # a whole number of the ledger's quarter hours
