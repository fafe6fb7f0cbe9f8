"""Rating a period whole: every charge of a plan over what the period used. Pure arithmetic, equal to pricing.quote().

A request settled at the plan's price plus the live rates of its charges. Rating the period takes those live rates out
again and puts in their place what the charges come to; the difference is the rating adjustment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final

import msgspec

from mintage.base import ATTOS_PER_UNIT, METERS, RatedLine
from mintage.billing.fees import Stretch
from mintage.billing.lines import PeriodLine, RatedPeriod, quantity, quote_step
from mintage.billing.period_usage import countable, counts_single_requests, rolled_events
from mintage.billing.periods import Period
from mintage.books import UsageLine
from mintage.pricing import Event, Names, Plan, PriceVersion, Span
from mintage.pricing.charges import Allowance, ChargeFields, Licence, Pool, Reservation, Seats, Step, total
from mintage.pricing.charges.base import flat_step
from mintage.pricing.charges.levels import level_at
from mintage.pricing.live import live_rates
from mintage.pricing.metric import count, group_events
from mintage.pricing.period import commitment_steps, days_share, local_day, minimum_true_up
from mintage.pricing.quote import rate_event
from mintage.pricing.rates import to_attos

COMMITMENT: Final = Names(en="Commitment", zh="消费承诺")
MINIMUM: Final = Names(en="Minimum of the period", zh="最低消费")
MAXIMUM: Final = Names(en="Maximum of the period", zh="消费封顶")


class Discount(msgspec.Struct, frozen=True, kw_only=True):
    """A coupon as it applies to one period: percent of what the period comes to, or so much, at most all of it."""

    code: str
    name: Names
    percent: Decimal = Decimal(0)
    amount_attos: int = 0


class PeriodFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What rating must know beside the plan.

    rows: settled usage of this plan in the period. reported, requests: events, for charges that want them; reported
    ones of all time if the plan looks back. fees_attos: flat fees of the period. carried: unused units of allowances.
    before_attos, term_period: list-price usage of the commitment's earlier periods, and which period of the term it is.
    pools: charge -> (money in the pool, units of every creator). beside_attos: what else the invoice has that discounts
    come off.
    """

    rows: Sequence[UsageLine] = ()
    reported: Sequence[Event] = ()
    requests: Sequence[Event] = ()
    fees_attos: int = 0
    carried: Mapping[str, Fraction] = {}
    before_attos: int = 0
    term_period: int = 0
    pools: Mapping[str, tuple[Fraction, Fraction]] = {}
    discounts: Sequence[Discount] = ()
    beside_attos: int = 0
    zone: str = "UTC"
    watermark: int = 0


def rates_period(plan: Plan) -> bool:
    """Whether requests settle provisionally: the period's whole decides what they cost."""
    return bool(plan.charges or plan.commitment or plan.maximum is not None)


def rate_period(
    version: PriceVersion,
    period: Period,
    stretches: Sequence[Stretch],
    facts: PeriodFacts,
    plan_of: Callable[[str], Plan],
) -> RatedPeriod:
    """One plan's part of one period. stretches: when the customer had it. plan_of: price_id -> the plan that settled.

    Raises unpriceable where no price applies, and what the charges raise for usage that contradicts itself.
    """
    rating = _Rating(version, period, stretches, facts)
    rating.add_usage(plan_of)
    for charge in version.plan.charges:
        rating.add_charge(charge)
    listed = rating.attos()
    rating.add_commitment()
    if version.plan.policies.billing.discount == "before_minimum":
        rating.add_discounts()
        rating.add_limits()
    else:
        rating.add_limits()
        rating.add_discounts()
    return RatedPeriod(
        plan=version.plan_id,
        price_id=version.id,
        index=period.index,
        start_ns=period.start_ns,
        end_ns=period.end_ns,
        watermark=facts.watermark,
        lines=tuple(sorted(rating.lines, key=PeriodLine.sort_key)),
        settled_attos=sum(row.attos for row in facts.rows),
        listed_attos=listed,
        quantities=rating.quantities,
        payouts=rating.payouts,
    )


