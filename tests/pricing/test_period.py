from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.base import MintageError
from mintage.pricing import BillingPolicy, Fee, Names, Span
from mintage.pricing.charges import total
from mintage.pricing.period import (
    Commitment,
    CreditGrant,
    StatementLine,
    Terms,
    Thresholds,
    allocate_discount,
    billable_after_discount,
    burn,
    commitment_steps,
    compute_statement,
    days_share,
    first_cycle_date,
    fixed_share,
    largest_remainder,
    local_day,
    midnight_ns,
    period_of,
    period_start,
    progressive_invoices,
    seconds_share,
    span_of,
    split_two_ways,
)
from mintage.pricing.prorate import fee_steps, share_of

days = st.dates(date(1990, 1, 1), date(2100, 1, 1))
periods = st.sampled_from(["week", "month", "quarter", "year"])
zones = st.sampled_from(
    ["UTC", "Asia/Kolkata", "Pacific/Apia", "America/New_York", "Africa/Cairo", "America/Sao_Paulo"]
)
fractions = st.fractions(min_value=0, max_value=10**6, max_denominator=1000)


class TestCalendar:
    @given(days, periods, st.integers(0, 60))
    def test_periods_follow_each_other_and_keep_their_anchor(self, anchor, period, index) -> None:
        first, after = (period_start(anchor, period, index + n) for n in (0, 1))
        assert first < after
        assert period_of(first, anchor, period) == (index, first, after)
        assert period_of(after - timedelta(days=1), anchor, period) == (index, first, after)
        if period != "week":
            assert first.day == anchor.day or (first + timedelta(days=1)).day == 1

    def test_the_end_of_january_comes_back(self) -> None:
        days = [period_start(date(2024, 1, 31), "month", n) for n in range(1, 5)]
        assert days == [date(2024, 2, 29), date(2024, 3, 31), date(2024, 4, 30), date(2024, 5, 31)]
        assert period_start(date(2024, 2, 29), "year", 1) == date(2025, 2, 28)
        assert period_start(date(2024, 2, 29), "year", 4) == date(2028, 2, 29)

    @given(days, st.integers(1, 31))
    def test_the_first_billing_day_is_within_a_month(self, start, anchor_day) -> None:
        first = first_cycle_date(start, anchor_day)
        assert start <= first <= period_start(start, "month", 1, anchor_day=31)
        assert first.day == anchor_day or (first + timedelta(days=1)).day == 1

    @given(days, zones)
    def test_a_day_begins_where_the_customer_is(self, day, zone) -> None:
        start = midnight_ns(day, zone)
        assert local_day(start, zone) in (day, day + timedelta(days=1))  # Apia skipped a whole day
        assert local_day(start - 1, zone) < day

    def test_days_of_23_24_and_25_hours_and_none(self) -> None:
        def hours(day: date, zone: str) -> float:
            return span_of(day, day + timedelta(days=1), zone).length_ns / 3.6e12

        assert [hours(date(2026, 3, 8), "America/New_York"), hours(date(2026, 11, 1), "America/New_York")] == [23, 25]
        assert hours(date(2026, 3, 8), "Asia/Kolkata") == 24
        before, after = (midnight_ns(date(2011, 12, day), "Pacific/Apia") for day in (29, 31))
        assert after - before == 24 * 3600 * 10**9  # 30 December 2011 did not happen there

    def test_the_month_ends_in_the_customers_zone(self) -> None:
        at = int(datetime(2026, 1, 31, 18, 31, tzinfo=UTC).timestamp()) * 10**9
        assert local_day(at, "Asia/Kolkata") == date(2026, 2, 1)
        assert local_day(at, "UTC") == date(2026, 1, 31)

    def test_what_is_no_zone_and_what_is_too_early(self) -> None:
        with pytest.raises(MintageError, match="time zone"):
            midnight_ns(date(2026, 1, 1), "Moon/Base")
        with pytest.raises(MintageError, match="before the anchor"):
            period_of(date(2026, 1, 1), date(2026, 1, 2), "month")


