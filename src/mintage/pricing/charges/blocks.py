"""Tiered blocks: each tier sells blocks of its own size, up to a number of blocks."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mintage.pricing.charges.base import QuantityCharge, Step, number, past_the_last_tier, per_unit_step
from mintage.pricing.metric import round_units
from mintage.pricing.words import PositiveInt


class Block(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A tier of blocks. No max_blocks: without end."""

    size: Annotated[Decimal, Meta(description="Units in a block.")]
    price: Annotated[Decimal, Meta(description="Price of a block begun.")]
    max_blocks: Annotated[PositiveInt | None, Meta(description="Blocks that the tier sells; none: no end.")] = None


class TieredBlocks(
    QuantityCharge, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="tiered_blocks"
):
    """all_tiers: each tier is filled in turn. top_tier: the tier that the quantity reaches prices all of it."""

    blocks: Annotated[tuple[Block, ...], Meta(min_length=1, max_length=100, description="Tiers of blocks, in order.")]
    policy: Annotated[
        Literal["all_tiers", "top_tier"], Meta(description="Fill the tiers in turn, or price all by the highest.")
    ] = "all_tiers"
    past_last: Annotated[
        Literal["error", "last_tier"],
        Meta(description="Usage past the last bounded tier is refused, or goes on at the last tier's price."),
    ] = "error"

    def check(self) -> None:
        for index, block in enumerate(self.blocks):
            if not block.size:
                raise ValueError(f"block {index + 1} has size 0")
            if block.max_blocks is None and index != len(self.blocks) - 1:
                raise ValueError(f"block {index + 1} has no max_blocks, but more follow")

    def price_quantity(self, quantity: Fraction) -> list[Step]:
        if not quantity:
            return []
        used: list[tuple[Block, int, Fraction]] = []
        left = quantity
        for block in self.blocks:
            needed = int(round_units(left / Fraction(block.size), "up"))
            if block.max_blocks is None or needed <= block.max_blocks:
                used.append((block, needed, left))
                left = Fraction(0)
                break
            used.append((block, block.max_blocks, block.max_blocks * Fraction(block.size)))
            left -= block.max_blocks * Fraction(block.size)
        if left:
            if self.past_last == "error":
                raise past_the_last_tier(self.id, quantity, quantity - left)
            block, _, part = used.pop()
            used.append((block, int(round_units((left + part) / Fraction(block.size), "up")), left + part))
        if self.policy == "top_tier":
            block = used[-1][0]
            used = [(block, int(round_units(quantity / Fraction(block.size), "up")), quantity)]
        return [_step(block, blocks) for block, blocks, _ in used]

    def marginal_rates(self) -> tuple[Fraction, ...]:
        return tuple(Fraction(block.price) / Fraction(block.size) for block in self.blocks)


def _step(block: Block, blocks: int) -> Step:
    size = number(Fraction(block.size))
    return per_unit_step(f"blocks of {size}", f"区块（每块 {size}）", Fraction(blocks), Fraction(block.price))
