"""Payments: who owes what for how long, what came in, what a bank statement says, and dunning."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from litestar import Response, get, post

from mintage.base import MintageError
from mintage.billing import AgeRow
from mintage.console import figures
from mintage.console.door import AnyRequest, Services
from mintage.console.plot import Plot, Series, plot
from mintage.console.services import ConsoleServices
from mintage.console.table import Cell, Column, Empty, Table, amount, code, link, moment, state, words
from mintage.console.visit import Visit, open_visit

ROWS: Final = 50
TABS: Final = ("aged", "received", "bank")
BUCKETS: Final = ("current", "1-30", "31-60", "61-90", "91+")
_SHADES: Final = (0, 5, 1, 3, 2)
_PAID_TONES: Final[dict[str, Any]] = {"received": "wait", "credited": "ok"}
_LINE_TONES: Final[dict[str, Any]] = {"open": "wait", "matched": "ok", "ignored": "off"}
_DEBTORS_SHOWN: Final = 12


@get("/console/payments")
async def payments_page(request: AnyRequest, services: Services) -> Response[bytes]:
    visit = await open_visit(request, services, "money.read")
    return await _show(visit, visit.query("tab") or "aged")


async def _show(visit: Visit, tab: str, problem: MintageError | None = None) -> Response[bytes]:
    if tab not in TABS:
        raise MintageError("invalid_request", "There is no such list.", f"Use {', '.join(TABS)}.", param="tab")
    make = {"aged": _aged, "received": _received, "bank": _bank}[tab]
    values = {"tab": tab, "tabs": TABS, "plot": None, "state": visit.query("state"), "found": None}
    values |= await make(visit)
    return visit.render("payments.html", "payments", visit.t("nav.payments"), values, problem=problem)


def age_key(bucket: str) -> str:
    return bucket.replace("-", "_").replace("+", "_up")


async def _aged(visit: Visit) -> dict[str, Any]:
    services, t = visit.services, visit.t
    await services.catch_up()
    rows = await asyncio.to_thread(services.billing.finance.ageing)
    foot = []
    for currency in sorted({row.currency for row in rows}):
        mine = [row for row in rows if row.currency == currency]
        sums = [sum(row.buckets.get(one, 0) for row in mine) for one in BUCKETS]
        foot.append([words(t("customers.total")), *(amount(n, currency) for n in sums), amount(sum(sums), currency)])
    table = Table(
        caption=t("payment.aged"),
        columns=[
            Column(t("requests.customer"), wide=True),
            *(Column(t(f"age.{age_key(one)}"), numeric=True, keep=1) for one in BUCKETS),
            Column(t("invoice.open"), numeric=True),
        ],
        rows=[
            [link(row.name, f"/console/invoices?customer={row.handle}&state=finalised"),
             *(_bucket(row, one) for one in BUCKETS), amount(row.total_nanos, row.currency)]
            for row in rows
        ],
        foot=foot,
        empty=Empty(t("payment.nothing_open"), t("payment.nothing_open_text")),
    )  # fmt: skip
    return {"table": table, "plot": _debtors(visit, rows)}


def _bucket(row: AgeRow, name: str) -> Cell:
    nanos = row.buckets.get(name, 0)
    return amount(nanos, row.currency) if nanos else words("")


def _debtors(visit: Visit, rows: list[AgeRow]) -> Plot | None:
    """The largest debtors, their debts by age upon each other."""
    t, currency = visit.t, visit.services.settings.currency
    mine = [row for row in rows if row.currency == currency][:_DEBTORS_SHOWN]
    if not mine:
        return None
    series = [
        Series(name=t(f"age.{age_key(one)}"), values=[row.buckets.get(one, 0) for row in mine], shade=shade)
        for one, shade in zip(BUCKETS, _SHADES, strict=True)
    ]
    return plot(
        "aged", t("payment.by_customer"), [row.name for row in mine], series, t, currency=currency, stacked=True
    )


async def _received(visit: Visit) -> dict[str, Any]:
    services, t = visit.services, visit.t
    page = await asyncio.to_thread(
        services.billing.invoicing.payments.records.page, None, limit=ROWS, cursor=visit.query("cursor") or None
    )
    names = (
        await asyncio.to_thread(services.accounts.tenants.names, sorted({row.tenant_id for row in page.items}))
        if page.items
        else {}
    )
    numbers = await asyncio.to_thread(_numbers, services, {row.invoice_id for row in page.items if row.invoice_id})
    table = Table(
        caption=t("payment.received"),
        columns=[
            Column(t("requests.time")),
            Column(t("requests.customer"), wide=True),
            Column(t("payment.provider"), keep=2),
            Column(t("invoice.reference"), keep=1),
            Column(t("payment.for"), keep=2),
            Column(t("payment.refunded"), numeric=True, keep=1),
            Column(t("invoice.amount"), numeric=True),
            Column(t("customer.status"), keep=1),
        ],
        rows=[
            [
                moment(row.received_ns, day_only=True),
                words(names.get(row.tenant_id, row.tenant_id)),
                words(t.phrases.get(f"payment.by_{row.provider}", row.provider)),
                code(row.reference[:32], title=row.reference),
                link(numbers[row.invoice_id], f"/console/invoices/{numbers[row.invoice_id]}")
                if row.invoice_id in numbers
                else words(t("customer.top_up")),
                amount(row.refunded_nanos, row.currency) if row.refunded_nanos else words(""),
                amount(row.amount_nanos, row.currency),
                state(t(f"payment.state_{row.state}"), _PAID_TONES.get(row.state, "off")),
            ]
            for row in page.items
        ],
        empty=Empty(t("payment.none"), t("payment.none_text")),
        next_href=visit.link(cursor=page.next_cursor) if page.next_cursor else "",
        first_href=visit.link() if visit.query("cursor") else "",
    )
    return {"table": table}


def _numbers(services: ConsoleServices, ids: set[str]) -> dict[str, str]:
    return {one: services.billing.invoices.get(None, one).number for one in sorted(ids)}


async def _bank(visit: Visit) -> dict[str, Any]:
    services, t = visit.services, visit.t
    wanted = visit.query("state")
    page = await asyncio.to_thread(
        services.billing.invoicing.bank.page, wanted or None, limit=ROWS, cursor=visit.query("cursor") or None
    )
    table = Table(
        caption=t("payment.bank"),
        columns=[
            Column(t("profit.day")), Column(t("payment.payer"), wide=True), Column(t("payment.text"), keep=2),
            Column(t("invoice.amount"), numeric=True), Column(t("payment.matched_to"), keep=1),
            Column(t("customer.status"), keep=2),
        ],
        rows=[
            [
                words(row.day), words(row.payer, title=row.id), words(row.text[:80], title=row.text),
                amount(row.amount_nanos, row.currency),
                link(row.matched_to, f"/console/invoices/{row.matched_to}") if row.matched_to else words(""),
                state(t(f"payment.line_{row.state}"), _LINE_TONES.get(row.state, "off")),
            ]
            for row in page.items
        ],
        empty=Empty(t("payment.no_lines"), t("payment.no_lines_text")),
        next_href=visit.link(cursor=page.next_cursor) if page.next_cursor else "",
        first_href=visit.link() if visit.query("cursor") else "",
    )  # fmt: skip
    lines = [
        (row.id, f"{row.day} · {row.payer} · {figures.money(row.amount_nanos, row.currency).text}")
        for row in page.items
        if row.state == "open"
    ]
    return {"table": table, "open_lines": lines}


@post("/console/payments/statement", status_code=200)
async def take_statement(request: AnyRequest, services: Services) -> Response[Any]:
    """A statement as text: CSV with a header, or CAMT.053. The same again changes nothing."""
    visit = await open_visit(request, services, "money.write")
    form = await visit.form()
    try:
        done = await services.billing.invoicing.bank.take(visit.actor, form.get("statement", "").encode())
    except MintageError as error:
        return await _show(visit, "bank", error)
    values = {"tab": "bank", "tabs": TABS, "plot": None, "state": "", "found": done, **await _bank(visit)}
    return visit.render("payments.html", "payments", visit.t("nav.payments"), values)


@post("/console/payments/match", status_code=303)
async def match_line(request: AnyRequest, services: Services) -> Response[Any]:
    visit = await open_visit(request, services, "money.write")
    form = await visit.form()
    try:
        invoice = await asyncio.to_thread(services.billing.invoices.get, None, form.get("invoice", ""))
        await services.billing.invoicing.bank.match(visit.actor, form.get("line", ""), invoice)
    except MintageError as error:
        return await _show(visit, "bank", error)
    return visit.go("/console/payments?tab=bank", "line_matched")


@post("/console/payments/dunning", status_code=303)
async def run_dunning(request: AnyRequest, services: Services) -> Response[Any]:
    """Every reminder that is due, once."""
    visit = await open_visit(request, services, "money.write")
    await visit.form()
    await services.billing.invoicing.dunning.run()
    return visit.go("/console/payments", "dunning_run")


HANDLERS: Final[list[Any]] = [payments_page, take_statement, match_line, run_dunning]
