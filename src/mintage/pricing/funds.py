"""Where a plan's money comes from: grants, packs of credit, automatic top-ups, trials, early invoices."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mintage.pricing.words import Days, Names, Slug


class Grant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Credit given with the plan, for example to try it."""

    amount: Annotated[Decimal, Meta(description="In currency units.")]
    name: Annotated[Names, Meta(description="What the wallet shows.")]
    every: Annotated[Literal["once", "period"], Meta(description="Once at the start, or each period.")] = "once"
    expires_days: Annotated[Days | None, Meta(description="Days until it lapses; none: never.")] = None


class Pack(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Credit for sale. What is bought burns at the plan's prices; a bonus burns before it."""

    name: Annotated[Names, Meta(description="What the shop shows.")]
    price: Annotated[Decimal, Meta(description="What the customer pays.")]
    credit: Annotated[Decimal, Meta(description="What the wallet gets for it, in currency units.")]
    bonus: Annotated[Decimal, Meta(description="What it gets on top.")] = Decimal(0)
    expires_days: Annotated[Days | None, Meta(description="Days until what is left lapses; none: never.")] = None


class AutoTopUp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """When the balance falls below `below`, `amount` is bought, at most `monthly_limit` a calendar month."""

    below: Annotated[Decimal, Meta(description="Balance under which it buys.")]
    amount: Annotated[Decimal, Meta(description="What it buys.")]
    monthly_limit: Annotated[Decimal | None, Meta(description="Most that it buys in a month.")] = None

    def __post_init__(self) -> None:
        if not self.amount:
            raise ValueError("amount is 0: it would buy nothing, again and again")


class CreditUnit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Credits as customers see them: the books keep currency, pages show amounts divided by `value`."""

    name: Annotated[Names, Meta(description="What one is called, e.g. credit.")]
    value: Annotated[Decimal, Meta(description="What one is worth, in currency units.")]

    def __post_init__(self) -> None:
        if not self.value:
            raise ValueError("value is 0: no amount would be a number of credits")


class Trial(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Fees are waived for the first days; then the plan, or another one, goes on."""

    days: Annotated[Days, Meta(description="Days from the start of the subscription.")]
    then: Annotated[Slug | None, Meta(description="Plan that follows; none: this one.")] = None


class ProgressiveBilling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Amounts of a period at which an invoice is sent at once; the closing invoice credits it."""

    amounts: Annotated[tuple[Decimal, ...], Meta(max_length=100, description="Thresholds of a period.")] = ()
    recurring: Annotated[Decimal | None, Meta(description="After the last one, again for every so much.")] = None

    def __post_init__(self) -> None:
        if not self.amounts and self.recurring is None:
            raise ValueError("it names no threshold")
        if self.recurring is not None and not self.recurring:
            raise ValueError("recurring is 0: every request would send an invoice")
