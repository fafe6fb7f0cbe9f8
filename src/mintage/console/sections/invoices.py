"""Invoices: the list, one with its lines, tax and standing, its documents, and what becomes of it.

A draft is what the running period's invoice would say now. What is finalised is never changed, only credited.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from litestar import Response, get, post
from litestar.params import FromPath

from mintage.accounts import PAGE_MAX, Tenant
from mintage.base import MintageError, Money, new_id
from mintage.billing import CreditNote, Invoice, InvoiceContent, InvoiceRow, Part
from mintage.console import figures
from mintage.console.door import AnyRequest, Services
from mintage.console.render import PAGE_HEADERS
from mintage.console.sections.invoice_sheet import invoice_values
from mintage.console.services import ConsoleServices
from mintage.console.table import Cell, Column, Empty, Table, amount, link, moment, state, whole, words
from mintage.console.visit import Visit, open_visit

ROWS: Final = 50
STATES: Final = ("finalised", "paid", "void", "uncollectible")
_TONES: Final[dict[str, Any]] = {"finalised": "wait", "paid": "ok", "void": "off", "uncollectible": "bad"}
_DOCUMENTS: Final = {"pdf": "pdf", "xml": "xml", "factur-x": "pdf"}


def invoice_state(visit: Visit, state_: str, due_ns: int, open_nanos: int) -> Cell:
    """Overdue is not a state of the books, but it is what a reader looks for."""
    if state_ == "finalised" and open_nanos > 0 and due_ns < visit.services.clock.now_ns():
        return state(visit.t("invoice.state_overdue"), "bad")
    return state(visit.t(f"invoice.state_{state_}"), _TONES[state_])


def span(start_ns: int, end_ns: int) -> str:
    """Days, both inclusive, in UTC; a whole month by its name."""
    first, last = figures.iso_time(start_ns)[:10], figures.iso_time(end_ns - 1)[:10]
    month_end = figures.iso_time(end_ns)[8:19] == "01T00:00:00"
    return first[:7] if first[8:] == "01" and month_end and first[:7] == last[:7] else f"{first} – {last}"


async def names_of(services: ConsoleServices, ids: set[str]) -> dict[str, str]:
    return await asyncio.to_thread(services.accounts.tenants.names, sorted(ids)) if ids else {}


@get("/console/invoices")
async def invoices_page(request: AnyRequest, services: Services) -> Response[bytes]:
    visit = await open_visit(request, services, "money.read")
    wanted = {name: visit.query(name) for name in ("customer", "state")}
    tenant = await asyncio.to_thread(services.accounts.tenants.get, wanted["customer"]) if wanted["customer"] else None
    page = await asyncio.to_thread(
        services.billing.invoices.page, tenant_id=tenant.id if tenant else None, state=wanted["state"] or None,
        limit=ROWS, cursor=visit.query("cursor") or None,
    )  # fmt: skip
    names = await names_of(services, {row.tenant_id for row in page.items})
    t = visit.t
    values = {
        "table": invoice_table(visit, page.items, names, "/console/invoices", page.next_cursor),
        "wanted": wanted,
        "states": [("", t("table.any")), *((one, t(f"invoice.state_{one}")) for one in STATES)],
        "sums": await asyncio.to_thread(_open_sums, services),
        "tenant": tenant,
    }
    return visit.render("invoices.html", "invoices", t("nav.invoices"), values)


def _open_sums(services: ConsoleServices) -> list[dict[str, Any]]:
    """What is open and what of it is overdue, a line a currency."""
    sums: dict[str, list[int]] = {}
    for row in services.billing.finance.ageing():
        known = sums.setdefault(row.currency, [0, 0])
        known[0] += row.total_nanos
        known[1] += sum(nanos for name, nanos in row.buckets.items() if name != "current")
    return [
        {"open": figures.money(whole, one), "overdue": figures.money(late, one), "late": late > 0}
        for one, (whole, late) in sorted(sums.items())
    ]


def invoice_table(
    visit: Visit, rows: list[InvoiceRow], names: dict[str, str], path: str, next_cursor: str | None
) -> Table:
    """names: of customers; empty on a customer's own pages."""
    t = visit.t
    columns = [
        Column(t("invoice.number"), wide=not names),
        *([Column(t("requests.customer"), wide=True)] if names else []),
        Column(t("invoice.period"), keep=1),
        Column(t("invoice.issued"), keep=2),
        Column(t("invoice.due"), keep=1),
        Column(t("invoice.total"), numeric=True),
        Column(t("invoice.open"), numeric=True, keep=2),
        Column(t("invoice.state"), keep=2),
    ]
    return Table(
        caption=t("nav.invoices"),
        columns=columns,
        rows=[
            [
                link(row.number, f"{path}/{row.number}"),
                *([words(names.get(row.tenant_id, row.tenant_id))] if names else []),
                whole(span(row.start_ns, row.end_ns)),
                moment(row.issued_ns, day_only=True),
                moment(row.due_ns, day_only=True) if row.due_ns and row.due_nanos else words(""),
                amount(row.total_nanos, row.currency),
                amount(row.open_nanos, row.currency) if row.open_nanos else words(""),
                invoice_state(visit, row.state, row.due_ns, row.open_nanos),
            ]
            for row in rows
        ],
        empty=Empty(t("invoice.none"), t("invoice.none_text")),
        next_href=visit.link(cursor=next_cursor) if next_cursor else "",
        first_href=visit.link() if visit.query("cursor") else "",
    )


