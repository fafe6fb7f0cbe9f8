"""Revenue: what recurs, what grows, what is earned when; balance sheet and income statement of the same ledger."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from litestar import Response, get

from mintage.base import MintageError
from mintage.billing import BalanceSheet, DeferredSchedule, IncomeStatement, Metrics
from mintage.console import figures
from mintage.console.door import AnyRequest, Services
from mintage.console.plot import Plot, Series, plot
from mintage.console.services import ConsoleServices
from mintage.console.table import Cell, Column, Empty, Table, amount, words
from mintage.console.visit import DAY_NS, Visit, open_visit

MONTHS: Final = 12
MONTHS_LEAST: Final = 3
_DEFERRED_SHOWN: Final = 12


@get("/console/revenue")
async def revenue_page(request: AnyRequest, services: Services) -> Response[bytes]:
    """A month's metrics, each with its definition, and the year up to it."""
    visit = await open_visit(request, services, "money.read")
    t, currency = visit.t, visit.query("currency").upper() or services.settings.currency
    chosen = _month(visit, visit.query("month"))
    await services.catch_up()
    firsts = [chosen]
    while len(firsts) < MONTHS:
        firsts.insert(0, _before(firsts[0]))
    every = await asyncio.to_thread(_metrics, services, firsts)
    while len(every) > MONTHS_LEAST and not _value(every[0], currency, "revenue"):  # before the business began
        firsts, every = firsts[1:], every[1:]
    now = next((one for one in every[-1] if one.currency == currency), None)
    start_ns, end_ns = _ns(chosen), _ns(_after(chosen))
    finance = services.billing.finance
    income = await asyncio.to_thread(finance.income_statement, start_ns, end_ns)
    sheets = await asyncio.to_thread(finance.balance_sheet, min(end_ns, _ns(_today(visit)) + DAY_NS))
    values = {
        "month": str(chosen)[:7],
        "earlier": visit.link(month=str(_before(chosen))[:7]),
        "later": visit.link(month=str(_after(chosen))[:7]) if _after(chosen) <= _today(visit) else "",
        "cards": _cards(visit, now, currency),
        "plots": _plots(visit, firsts, every, currency),
        "deferred": _deferred(visit, await asyncio.to_thread(finance.deferred_schedule), currency),
        "income": _income(visit, [one for one in income if one.currency == currency]),
        "sheet": _balance(visit, [one for one in sheets if one.currency == currency]),
        "balanced": all(one.balanced for one in sheets),
        "currency": currency,
        "currencies": sorted({one.currency for month in every for one in month} | {currency}),
    }
    return visit.render("revenue.html", "revenue", t("nav.revenue"), values)


def _today(visit: Visit) -> date:
    return figures.when(visit.services.clock.now_ns()).date()


def _month(visit: Visit, text: str) -> date:
    try:
        return date.fromisoformat(f"{text}-01") if text else _today(visit).replace(day=1)
    except ValueError as error:
        raise MintageError(
            "invalid_request", f"{text[:20]!r} is not a month.", "Write it as 2026-01.", param="month"
        ) from error


def _before(first: date) -> date:
    return (first - timedelta(days=1)).replace(day=1)


def _after(first: date) -> date:
    return (first + timedelta(days=32)).replace(day=1)


def _ns(day: date) -> int:
    return (day - date(1970, 1, 1)).days * DAY_NS


def _metrics(services: ConsoleServices, firsts: list[date]) -> list[list[Metrics]]:
    """Blocking."""
    now_ns = services.clock.now_ns()
    return [services.billing.metrics.month(first, now_ns) for first in firsts]


def _value(month: list[Metrics], currency: str, name: str) -> Decimal | None:
    found = next((one for one in month if one.currency == currency), None)
    return None if found is None else next((one.value for one in found.metrics if one.name == name), None)


