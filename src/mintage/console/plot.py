"""Charts as data: a page says what its lines and bars are, one template frames them and one script draws them.

Money is in integer nanos; ratios and counts are numbers. Every point has a sentence, so that the chart can be read with
the keyboard, and by those who do not see it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
from markupsafe import Markup

from mintage.console import figures as text
from mintage.console.figures import money
from mintage.console.i18n import Translator
from mintage.console.render import script_json

Unit = Literal["money", "ratio", "number"]


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One line, or one part of every bar. shade: 0 to 5, as the legend's colours. None leaves a gap."""

    name: str
    values: Sequence[float | int | None]
    kind: Literal["bar", "line"] = "bar"
    shade: int = 0


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """labels: below the points. stacked: bars stand upon each other. captions: one sentence a point."""

    id: str
    title: str
    note: str
    unit: Unit
    symbol: str
    labels: Sequence[str]
    series: Sequence[Series]
    captions: Sequence[str]
    summary: str
    stacked: bool = False

    @property
    def empty(self) -> bool:
        return not any(value for one in self.series for value in one.values)

    @property
    def data(self) -> Markup:
        """For the script, as JSON that cannot end its block."""
        names = ("unit", "symbol", "labels", "series", "captions", "stacked")
        return script_json({name: msgspec.to_builtins(getattr(self, name)) for name in names})


def said(value: float | int | None, unit: Unit, currency: str) -> str:
    """One value in words."""
    if value is None:
        return text.NONE
    if unit == "money":
        return money(int(value), currency).text
    return f"{value:.1%}" if unit == "ratio" else f"{value:,.6g}"


def plot(
    id_: str,
    title: str,
    labels: Sequence[str],
    series: Sequence[Series],
    t: Translator,
    *,
    unit: Unit = "money",
    currency: str = "",
    note: str = "",
    stacked: bool = False,
    say: Callable[[int], str] | None = None,
) -> Plot:
    """say: the sentence of a point, where it is not just the name and value of each series."""

    def sentence(place: int) -> str:
        parts = [f"{one.name} {said(one.values[place], unit, currency)}" for one in series]
        return t("plot.point", at=labels[place], values=" · ".join(parts))

    captions = [(say or sentence)(place) for place in range(len(labels))]
    return Plot(
        id=id_,
        title=title,
        note=note,
        unit=unit,
        symbol=text.symbol_of(currency) if unit == "money" else "",
        labels=labels,
        series=series,
        captions=captions,
        summary=t("plot.summary", title=title, last=captions[-1] if captions else text.NONE),
        stacked=stacked,
    )
