from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.base import MintageError, Usage
from mintage.pricing import Metric, Names, Rate, Span, compile_plan, freeze_plan, load_plan, usage_event
from mintage.pricing.charges import (
    Allowance,
    Block,
    Carry,
    Commission,
    Graduated,
    Outcome,
    Package,
    Percentage,
    PercentTier,
    PerUnit,
    Pool,
    Seats,
    Tier,
    TieredBlocks,
    Volume,
    amount_between,
    total,
)
from mintage.pricing.metric import Event, count

from .strategies import simple_plan

NAME = Names(en="x")
METRIC = Metric(values=("units",))
DAY = 86_400 * 10**9
MONTH = Span(0, 30 * DAY)

quantities = st.fractions(min_value=0, max_value=10**6, max_denominator=1000)
prices = st.decimals(min_value=0, max_value=1000, places=6)


@st.composite
def tiers(draw: st.DrawFn, *, open_ended: bool = True) -> tuple[Tier, ...]:
    bounds = sorted(draw(st.sets(st.integers(1, 10**6), min_size=1, max_size=5)))
    ends: list[Decimal | None] = [Decimal(bound) for bound in bounds]
    if open_ended:
        ends.append(None)
    return tuple(Tier(up_to=end, per_unit=draw(prices), flat=draw(prices)) for end in ends)


def graduated(listed: tuple[Tier, ...], **options: object) -> Graduated:
    return Graduated(id="x", name=NAME, metric=METRIC, tiers=listed, **options)


def volume(listed: tuple[Tier, ...], **options: object) -> Volume:
    return Volume(id="x", name=NAME, metric=METRIC, tiers=listed, **options)


class TestTiers:
    @given(tiers(), quantities, quantities, st.sampled_from(["enter_next", "stay"]))
    def test_a_graduated_bill_never_falls(self, listed, one, other, fractions) -> None:
        charge, (less, more) = graduated(listed, fractions=fractions), sorted((one, other))
        assert total(charge.price_quantity(less)) <= total(charge.price_quantity(more))

    @given(tiers(), st.lists(quantities, max_size=5))
    def test_a_period_billed_in_parts_adds_up_to_the_whole(self, listed, parts) -> None:
        charge, before, billed = graduated(listed), Fraction(0), Fraction(0)
        for part in parts:
            billed += amount_between(charge, before, part)
            before += part
        assert billed == total(charge.price_quantity(before)) - total(charge.price_quantity(Fraction(0)))

    @given(tiers(), quantities)
    def test_graduated_is_the_integral_of_its_rates(self, listed, quantity) -> None:
        expected, start = Fraction(0), Fraction(0)
        for index, tier in enumerate(listed):
            end = quantity if tier.up_to is None else min(Fraction(tier.up_to), quantity)
            expected += max(end - start, 0) * tier.exact
            if quantity > start or index == 0:
                expected += Fraction(tier.flat)
            start = Fraction(tier.up_to or 0)
        assert total(graduated(listed).price_quantity(quantity)) == expected

    @given(tiers(), quantities)
    def test_volume_prices_all_units_by_one_tier(self, listed, quantity) -> None:
        tier = next(tier for tier in listed if tier.up_to is None or quantity <= tier.up_to)
        assert total(volume(listed).price_quantity(quantity)) == quantity * tier.exact + Fraction(tier.flat)

    @pytest.mark.parametrize("make", [graduated, volume])
    def test_usage_past_the_last_tier_is_an_error_never_free(self, make) -> None:
        charge = make((Tier(up_to=Decimal(10), per_unit=Decimal(1)),))
        assert total(charge.price_quantity(Fraction(10))) == 10
        with pytest.raises(MintageError) as caught:
            charge.price_quantity(Fraction(21, 2))
        assert caught.value.code == "unpriceable"
        assert "up to 10 units; the period has 10.5" in caught.value.message

    @pytest.mark.parametrize("make", [graduated, volume])
    @pytest.mark.parametrize(("policy", "due"), [("first_tier_flat", 3), ("zero", 0)])
    def test_zero_usage_pays_the_first_flat_amount_or_not(self, make, policy, due) -> None:
        charge = make((Tier(per_unit=Decimal(1), flat=Decimal(3)),), zero_usage=policy)
        assert total(charge.price_quantity(Fraction(0))) == due

    @pytest.mark.parametrize(("policy", "due"), [("enter_next", "5.001"), ("stay", "50.01")])
    def test_a_fraction_over_a_bound_enters_the_next_tier_or_stays(self, policy, due) -> None:
        listed = (Tier(up_to=Decimal(5), per_unit=Decimal(10)), Tier(per_unit=Decimal(1)))
        assert total(volume(listed, fractions=policy).price_quantity(Fraction("5.001"))) == Fraction(due)

    def test_tiers_that_do_not_meet_price_nothing_beyond_the_gap(self) -> None:
        listed = (
            Tier(up_to=Decimal(10), per_unit=Decimal(1)),
            Tier(above=Decimal(11), per_unit=Decimal(2)),
        )
        assert total(graduated(listed).price_quantity(Fraction(10))) == 10
        with pytest.raises(MintageError, match="gap from 10 units"):
            graduated(listed).price_quantity(Fraction(12))

    @pytest.mark.parametrize(
        ("listed", "problem"),
        [
            ((Tier(up_to=Decimal(10)), Tier(up_to=Decimal(5))), "tier 2 ends at 5"),
            ((Tier(), Tier(up_to=Decimal(5))), "tier 1 has no up_to"),
            ((Tier(up_to=Decimal(0)),), "tier 1 ends at 0"),
            ((), "empty"),
            ((Tier(per_hour=Decimal(1)),), "not in ms"),
        ],
    )
    def test_tiers_that_contradict_themselves_are_refused(self, listed, problem) -> None:
        with pytest.raises(ValueError, match=problem):
            graduated(listed)


