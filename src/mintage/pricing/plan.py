"""A plan: what is sold at which price, as data. Written in TOML or JSON, checked whole when it is loaded.

Prices are rated request by request (hold and settle). Fees and minimums belong to the period. No number in a plan
is negative and none passes through a float.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mintage.base import METERS, check_currency
from mintage.pricing.charges import PeriodCharge
from mintage.pricing.funds import AutoTopUp, CreditUnit, Grant, Pack, ProgressiveBilling, Trial
from mintage.pricing.period.commitment import Commitment
from mintage.pricing.policies import Policies
from mintage.pricing.rates import TIME_WORDS, Rate
from mintage.pricing.words import Conditions, Funding, Label, ModelPattern, Moment, Names, Period, Slug, Window


class CostPlus(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Rates taken from the provider price book when the plan is applied: cost plus a percentage, rounded up."""

    provider: Annotated[Label, Meta(description="Provider in the price book, e.g. openai.")]
    percent: Annotated[Decimal, Meta(description="On top of cost; 20 charges 1.20 for a cost of 1.")]
    model: Annotated[str, Meta(max_length=200, description="The provider's name of the model; else ours.")] = ""
    context: Annotated[Conditions, Meta(description='Service class of the provider, e.g. {processing = "batch"}.')] = (
        msgspec.field(default_factory=dict)
    )


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Rates of one model or of all models that a pattern names, if the conditions hold.

    The most specific pattern wins (most literal characters, no star before any star); among equals the first
    entry whose conditions hold. cached_read_tokens and cache_write_tokens default to the input rate,
    reasoning_tokens to the output rate, requests to free. A request with any other unpriced meter is refused.
    """

    model: Annotated[ModelPattern, Meta(description="Model name; `*` stands for any characters.")]
    where: Annotated[
        Conditions, Meta(description='Only for requests with these dimensions, e.g. {class = "batch"}.')
    ] = msgspec.field(default_factory=dict)
    during: Annotated[Window | None, Meta(description="Only in these hours.")] = None
    above_prompt_tokens: Annotated[
        int, Meta(ge=0, le=2**53, description="Only if the prompt is longer: the whole request moves to this price.")
    ] = 0
    input_tokens: Rate | None = None
    cached_read_tokens: Rate | None = None
    cache_write_tokens: Rate | None = None
    output_tokens: Rate | None = None
    reasoning_tokens: Rate | None = None
    image_count: Rate | None = None
    audio_ms: Rate | None = None
    characters: Rate | None = None
    requests: Rate | None = None
    outcomes: Rate | None = None
    seats: Rate | None = None
    duration_ms: Rate | None = None
    markup: Annotated[CostPlus | None, Meta(description="Instead of rates: cost plus a percentage.")] = None
    note: Annotated[str, Meta(max_length=200, description="Where the rates come from.")] = ""
    minimum: Annotated[Decimal | None, Meta(description="Least charge of one request.")] = None
    maximum: Annotated[Decimal | None, Meta(description="Greatest charge of one request.")] = None

    def __post_init__(self) -> None:
        rates = self.rates()
        if self.markup is not None:
            if rates or "*" in self.model:
                raise ValueError(f"markup prices one model by itself; {self.model!r} has a star or rates besides")
        elif not rates:
            raise ValueError(f"the price of {self.model!r} has no rate; add e.g. input_tokens.per_million")
        for meter, rate in rates.items():
            if meter.endswith("_ms") != (rate.word in TIME_WORDS):
                words = "per_second, per_minute or per_hour" if meter.endswith("_ms") else "per_unit or per_million"
                raise ValueError(f"{meter} is priced {words}")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")

    def rates(self) -> dict[str, Rate]:
        """The stated rates by meter."""
        return {meter: rate for meter in METERS if (rate := getattr(self, meter)) is not None}


class Adjustment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A factor on every rate of a request: batch at half price, priority at a premium, nights cheaper.

    All adjustments that apply multiply. A request's minimum and maximum are not adjusted.
    """

    factor: Annotated[Decimal, Meta(description="0.5 is half price.")]
    model: Annotated[ModelPattern, Meta(description="Model name; `*` stands for any characters.")] = "*"
    where: Annotated[Conditions, Meta(description="Only for requests with these dimensions.")] = msgspec.field(
        default_factory=dict
    )
    during: Annotated[Window | None, Meta(description="Only in these hours.")] = None


