"""From exact line amounts to what is due, in one fixed order: discounts, minimum and maximum, prepaid, tax, rounding.

Vendors disagree on two orders, so each is an option: a discount before or after the minimum, prepaid credit before or
after tax. Lines are rounded once, half up, to the currency; tax once per rate, over the rounded lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import msgspec

from mintage.base import MintageError
from mintage.pricing.period.commitment import maximum_discounts
from mintage.pricing.period.rounding import allocate_discount, round_places, to_minor
from mintage.pricing.policies import BillingPolicy


class StatementLine(msgspec.Struct, frozen=True, kw_only=True):
    """amount: currency units, exact. discount_percent: a coupon on this line alone."""

    id: str
    amount: Fraction
    discount_percent: Fraction = Fraction(0)
    tax_percent: Fraction | None = None  # None: the statement's


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What applies to the whole. Amounts in currency units."""

    discount_percent: Fraction = Fraction(0)
    discount_amount: Fraction = Fraction(0)
    minimum: Fraction | None = None
    maximum: Fraction | None = None
    prepaid: Fraction = Fraction(0)  # credit that may be used
    tax_percent: Fraction = Fraction(0)


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """Minor units of the currency. total = subtotal - discounts + true_up + tax - prepaid, always."""

    currency: str
    lines: tuple[int, ...]  # each line, rounded
    discounts: tuple[int, ...]  # off each line, its own and its part of the whole's
    true_up: int
    subtotal: int
    discount: int
    taxable: int
    tax: int
    prepaid: int
    total: int


def compute_statement(
    lines: Sequence[StatementLine], terms: Terms, currency: str, policy: BillingPolicy | None = None
) -> Statement:
    """What is due. Never negative: discounts end at their line, prepaid credit at the total."""
    if any(line.amount < 0 for line in lines):
        raise MintageError("invalid_request", "A statement's line is negative.", "Correct it with a credit note.")
    bill = _Bill(lines, terms, currency, policy or BillingPolicy())
    if bill.policy.discount == "before_minimum":
        bill.discount_whole()
        bill.limit()
    else:
        bill.limit()
        bill.discount_whole()
    return bill.close()


class _Bill:
    """A statement in the making: `net` is what is left of each line, in minor units."""

    def __init__(self, lines: Sequence[StatementLine], terms: Terms, currency: str, policy: BillingPolicy) -> None:
        self.terms, self.currency, self.policy = terms, currency, policy
        self.rates = [terms.tax_percent if line.tax_percent is None else line.tax_percent for line in lines]
        self.rounded = [to_minor(line.amount, currency) for line in lines]
        own = (to_minor(line.amount * line.discount_percent / 100, currency) for line in lines)
        self.net = [max(amount - off, 0) for amount, off in zip(self.rounded, own, strict=True)]
        self.true_up = 0

    def discount_whole(self) -> None:
        """The discount on the whole, off lines and true-up in proportion."""
        base = sum(self.net) + self.true_up
        discount = int(round_places(base * self.terms.discount_percent / 100, 0))
        discount += to_minor(self.terms.discount_amount, self.currency)
        *off, off_true_up = allocate_discount(discount, [*self.net, self.true_up])
        self.net = [amount - cut for amount, cut in zip(self.net, off, strict=True)]
        self.true_up -= off_true_up

    def limit(self) -> None:
        """Down to the maximum, line by line in order; up to the minimum by a true-up."""
        if self.terms.maximum is not None:
            limit = Fraction(to_minor(self.terms.maximum, self.currency))
            cuts = maximum_discounts([Fraction(amount) for amount in self.net], limit)
            self.net = [amount - int(cut) for amount, cut in zip(self.net, cuts, strict=True)]
        if self.terms.minimum is not None:
            self.true_up = max(to_minor(self.terms.minimum, self.currency) - sum(self.net), 0)

    def close(self) -> Statement:
        """Prepaid credit and tax, in the order of the policy."""
        due, credit = sum(self.net) + self.true_up, to_minor(self.terms.prepaid, self.currency)
        taxed = [*self.net, self.true_up]
        prepaid = 0
        if self.policy.prepaid == "before_tax":
            prepaid = min(credit, due)
            taxed = [amount - cut for amount, cut in zip(taxed, allocate_discount(prepaid, taxed), strict=True)]
        tax = self._tax(taxed)
        if self.policy.prepaid == "after_tax":
            prepaid = min(credit, due + tax)
        return Statement(
            currency=self.currency,
            lines=tuple(self.rounded),
            discounts=tuple(amount - net for amount, net in zip(self.rounded, self.net, strict=True)),
            true_up=self.true_up,
            subtotal=sum(self.rounded),
            discount=sum(self.rounded) - sum(self.net),
            taxable=sum(taxed),
            tax=tax,
            prepaid=prepaid,
            total=due + tax - prepaid,
        )

    def _tax(self, taxed: Sequence[int]) -> int:
        """Once per rate, over everything that it taxes."""
        bases: dict[Fraction, int] = {}
        for amount, rate in zip(taxed, [*self.rates, self.terms.tax_percent], strict=True):
            bases[rate] = bases.get(rate, 0) + amount
        return sum(int(round_places(base * rate / 100, 0)) for rate, base in bases.items())