class TestProration:
    @given(days, st.integers(1, 400), st.integers(0, 400), st.sampled_from(["days", "seconds"]), zones)
    def test_complementary_parts_make_the_whole(self, first, length, cut, how, zone) -> None:
        middle, after = first + timedelta(days=min(cut, length)), first + timedelta(days=length)
        whole = span_of(first, after, zone)
        at = midnight_ns(middle, zone)
        parts = [Span(a, b) for a, b in ((whole.start_ns, at), (at, whole.end_ns)) if a < b]
        assert sum(share_of(part, whole, how, zone) for part in parts) == 1

    @given(days, st.integers(0, 60), st.integers(0, 60))
    def test_months_of_thirty_days_add_up(self, first, one, two) -> None:
        middle = first + timedelta(days=one)
        after = middle + timedelta(days=two)
        assert fixed_share(first, middle) + fixed_share(middle, after) == fixed_share(first, after)

    def test_a_part_outside_its_period_is_refused(self) -> None:
        with pytest.raises(MintageError, match="not inside"):
            days_share(date(2026, 1, 1), date(2026, 3, 1), date(2026, 1, 1), date(2026, 2, 1))
        with pytest.raises(MintageError, match="not inside"):
            seconds_share(Span(0, 11), Span(1, 11))

    @pytest.mark.parametrize(
        ("how", "due"), [("none", "20"), ("days", "320/31"), ("seconds", "310/31"), ("fixed_30", "10")]
    )
    def test_a_fee_by_each_policy(self, how, due) -> None:
        """From 16 January 2026, noon in New York, to the month's end: 16 calendar days, 15.5 days, 15 of 30."""
        fee = Fee(name=Names(en="Fee"), amount=Decimal(20), proration=how)
        whole = span_of(date(2026, 1, 1), date(2026, 2, 1), "America/New_York")
        noon = midnight_ns(date(2026, 1, 16), "America/New_York") + 12 * 3600 * 10**9
        steps = fee_steps(fee, Span(noon, whole.end_ns), whole, "America/New_York", False)
        assert total(steps) == Fraction(due)

    def test_a_fee_that_is_due_once(self) -> None:
        fee, span = Fee(name=Names(en="Set-up"), amount=Decimal(5), every="once"), Span(0, 10)
        assert total(fee_steps(fee, Span(5, 10), span, "UTC", True)) == 5
        assert fee_steps(fee, span, span, "UTC", False) == []


class TestSharing:
    @given(st.integers(0, 10**12), st.lists(fractions, min_size=1, max_size=20).filter(any))
    def test_shares_add_up_and_are_within_one_of_exact(self, whole, weights) -> None:
        shares = largest_remainder(whole, weights)
        assert sum(shares) == whole
        for share, weight in zip(shares, weights, strict=True):
            assert abs(share - whole * weight / sum(weights)) < 1

    @given(st.integers(0, 10**9), st.lists(st.integers(0, 10**6), max_size=10))
    def test_a_discount_never_exceeds_a_line(self, discount, amounts) -> None:
        off = allocate_discount(discount, amounts)
        assert sum(off) == min(discount, sum(amounts))
        assert all(0 <= cut <= amount for cut, amount in zip(off, amounts, strict=True))

    @pytest.mark.parametrize(
        ("discount", "amounts", "off"),
        [
            (1500, [1000, 1000], [750, 750]),
            (750, [300, 1200], [150, 600]),
            (2500, [1000, 1000], [1000, 1000]),
            (100, [100, 200], [33, 67]),
            (0, [1000, 1000], [0, 0]),
            (1500, [], []),
        ],
    )
    def test_published_allocations(self, discount, amounts, off) -> None:
        """polarsource/polar server/tests/discount/test_model.py."""
        assert allocate_discount(discount, amounts) == off

    @given(st.integers(0, 10**6), st.integers(0, 10**6), st.data())
    def test_rows_and_columns_both_add_up(self, first, second, data) -> None:
        cuts = sorted(data.draw(st.lists(st.integers(0, first + second), max_size=5)))
        rows = [b - a for a, b in zip([0, *cuts], [*cuts, first + second], strict=True)]
        left, right = split_two_ways(first, second, rows)
        assert (sum(left), sum(right)) == (first, second)
        assert [a + b for a, b in zip(left, right, strict=True)] == rows

    def test_what_cannot_be_shared_is_refused(self) -> None:
        for weights in ([Fraction(0)], [Fraction(-1), Fraction(2)]):
            with pytest.raises(MintageError):
                largest_remainder(5, weights)
        with pytest.raises(MintageError, match="add up"):
            split_two_ways(5, 5, [3])