class TestBlocks:
    BLOCKS = (
        Block(size=Decimal(100), max_blocks=10, price=Decimal(1)),
        Block(size=Decimal(1000), max_blocks=100, price=Decimal(1)),
    )

    def test_all_tiers_are_filled_in_turn(self) -> None:
        charge = TieredBlocks(id="x", name=NAME, metric=METRIC, blocks=self.BLOCKS)
        assert [total(charge.price_quantity(Fraction(q))) for q in (0, 1, 1000, 1001, 3001)] == [0, 1, 10, 11, 13]

    def test_past_the_last_block_is_an_error_or_goes_on(self) -> None:
        strict = TieredBlocks(id="x", name=NAME, metric=METRIC, blocks=self.BLOCKS)
        with pytest.raises(MintageError, match="prices up to 101,000 units; the period has 101,001"):
            strict.price_quantity(Fraction(101_001))
        lenient = TieredBlocks(id="x", name=NAME, metric=METRIC, blocks=self.BLOCKS, past_last="last_tier")
        assert total(lenient.price_quantity(Fraction(101_001))) == 111

    @given(st.integers(1, 100), quantities, prices)
    def test_a_package_begun_is_paid(self, size, quantity, price) -> None:
        up = Package(id="x", name=NAME, metric=METRIC, size=Decimal(size), price_each=price)
        down = Package(id="x", name=NAME, metric=METRIC, size=Decimal(size), price_each=price, round="down")
        boxes = -(-quantity // size)
        assert total(up.price_quantity(quantity)) == boxes * Fraction(price)
        assert total(down.price_quantity(quantity)) == quantity // size * Fraction(price)


class TestPercentage:
    def steps_of(self, amounts: list[int], **options: object) -> Fraction:
        charge = Percentage(id="x", name=NAME, metric=METRIC, percent=Decimal("2.99"), **options)
        return total(charge.price_amounts([Fraction(amount) for amount in amounts]))

    @pytest.mark.parametrize(
        ("options", "due"),
        [
            ({}, "301.691"),
            ({"minimum_per_event": Decimal("1.75"), "maximum_per_event": Decimal(12)}, "16.142"),
            (
                {"minimum_per_event": Decimal("1.75"), "maximum_per_event": Decimal(12), "fixed_per_event": Decimal(2)},
                "18.691",
            ),
            ({"maximum_per_event": Decimal(12), "free_events": 2}, "12"),
            (
                {"minimum_per_event": Decimal("1.75"), "maximum_per_event": Decimal(12), "free_amount": Decimal(30)},
                "13.794",
            ),
            ({"free_events": 3, "free_amount": Decimal(10_000)}, "2.691"),
        ],
    )
    def test_bounds_and_free_parts_of_events(self, options, due) -> None:
        """getlago/lago-api spec/services/charge_models/percentage_service_spec.rb, min and max per transaction."""
        assert self.steps_of([10, 80, 10_000], **options) == Fraction(due)

    def test_the_event_that_uses_the_free_amount_up_pays_its_fixed_fee(self) -> None:
        assert self.steps_of([100, 100], free_amount=Decimal(100), fixed_per_event=Decimal(1)) == Fraction("4.99")

    def test_events_are_taken_in_order_of_time(self) -> None:
        charge = Percentage(id="x", name=NAME, metric=METRIC, percent=Decimal(10), free_events=1)
        early, late = (Event(at_ns=at, values={"units": value}) for at, value in ((1, 500), (2, 10)))
        assert charge.price([late, early], MONTH) == charge.price([early, late], MONTH)
        assert total(charge.price([late, early], MONTH)[1]) == 1


class TestAllowance:
    CHARGE = Allowance(
        id="x", name=NAME, metric=METRIC, included=Decimal(100), overage=Rate(per_unit=Decimal(2)), rollover_periods=2
    )

    def test_unused_units_are_used_first_and_lapse(self) -> None:
        carry = Carry(self.CHARGE)
        due = [total(carry.close(period, Fraction(quantity))) for period, quantity in enumerate([40, 0, 250, 100, 101])]
        # carried: 0, 60, 60+100, 10 of period 1 ... 60 and 100 pay 160 of 250; period 2's own 100 pays 90
        assert due == [0, 0, 0, 0, 0]
        assert carry.carried(5) == 9

    def test_without_rollover_each_period_stands_alone(self) -> None:
        charge = Allowance(id="x", name=NAME, metric=METRIC, included=Decimal(100), overage=Rate(per_unit=Decimal(2)))
        carry = Carry(charge)
        assert [total(carry.close(period, Fraction(q))) for period, q in enumerate([0, 150, 100])] == [0, 100, 0]

    @given(st.lists(st.integers(0, 300), min_size=1, max_size=12), st.integers(0, 3))
    def test_rollover_never_gives_more_than_was_included(self, usage, periods) -> None:
        charge = Allowance(
            id="x",
            name=NAME,
            metric=METRIC,
            included=Decimal(100),
            overage=Rate(per_unit=Decimal(1)),
            rollover_periods=periods,
        )
        carry = Carry(charge)
        over = sum(total(carry.close(period, Fraction(quantity))) for period, quantity in enumerate(usage))
        alone = sum(max(quantity - 100, 0) for quantity in usage)
        assert max(sum(usage) - 100 * len(usage), 0) <= over <= alone

    def test_usage_over_an_allowance_without_overage_is_refused(self) -> None:
        charge = Allowance(id="x", name=NAME, metric=METRIC, included=Decimal(100))
        assert total(charge.price_quantity(Fraction(100))) == 0
        with pytest.raises(MintageError) as caught:
            charge.price_quantity(Fraction(101))
        assert caught.value.code == "budget_exceeded"


class TestOutcomes:
    CHARGE = Outcome(id="x", name=NAME, price_each=Decimal("0.99"), clawback_days=10)

    @staticmethod
    def at(day: int, kind: str, subject: str = "s") -> Event:
        return Event(at_ns=day * DAY, kind=kind, dimensions={"conversation": subject})

    def due(self, events: list[Event], span: Span = MONTH) -> Fraction:
        return total(self.CHARGE.price(events, span)[1])

    def test_a_subject_is_charged_once(self) -> None:
        assert self.due([self.at(1, "outcome"), self.at(2, "outcome")]) == Fraction("0.99")

    @pytest.mark.parametrize(("day", "due"), [(11, "0"), (12, "0.99")])
    def test_a_reversal_counts_within_its_window(self, day, due) -> None:
        assert self.due([self.at(1, "outcome"), self.at(day, "reversal")]) == Fraction(due)

    def test_what_was_taken_back_may_be_earned_again(self) -> None:
        events = [self.at(1, "outcome"), self.at(2, "reversal"), self.at(3, "outcome"), self.at(4, "outcome")]
        assert self.due(events) == Fraction("0.99")

    def test_a_reversal_in_a_later_period_is_credited_there(self) -> None:
        events = [self.at(29, "outcome"), self.at(35, "reversal")]
        later = Span(MONTH.end_ns, 60 * DAY)
        assert (self.due(events), self.due(events, later)) == (Fraction("0.99"), Fraction("-0.99"))

    @given(st.lists(st.tuples(st.integers(0, 59), st.booleans(), st.sampled_from("abc")), max_size=20))
    def test_closing_each_month_equals_closing_both_at_once(self, drawn) -> None:
        events = [self.at(day, "outcome" if good else "reversal", subject) for day, good, subject in drawn]
        months = self.due(events) + self.due(events, Span(MONTH.end_ns, 60 * DAY))
        assert months == self.due(events, Span(0, 60 * DAY))


class TestIntervals:
    def seats(self, counted: str, events: Sequence[Event], **options: object) -> Fraction:
        charge = Seats(id="x", name=NAME, price_each=Decimal(30), counted=counted, **options)
        return charge.price(events, MONTH)[1] and total(charge.price(events, MONTH)[1])

    CHANGES = (
        Event(at_ns=-5 * DAY, kind="seat", values={"seats": 4}),
        Event(at_ns=10 * DAY, kind="seat", values={"seats": 3}),
        Event(at_ns=20 * DAY, kind="seat", values={"seats": -6}),
    )

    def test_seats_by_peak_by_time_and_by_use(self) -> None:
        assert self.seats("peak", self.CHANGES) == 7 * 30
        assert self.seats("prorated", self.CHANGES) == (4 + 7 + 1) * 10
        users = [Event(at_ns=day * DAY, dimensions={"user": user}) for day, user in ((1, "a"), (2, "b"), (3, "a"))]
        assert self.seats("active", users) == 2 * 30
        assert self.seats("active", users, minimum_seats=Decimal(5), included=Decimal(1)) == 4 * 30

    def test_more_given_back_than_taken_is_refused(self) -> None:
        with pytest.raises(MintageError, match="below 0"):
            self.seats("peak", [Event(at_ns=DAY, kind="seat", values={"seats": -1})])

    @given(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 5)), max_size=8), st.integers(1, 29))
    def test_two_halves_of_a_period_are_the_whole(self, changes, cut) -> None:
        events = [Event(at_ns=day * DAY, values={"units": n}) for day, n in changes]
        metric = Metric(values=("units",), aggregate="weighted_sum")
        halves = [Span(0, cut * DAY), Span(cut * DAY, 30 * DAY)]
        summed = sum(count(metric, events, half) * half.length_ns for half in halves)
        assert summed == count(metric, events, MONTH) * MONTH.length_ns


