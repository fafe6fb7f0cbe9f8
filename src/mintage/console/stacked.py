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
        lines.append(
            Line(t("usage.others", count=len(rest)), [sum(day) for day in zip(*map(sums.get, rest), strict=True)])
        )  # type: ignore[arg-type]
    totals = [sum(line.nanos[number] for line in lines) for number in range(len(days))]
    return Stacked(
        currency=currency,
        symbol=text.symbol_of(currency),
        times=[at // 10**9 for at in range(start_ns, end_ns, _DAY_NS)],
        lines=lines,
        captions=[_caption(day, number, lines, totals[number], currency, t) for day, number in days.items()],
        summary=t("usage.chart_summary", total=money(sum(totals), currency).text, days=len(days)),
        empty=not lines,
    )


def _caption(day: str, number: int, lines: list[Line], total: int, currency: str, t: Translator) -> str:
    parts = [f"{line.name} {money(line.nanos[number], currency).text}" for line in lines if line.nanos[number]]
    said = t("usage.point", when=day, total=money(total, currency).text)
    return f"{said} ({' · '.join(parts)})" if len(parts) > 1 else said