class TestCommitment:
    @given(fractions, st.lists(fractions, min_size=1, max_size=12), st.integers(0, 99), st.none() | st.integers(0, 200))
    def test_a_term_costs_the_commitment_or_the_usage(self, amount, usage, discount, overage) -> None:
        commitment = Commitment(
            amount=Decimal(int(amount)),
            periods=len(usage),
            discount_percent=Decimal(discount),
            overage_percent=None if overage is None else Decimal(overage),
        )
        due, before = Fraction(0), Fraction(0)
        for period, listed in enumerate(usage):
            due += total(commitment_steps(commitment, listed, before=before, period=period))
            before += listed
        factor = 1 - Fraction(discount, 100)
        buys = int(amount) / factor
        over = max(before - buys, 0) * (factor if overage is None else Fraction(overage, 100))
        assert due == int(amount) + over

    def test_each_period_on_its_own(self) -> None:
        commitment = Commitment(amount=Decimal(1200), periods=12, true_up="each_period")
        assert [total(commitment_steps(commitment, Fraction(n), period=3)) for n in (0, 40, 100, 150)] == [
            100,
            100,
            100,
            150,
        ]

    def test_a_discount_of_everything_is_refused(self) -> None:
        with pytest.raises(ValueError, match="nothing would be left"):
            Commitment(amount=Decimal(1), discount_percent=Decimal(100))


class TestCredits:
    grants = st.lists(
        st.builds(
            CreditGrant,
            id=st.uuids().map(str),
            balance=fractions,
            priority=st.integers(0, 3),
            created_ns=st.integers(0, 5),
            expires_ns=st.none() | st.integers(0, 20),
            scope=st.sampled_from([{}, {"product": "writer"}]),
        ),
        max_size=6,
    )

    @given(grants, fractions, st.integers(0, 25), st.sampled_from([{}, {"product": "writer"}]))
    def test_burn_never_exceeds_grants_and_loses_nothing(self, grants, usage, at_ns, dimensions) -> None:
        done = burn(grants, usage, at_ns=at_ns, dimensions=dimensions)
        by_id = {grant.id: grant for grant in grants}
        assert sum(units for _, units in done.taken) + done.overage == usage
        for grant_id, units in done.taken:
            assert 0 < units <= by_id[grant_id].balance
            assert by_id[grant_id].usable(at_ns, dimensions)
        usable = sum(grant.balance for grant in grants if grant.usable(at_ns, dimensions))
        assert done.overage == max(usage - usable, 0)
        assert burn(list(reversed(grants)), usage, at_ns=at_ns, dimensions=dimensions) == done

    def test_priority_then_expiry_then_age(self) -> None:
        grants = [
            CreditGrant(id="old", balance=Fraction(10), created_ns=1),
            CreditGrant(id="new", balance=Fraction(10), created_ns=2),
            CreditGrant(id="lapsing", balance=Fraction(10), created_ns=3, expires_ns=99),
            CreditGrant(id="first", balance=Fraction(10), priority=-1, created_ns=4),
            CreditGrant(id="lapsed", balance=Fraction(10), priority=-9, expires_ns=5),
        ]
        assert [name for name, _ in burn(grants, Fraction(35), at_ns=5).taken] == ["first", "lapsing", "old", "new"]

    def test_negative_usage_is_refused(self) -> None:
        with pytest.raises(MintageError):
            burn([], Fraction(-1))


