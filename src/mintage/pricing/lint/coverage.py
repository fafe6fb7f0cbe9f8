"""Usage that has no price, prices that no usage reaches, and funds that do not fit the prices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from mintage.base import MintageError
from mintage.pricing.card import compile_plan
from mintage.pricing.charges import QuantityCharge
from mintage.pricing.charges.base import number
from mintage.pricing.lint.finding import Finding, money, quantity
from mintage.pricing.live import meters_of
from mintage.pricing.plan import Plan, Price
from mintage.pricing.segments import segments_of
from mintage.pricing.version import freeze_plan


def lint_coverage(plan: Plan, models: Sequence[str], at_ns: int) -> Iterator[Finding]:
    yield from _unpriceable(plan, models, at_ns)
    yield from _shadowed(plan)
    yield from _cliffs(plan)
    yield from _funds(plan)


def _unpriceable(plan: Plan, models: Sequence[str], at_ns: int) -> Iterator[Finding]:
    """Models that are on sale but cannot be asked: not one request without dimensions has a bound."""
    card = compile_plan(freeze_plan(plan, applied_ns=at_ns))
    for model in models:
        try:
            card.bound(model, input_bound_tokens=1, output_bound_tokens=1, at_ns=at_ns)
        except MintageError as error:
            meter = str(error.details.get("meter", ""))
            yield Finding(
                code="unpriceable",
                severity="error",
                path="prices",
                unit=meter,
                en=f"{model}: {error.message} Requests for it are refused.",
                zh=f"{model}：没有{meter or '任何'}价格，请求会被拒绝。",
            )


def _covers(first: Price, later: Price) -> bool:
    """Whether every request that the later price fits is taken by the first before it."""
    narrower = all(later.where.get(name) == value for name, value in first.where.items())
    same_hours = first.during is None or first.during == later.during
    long_enough = first.above_prompt_tokens <= later.above_prompt_tokens
    return first.model == later.model and narrower and same_hours and long_enough


def _shadowed(plan: Plan) -> Iterator[Finding]:
    for index, price in enumerate(plan.prices):
        shadow = next((i for i in range(index) if _covers(plan.prices[i], price)), None)
        if shadow is not None:
            yield Finding(
                code="shadowed",
                severity="error",
                path=f"prices[{index}]",
                en=f"prices[{shadow}] takes every request that this entry fits: it never applies.",
                zh=f"prices[{shadow}] 已覆盖该条目的全部请求：它永远不会生效。",
            )


def _cliffs(plan: Plan) -> Iterator[Finding]:
    """Where one more prompt token moves the whole request to a dearer price."""
    for index, price in enumerate(plan.prices):
        bound = price.above_prompt_tokens
        base = next((p for p in plan.prices[index + 1 :] if p.model == price.model and p.where == price.where), None)
        if not bound or base is None or price.input_tokens is None or base.input_tokens is None:
            continue
        before, after = base.input_tokens.exact * bound, price.input_tokens.exact * (bound + 1)
        if after > before + price.input_tokens.exact:
            yield Finding(
                code="context_cliff",
                severity="warning",
                path=f"prices[{index}]",
                at=quantity(Fraction(bound)),
                unit="input_tokens",
                en=f"A prompt of {bound:,} tokens costs {money(before)}, one token more {money(after)}.",
                zh=f"{bound:,} token 的提示收费 {money(before)}，多一个 token 就收 {money(after)}。",
            )


def _funds(plan: Plan) -> Iterator[Finding]:
    sells = bool(plan.prices or plan.charges)
    if plan.funding == "postpaid" and not plan.credit_limit and sells:
        yield Finding(
            code="no_credit",
            severity="warning",
            path="credit_limit",
            en="A postpaid wallet without a credit limit may owe nothing: every priced request is refused.",
            zh="后付费钱包没有信用额度：所有计费请求都会被拒绝。",
        )
    for index, charge in enumerate(plan.charges if plan.funding != "postpaid" else ()):
        if isinstance(charge, QuantityCharge) and charge.live != "dearest" and meters_of(charge):
            yield from _rises(charge, f"charges[{index}]")


def _rises(charge: QuantityCharge, path: str) -> Iterator[Finding]:
    """A prepaid request settles at the first tier's rate, and the period may then cost more than was held."""
    segments = segments_of(charge)
    settled = charge.live_rate({}) if segments else Fraction(0)
    dearer = next((segment for segment in segments if segment.rate > settled), None)
    if dearer is not None:
        yield Finding(
            code="rises_after_hold",
            severity="warning",
            path=f"{path}.live",
            at=quantity(dearer.start),
            unit="units",
            en=f"Requests settle at {money(settled)} a unit, but above {number(dearer.start)} units cost "
            f"{money(dearer.rate)}: the wallet may lack the difference when the period closes. Set live = dearest.",
            zh=f"请求按每单位 {money(settled)} 结算，超过 {number(dearer.start)} 后为 {money(dearer.rate)}："
            "账期结束时钱包可能不足以补差。可设 live = dearest。",
        )
