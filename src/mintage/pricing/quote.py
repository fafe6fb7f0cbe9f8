"""What a period costs under a plan, line by line and tier by tier: the same arithmetic that closes a real period.

Order: usage by model, charges of the period, fees, commitment, minimum and maximum. Each line is exact in attos and
rounded once, half up, to the currency; the total adds up the rounded lines. Tax and prepaid credit come after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal

import msgspec

from mintage.base import ATTOS_PER_UNIT, METERS, MintageError, RatedLine, Usage, currency_exponent
from mintage.pricing.charges import Allowance, ChargeFields, Pool, Step, total
from mintage.pricing.charges.base import flat_step
from mintage.pricing.explain import explain_line
from mintage.pricing.metric import Event, Span, count, group_events
from mintage.pricing.period.commitment import commitment_steps, minimum_true_up
from mintage.pricing.period.rounding import to_minor
from mintage.pricing.plan import Plan
from mintage.pricing.prorate import fee_steps
from mintage.pricing.rates import round_half_up, to_attos
from mintage.pricing.scalar import rate_prices
from mintage.pricing.usage_file import PeriodUsage, to_ns
from mintage.pricing.words import Names

Kind = Literal["usage", "charge", "fee", "commitment", "minimum", "maximum"]
_PLACES: Final = 18
_COMMITMENT: Final = Names(en="Commitment", zh="消费承诺")
_MINIMUM: Final = Names(en="Minimum", zh="最低消费")
_MAXIMUM: Final = Names(en="Maximum", zh="消费封顶")


class QuoteStep(msgspec.Struct, frozen=True, kw_only=True):
    """quantity x rate = amount, in currency units; numbers without finite decimals are shown to 18 places."""

    en: str
    zh: str
    quantity: Decimal
    rate: Decimal
    amount: Decimal


class QuoteLine(msgspec.Struct, frozen=True, kw_only=True):
    """amount_attos is exact to 1e-18; amount is what the invoice shows, in currency units."""

    kind: Kind
    id: str
    name: Names
    group: dict[str, str]
    quantity: Decimal
    amount_attos: int
    amount: Decimal
    steps: tuple[QuoteStep, ...]


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """total is the sum of the lines' rounded amounts."""

    plan: str
    currency: str
    start_ns: int
    end_ns: int
    lines: tuple[QuoteLine, ...]
    total_attos: int
    total: Decimal


def decimal(value: Fraction) -> Decimal:
    """To 18 places, half up, without trailing zeros."""
    scaled = Decimal(round_half_up(value * 10**_PLACES)).scaleb(-_PLACES)
    return Decimal(format(scaled.normalize(), "f")) if scaled else Decimal(0)


def _step(step: Step) -> QuoteStep:
    return QuoteStep(
        en=step.en, zh=step.zh, quantity=decimal(step.quantity), rate=decimal(step.rate), amount=decimal(step.amount)
    )


def rounded(attos: int, currency: str) -> Decimal:
    """Attos as an invoice shows them."""
    exponent = currency_exponent(currency)
    return Decimal(to_minor(Fraction(attos, ATTOS_PER_UNIT), currency)).scaleb(-exponent)