class Fee(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A flat amount, whatever is used."""

    name: Annotated[Names, Meta(description="What the invoice line says.")]
    amount: Annotated[Decimal, Meta(description="In currency units.")]
    every: Annotated[Literal["once", "period"], Meta(description="Once at the start, or each period.")] = "period"
    timing: Annotated[Literal["advance", "arrears"], Meta(description="Billed at the period's start or end.")] = (
        "advance"
    )
    proration: Annotated[
        Literal["none", "days", "seconds", "fixed_30"],
        Meta(description="A part of a period pays in full, by days, by seconds, or by days of a 30-day month."),
    ] = "days"


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a customer agrees to. Immutable once applied: see PriceVersion."""

    id: Annotated[Slug, Meta(description="Stable name in lower case, e.g. `payg`.")]
    name: Annotated[Names, Meta(description="What customers read.")]
    currency: Annotated[str, Meta(description="ISO 4217, e.g. USD.")]
    description: Annotated[Names | None, Meta(description="One or two sentences for customers.")] = None
    effective: Annotated[Moment | None, Meta(description="Valid from; without it, from when the plan is applied.")] = (
        None
    )
    funding: Annotated[
        Funding, Meta(description="How a new wallet is funded: paid ahead, by a grant, or billed after use.")
    ] = "prepaid"
    credit_limit: Annotated[Decimal, Meta(description="What a postpaid wallet may owe.")] = Decimal(0)
    period: Annotated[Period, Meta(description="Length of a billing period.")] = "month"
    credit_unit: Annotated[CreditUnit | None, Meta(description="Show amounts as credits.")] = None
    prices: Annotated[tuple[Price, ...], Meta(max_length=1000, description="Rates by model.")] = ()
    adjustments: Annotated[tuple[Adjustment, ...], Meta(max_length=100, description="Factors on the rates.")] = ()
    charges: Annotated[
        tuple[PeriodCharge, ...], Meta(max_length=200, description="Charges on the quantities of a period.")
    ] = ()
    fees: Annotated[tuple[Fee, ...], Meta(max_length=100, description="Flat fees.")] = ()
    minimum: Annotated[Decimal | None, Meta(description="Least amount of a period, before tax.")] = None
    maximum: Annotated[Decimal | None, Meta(description="Greatest amount of a period, before tax.")] = None
    commitment: Annotated[Commitment | None, Meta(description="Least amount of a term, with a discount.")] = None
    grants: Annotated[tuple[Grant, ...], Meta(max_length=100, description="Credit that comes with the plan.")] = ()
    packs: Annotated[tuple[Pack, ...], Meta(max_length=100, description="Credit for sale.")] = ()
    auto_top_up: Annotated[AutoTopUp | None, Meta(description="Buy credit before it runs out.")] = None
    progressive: Annotated[ProgressiveBilling | None, Meta(description="Invoices before the period ends.")] = None
    trial: Annotated[Trial | None, Meta(description="Free days at the start.")] = None
    converts_to: Annotated[Slug | None, Meta(description="Plan that users of a free plan are to buy.")] = None
    policies: Annotated[Policies, Meta(description="Promises besides prices.")] = Policies()

    def __post_init__(self) -> None:
        check_currency(self.currency)
        if self.credit_limit and self.funding != "postpaid":
            raise ValueError(f"credit_limit is for postpaid plans; this one is {self.funding}")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")
        names = [charge.id for charge in self.charges]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two charges have the id {twice}")
