"""Asking for prices: Van Westendorp's four questions, Gabor and Granger's ladder."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from mintage.base import MintageError
from mintage.lab.checks import require

Points = Sequence[tuple[float, float]]  # (price, share), by price; flat before the first and after the last
_LINE = re.compile(r"^\s*([\d.]+)\s*at\s*([\d.]+)\s*->\s*([\d.]+)\s*at\s*([\d.]+)\s*$")


def parse_curve(text: str) -> list[tuple[float, float]]:
    """`1 at 5 -> 0 at 15`: a line between two points, flat outside."""
    found = _LINE.match(text)
    if found is None:
        raise MintageError("invalid_request", f"{text[:40]!r} is no curve.", "Write: 1 at 5 -> 0 at 15.")
    share1, price1, share2, price2 = (float(group) for group in found.groups())
    return [(price1, share1), (price2, share2)]


def _at(points: Points, price: float) -> float:
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x0 <= price <= x1:
            return y0 + (y1 - y0) * (price - x0) / (x1 - x0) if x1 > x0 else y1
    return points[0][1] if price < points[0][0] else points[-1][1]


def crossing(one: Points, other: Points) -> float:
    """The first price at which two piecewise linear curves meet; where they run together, the middle."""
    bends = sorted({x for x, _ in (*one, *other)})
    gaps = [(x, _at(one, x) - _at(other, x)) for x in bends]
    for (x0, g0), (x1, g1) in itertools.pairwise(gaps):
        if g0 == 0 and g1 == 0 and 0 < _at(one, x0) < 1:
            return (x0 + x1) / 2
        if g0 * g1 < 0:
            return x0 + (x1 - x0) * g0 / (g0 - g1)
        if g1 == 0 and g0 != 0:
            return x1
    raise MintageError("invalid_request", "The curves do not cross.", "Ask about a wider range of prices.")


def van_westendorp(
    *,
    too_cheap: Points | str,
    cheap: Points | str,
    expensive: Points | str,
    too_expensive: Points | str,
) -> dict[str, float]:
    """The price sensitivity meter: PMC and PME bound what is acceptable, IDP is indifferent, OPP resisted least.

    PMC: too cheap x expensive. PME: cheap x too expensive. OPP: too cheap x too expensive. IDP: cheap x expensive.
    """
    names = {"too_cheap": too_cheap, "cheap": cheap, "expensive": expensive, "too_expensive": too_expensive}
    curves = {name: parse_curve(c) if isinstance(c, str) else sorted(c) for name, c in names.items()}
    return {
        "PMC": crossing(curves["too_cheap"], curves["expensive"]),
        "OPP": crossing(curves["too_cheap"], curves["too_expensive"]),
        "IDP": crossing(curves["cheap"], curves["expensive"]),
        "PME": crossing(curves["cheap"], curves["too_expensive"]),
    }


def survey_curves(answers: Sequence[Sequence[float]]) -> dict[str, list[tuple[float, float]]]:
    """The four curves of respondents' prices: (too cheap, cheap, expensive, too expensive) each."""
    require(len(answers) > 0 and all(len(row) == 4 for row in answers), "four prices each", "answers")
    names = ("too_cheap", "cheap", "expensive", "too_expensive")
    count = len(answers)
    prices = sorted({float(price) for row in answers for price in row})
    found = {}
    for place, name in enumerate(names):
        column = [float(row[place]) for row in answers]
        falls = place < 2  # the share who still find it (too) cheap falls as the price rises
        shares = [sum(x >= p if falls else x <= p for x in column) / count for p in prices]
        found[name] = list(zip(prices, shares, strict=True))
    return found


def gabor_granger(
    *, prices: Sequence[float], buy_share: Sequence[float], c: float = 0.0, buyers: float = 1.0
) -> dict[str, object]:
    """The best of the asked prices by revenue and by profit. Shares are made to fall: a dearer price sells no more."""
    require(len(prices) == len(buy_share) and len(prices) > 0, "one share a price", "buy_share")
    rows, least = [], 1.0
    for price, share in sorted(zip(prices, buy_share, strict=True)):
        require(0 <= share <= 1, "buy_share lies between 0 and 1", "buy_share")
        least = min(least, share)
        rows.append({"price": price, "share": least, "revenue": buyers * price * least,
                     "profit": buyers * (price - c) * least})  # fmt: skip
    by_revenue, by_profit = (max(rows, key=lambda row, k=key: row[k]) for key in ("revenue", "profit"))  # type: ignore[misc]
    return {
        "price": by_profit["price"],
        "profit": by_profit["profit"],
        "revenue_price": by_revenue["price"],
        "revenue": by_revenue["revenue"],
        "rows": rows,
    }
