"""The finance desk: statements, ageing, deferred revenue, prepaid by age, period lock, metrics."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import msgspec
from litestar import get, post
from litestar.params import RawBody

from mintage.base import MintageError
from mintage.billing import AgeRow, BalanceSheet, DeferredSchedule, IncomeStatement, Metrics
from mintage.server.admin.bodies import day_ns, decode
from mintage.server.admin.depends import Actor, DeskPart, Query


class LockView(msgspec.Struct, frozen=True, kw_only=True):
    """until: the first day (UTC) that is open; None while nothing is locked."""

    until: str | None


class AskLock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    until: str


def _month(text: str | None, now_ns: int) -> date:
    if text is None:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=now_ns // 1000)
        return moment.date().replace(day=1)
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError as error:
        raise MintageError(
            "invalid_request", f"{text[:40]!r} is not a month.", "Write it as 2026-01.", param="month"
        ) from error


@get("/finance/balance-sheet")
async def balance_sheet(desk: DeskPart, at: Query = None) -> list[BalanceSheet]:
    """Assets, liabilities and equity, one sheet a currency; before the UTC day `at` or as of now."""
    await desk.catch_up()
    return await asyncio.to_thread(desk.billing.finance.balance_sheet, day_ns(at, "at"))


@get("/finance/income-statement")
async def income_statement(desk: DeskPart, start: Query = None, end: Query = None) -> list[IncomeStatement]:
    """Income and expenses by account, one statement a currency. UTC days; end is not included."""
    await desk.catch_up()
    return await asyncio.to_thread(desk.billing.finance.income_statement, day_ns(start, "start"), day_ns(end, "end"))


@get("/finance/ageing", sync_to_thread=True)
def ageing(desk: DeskPart) -> list[AgeRow]:
    """Open invoices by how long they are past due."""
    return desk.billing.finance.ageing()


@get("/finance/prepaid")
async def prepaid(desk: DeskPart) -> list[AgeRow]:
    """What customers have paid ahead and not used, by age."""
    await desk.catch_up()
    return await asyncio.to_thread(desk.billing.finance.prepaid_by_age)


@get("/finance/deferred")
async def deferred(desk: DeskPart) -> DeferredSchedule:
    """Fees billed ahead, by the month in which they will be earned."""
    await desk.catch_up()
    return await asyncio.to_thread(desk.billing.finance.deferred_schedule)


@get("/finance/metrics")
async def metrics(desk: DeskPart, month: Query = None) -> list[Metrics]:
    """MRR, ARR, NRR, GRR, churn, ARPA, LTV and gross margin of a month, each with its definition."""
    await desk.catch_up()
    now = desk.clock.now_ns()
    return await asyncio.to_thread(desk.billing.metrics.month, _month(month, now), now)


def _lock(desk: DeskPart) -> LockView:
    until = desk.ledger.locked_until_ns()
    if not until:
        return LockView(until=None)
    return LockView(until=str((datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=until // 1000)).date()))


@get("/finance/lock", sync_to_thread=True)
def show_lock(desk: DeskPart) -> LockView:
    """Until when the books are locked."""
    return _lock(desk)


@post("/finance/lock", takes=AskLock, example={"until": "2027-01-01"}, status_code=200, sync_to_thread=True)
def set_lock(desk: DeskPart, actor: Actor, body: RawBody) -> LockView:
    """Lock the books before a UTC day, for good: no journal may be posted there any more."""
    until = day_ns(decode(body, AskLock).until, "until")
    assert until is not None
    desk.ledger.lock(actor, until, desk.clock.now_ns())
    with desk.accounts.changes.change(actor, "books.lock", "books", until_ns=until):
        pass
    return _lock(desk)


HANDLERS: Final[list[Any]] = [
    balance_sheet,
    income_statement,
    ageing,
    prepaid,
    deferred,
    metrics,
    show_lock,
    set_lock,
]