class TestStatement:
    lines = st.lists(
        st.builds(
            StatementLine,
            id=st.just("x"),
            amount=fractions,
            discount_percent=st.integers(0, 100).map(Fraction),
            tax_percent=st.none() | st.sampled_from([Fraction(0), Fraction(7), Fraction(19)]),
        ),
        max_size=5,
    )
    terms = st.builds(
        Terms,
        discount_percent=st.integers(0, 100).map(Fraction),
        discount_amount=fractions,
        minimum=st.none() | fractions,
        maximum=st.none() | fractions,
        prepaid=fractions,
        tax_percent=st.sampled_from([Fraction(0), Fraction("8.25")]),
    )
    policies = st.builds(
        BillingPolicy,
        discount=st.sampled_from(["before_minimum", "after_minimum"]),
        prepaid=st.sampled_from(["after_tax", "before_tax"]),
    )

    @given(lines, terms, policies, st.sampled_from(["USD", "JPY", "KWD"]))
    def test_it_adds_up_and_is_never_negative(self, lines, terms, policy, currency) -> None:
        done = compute_statement(lines, terms, currency, policy)
        assert done.total == done.subtotal - done.discount + done.true_up + done.tax - done.prepaid
        assert min(done.total, done.tax, done.true_up, done.prepaid, done.taxable, *done.discounts, 0) == 0
        assert all(off <= amount for off, amount in zip(done.discounts, done.lines, strict=True))
        assert sum(done.lines) == done.subtotal
        assert sum(done.discounts) == done.discount

    def test_a_discount_before_or_after_the_minimum(self) -> None:
        line, terms = (
            StatementLine(id="x", amount=Fraction(80)),
            Terms(discount_percent=Fraction(50), minimum=Fraction(100)),
        )
        before = compute_statement([line], terms, "USD", BillingPolicy(discount="before_minimum"))
        after = compute_statement([line], terms, "USD", BillingPolicy(discount="after_minimum"))
        assert (before.total, after.total) == (100_00, 50_00)

    def test_prepaid_credit_after_or_before_tax(self) -> None:
        line, terms = StatementLine(id="x", amount=Fraction(100)), Terms(prepaid=Fraction(40), tax_percent=Fraction(10))
        after = compute_statement([line], terms, "USD", BillingPolicy(prepaid="after_tax"))
        before = compute_statement([line], terms, "USD", BillingPolicy(prepaid="before_tax"))
        assert (after.tax, after.total, before.tax, before.total) == (10_00, 70_00, 6_00, 66_00)

    def test_a_maximum_takes_off_the_last_lines_first(self) -> None:
        lines = [StatementLine(id=str(n), amount=Fraction(60)) for n in range(3)]
        done = compute_statement(lines, Terms(maximum=Fraction(100)), "USD")
        assert (done.discounts, done.total) == ((0, 20_00, 60_00), 100_00)

    def test_tax_is_rounded_once_per_rate(self) -> None:
        lines = [StatementLine(id=str(n), amount=Fraction("0.05")) for n in range(3)]
        assert compute_statement(lines, Terms(tax_percent=Fraction(10)), "USD").tax == 2  # 1.5 cents, not 3 x 0.5

    def test_a_negative_line_belongs_on_a_credit_note(self) -> None:
        with pytest.raises(MintageError, match="negative"):
            compute_statement([StatementLine(id="x", amount=Fraction(-1))], Terms(), "USD")


class TestProgressive:
    def test_thresholds_recur_after_the_last(self) -> None:
        thresholds = Thresholds((Fraction(100), Fraction(250)), recurring=Fraction(200))
        amounts = [Fraction(n) for n in (99, 1, 10, 200, 139, 1, 500)]
        assert progressive_invoices(thresholds, amounts) == [100, 210, 140, 500]

    @given(st.lists(fractions, max_size=10), st.lists(st.integers(1, 10**6), max_size=4))
    def test_early_invoices_never_exceed_what_is_owed(self, amounts, limits) -> None:
        thresholds = Thresholds(tuple(sorted(Fraction(limit) for limit in limits)))
        invoices = progressive_invoices(thresholds, amounts)
        assert sum(invoices) <= sum(amounts)
        assert all(invoice > 0 for invoice in invoices)

    @given(st.lists(fractions, max_size=8), fractions)
    def test_free_units_are_used_up_once(self, quantities, free) -> None:
        assert sum(billable_after_discount(quantities, free)) == max(sum(quantities) - free, 0)