@post("/console/invoices/close", status_code=303)
async def close_periods(request: AnyRequest, services: Services) -> Response[Any]:
    """Close every period that has ended, of one customer or of all. Repeating changes nothing."""
    visit = await open_visit(request, services, "money.write")
    form = await visit.form()
    if form.get("customer"):
        tenant = await asyncio.to_thread(services.accounts.tenants.get, form["customer"])
        await services.billing.closing.close(visit.actor, tenant)
        return visit.go(f"/console/invoices?customer={tenant.handle}", "periods_closed")
    cursor, failed = None, ""
    while True:
        page = await asyncio.to_thread(services.accounts.tenants.page, limit=PAGE_MAX, cursor=cursor)
        for tenant in page.items:
            try:
                if await asyncio.to_thread(services.billing.subscriptions.history, tenant.id):
                    await services.billing.closing.close(visit.actor, tenant)
            except MintageError as error:
                failed = failed or f"{tenant.name}: {error.message}"
        cursor = page.next_cursor
        if cursor is None:
            break
    if failed:
        raise MintageError("conflict", failed, "The others are closed. Close again when it is mended.")
    return visit.go("/console/invoices", "periods_closed")


@get("/console/customers/{customer:str}/draft")
async def draft_page(request: AnyRequest, services: Services, customer: FromPath[str]) -> Response[bytes]:
    """What the next invoice would say if its period ended now."""
    visit = await open_visit(request, services, "money.read")
    tenant = await asyncio.to_thread(services.accounts.tenants.get, customer)
    content = await services.billing.closing.preview(tenant)
    values = {"tenant": tenant, **draft_values(visit, content)}
    return visit.render("draft.html", "invoices", visit.t("invoice.draft"), values)