class _Quoting:
    """Lines of one quote, in order."""

    def __init__(self, plan: Plan, usage: PeriodUsage, span: Span, events: Sequence[Event] | None) -> None:
        self.plan, self.usage, self.span = plan, usage, span
        self.events = usage.events(span) if events is None else events
        self.lines: list[QuoteLine] = []

    def add(
        self,
        kind: Kind,
        id: str,  # noqa: A002 - the field's name
        name: Names,
        steps: Sequence[Step],
        *,
        quantity: Fraction = Fraction(1),
        group: Mapping[str, str] | None = None,
        attos: int | None = None,
    ) -> None:
        amount = to_attos(total(steps)) if attos is None else attos
        self.lines.append(
            QuoteLine(
                kind=kind,
                id=id,
                name=name,
                group=dict(group or {}),
                quantity=decimal(quantity),
                amount_attos=amount,
                amount=rounded(amount, self.plan.currency),
                steps=tuple(_step(step) for step in steps),
            )
        )

    def total_attos(self, *kinds: Kind) -> int:
        return sum(line.amount_attos for line in self.lines if not kinds or line.kind in kinds)

    def add_usage(self) -> None:
        """Requests at the plan's prices: the sum of what each settled, by model, meter and rate."""
        models: dict[str, dict[tuple[str, int], RatedLine]] = {}
        for event in self.events:
            if event.kind == "usage" and self.span.holds(event.at_ns):
                model = event.dimensions.get("model", "")
                for line in rate_event(self.plan, event):
                    merged = models.setdefault(model, {})
                    key = (line.meter, line.rate_attos)
                    merged[key] = _merge(merged.get(key), line)
        for model, merged in models.items():
            lines = list(merged.values())
            self.add(
                "usage",
                model,
                Names(en=f"Usage of {model}", zh=f"{model} 用量"),
                [_rated_step(line, self.plan.currency) for line in lines],
                quantity=Fraction(sum(line.quantity for line in lines if line.meter in METERS)),
                group={"model": model},
                attos=sum(line.attos for line in lines),
            )

    def add_charge(self, charge: ChargeFields) -> None:
        groups = group_events(self.events, charge.where, charge.group_by)
        if not groups and not charge.group_by:
            groups = {(): []}
        for key, events in sorted(groups.items()):
            quantity, steps = self._price(charge, events)
            steps = [*steps, *charge.limit_steps(total(steps))]
            group = dict(zip(charge.group_by, key, strict=True))
            if steps or quantity:
                self.add("charge", charge.id, charge.name, steps, quantity=quantity, group=group)

    def _price(self, charge: ChargeFields, events: Sequence[Event]) -> tuple[Fraction, list[Step]]:
        if isinstance(charge, Allowance):
            quantity = charge.metric.convert(count(charge.metric, events, self.span))
            return quantity, charge.price_quantity(quantity, Fraction(self.usage.carried.get(charge.id, 0)))
        if isinstance(charge, Pool) and charge.id in self.usage.pools:
            pool = self.usage.pools[charge.id]
            quantity = charge.metric.convert(count(charge.metric, events, self.span))
            rest = Fraction(pool.units) - quantity
            return quantity, charge.share_out(Fraction(pool.amount), {"own": quantity, "others": rest})["own"]
        return charge.price(events, self.span)

    def add_fees(self) -> None:
        active = self.usage.active(self.span)
        for index, fee in enumerate(self.plan.fees):
            steps = fee_steps(fee, active, self.span, self.usage.zone, self.usage.first_period)
            if steps:
                self.add("fee", f"fee:{index}", fee.name, steps)

    def add_commitment(self) -> None:
        commitment = self.plan.commitment
        if commitment is None:
            return
        listed = Fraction(self.total_attos("usage", "charge"), ATTOS_PER_UNIT)
        steps = commitment_steps(
            commitment, listed, before=Fraction(self.usage.committed_before), period=self.usage.term_period
        )
        if listed:
            steps.append(flat_step("less the usage at list price, above", "减：以上按标价计的用量", -listed))
        if total(steps):
            self.add("commitment", "commitment", _COMMITMENT, steps)

    def add_limits(self) -> None:
        """Up to the plan's minimum, down to its maximum."""
        charged = Fraction(self.total_attos(), ATTOS_PER_UNIT)
        if self.plan.minimum is not None and (missing := minimum_true_up(charged, Fraction(self.plan.minimum))):
            self.add("minimum", "minimum", _MINIMUM, [flat_step("up to the minimum", "补足最低消费", missing)])
        if self.plan.maximum is not None and charged > self.plan.maximum:
            over = Fraction(self.plan.maximum) - charged
            self.add("maximum", "maximum", _MAXIMUM, [flat_step("down to the maximum", "封顶减免", over)])


def rate_event(plan: Plan, event: Event) -> tuple[RatedLine, ...]:
    """One request, or a row of many where that makes no difference, at the plan's prices without its charges.

    Raises MintageError("unpriceable") for what has no price at all, "invalid_request" for a row that is no request.
    """
    model = event.dimensions.get("model", "")
    counts = {name: value for name, value in event.values.items() if name in METERS}
    for name, value in counts.items():
        if value != int(value):
            raise MintageError("invalid_request", f"{name} is {value}: meters count whole units.", "Round it.")
    usage = Usage(**{name: int(value) for name, value in counts.items()})
    where = {name: value for name, value in event.dimensions.items() if name != "model"}
    return rate_prices(plan, model, usage, event.at_ns, where) if counts else ()


def _merge(one: RatedLine | None, other: RatedLine) -> RatedLine:
    if one is None:
        return other
    return msgspec.structs.replace(one, quantity=one.quantity + other.quantity, attos=one.attos + other.attos)


def _rated_step(line: RatedLine, currency: str) -> Step:
    words = explain_line(line, currency)
    return Step(
        en=words.en,
        zh=words.zh,
        quantity=Fraction(line.quantity),
        rate=Fraction(line.rate_attos, ATTOS_PER_UNIT),
        amount=Fraction(line.attos, ATTOS_PER_UNIT),
    )


def quote(plan: Plan, usage: PeriodUsage, at_ns: int, events: Sequence[Event] | None = None) -> Quote:
    """What the usage costs under the plan. at_ns: when it is asked; it picks the period if the usage names none.

    events: instead of the usage's own rows, where a caller has them as events already.

    Raises MintageError("unpriceable") if anything that was used has no price, and "conflict" for a plan that is not
    in effect then.
    """
    if plan.effective is not None and at_ns < to_ns(plan.effective):
        raise MintageError(
            "conflict", f"Plan {plan.id} takes effect on {plan.effective.isoformat()}.", "Ask for a later date."
        )
    quoting = _Quoting(plan, usage, usage.span(plan.period, at_ns), events)
    quoting.add_usage()
    for charge in plan.charges:
        quoting.add_charge(charge)
    quoting.add_fees()
    quoting.add_commitment()
    quoting.add_limits()
    return Quote(
        plan=plan.id,
        currency=plan.currency,
        start_ns=quoting.span.start_ns,
        end_ns=quoting.span.end_ns,
        lines=tuple(quoting.lines),
        total_attos=quoting.total_attos(),
        total=sum((line.amount for line in quoting.lines), Decimal(0)),
    )