class _Rating:
    def __init__(self, version: PriceVersion, period: Period, stretches: Sequence[Stretch], facts: PeriodFacts) -> None:
        self.version, self.plan, self.facts = version, version.plan, facts
        self.whole = Span(period.start_ns, period.end_ns)
        self.active = Span(
            max(min(s.start_ns for s in stretches), period.start_ns),
            min(max(s.end_ns for s in stretches), period.end_ns),
        )
        self.paid = _paid_spans(stretches)
        self.lines: list[PeriodLine] = []
        self.quantities: dict[str, str] = {}
        self.payouts: dict[str, int] = {}
        self.rolled = rolled_events(facts.rows, self.active.start_ns)

    def attos(self) -> int:
        return sum(line.attos for line in self.lines)

    # -- requests ----------------------------------------------------------------------------------------------------

    def add_usage(self, plan_of: Callable[[str], Plan]) -> None:
        """Requests at the plan's own prices: what they settled at, without the live rates of charges."""
        groups: dict[tuple[str, str, int, str, str, int], list[UsageLine]] = {}
        for row in self.facts.rows:
            live = live_rates(plan_of(row.price_id), row.model, {}).get(row.meter)
            own = row
            if live is not None:
                attos = row.attos - to_attos(live * row.quantity)
                own = _without(row, attos, row.rate_attos - to_attos(live))
                if not attos and own.rate_attos <= 0:
                    continue
            known = own.meter in METERS
            place = METERS.index(own.meter) if known else len(METERS)
            rate = own.rate_attos if known else 0
            groups.setdefault((own.product, own.model, place, own.meter, own.price_id, rate), []).append(own)
        for row in self._reported_rows():
            place = METERS.index(row.meter) if row.meter in METERS else len(METERS)
            key = (row.product, row.model, place, row.meter, row.price_id, row.rate_attos)
            groups.setdefault(key, []).append(row)
        self.lines += [usage_line(key, rows) for key, rows in sorted(groups.items())]

    def _reported_rows(self) -> list[UsageLine]:
        """Usage that was reported rather than served: at the plan's prices, which nothing has settled yet."""
        rows: list[UsageLine] = []
        for event in self.facts.reported:
            if event.kind == "usage" and self.active.holds(event.at_ns):
                rows.extend(_reported_row(self.version, event, line) for line in rate_event(self.plan, event))
        return rows

    # -- charges of the period ---------------------------------------------------------------------------------------

    def add_charge(self, charge: ChargeFields) -> None:
        single = counts_single_requests(charge)
        events: Sequence[Event] = [*self.facts.reported, *(self.facts.requests if single else self.rolled)]
        counted = charge if single else countable(charge)
        span, events = self._when(counted, events)
        groups = group_events(events, counted.where, counted.group_by)
        if not groups and not counted.group_by:
            groups = {(): []}
        for key, mine in sorted(groups.items()):
            units, steps = self._price(counted, mine, span)
            steps = [*steps, *charge.limit_steps(total(steps))]
            if isinstance(charge, Pool):
                self.payouts[charge.id] = self.payouts.get(charge.id, 0) - to_attos(total(steps))
            elif steps or units:
                self.lines.append(
                    PeriodLine(
                        kind="charge",
                        id=charge.id,
                        name=charge.name,
                        product="charge",
                        price_id=self.version.id,
                        group=dict(zip(charge.group_by, key, strict=True)),
                        quantity=quantity(units),
                        attos=to_attos(total(steps)),
                        rate_attos=_one_rate(steps),
                        steps=tuple(map(quote_step, steps)),
                    )
                )

    def _when(self, charge: ChargeFields, events: Sequence[Event]) -> tuple[Span, Sequence[Event]]:
        """The span that a charge is priced over. A part of a period pays for its part of what lasts."""
        if self.paid == [self.whole]:
            return self.whole, events
        metric = getattr(charge, "metric", None)
        if isinstance(charge, Seats) and charge.counted == "prorated":
            clipped = [event for span in self.paid for event in _clipped(events, "seat", "seats", span)]
            return self.whole, clipped
        if metric is not None and metric.aggregate == "weighted_sum":
            kept = [event for event in events if event.kind == metric.kind and event.at_ns < self.active.end_ns]
            return self.whole, _ended(kept, self.active)
        if isinstance(charge, Reservation | Licence):
            return self.active, events
        return self.whole, [event for event in events if event.at_ns < self.active.end_ns]

    def _price(self, charge: ChargeFields, events: Sequence[Event], span: Span) -> tuple[Fraction, list[Step]]:
        if isinstance(charge, Allowance):
            units = charge.metric.convert(count(charge.metric, events, span))
            self.quantities[charge.id] = str(units)
            carried = Fraction(self.facts.carried.get(charge.id, 0)) - self._not_included(charge)
            limit = Fraction(charge.included) + carried
            if charge.overage is None and units > limit:  # what slipped past the gateway's cap is not charged
                return units, charge.price_quantity(limit, carried)
            return units, charge.price_quantity(units, carried)
        if isinstance(charge, Pool):
            money, everyone = self.facts.pools.get(charge.id, (Fraction(0), Fraction(0)))
            units = charge.metric.convert(count(charge.metric, events, span))
            return units, charge.share_out(money, {"own": units, "others": everyone - units})["own"]
        if isinstance(charge, Seats) and charge.counted == "prorated" and self.paid != [self.whole]:
            part = Fraction(sum(span.length_ns for span in self.paid), self.whole.length_ns)
            least, free = Fraction(charge.minimum_seats) * part, Fraction(charge.included) * part
            charge = msgspec.structs.replace(charge, minimum_seats=least, included=free)
        return charge.price(events, span)

    def _not_included(self, charge: Allowance) -> Fraction:
        """Units that a part of a period does not include."""
        if charge.proration == "none" or self.active == self.whole:
            return Fraction(0)
        return Fraction(charge.included) * (1 - self._share())

    def _share(self) -> Fraction:
        """The part of the period in which the plan was held, by local days."""
        if self.active == self.whole:
            return Fraction(1)
        zone = self.facts.zone
        first, after = local_day(self.whole.start_ns, zone), local_day(self.whole.end_ns, zone)
        since = first if self.active.start_ns == self.whole.start_ns else local_day(self.active.start_ns, zone)
        until = after if self.active.end_ns == self.whole.end_ns else local_day(self.active.end_ns, zone)
        return days_share(since, until, first, after)

    # -- the whole ---------------------------------------------------------------------------------------------------

    def _whole(self, kind: str, name: Names, steps: Sequence[Step]) -> None:
        amount = to_attos(total(steps))
        if amount:
            self.lines.append(
                PeriodLine(
                    kind=kind,  # type: ignore[arg-type]
                    id=kind,
                    name=name,
                    product="rating_adjustment",
                    price_id=self.version.id,
                    attos=amount,
                    rate_attos=abs(amount),
                    steps=tuple(map(quote_step, steps)),
                )
            )

    def add_commitment(self) -> None:
        commitment = self.plan.commitment
        if commitment is None:
            return
        listed = Fraction(self.attos(), ATTOS_PER_UNIT)
        before = Fraction(self.facts.before_attos, ATTOS_PER_UNIT)
        steps = commitment_steps(commitment, listed, before=before, period=self.facts.term_period)
        if listed:
            steps.append(flat_step("less the usage at list price, above", "减：以上按标价计的用量", -listed))
        self._whole("commitment", COMMITMENT, steps)

    def add_limits(self) -> None:
        """Up to the plan's minimum, down to its maximum; a part of a period by its share of both."""
        charged = Fraction(self.attos() + self.facts.fees_attos, ATTOS_PER_UNIT)
        share = self._share()
        if self.plan.minimum is not None:
            missing = minimum_true_up(charged, Fraction(self.plan.minimum), share)
            self._whole(
                "minimum", MINIMUM, [flat_step("up to the minimum", "补足最低消费", missing)] if missing else []
            )
        if self.plan.maximum is not None and charged > Fraction(self.plan.maximum) * share:
            over = Fraction(self.plan.maximum) * share - charged
            self._whole("maximum", MAXIMUM, [flat_step("down to the maximum", "封顶减免", over)])

    def add_discounts(self) -> None:
        """Coupons in the order in which they were redeemed, each off what the one before left."""
        for discount in self.facts.discounts:
            left = self.attos() + self.facts.beside_attos
            off = to_attos(Fraction(left, ATTOS_PER_UNIT) * Fraction(discount.percent) / 100) + discount.amount_attos
            off = min(off, left)
            if off > 0:
                self.lines.append(
                    PeriodLine(
                        kind="discount",
                        id=f"coupon:{discount.code}",
                        name=discount.name,
                        product="rating_adjustment",
                        price_id=self.version.id,
                        attos=-off,
                    )
                )


