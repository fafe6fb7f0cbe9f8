"""A settled request as a receipt: lines that add up to the charge, our cost, the margin, the balance left. Pure."""

from __future__ import annotations

import msgspec

from mintage.base import ATTOS_PER_NANO
from mintage.books import Settled
from mintage.console import figures as text
from mintage.console.figures import MoneyText, money, money_attos
from mintage.console.view import cost_nanos_of


class ReceiptLine(msgspec.Struct, frozen=True):
    meter: str
    quantity: str
    rate: MoneyText
    per_million: bool
    amount: MoneyText


class ReceiptView(msgspec.Struct, frozen=True, kw_only=True):
    """One settled request. The lines and `carry` add up to `charge`, which is what the wallet was charged."""

    request_id: str
    lines: list[ReceiptLine]
    carry: MoneyText | None
    charge: MoneyText
    cost: MoneyText
    margin: MoneyText
    share: str | None
    shortfall: MoneyText | None
    balance: MoneyText
    provider: str
    engine_seconds: str
    estimated: bool


def receipt(settled: Settled) -> ReceiptView:
    currency = settled.currency
    cost_nanos = cost_nanos_of(settled)
    margin_nanos = settled.posted_nanos - cost_nanos
    carry_attos = settled.posted_nanos * ATTOS_PER_NANO - sum(line.attos for line in settled.lines)
    providers = [cost.provider for cost in settled.costs]
    engine_ms = sum(cost.engine_ms for cost in settled.costs)
    return ReceiptView(
        request_id=settled.hold_id,
        lines=[
            ReceiptLine(
                line.meter,
                text.count(line.quantity),
                _rate(line.meter, line.rate_attos, currency),
                _per_million(line.meter),
                money_attos(line.attos, currency),
            )
            for line in settled.lines
        ],
        carry=money_attos(carry_attos, currency) if carry_attos else None,
        charge=money(settled.posted_nanos, currency),
        cost=money(cost_nanos, currency),
        margin=money(margin_nanos, currency),
        share=text.share(margin_nanos, settled.posted_nanos),
        shortfall=money(settled.shortfall_nanos, currency) if settled.shortfall_nanos else None,
        balance=money(settled.balance_nanos, currency),
        provider="" if providers == ["own"] else ", ".join(providers),
        engine_seconds=f"{engine_ms / 1000:.2f}" if providers == ["own"] else "",
        estimated=settled.estimated,
    )


def _per_million(meter: str) -> bool:
    return meter.endswith("_tokens") or meter == "characters"


def _rate(meter: str, rate_attos: int, currency: str) -> MoneyText:
    return text.rate_per_million(rate_attos, currency) if _per_million(meter) else money_attos(rate_attos, currency)