class TestMetric:
    EVENTS = (
        Event(at_ns=1, values={"units": 5, "weight": 2}, dimensions={"user": "a"}, id="1"),
        Event(at_ns=3, values={"units": Decimal("2.5")}, dimensions={"user": "b"}, id="3"),
        Event(at_ns=2, values={"units": 9}, dimensions={"user": "a"}, id="2"),
        Event(at_ns=99, values={"units": 1000}, dimensions={"user": "z"}, id="9"),
        Event(at_ns=2, values={"units": 1000}, kind="other", id="8"),
    )

    @pytest.mark.parametrize(
        ("metric", "counted"),
        [
            (Metric(values=("units",)), "16.5"),
            (Metric(values=("units", "weight"), weights={"weight": Decimal(10)}), "36.5"),
            (Metric(aggregate="count"), "3"),
            (Metric(aggregate="unique", unique_by="user"), "2"),
            (Metric(values=("units",), aggregate="max"), "9"),
            (Metric(values=("units",), aggregate="latest"), "2.5"),
            (Metric(values=("units",), kind="other"), "1000"),
        ],
    )
    def test_aggregations(self, metric, counted) -> None:
        span = Span(0, 10)
        assert count(metric, self.EVENTS, span) == Fraction(counted)
        assert count(metric, list(reversed(self.EVENTS)), span) == Fraction(counted)

    def test_weighted_sum_takes_what_was_there_before(self) -> None:
        events = [Event(at_ns=at, values={"units": n}) for at, n in ((-7, 10), (5, -10), (10, 99))]
        assert count(Metric(values=("units",), aggregate="weighted_sum"), events, Span(0, 10)) == 5

    def test_units_are_converted_rounded_and_then_freed(self) -> None:
        metric = Metric(values=("units",), divide_by=Decimal(1000), round="up", free_units=Decimal(1))
        assert [metric.convert(Fraction(n)) for n in (0, 1, 1000, 1001)] == [0, 0, 0, 1]

    def test_a_negative_quantity_is_refused(self) -> None:
        with pytest.raises(MintageError, match="negative"):
            count(Metric(values=("units",)), [Event(at_ns=0, values={"units": -1})], Span(0, 1))

    @pytest.mark.parametrize(
        ("fields", "problem"),
        [
            ({}, "values names the numbers"),
            ({"aggregate": "unique"}, "unique_by"),
            ({"values": ("a",), "unique_by": "b"}, "unique_by"),
            ({"values": ("a",), "aggregate": "count"}, "takes no values"),
            ({"values": ("a",), "weights": {"b": Decimal(1)}}, "weights names b"),
            ({"values": ("a",), "divide_by": Decimal(0)}, "divide_by is 0"),
        ],
    )
    def test_a_metric_that_contradicts_itself_is_refused(self, fields, problem) -> None:
        with pytest.raises(ValueError, match=problem):
            Metric(**fields)