def usage_line(key: tuple[str, str, int, str, str, int], rows: Sequence[UsageLine]) -> PeriodLine:
    """One line of settled usage. key: product, model, place of the meter, meter, price, rate."""
    product, model, _, meter, price_id, rate = key
    return PeriodLine(
        kind="usage",
        id=meter,
        product=product,
        model=model,
        price_id=price_id,
        rate_attos=rate,
        quantity=sum(row.quantity for row in rows),
        attos=sum(row.attos for row in rows),
        requests=sum(row.entries for row in rows),
    )


def _reported_row(version: PriceVersion, event: Event, line: RatedLine) -> UsageLine:
    return UsageLine(
        price_id=version.id,
        model=event.dimensions.get("model", ""),
        product=event.dimensions.get("product", "") or "events",
        meter=line.meter,
        rate_attos=line.rate_attos,
        currency=version.plan.currency,
        quantity=line.quantity,
        attos=line.attos,
        entries=1,
    )


def _without(row: UsageLine, attos: int, rate_attos: int) -> UsageLine:
    return msgspec.structs.replace(row, attos=attos, rate_attos=rate_attos)


def _one_rate(steps: Sequence[Step]) -> int:
    """The rate of a charge that has only one; 0 where its working shows several."""
    return to_attos(steps[0].rate) if len(steps) == 1 and steps[0].rate > 0 else 0


