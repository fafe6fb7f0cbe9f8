"""The ledger: trial balance, journals, profit and loss; the books: verify and export."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

import msgspec
from litestar import Response, get, post
from litestar.params import QueryParameter

from mintage.accounts import Page
from mintage.base import MintageError
from mintage.books import Journal, ProfitAndLoss
from mintage.server.admin.bodies import day_ns
from mintage.server.admin.depends import LIMIT_DEFAULT, Cursor, DeskPart, Limit, Query


class AccountRow(msgspec.Struct, frozen=True, kw_only=True):
    """balance_nanos is debits less credits."""

    account: str
    currency: str
    debit_nanos: int
    credit_nanos: int
    balance_nanos: int


class TrialBalance(msgspec.Struct, frozen=True, kw_only=True):
    """difference_nanos: currency -> debits less credits over all accounts; 0 in sound books."""

    accounts: list[AccountRow]
    difference_nanos: dict[str, int]
    balanced: bool
    as_of_seq: int


class ResultRow(msgspec.Struct, frozen=True, kw_only=True):
    """margin = revenue - cost; result = what is left after promotions, shortfall and the rest."""

    group: dict[str, str | int]
    currency: str
    revenue_nanos: int
    cost_nanos: int
    margin_nanos: int
    promo_nanos: int
    shortfall_nanos: int
    other_nanos: int
    result_nanos: int
    requests: int


@get("/ledger/trial-balance")
async def trial_balance(desk: DeskPart, at: Query = None) -> TrialBalance:
    """Every account, before the UTC day `at` or as of now."""
    seq = await desk.catch_up()
    accounts = await asyncio.to_thread(desk.ledger.trial_balance, day_ns(at, "at"))
    difference: dict[str, int] = {}
    for row in accounts:
        difference[row.currency] = difference.get(row.currency, 0) + row.balance_nanos
    return TrialBalance(
        accounts=[
            AccountRow(
                account=row.account,
                currency=row.currency,
                debit_nanos=row.debit_nanos,
                credit_nanos=row.credit_nanos,
                balance_nanos=row.balance_nanos,
            )
            for row in accounts
        ],
        difference_nanos=difference,
        balanced=not any(difference.values()),
        as_of_seq=seq,
    )


@get("/ledger/journals")
async def list_journals(
    desk: DeskPart,
    *,
    customer: Query = None,
    event: Query = None,
    start: Query = None,
    end: Query = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Page[Journal]:
    """Journals, newest day first. source "rollup" sums many entries of one day."""
    await desk.catch_up()

    def read() -> Page[Journal]:
        page = desk.ledger.journals(
            tenant_id=desk.accounts.tenants.get(customer).id if customer else None,
            event=event,
            start_ns=day_ns(start, "start"),
            end_ns=day_ns(end, "end"),
            limit=limit,
            cursor=cursor,
        )
        return Page(items=page.journals, next_cursor=page.cursor)

    return await asyncio.to_thread(read)


def _result(row: ProfitAndLoss) -> ResultRow:
    return ResultRow(
        group=row.group,
        currency=row.currency,
        revenue_nanos=row.revenue_nanos,
        cost_nanos=row.cost_nanos,
        margin_nanos=row.margin_nanos,
        promo_nanos=row.promo_nanos,
        shortfall_nanos=row.shortfall_nanos,
        other_nanos=row.other_nanos,
        result_nanos=row.result_nanos,
        requests=row.entries,
    )


@get("/pnl")
async def profit_and_loss(
    desk: DeskPart,
    *,
    start: Query = None,
    end: Query = None,
    by: Query = None,
    customer: Query = None,
) -> list[ResultRow]:
    """Revenue, cost and margin. by: tenant_id, product, model, provider or day, or several with commas. UTC days."""
    dimensions: Any = tuple(filter(None, (by or "").split(",")))  # the ledger refuses what it does not have
    await desk.catch_up()

    def read() -> list[ResultRow]:
        tenant_id = desk.accounts.tenants.get(customer).id if customer else None
        rows = desk.ledger.profit_and_loss(
            day_ns(start, "start"), day_ns(end, "end"), by=dimensions, tenant_id=tenant_id
        )
        return [_result(row) for row in rows]

    return await asyncio.to_thread(read)


@post("/books/verify", status_code=200)
async def verify_books(desk: DeskPart) -> Response[bytes]:
    """Derive every balance again from the log and compare."""
    report = await desk.verify()
    return Response(msgspec.json.encode(report), media_type="application/json")


@get("/books/export")
async def export_books(
    desk: DeskPart, form: Annotated[str, QueryParameter(name="format")] = "beancount"
) -> Response[bytes]:
    """The whole ledger as a beancount file."""
    if form != "beancount":
        raise MintageError("unsupported", f"There is no export {form[:40]!r}.", "Use beancount.", param="format")
    return Response(
        await desk.export(),
        media_type="text/plain; charset=utf-8",
        headers={"content-disposition": 'attachment; filename="books.beancount"'},
    )


HANDLERS: Final[list[Any]] = [trial_balance, list_journals, profit_and_loss, verify_books, export_books]
