"""Graduated tiers (阶梯计价): each unit costs what its own tier says, so the bill never falls as usage grows."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated

from msgspec import Meta

from mintage.base import MintageError
from mintage.pricing.charges.base import (
    QuantityCharge,
    Step,
    ZeroUsage,
    flat_step,
    number,
    past_the_last_tier,
    per_unit_step,
)
from mintage.pricing.charges.tiers import AnyTier, Fractions, Tier, check_tiers, find_flaws, tier_index, tier_parts


class TieredCharge(QuantityCharge, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What the tier models share: which tier a quantity lies in, and what zero usage pays."""

    zero_usage: Annotated[ZeroUsage, Meta(description="No usage: the first tier's flat amount is due, or nothing.")] = (
        "first_tier_flat"
    )
    fractions: Annotated[
        Fractions, Meta(description="5.001 units enter the tier after 5, or stay until a whole unit is over.")
    ] = "enter_next"

    def reach(self, tiers: tuple[AnyTier, ...], quantity: Fraction) -> int:
        """Index of the tier. Raises MintageError("unpriceable") past the last one or where the tiers do not meet."""
        for flaw in find_flaws(tiers):
            if quantity > flaw.at:
                raise MintageError(
                    "unpriceable",
                    f"Charge {self.id}: the tiers have a {flaw.kind} from {number(flaw.at)} units on.",
                    "Let each tier start where the one before ends.",
                )
        index = tier_index(tiers, quantity, self.fractions)
        if index is None:
            raise past_the_last_tier(self.id, quantity, Fraction(tiers[-1].up_to or 0))
        return index


def tier_words(tiers: tuple[AnyTier, ...], index: int) -> tuple[str, str]:
    """For example `tier 2 (10 to 20)`, in both languages."""
    start = number(Fraction(tiers[index - 1].up_to or 0)) if index else "0"
    up_to = tiers[index].up_to
    if up_to is None:
        return f"tier {index + 1} (above {start})", f"第 {index + 1} 档（{start} 以上）"
    end = number(Fraction(up_to))
    return f"tier {index + 1} ({start} to {end})", f"第 {index + 1} 档（{start} 至 {end}）"


class Graduated(TieredCharge, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="graduated"):
    """Each unit at its own tier's rate, plus the flat amount of every tier that is entered."""

    tiers: Annotated[tuple[Tier, ...], Meta(min_length=1, max_length=100, description="Lowest first.")]

    def check(self) -> None:
        check_tiers(self.tiers)
        for tier in self.tiers:
            self.check_rate(tier)

    def price_quantity(self, quantity: Fraction) -> list[Step]:
        if quantity == 0 and self.zero_usage == "zero":
            return []
        last = self.reach(self.tiers, quantity)
        steps = []
        for index, part in enumerate(tier_parts(self.tiers, quantity, last)):
            tier = self.tiers[index]
            en, zh = tier_words(self.tiers, index)
            if part and tier.word:
                steps.append(per_unit_step(en, zh, part, tier.exact))
            if tier.flat:
                steps.append(flat_step(f"{en}, flat", f"{zh}固定费", Fraction(tier.flat)))
        return steps

    def marginal_rates(self) -> tuple[Fraction, ...]:
        return tuple(tier.exact for tier in self.tiers)