def test_a_pool_is_shared_out_exactly() -> None:
    pool = Pool(id="x", name=NAME, metric=METRIC, percent=Decimal(30))
    shares = pool.share_out(Fraction(1000), {"a": Fraction(1), "b": Fraction(2), "idle": Fraction(0)})
    assert {name: total(steps) for name, steps in shares.items()} == {"a": -100, "b": -200, "idle": 0}
    with pytest.raises(MintageError, match="among creators"):
        pool.price_quantity(Fraction(1))


def test_a_commission_and_its_payout_share_the_order() -> None:
    charge = Commission(id="x", name=NAME, metric=METRIC, take_percent=Decimal(20), processor_percent=Decimal("2.9"))
    value, steps = charge.price([Event(at_ns=0, values={"units": 100})], MONTH)
    assert total(steps) == Fraction("17.1")
    assert charge.payout_of(value) == 80


class TestLiveRates:
    """What a request settles at while the period's charge is not known yet."""

    TIERS = (Tier(up_to=Decimal(1000), per_unit=Decimal(2)), Tier(per_unit=Decimal(3)))

    def settle(self, **options: object) -> int:
        charge = Graduated(
            id="x",
            name=NAME,
            metric=Metric(values=("total_tokens",)),
            tiers=self.TIERS,
            where={"model": "t*"},
            **options,
        )
        card = compile_plan(freeze_plan(simple_plan(prices=(), charges=(charge,)), applied_ns=0))
        assert card.sells("tiny")
        assert not card.sells("other")
        usage = Usage(input_tokens=1, cached_read_tokens=1, output_tokens=1, requests=1)
        bound = card.bound("tiny", input_bound_tokens=2, output_bound_tokens=1)
        charged = card.rate("tiny", usage).attos
        assert charged <= bound * 10**9
        return charged // 10**18

    def test_the_first_tier_the_dearest_or_nothing(self) -> None:
        assert [self.settle(), self.settle(live="dearest"), self.settle(live="none")] == [6, 9, 0]

    def test_a_class_of_tokens_that_no_charge_counts_is_refused_before_it_is_served(self) -> None:
        charge = PerUnit(
            id="x", name=NAME, metric=Metric(values=("input_tokens", "output_tokens")), rate=Rate(per_unit=Decimal(1))
        )
        card = compile_plan(freeze_plan(simple_plan(prices=(), charges=(charge,)), applied_ns=0))
        with pytest.raises(MintageError, match="cached_read_tokens"):
            card.bound("tiny", input_bound_tokens=1, output_bound_tokens=1)

    def test_a_matrix_settles_at_the_cell_of_the_request(self) -> None:
        plan = load_plan(
            b'id = "m"\ncurrency = "USD"\nname = { en = "M" }\n[[charges]]\nkind = "matrix"\nid = "c"\n'
            b'name = { en = "C" }\nmetric = { values = ["total_tokens"] }\n'
            b'cells = [{ cell = { region = "eu" }, per_unit = 3 }, { cell = {}, per_unit = 2 }]\n'
        )
        card = compile_plan(freeze_plan(plan, applied_ns=0))
        usage = Usage(input_tokens=1)
        assert [card.rate("m", usage, 0, where).attos // 10**18 for where in ({}, {"region": "eu"}, None)] == [2, 3, 2]

    @given(st.lists(st.integers(0, 10**6), max_size=5))
    def test_an_additive_charge_settles_what_the_period_will_charge(self, tokens) -> None:
        charge = PerUnit(
            id="x",
            name=NAME,
            metric=Metric(values=("total_tokens",), divide_by=Decimal(1000)),
            rate=Rate(per_unit=Decimal("0.002")),
        )
        card = compile_plan(freeze_plan(simple_plan(prices=(), charges=(charge,)), applied_ns=0))
        usages = [Usage(input_tokens=n, output_tokens=1) for n in tokens]
        settled = sum(card.rate("m", usage).attos for usage in usages)
        events = [usage_event(usage, model="m", at_ns=0) for usage in usages]
        assert Fraction(settled, 10**18) == total(charge.price(events, MONTH)[1])


def test_percent_tiers_cover_the_amount_once() -> None:
    from mintage.pricing.charges import GraduatedPercentage

    listed = (PercentTier(up_to=Decimal(10), percent=Decimal(1)), PercentTier(percent=Decimal(3)))
    charge = GraduatedPercentage(id="x", name=NAME, metric=METRIC, tiers=listed)
    assert total(charge.price_quantity(Fraction(20))) == Fraction("0.4")
