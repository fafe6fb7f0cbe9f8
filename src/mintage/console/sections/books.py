"""The books: profit and loss by what one wants to know, the trial balance, and the journals behind it."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from litestar import Response, get

from mintage.base import MintageError
from mintage.books import ProfitAndLoss
from mintage.console import figures
from mintage.console.door import AnyRequest, Services
from mintage.console.table import (
    NOTHING,
    Cell,
    Column,
    Empty,
    Table,
    amount,
    code,
    link,
    moment,
    number,
    share,
    words,
)
from mintage.console.visit import DAY_NS, Visit, day_ns, open_visit

#: What profit and loss can be split by, and the ledger's name of it.
SPLITS: Final = {"customer": "tenant_id", "model": "model", "product": "product", "provider": "provider", "day": "day"}
JOURNALS: Final = 50
ROWS: Final = 500


@get("/console/profit")
async def profit_page(request: AnyRequest, services: Services) -> Response[bytes]:
    visit = await open_visit(request, services, "money.read")
    by = visit.query("by") or "customer"
    if by not in SPLITS:
        raise MintageError("invalid_request", "There is no such split.", f"Use {', '.join(SPLITS)}.", param="by")
    start_ns, end_ns = day_ns(visit.query("from"), "from"), day_ns(visit.query("to"), "to")
    dimension: Any = SPLITS[by]
    seq = await services.catch_up()
    rows = await asyncio.to_thread(
        services.reader.profit_and_loss, start_ns, None if end_ns is None else end_ns + DAY_NS, by=(dimension,)
    )
    ids = sorted({str(row.group[dimension]) for row in rows})[:ROWS] if by == "customer" else []
    names = await asyncio.to_thread(services.accounts.tenants.names, ids) if ids else {}
    values = {
        "table": _profit_table(visit, by, rows, names),
        "splits": list(SPLITS),
        "by": by,
        "wanted": {"from": visit.query("from"), "to": visit.query("to")},
        **_as_of(visit, seq),
    }
    return visit.render("profit.html", "profit", visit.t("nav.profit"), values)


def _as_of(visit: Visit, seq: int) -> dict[str, str]:
    now_ns = visit.services.clock.now_ns()
    return {"as_of": figures.clock_time(now_ns), "as_of_iso": figures.iso_time(now_ns), "seq": figures.count(seq)}


def _profit_table(visit: Visit, by: str, rows: list[ProfitAndLoss], names: dict[str, str]) -> Table:
    t = visit.t
    dimension = SPLITS[by]
    ordered = sorted(rows, key=lambda row: -row.revenue_nanos)
    if by == "day":
        ordered = sorted(rows, key=lambda row: -int(row.group[dimension]))
    return Table(
        caption=t("nav.profit"),
        columns=[
            Column(t(f"profit.{by}"), wide=True),
            Column(t("requests.title_short"), numeric=True, keep=2),
            Column(t("statement.revenue"), numeric=True),
            Column(t("statement.cost"), numeric=True, keep=2),
            Column(t("statement.margin"), numeric=True),
            Column(t("profit.share"), numeric=True, keep=1),
            Column(t("profit.promo"), numeric=True, keep=1),
            Column(t("profit.shortfall"), numeric=True, keep=1),
            Column(t("profit.other"), numeric=True, keep=1),
            Column(t("profit.result"), numeric=True),
        ],
        rows=[_profit_row(_name(by, row.group[dimension], names, visit), row) for row in ordered[:ROWS]],
        foot=[_profit_row(words(t("customers.total")), row) for row in _totals(rows)],
        empty=Empty(t("profit.none"), t("profit.none_text")),
    )


def _name(by: str, value: str | int, names: dict[str, str], visit: Visit) -> Cell:
    if by == "day":
        return words(figures.iso_time(int(value) * DAY_NS)[:10])
    if by == "customer" and value:
        return link(names.get(str(value), str(value)), f"/console/customers/{value}")
    return words(str(value) or visit.t("profit.operator"))


def _profit_row(name: Cell, row: ProfitAndLoss) -> list[Cell]:
    currency = row.currency
    return [
        name,
        number(row.entries),
        amount(row.revenue_nanos, currency),
        amount(row.cost_nanos, currency),
        amount(row.margin_nanos, currency, shade="margin"),
        share(row.margin_nanos, row.revenue_nanos),
        amount(row.promo_nanos, currency) if row.promo_nanos else NOTHING,
        amount(row.shortfall_nanos, currency) if row.shortfall_nanos else NOTHING,
        amount(row.other_nanos, currency) if row.other_nanos else NOTHING,
        amount(row.result_nanos, currency, shade="margin"),
    ]


def _totals(rows: list[ProfitAndLoss]) -> list[ProfitAndLoss]:
    fields = ("revenue_nanos", "cost_nanos", "promo_nanos", "shortfall_nanos", "other_nanos", "entries")
    return [
        ProfitAndLoss(
            group={},
            currency=currency,
            **{name: sum(getattr(row, name) for row in rows if row.currency == currency) for name in fields},
        )
        for currency in sorted({row.currency for row in rows})
    ]


@get("/console/ledger")
async def ledger_page(request: AnyRequest, services: Services) -> Response[bytes]:
    """The trial balance: debits equal credits, or the page says by how much not."""
    visit = await open_visit(request, services, "money.read")
    t, at_ns = visit.t, day_ns(visit.query("at"), "at")
    seq = await services.catch_up()
    rows = await asyncio.to_thread(services.reader.trial_balance, None if at_ns is None else at_ns + DAY_NS)
    currencies = sorted({row.currency for row in rows})
    differences = {one: sum(row.balance_nanos for row in rows if row.currency == one) for one in currencies}
    table = Table(
        caption=t("ledger.trial"),
        columns=[
            Column(t("ledger.account"), wide=True),
            Column(t("ledger.debit"), numeric=True, keep=2),
            Column(t("ledger.credit"), numeric=True, keep=2),
            Column(t("ledger.balance"), numeric=True),
        ],
        rows=[
            [
                words(row.account, small=t.phrases.get(f"chart_of.{row.account.partition(':')[0]}", "")),
                amount(row.debit_nanos, row.currency),
                amount(row.credit_nanos, row.currency),
                amount(row.natural_nanos, row.currency),
            ]
            for row in rows
        ],
        foot=[
            [
                words(t("customers.total")),
                amount(sum(row.debit_nanos for row in rows if row.currency == one), one),
                amount(sum(row.credit_nanos for row in rows if row.currency == one), one),
                amount(differences[one], one),
            ]
            for one in currencies
        ],
        empty=Empty(t("ledger.none"), t("ledger.none_text")),
    )
    wrong = [figures.money(nanos, one) for one, nanos in differences.items() if nanos]
    values = {"table": table, "differences": wrong, "at": visit.query("at"), **_as_of(visit, seq)}
    return visit.render("ledger.html", "ledger", t("nav.ledger"), values)


@get("/console/ledger/journals")
async def journals_page(request: AnyRequest, services: Services) -> Response[bytes]:
    """Every journal with its postings, newest day first."""
    visit = await open_visit(request, services, "money.read")
    t, cursor = visit.t, visit.query("cursor") or None
    wanted = {name: visit.query(name) for name in ("customer", "event", "from", "to")}
    tenant = await asyncio.to_thread(services.accounts.tenants.get, wanted["customer"]) if wanted["customer"] else None
    end_ns = day_ns(wanted["to"], "to")
    await services.catch_up()
    page = await asyncio.to_thread(
        services.reader.journals,
        tenant_id=tenant.id if tenant else None,
        event=wanted["event"] or None,
        start_ns=day_ns(wanted["from"], "from"),
        end_ns=None if end_ns is None else end_ns + DAY_NS,
        limit=JOURNALS,
        cursor=cursor,
    )
    table = Table(
        caption=t("ledger.journals"),
        columns=[
            Column(t("ledger.when")),
            Column(t("ledger.event"), keep=2),
            Column(t("ledger.account"), wide=True),
            Column(t("ledger.entries"), numeric=True, keep=1),
            Column(t("ledger.debit"), numeric=True),
            Column(t("ledger.credit"), numeric=True),
        ],
        rows=[cells for journal in page.journals for cells in _postings(journal)],
        empty=Empty(t("ledger.no_journals"), t("usage.none_text")),
        next_href=visit.link(cursor=page.cursor) if page.cursor else "",
        first_href=visit.link() if cursor else "",
    )
    return visit.render("journals.html", "ledger", t("ledger.journals"), {"table": table, "wanted": wanted})


def _postings(journal: Any) -> list[list[Cell]]:
    """One row per posting; what they share stands at the first."""
    rows = []
    for index, posting in enumerate(journal.postings):
        first = index == 0
        nanos = posting.amount_nanos
        rows.append(
            [
                moment(journal.occurred_ns, day_only=journal.source == "rollup"),
                code(journal.event, title=journal.source_id) if first else Cell(kind="text"),
                words(posting.account, small=journal.memo if first else ""),
                number(journal.entries) if first else Cell(kind="text"),
                amount(nanos, posting.currency) if nanos > 0 else NOTHING,
                amount(-nanos, posting.currency) if nanos < 0 else NOTHING,
            ]
        )
    return rows


HANDLERS: Final[list[Any]] = [profit_page, ledger_page, journals_page]
