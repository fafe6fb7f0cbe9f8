"""Volume tiers (全量阶梯): the tier that the whole quantity reaches prices all of it. Bills fall at the bounds."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated

from msgspec import Meta

from mintage.pricing.charges.base import Step, flat_step, per_unit_step
from mintage.pricing.charges.graduated import TieredCharge, tier_words
from mintage.pricing.charges.tiers import Tier, check_tiers


class Volume(TieredCharge, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="volume"):
    """All units at the rate of the tier that the quantity lies in, plus that tier's flat amount."""

    tiers: Annotated[tuple[Tier, ...], Meta(min_length=1, max_length=100, description="Lowest first.")]

    def check(self) -> None:
        check_tiers(self.tiers)
        for tier in self.tiers:
            self.check_rate(tier)

    def price_quantity(self, quantity: Fraction) -> list[Step]:
        if quantity == 0 and self.zero_usage == "zero":
            return []
        index = self.reach(self.tiers, quantity)
        tier = self.tiers[index]
        en, zh = tier_words(self.tiers, index)
        steps = []
        if quantity and tier.word:
            steps.append(per_unit_step(f"all units at {en}", f"全部用量按{zh}", quantity, tier.exact))
        if tier.flat:
            steps.append(flat_step(f"{en}, flat", f"{zh}固定费", Fraction(tier.flat)))
        return steps

    def marginal_rates(self) -> tuple[Fraction, ...]:
        return tuple(tier.exact for tier in self.tiers)