def _paid_spans(stretches: Sequence[Stretch]) -> list[Span]:
    """The time that is neither on trial nor paused, neighbours joined."""
    spans: list[Span] = []
    for stretch in sorted(stretches, key=lambda one: one.start_ns):
        if stretch.waived:
            continue
        if spans and spans[-1].end_ns == stretch.start_ns:
            spans[-1] = Span(spans[-1].start_ns, stretch.end_ns)
        else:
            spans.append(Span(stretch.start_ns, stretch.end_ns))
    return spans


def _clipped(events: Sequence[Event], kind: str, value: str, active: Span) -> list[Event]:
    """Levels as if they began and ended with the span."""
    mine = [event for event in events if event.kind == kind]
    before = level_at(mine, kind, value, active.start_ns)
    inside = [event for event in mine if active.holds(event.at_ns)]
    after = before + sum((event.value(value) for event in inside), Fraction(0))
    first = Event(at_ns=active.start_ns, values={value: _decimal(before)}, kind=kind)
    last = Event(at_ns=active.end_ns, values={value: _decimal(-after)}, kind=kind, id="~")
    return [first, *inside, last]


def _ended(events: Sequence[Event], active: Span) -> list[Event]:
    """Changes that last no longer than the span, and begin no earlier."""
    begun = [msgspec.structs.replace(event, at_ns=max(event.at_ns, active.start_ns)) for event in events]
    undone = [
        msgspec.structs.replace(
            event,
            at_ns=active.end_ns,
            values={name: -value for name, value in event.values.items()},
            id=f"{event.id}~",
        )
        for event in begun
    ]
    return [*begun, *undone]


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)
