"""One settled request taken apart: when what happened, what each attempt cost, which tokens were counted. Pure."""

from __future__ import annotations

import msgspec

from mintage.base import Usage
from mintage.books import Settled
from mintage.console import figures as text
from mintage.console.figures import MoneyText, money, money_attos
from mintage.console.i18n import Translator

#: The waterfall is drawn on a grid this wide, whatever the request took.
GRID = 1_000


class Bar(msgspec.Struct, frozen=True):
    """One stretch of time. left and width are of GRID; shade names its colour."""

    label: str
    took: str
    left: int
    width: int
    shade: str


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try at an engine. cost is exact."""

    provider: str
    price_id: str
    upstream_id: str
    engine: str
    read: str
    written: str
    cost: MoneyText


class Meter(msgspec.Struct, frozen=True):
    name: str
    quantity: str
    left: int
    width: int


def waterfall(settled: Settled, t: Translator) -> list[Bar]:
    """From arrival to the durable settlement: the wait for the first token, the writing, the way into the books."""
    total_ms = max(settled.latency_ms, (settled.at_ns - settled.occurred_ns) / 1e6, 0.001)
    first_ms, done_ms = settled.first_token_ms, settled.latency_ms

    def bar(key: str, start_ms: float, end_ms: float, shade: str) -> Bar:
        left = min(GRID - 4, round(start_ms / total_ms * GRID))
        width = max(4, min(GRID - left, round((end_ms - start_ms) / total_ms * GRID)))
        return Bar(t(key), text.duration(max(0.0, end_ms - start_ms)), left, width, shade)

    bars = []
    if first_ms is not None and first_ms <= done_ms:
        bars.append(bar("inspect.waiting", 0, first_ms, "fill-brass"))
        bars.append(bar("inspect.writing", first_ms, done_ms, "fill-mint"))
    else:
        bars.append(bar("inspect.answering", 0, done_ms, "fill-mint"))
    if total_ms > done_ms:
        bars.append(bar("inspect.settling", done_ms, total_ms, "fill-ink"))
    bars.append(bar("inspect.whole", 0, total_ms, "fill-line"))
    return bars


def attempts(settled: Settled) -> list[Attempt]:
    return [
        Attempt(
            provider=cost.provider,
            price_id=cost.price_id,
            upstream_id=cost.upstream_id,
            engine=text.duration(cost.engine_ms) if cost.engine_ms else "",
            read=text.count(cost.usage.prompt_tokens),
            written=text.count(cost.usage.completion_tokens),
            cost=money_attos(cost.attos, cost.currency),
        )
        for cost in settled.costs
    ]


def token_split(usage: Usage, t: Translator) -> list[Meter]:
    """What was counted, each class as a part of all tokens; other meters without a bar."""
    counted = usage.meters()
    tokens = sum(count for name, count in counted.items() if name.endswith("_tokens")) or 1
    found, left = [], 0
    for name, count in counted.items():
        width = count * GRID // tokens if name.endswith("_tokens") else 0
        found.append(Meter(t.meter(name), text.count(count), left, width))
        left += width
    return found


def money_trail(settled: Settled) -> dict[str, MoneyText]:
    """What the wallet saw: held at most, charged, given back, left."""
    currency = settled.currency
    return {
        "held": money(settled.hold_nanos, currency),
        "charge": money(settled.posted_nanos, currency),
        "returned": money(settled.hold_nanos - settled.drawn_nanos, currency),
        "balance": money(settled.balance_nanos, currency),
    }
