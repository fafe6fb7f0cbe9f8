"""A stacked chart of charges by day: the largest few by name, the rest together, with a sentence for each day. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from mintage.books import UsageRow
from mintage.console import figures as text
from mintage.console.figures import money
from mintage.console.i18n import Translator

LINES: Final = 5
_DAY_NS: Final = 86_400 * 10**9


class Line(msgspec.Struct, frozen=True):
    """One part of every bar. nanos has an amount for each day."""

    name: str
    nanos: list[int]


class Stacked(msgspec.Struct, frozen=True, kw_only=True):
    """times are seconds since the epoch, a day each; lines are drawn upon each other, the first at the bottom."""

    currency: str
    symbol: str
    times: list[int]
    lines: list[Line]
    captions: list[str]
    summary: str
    empty: bool


def stacked(
    rows: Sequence[UsageRow],
    key: str,
    names: Mapping[str, str],
    *,
    start_ns: int,
    end_ns: int,
    currency: str,
    t: Translator,
) -> Stacked:
    """rows are grouped by day and key at least; those of other currencies are not in the picture."""
    days = {text.iso_time(at)[:10]: number for number, at in enumerate(range(start_ns, end_ns, _DAY_NS))}
    sums: dict[str, list[int]] = {}
    for row in rows:
        day = (row.group["day"] or "")[:10]
        if row.currency == currency and row.charge_nanos and day in days:
            sums.setdefault(row.group[key] or "", [0] * len(days))[days[day]] += row.charge_nanos
    order = sorted(sums, key=lambda name: (-sum(sums[name]), name))
    lines = [Line(names.get(name, name) or text.NONE, sums[name]) for name in order[:LINES]]
    if rest := order[LINES:]:
        others = [sum(day) for day in zip(*(sums[name] for name in rest), strict=True)]
        lines.append(Line(t("usage.others", count=len(rest)), others))
    total = sum(sum(line.nanos) for line in lines)
    return Stacked(
        currency=currency,
        symbol=text.symbol_of(currency),
        times=[at // 10**9 for at in range(start_ns, end_ns, _DAY_NS)],
        lines=lines,
        captions=[
            _caption(day, [(line.name, line.nanos[number]) for line in lines], currency, t)
            for day, number in days.items()
        ],
        summary=t("usage.chart_summary", total=money(total, currency).text, days=len(days)),
        empty=not lines,
    )


def _caption(day: str, parts: list[tuple[str, int]], currency: str, t: Translator) -> str:
    said = t("usage.point", when=day, total=money(sum(nanos for _, nanos in parts), currency).text)
    named = [f"{name} {money(nanos, currency).text}" for name, nanos in parts if nanos]
    return f"{said} ({' · '.join(named)})" if len(named) > 1 else said