def _cards(visit: Visit, now: Metrics | None, currency: str) -> list[dict[str, Any]]:
    """What each metric is, said beside it."""
    cards = []
    for one in now.metrics if now is not None else ():
        shown = figures.NONE
        if one.value is not None:
            shown = {
                "money": lambda v: figures.money(int(v * 10**9) // 10**7 * 10**7, currency).text,
                "ratio": lambda v: f"{v:.1%}",
                "count": lambda v: figures.count(int(v)),
            }[one.unit](one.value)
        label = visit.t.phrases.get(f"metric.{one.name}", one.name)
        cards.append(
            {"name": one.name, "label": label, "value": shown, "says": one.definition.in_language(visit.t.language)}
        )
    return cards


def _plots(visit: Visit, firsts: list[date], every: list[list[Metrics]], currency: str) -> list[Plot]:
    t, labels = visit.t, [str(first)[:7] for first in firsts]

    def nanos(name: str) -> list[int]:
        return [int((_value(month, currency, name) or 0) * 10**9) for month in every]

    def ratios(name: str) -> list[float | None]:
        values = [_value(month, currency, name) for month in every]
        return [None if value is None else float(value) for value in values]

    money = [
        Series(name=t("metric.revenue"), values=nanos("revenue"), shade=0),
        Series(name=t("metric.mrr"), values=nanos("mrr"), kind="line", shade=1),
    ]
    shares = [
        Series(name=t("metric.gross_margin"), values=ratios("gross_margin"), kind="line", shade=0),
        Series(name=t("metric.nrr"), values=ratios("nrr"), kind="line", shade=2),
        Series(name=t("metric.churn"), values=ratios("churn"), kind="line", shade=3),
    ]
    note = t("chart.step", step=t("chart.by_month"), currency=currency)
    return [
        plot("revenue", t("revenue.recurring"), labels, money, t, currency=currency, note=note),
        plot("shares", t("revenue.shares"), labels, shares, t, unit="ratio"),
    ]


def _deferred(visit: Visit, schedule: DeferredSchedule, currency: str) -> Plot | None:
    rows = [one for one in schedule.months if one.currency == currency][:_DEFERRED_SHOWN]
    if not rows:
        return None
    t = visit.t
    series = [Series(name=t("revenue.deferred"), values=[one.nanos for one in rows], shade=2)]
    return plot("deferred", t("revenue.deferred"), [one.month for one in rows], series, t, currency=currency)


def _income(visit: Visit, statements: list[IncomeStatement]) -> Table:
    t, rows, foot = visit.t, [], []
    for one in statements:
        rows += [[_account(visit, row.account), amount(row.nanos, one.currency)] for row in one.income]
        rows += [[_account(visit, row.account), amount(-row.nanos, one.currency)] for row in one.expenses]
        foot.append([words(t("profit.result")), amount(one.result_nanos, one.currency, shade="margin")])
    return Table(
        caption=t("revenue.income"),
        columns=[Column(t("ledger.account"), wide=True), Column(t("invoice.amount"), numeric=True)],
        rows=rows, foot=foot, empty=Empty(t("profit.none"), t("profit.none_text")),
    )  # fmt: skip


def _balance(visit: Visit, sheets: list[BalanceSheet]) -> Table:
    t, rows, foot = visit.t, [], []
    for one in sheets:
        for side in (one.assets, one.liabilities, one.equity):
            rows += [[_account(visit, row.account), amount(row.nanos, one.currency)] for row in side if row.nanos]
        rows.append([words(t("revenue.result_so_far")), amount(one.result_nanos, one.currency)])
        foot += [
            [words(t("revenue.assets")), amount(one.assets_nanos, one.currency)],
            [words(t("revenue.liabilities_equity")), amount(one.liabilities_nanos + one.equity_nanos, one.currency)],
        ]
    return Table(
        caption=t("revenue.sheet"),
        columns=[Column(t("ledger.account"), wide=True), Column(t("ledger.balance"), numeric=True)],
        rows=rows, foot=foot, empty=Empty(t("ledger.none"), t("ledger.none_text")),
    )  # fmt: skip


def _account(visit: Visit, account: str) -> Cell:
    return words(account, small=visit.t.phrases.get(f"chart_of.{account.partition(':')[0]}", ""))


HANDLERS: Final[list[Any]] = [revenue_page]