def draft_values(visit: Visit, content: InvoiceContent | None) -> dict[str, Any]:
    """The draft, and where the period is heading at the pace so far: an estimate, and called one."""
    if content is None:
        return {"sheet": None, "forecast": None, "passed": ""}
    now_ns = visit.services.clock.now_ns()
    passed = min(max(now_ns - content.start_ns, 1), content.end_ns - content.start_ns)
    usage = sum(line.amount_nanos for line in content.lines if line.requests)
    rest = content.total_nanos - usage
    forecast = rest + usage * (content.end_ns - content.start_ns) // passed
    return {
        "sheet": invoice_values(visit, content),
        "forecast": figures.money(forecast // 10**7 * 10**7, content.currency),
        "passed": figures.share(passed, content.end_ns - content.start_ns),
    }


@get("/console/invoices/{number:str}")
async def invoice_page(request: AnyRequest, services: Services, number: FromPath[str]) -> Response[bytes]:
    visit = await open_visit(request, services, "money.read")
    return await show_invoice(visit, await asyncio.to_thread(services.billing.invoices.get, None, number))


async def show_invoice(
    visit: Visit, invoice: Invoice, *, given: dict[str, str] | None = None, problem: MintageError | None = None
) -> Response[bytes]:
    services = visit.services
    tenant: Tenant = await asyncio.to_thread(services.accounts.tenants.get, invoice.tenant_id)
    invoicing = services.billing.invoicing
    verified = None
    if visit.query("verify"):
        made = await services.billing.closing.recompute(invoice)
        verified = made == await asyncio.to_thread(services.billing.invoices.raw, invoice.id)
    values = {
        **await standing_values(visit, invoice),
        "tenant": tenant,
        "steps": await asyncio.to_thread(invoicing.dunning.steps, invoice.id),
        "when_of": lambda at_ns: figures.iso_time(at_ns)[:10],
        "verified": verified,
        "given": given or {},
        "key": new_id("crn"),
        "payment": new_id("pay"),
    }
    return visit.render("invoice.html", "invoices", invoice.number, values, problem=problem)


async def standing_values(visit: Visit, invoice: Invoice) -> dict[str, Any]:
    """What the desk's and the customer's page of an invoice have in common."""
    notes: list[CreditNote] = await asyncio.to_thread(visit.services.billing.invoicing.notes.of, invoice.id)
    currency = invoice.content.currency
    return {
        "invoice": invoice,
        "sheet": invoice_values(visit, invoice.content),
        "status": invoice_state(visit, invoice.state, invoice.due_ns, invoice.open_nanos),
        "issued": figures.iso_time(invoice.issued_ns)[:10],
        "due": figures.iso_time(invoice.due_ns)[:10] if invoice.due_ns and invoice.content.due_nanos else "",
        "open": figures.money(invoice.open_nanos, currency),
        "notes": [{"note": one, "total": figures.money(one.content.total_nanos, currency)} for one in notes],
    }


@get("/console/invoices/{number:str}/{kind:str}")
async def invoice_document(
    request: AnyRequest, services: Services, number: FromPath[str], kind: FromPath[str]
) -> Response[bytes]:
    """PDF, XML or both in one, of an invoice or a credit note."""
    await open_visit(request, services, "money.read")
    return await send_document(services, None, number, kind)


async def send_document(services: ConsoleServices, tenant_id: str | None, number: str, kind: str) -> Response[bytes]:
    """tenant_id: whose it must be. Raises not_found."""
    from mintage.billing import documents

    if kind not in _DOCUMENTS:
        raise MintageError("not_found", "There is no such document.", f"There are {', '.join(_DOCUMENTS)}.")

    def make() -> tuple[bytes, str]:
        made: Invoice | CreditNote
        try:
            made = services.billing.invoices.get(tenant_id, number)
        except MintageError:
            made = services.billing.invoicing.notes.get(tenant_id, number)
        return documents.make_document(made, kind)

    raw, media = await asyncio.to_thread(make)
    name = f"{number}.{_DOCUMENTS[kind]}"
    return Response(
        raw, media_type=media, headers=PAGE_HEADERS | {"content-disposition": f'attachment; filename="{name}"'}
    )


@post("/console/invoices/{number:str}/credit", status_code=303)
async def credit_invoice(request: AnyRequest, services: Services, number: FromPath[str]) -> Response[Any]:
    """Credit one line in part, or all that is left. The form carries its key, so that sending it twice is once."""
    visit, invoice, form = await _open(request, services, number)
    try:
        parts = None
        if form.get("line"):
            nanos = Money.parse(form.get("amount", ""), invoice.content.currency, param="amount").nanos
            parts = [Part(place=int(form["line"]) if form["line"].isdecimal() else -1, amount_nanos=nanos)]
        await services.billing.invoicing.standing.credit(
            visit.actor, invoice, parts, reason=form.get("reason", ""), key=form.get("key") or new_id("crn")
        )
    except MintageError as error:
        return await show_invoice(visit, invoice, given=form, problem=error)
    return visit.go(f"/console/invoices/{invoice.number}", "invoice_credited")


@post("/console/invoices/{number:str}/void", status_code=303)
async def void_invoice(request: AnyRequest, services: Services, number: FromPath[str]) -> Response[Any]:
    visit, invoice, form = await _open(request, services, number)
    try:
        await services.billing.invoicing.standing.void(visit.actor, invoice, reason=form.get("reason", ""))
    except MintageError as error:
        return await show_invoice(visit, invoice, given=form, problem=error)
    return visit.go(f"/console/invoices/{invoice.number}", "invoice_voided")


@post("/console/invoices/{number:str}/write-off", status_code=303)
async def write_off_invoice(request: AnyRequest, services: Services, number: FromPath[str]) -> Response[Any]:
    visit, invoice, form = await _open(request, services, number)
    try:
        await services.billing.invoicing.standing.write_off(visit.actor, invoice, reason=form.get("reason", ""))
    except MintageError as error:
        return await show_invoice(visit, invoice, given=form, problem=error)
    return visit.go(f"/console/invoices/{invoice.number}", "invoice_written_off")


@post("/console/invoices/{number:str}/payment", status_code=303)
async def record_payment(request: AnyRequest, services: Services, number: FromPath[str]) -> Response[Any]:
    """A bank transfer that arrived. Its reference makes that it counts once."""
    visit, invoice, form = await _open(request, services, number)
    try:
        tenant = await asyncio.to_thread(services.accounts.tenants.get, invoice.tenant_id)
        nanos = Money.parse(form.get("amount", ""), invoice.content.currency, param="amount").nanos
        reference = form.get("reference") or form.get("payment") or new_id("pay")
        await services.billing.invoicing.payments.transfer(visit.actor, tenant, nanos, reference, invoice)
    except MintageError as error:
        return await show_invoice(visit, invoice, given=form, problem=error)
    return visit.go(f"/console/invoices/{invoice.number}", "payment_recorded")


async def _open(request: AnyRequest, services: Services, number: str) -> tuple[Visit, Invoice, dict[str, str]]:
    visit = await open_visit(request, services, "money.write")
    form = await visit.form()
    return visit, await asyncio.to_thread(services.billing.invoices.get, None, number), form


HANDLERS: Final[list[Any]] = [
    invoices_page, close_periods, draft_page, invoice_page, invoice_document, credit_invoice, void_invoice,
    write_off_invoice, record_payment,
]  # fmt: skip
