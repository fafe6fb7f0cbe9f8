"""What a simulated company's customers owe, worked out from what happened alone: slow, plain, apart from the product.

It shares no code with billing or pricing. Facts are tuples, in the order in which they happened:
(time_ns, customer, what, ...). Amounts are Fractions of a currency unit; time is local where bills are.
"""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

MILLION = 1_000_000
TIERS = [(1 * MILLION, Fraction(2, MILLION)), (5 * MILLION, Fraction(3, 2 * MILLION)), (None, Fraction(1, MILLION))]
FEES_AHEAD = {"flat": Fraction(20), "hybrid": Fraction(15)}
FEES_ARREARS = {"base": Fraction(999, 100)}
MINIMUM = {"base": Fraction(25)}
SEAT = Fraction(30)
INCLUDED, OVER = 2 * MILLION, Fraction(3, MILLION)


def local(at_ns, zone):
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_ns // 1000)).astimezone(ZoneInfo(zone))


def midnight(day, zone):
    at = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    return int((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * 10**9


def month_after(day, months):
    index = day.year * 12 + day.month - 1 + months
    year, month = divmod(index, 12)
    month += 1
    for date_ in range(day.day, 27, -1):
        try:
            return day.replace(year=year, month=month, day=date_)
        except ValueError:
            continue
    return day.replace(year=year, month=month)


class Customer:
    """Everything that happened to one customer."""

    def __init__(self, zone):
        self.zone = zone
        self.plans = []  # (from, until or None, plan)
        self.pauses = []  # (from, until or None)
        self.asks = []  # (at, plan, input, output)
        self.seats = []  # (at, change)
        self.top_ups = 0
        self.lapsed = 0

    def period(self, index):
        anchor = local(self.plans[0][0], self.zone).date()
        return month_after(anchor, index), month_after(anchor, index + 1)

    def owed(self, plan, since, until, now):
        """Parts of [since, until) in which a plan's fees are due, as known at `now`."""
        parts = []
        for number, (began, ended, name) in enumerate(self.plans):
            if name != plan or began > now:
                continue
            same_day = began >= since and local(began, self.zone).date() == local(since, self.zone).date()
            start = since if number == 0 and same_day else max(began, since)  # the first day counts whole
            end = until if ended is None else min(ended, until)
            cuts = [(max(a, start), end if b is None else min(b, end)) for a, b in self.pauses]
            at = start
            for a, b in sorted(cut for cut in cuts if cut[0] < cut[1]):
                if at < a:
                    parts.append((at, a))
                at = max(at, b)
            if at < end:
                parts.append((at, end))
        return [part for part in parts if part[0] <= now]

    def days(self, parts, first, after):
        """The part of the period's days: a day belongs to what begins on it."""
        total = (after - first).days
        share = Fraction(0)
        for a, b in parts:
            a_day = first if a <= midnight(first, self.zone) else local(a, self.zone).date()
            b_day = after if b >= midnight(after, self.zone) else local(b, self.zone).date()
            share += Fraction((b_day - a_day).days, total)
        return share


def graduated(quantity):
    amount, below = Fraction(0), 0
    for up_to, rate in TIERS:
        part = quantity - below if up_to is None else min(quantity, up_to) - below
        if part > 0:
            amount += part * rate
        below = up_to
        if up_to is None or quantity <= up_to:
            break
    return amount


def volume(quantity):
    for up_to, rate in TIERS:
        if up_to is None or quantity <= up_to:
            return quantity * rate
    raise AssertionError


def live(plan, read, written):
    """What one request settles at."""
    if plan == "payg":
        return Fraction(6, 10 * MILLION) * read + Fraction(24, 10 * MILLION) * written
    if plan in ("grad", "vol"):
        return TIERS[0][1] * (read + written)
    return Fraction(written, MILLION) if plan == "base" else Fraction(0)


def seat_time(customer, spans, since, until):
    level_time = Fraction(0)
    for a, b in spans:
        level, at = 0, a
        for when, change in sorted(customer.seats):
            if when <= a:
                level += change
            elif when < b:
                level_time += level * Fraction(when - at)
                level, at = level + change, when
        level_time += level * Fraction(b - at)
    return level_time / (until - since)


def rated(customer, plan, since, until, now, first, after):
    """What the requests and charges of a closed period come to under one plan."""
    asks = [(read, written) for at, name, read, written in customer.asks if name == plan and since <= at < until]
    tokens = sum(read + written for read, written in asks)
    if plan == "grad":
        return graduated(tokens)
    if plan == "vol":
        return volume(tokens)
    if plan == "hybrid":
        return max(tokens - INCLUDED, 0) * OVER
    if plan == "seats":
        return seat_time(customer, customer.owed(plan, since, until, now), since, until) * SEAT
    return sum((live(plan, read, written) for read, written in asks), Fraction(0))


def expected(customer, closed, now):
    """plan -> currency units that the books hold for it: closed periods rated whole, the open one as it settled."""
    sums = defaultdict(Fraction)
    for plan in {name for _, _, name in customer.plans}:
        index = 0
        while True:
            first, after = customer.period(index)
            since, until = midnight(first, customer.zone), midnight(after, customer.zone)
            if since > now:
                break
            index += 1
            held = any(
                name == plan and start < until and (end is None or end > since) for start, end, name in customer.plans
            )
            if not held:
                continue
            parts = customer.owed(plan, since, until, now)
            share = customer.days(parts, first, after)
            if plan in FEES_AHEAD:
                nanos = sum(
                    (FEES_AHEAD[plan] * 10**9 * until_share).__floor__()
                    - (FEES_AHEAD[plan] * 10**9 * since_share).__floor__()
                    for since_share, until_share in shares(customer, parts, first, after)
                )
                sums[plan] += Fraction(nanos, 10**9)
            if until <= closed:
                total = rated(customer, plan, since, until, now, first, after)
                fees = FEES_ARREARS.get(plan, Fraction(0)) * share
                held_share = customer.days(whole_parts(customer, plan, since, until), first, after)
                floor = MINIMUM.get(plan, Fraction(0)) * held_share
                sums[plan] += max(total + fees, floor)
            else:
                for at, name, read, written in customer.asks:
                    if name == plan and since <= at < until:
                        sums[plan] += live(plan, read, written)
    return sums


def whole_parts(customer, plan, since, until):
    """The stretches of a plan, pauses included."""
    paused, customer.pauses = customer.pauses, []
    try:
        return customer.owed(plan, since, until, until)
    finally:
        customer.pauses = paused


def shares(customer, parts, first, after):
    total = (after - first).days
    for a, b in parts:
        a_day = first if a <= midnight(first, customer.zone) else local(a, customer.zone).date()
        b_day = after if b >= midnight(after, customer.zone) else local(b, customer.zone).date()
        yield Fraction((a_day - first).days, total), Fraction((b_day - first).days, total)
