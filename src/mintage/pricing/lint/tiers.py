"""Tiers that leave holes, end, or make a bill fall as usage grows."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Final

from mintage.pricing.charges import Graduated, GraduatedPercentage, TieredBlocks, Volume, total
from mintage.pricing.charges.base import number
from mintage.pricing.charges.tiers import find_flaws
from mintage.pricing.lint.finding import Finding, money, quantity
from mintage.pricing.plan import Plan
from mintage.pricing.segments import Segment, segments_of

_FLAWS: Final = {"gap": ("leaves a gap", "之前有空缺"), "overlap": ("overlaps the one before", "与前一档重叠")}


def lint_tiers(plan: Plan) -> Iterator[Finding]:
    for index, charge in enumerate(plan.charges):
        path = f"charges[{index}]"
        if isinstance(charge, Graduated | Volume | GraduatedPercentage):
            yield from _meeting(charge, path)
            if (last := charge.tiers[-1].up_to) is not None:
                yield _bounded(f"{path}.tiers[{len(charge.tiers) - 1}]", Fraction(last))
        if isinstance(charge, TieredBlocks):
            yield from _blocks(charge, path)
        if isinstance(charge, Volume):
            yield from _volume_cliffs(charge, path)


def _meeting(charge: Graduated | Volume | GraduatedPercentage, path: str) -> Iterator[Finding]:
    for flaw in find_flaws(charge.tiers):
        words = {"gap": ("leaves a gap", "之间有空缺"), "overlap": ("overlaps the one before", "与前一档重叠")}[
            flaw.kind
        ]
        yield Finding(
            code=flaw.kind,
            severity="error",
            path=f"{path}.tiers[{flaw.tier}].above",
            at=quantity(flaw.at),
            unit="units",
            en=f"Tier {flaw.tier + 1} {words[0]}: usage above {number(flaw.at)} is refused.",
            zh=f"第 {flaw.tier + 1} 档{words[1]}：超过 {number(flaw.at)} 的用量会被拒绝。",
        )


def _bounded(path: str, last: Fraction) -> Finding:
    return Finding(
        code="bounded",
        severity="warning",
        path=path,
        at=quantity(last),
        unit="units",
        en=f"The last tier ends at {number(last)}: usage above it is refused.",
        zh=f"最后一档到 {number(last)} 为止：超出的用量会被拒绝。",
    )


def _volume_cliffs(charge: Volume, path: str) -> Iterator[Finding]:
    """Where the next tier's price for the same quantity is lower than what was just paid."""
    segments = segments_of(charge)
    for index, (lower, upper) in enumerate(pairwise(segments)):
        bound = upper.start
        due, after = lower.at(bound), upper.at(bound)
        if after < due:
            until_en, until_zh = _until(due, upper)
            yield Finding(
                code="volume_cliff",
                severity="warning",
                path=f"{path}.tiers[{index + 1}]",
                at=quantity(bound),
                unit="units",
                en=f"{number(bound)} units cost {money(due)}, but just above that only {money(after)}: "
                f"more usage costs less {until_en}.",
                zh=f"{number(bound)} 单位收费 {money(due)}，略多一点只收 {money(after)}：{until_zh}用得多反而付得少。",
            )


def _until(due: Fraction, upper: Segment) -> tuple[str, str]:
    """How far usage within the cheaper tier costs less than the bound before it did, in both languages."""
    again = (due - upper.intercept) / upper.rate if upper.rate else None
    if again is not None and (upper.end is None or again <= upper.end):
        return f"up to {number(again)}", f"直到 {number(again)}"
    if upper.end is None:
        return "without end", "之后一直"
    return f"at least up to {number(upper.end)}", f"至少到 {number(upper.end)}"


def _blocks(charge: TieredBlocks, path: str) -> Iterator[Finding]:
    bound = Fraction(0)
    for index, block in enumerate(charge.blocks):
        if block.max_blocks is None:
            return
        bound += block.max_blocks * Fraction(block.size)
        if index == len(charge.blocks) - 1:
            if charge.past_last == "error":
                yield _bounded(f"{path}.blocks[{index}]", bound)
            return
        due, after = (total(charge.price_quantity(at)) for at in (bound, bound + 1))
        if after < due:
            yield Finding(
                code="volume_cliff",
                severity="warning",
                path=f"{path}.blocks[{index + 1}]",
                at=quantity(bound),
                unit="units",
                en=f"{number(bound)} units cost {money(due)}, one more costs {money(after)}: more usage costs less.",
                zh=f"{number(bound)} 单位收费 {money(due)}，多一单位只收 {money(after)}：用得多反而付得少。",
            )
