"""What a plan promises besides prices. Vendors disagree on each of these, so each is an option with its default."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mintage.pricing.words import ModelPattern, PositiveInt

Feature = Literal["tools", "json", "logprobs", "images", "audio", "answers"]


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Per key. None: not limited by the plan."""

    requests_per_minute: Annotated[PositiveInt | None, Meta(description="Requests a key may start per minute.")] = None
    tokens_per_minute: Annotated[
        PositiveInt | None, Meta(description="Tokens, input bound and output bound together, a key may ask per minute.")
    ] = None
    concurrent_requests: Annotated[PositiveInt | None, Meta(description="Requests of a key open at once.")] = None


class InputPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens to a prompt before it is counted."""

    too_long: Annotated[
        Literal["refuse", "truncate"],
        Meta(description="A prompt beyond the context window is refused, or loses its oldest messages."),
    ] = "refuse"
    max_tokens: Annotated[PositiveInt | None, Meta(description="Longest prompt this plan admits.")] = None
    normalise: Annotated[
        bool, Meta(description="Unicode NFC, control characters removed, line ends unified, before counting.")
    ] = False


class OutputPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens to an answer. Shaping never changes what is metered."""

    max_tokens: Annotated[PositiveInt, Meta(description="Most output tokens of an answer; a request may ask less.")] = (
        4096
    )
    default_tokens: Annotated[
        PositiveInt | None, Meta(description="Output tokens of a request that names none; else max_tokens.")
    ] = None
    trim: Annotated[bool, Meta(description="Strip white space around the answer.")] = False
    deduplicate: Annotated[bool, Meta(description="Leave out sentences that an answer repeats.")] = False
    format: Annotated[
        Literal["as_is", "plain"], Meta(description="plain takes the Markdown marks out of an answer.")
    ] = "as_is"

    @property
    def shapes(self) -> bool:
        """Whether an answer's text can change at all; if not, its bytes may pass through."""
        return self.trim or self.deduplicate or self.format != "as_is"


class BillingPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The order in which a bill is made, where vendors disagree."""

    discount: Annotated[
        Literal["before_minimum", "after_minimum"],
        Meta(description="A minimum is owed after discounts, or a discount also lowers the minimum."),
    ] = "before_minimum"
    prepaid: Annotated[
        Literal["after_tax", "before_tax"],
        Meta(description="Prepaid credit pays the total with tax, or lowers what is taxed."),
    ] = "after_tax"


class Entitlements(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a customer of the plan may use. None: everything that is priced."""

    models: Annotated[
        Annotated[tuple[ModelPattern, ...], Meta(max_length=200)] | None,
        Meta(description="Models; `*` stands for any characters."),
    ] = None
    features: Annotated[
        Annotated[tuple[Feature, ...], Meta(max_length=16)] | None,
        Meta(description="What requests may ask for beside text."),
    ] = None


class Policies(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    disconnect: Annotated[
        Literal["drain", "cut"],
        Meta(
            description="The client hangs up mid-answer: drain reads on and bills what was written, up to "
            "drain_limit_tokens; cut cancels and bills what was streamed, marked as estimated."
        ),
    ] = "drain"
    drain_limit_tokens: Annotated[
        PositiveInt, Meta(description="With disconnect = drain: output tokens after which the answer is cut.")
    ] = 1024
    settle_above_hold: Annotated[
        Literal["draw", "cap"],
        Meta(description="The charge exceeds the hold: draw the difference from the wallet, or charge the hold only."),
    ] = "draw"
    expired_hold: Annotated[
        Literal["release", "charge"],
        Meta(description="A hold whose request vanished (a crash): give the funds back, or charge the hold."),
    ] = "release"
    limits: Annotated[Limits, Meta(description="Rate limits per key.")] = Limits()
    input: Annotated[InputPolicy, Meta(description="Shaping of prompts.")] = InputPolicy()
    output: Annotated[OutputPolicy, Meta(description="Shaping of answers.")] = OutputPolicy()
    entitlements: Annotated[Entitlements, Meta(description="Models and features that the plan includes.")] = (
        Entitlements()
    )
    billing: Annotated[BillingPolicy, Meta(description="The order in which a bill is made.")] = BillingPolicy()
