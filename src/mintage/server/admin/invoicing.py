"""What becomes of invoices (documents, credit notes, void, write-off), and how they are made (settings, rates)."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from litestar import Response, get, post, put
from litestar.params import RawBody

from mintage.accounts import Page
from mintage.base import MintageError
from mintage.billing import (
    BillingProfile,
    BillingSettings,
    CreditNote,
    CurrencyRate,
    Invoice,
    Part,
    RateRow,
)
from mintage.server.admin.bodies import day_ns, decode, money_nanos
from mintage.server.admin.depends import LIMIT_DEFAULT, Actor, Cursor, DeskPart, Limit, Path, Query
from mintage.server.admin.services import Desk

_EXPORT_MAX: Final = 500


class AskPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """line: its place on the invoice, from 0. amount: currency units as text, as the line is stated."""

    line: int
    amount: str


class AskCredit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without lines, all that is left of the invoice. The same key again gives the same note."""

    reason: str
    key: str
    lines: list[AskPart] | None = None


class AskReason(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: str


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    changed: int


class EuRates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """from_day: the day from which the package's rates hold."""

    from_day: str


def _invoice(desk: Desk, number: str) -> Invoice:
    return desk.billing.invoices.get(None, number)


def _found(desk: Desk, number: str) -> Invoice | CreditNote:
    """An invoice, or else a credit note."""
    try:
        return _invoice(desk, number)
    except MintageError as error:
        try:
            return desk.billing.invoicing.notes.get(None, number)
        except MintageError:
            raise error from None


async def _document(desk: Desk, number: str, kind: str) -> Response[bytes]:
    from mintage.billing import documents

    raw, media = await asyncio.to_thread(lambda: documents.make_document(_found(desk, number), kind))
    return Response(raw, media_type=media)


@get("/invoices/{number:str}/pdf")
async def invoice_pdf(desk: DeskPart, number: Path) -> Response[bytes]:
    """An invoice or credit note as PDF, in its customer's language."""
    return await _document(desk, number, "pdf")


@get("/invoices/{number:str}/xml")
async def invoice_xml(desk: DeskPart, number: Path) -> Response[bytes]:
    """An invoice or credit note as EN 16931 XML."""
    return await _document(desk, number, "xml")


@get("/invoices/{number:str}/factur-x")
async def invoice_factur_x(desk: DeskPart, number: Path) -> Response[bytes]:
    """The PDF with the XML inside (Factur-X)."""
    return await _document(desk, number, "factur-x")


@get("/invoice-lines")
async def export_lines(
    desk: DeskPart, customer: Query = None, form: Query = "csv", start: Query = None, end: Query = None
) -> Response[bytes]:
    """Lines of the newest invoices, issued in [start, end), as csv, json or parquet."""
    from mintage.billing import documents

    start_ns, end_ns = day_ns(start, "start") or 0, day_ns(end, "end") or 2**63 - 1

    def make() -> bytes:
        tenant_id = desk.accounts.tenants.get(customer).id if customer else None
        rows = desk.billing.invoices.page(tenant_id=tenant_id, limit=_EXPORT_MAX).items
        chosen = [_invoice(desk, row.id) for row in rows if start_ns <= row.issued_ns < end_ns]
        return documents.export_lines(chosen, form or "csv")

    raw = await asyncio.to_thread(make)
    return Response(raw, media_type=documents.FORMATS[form or "csv"])


@post("/invoices/{number:str}/credit-notes", takes=AskCredit, example={"reason": "Outage", "key": "ticket-17"})
async def issue_credit_note(desk: DeskPart, actor: Actor, number: Path, body: RawBody) -> CreditNote:
    """Credit parts of an invoice, or all that is left of it; the money goes back to wallet or receivable."""
    asked = decode(body, AskCredit)
    if not asked.key or len(asked.key) > 200:
        raise MintageError("invalid_request", "key names this request, once.", "Use your ticket's id.", param="key")
    invoice = await asyncio.to_thread(_invoice, desk, number)
    parts = None
    if asked.lines is not None:
        parts = [
            Part(place=one.line, amount_nanos=money_nanos(one.amount, invoice.content.currency, "amount"))
            for one in asked.lines
        ]
    return await desk.billing.invoicing.standing.credit(actor, invoice, parts, reason=asked.reason, key=asked.key)


@get("/credit-notes", sync_to_thread=True)
def list_credit_notes(
    desk: DeskPart, customer: Query = None, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None
) -> Page[CreditNote]:
    """Credit notes, newest first."""
    tenant_id = desk.accounts.tenants.get(customer).id if customer else None
    return desk.billing.invoicing.notes.page(tenant_id=tenant_id, limit=limit, cursor=cursor)


@post("/invoices/{number:str}/void", takes=AskReason, example={"reason": "Wrong customer"}, status_code=200)
async def void_invoice(desk: DeskPart, actor: Actor, number: Path, body: RawBody) -> Invoice:
    """Void an invoice of which nothing is paid: a credit note for all of it."""
    invoice = await asyncio.to_thread(_invoice, desk, number)
    return await desk.billing.invoicing.standing.void(actor, invoice, reason=decode(body, AskReason).reason)


@post("/invoices/{number:str}/write-off", takes=AskReason, example={"reason": "Insolvent"}, status_code=200)
async def write_off_invoice(desk: DeskPart, actor: Actor, number: Path, body: RawBody) -> Invoice:
    """What is open will not come: to bad debt, its part of the tax back."""
    invoice = await asyncio.to_thread(_invoice, desk, number)
    return await desk.billing.invoicing.standing.write_off(actor, invoice, reason=decode(body, AskReason).reason)


@get("/billing-settings", sync_to_thread=True)
def show_settings(desk: DeskPart) -> BillingSettings:
    """How the operator invoices."""
    return desk.billing.invoicing.profiles.settings(desk.entity().id)


@put("/billing-settings", takes=BillingSettings, example={"payment_days": 14, "grace_hours": 24}, sync_to_thread=True)
def put_settings(desk: DeskPart, actor: Actor, body: RawBody) -> BillingSettings:
    """Replace them. What is left out goes back to its default."""
    return desk.billing.invoicing.profiles.put_settings(actor, desk.entity().id, decode(body, BillingSettings))


@get("/customers/{customer:str}/billing-profile", sync_to_thread=True)
def show_profile(desk: DeskPart, customer: Path) -> BillingProfile:
    """What a customer wants on its invoices."""
    return desk.billing.invoicing.profiles.profile(desk.accounts.tenants.get(customer).id)


@put(
    "/customers/{customer:str}/billing-profile",
    takes=BillingProfile,
    example={"language": "zh", "email": "pay@acme.example"},
    sync_to_thread=True,
)
def put_profile(desk: DeskPart, actor: Actor, customer: Path, body: RawBody) -> BillingProfile:
    """Replace it. What is left out goes back to its default."""
    tenant = desk.accounts.tenants.get(customer)
    return desk.billing.invoicing.profiles.put_profile(actor, tenant.id, decode(body, BillingProfile))


@get("/tax-rates", sync_to_thread=True)
def list_tax_rates(desk: DeskPart, country: Query = None) -> list[RateRow]:
    """Tax rates with their first days."""
    return desk.billing.invoicing.taxes.all(country)


@put(
    "/tax-rates",
    takes=list[RateRow],
    example=[{"country": "US", "region": "NY", "name": "State", "percent": "4", "from_day": "2026-01-01"}],
    sync_to_thread=True,
)
def put_tax_rates(desk: DeskPart, actor: Actor, body: RawBody) -> Changed:
    """Add or replace rates, all or none."""
    return Changed(changed=desk.billing.invoicing.taxes.put(actor, decode(body, list[RateRow])))


@post("/tax-rates/eu", takes=EuRates, example={"from_day": "2026-01-01"}, status_code=200, sync_to_thread=True)
def import_eu_rates(desk: DeskPart, actor: Actor, body: RawBody) -> Changed:
    """Take Europe's standard rates from the installed data."""
    from mintage.billing.tax import eu_rates

    return Changed(changed=desk.billing.invoicing.taxes.put(actor, eu_rates(decode(body, EuRates).from_day)))


@get("/currency-rates", sync_to_thread=True)
def list_currency_rates(desk: DeskPart) -> list[CurrencyRate]:
    """Rates between currencies, newest day first."""
    return desk.billing.invoicing.currencies.all()


@put(
    "/currency-rates",
    takes=list[CurrencyRate],
    example=[{"base": "EUR", "quote": "USD", "day": "2026-11-02", "rate": "1.0843"}],
    sync_to_thread=True,
)
def put_currency_rates(desk: DeskPart, actor: Actor, body: RawBody) -> Changed:
    """Add or replace rates, all or none."""
    return Changed(changed=desk.billing.invoicing.currencies.put(actor, decode(body, list[CurrencyRate])))


HANDLERS: Final[list[Any]] = [
    invoice_pdf, invoice_xml, invoice_factur_x, export_lines, issue_credit_note, list_credit_notes, void_invoice,
    write_off_invoice, show_settings, put_settings, show_profile, put_profile, list_tax_rates, put_tax_rates,
    import_eu_rates, list_currency_rates, put_currency_rates,
]  # fmt: skip
