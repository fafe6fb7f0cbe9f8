"""Closing periods, and the invoices that come of it."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from litestar import Response, get, post
from litestar.params import RawBody

from mintage.accounts import PAGE_MAX, Page, Tenant
from mintage.base import MintageError
from mintage.billing import Invoice, InvoiceRow
from mintage.server.admin.bodies import decode
from mintage.server.admin.depends import LIMIT_DEFAULT, Actor, Cursor, DeskPart, Limit, Path, Query
from mintage.server.admin.problems import Problem, problem_of
from mintage.server.admin.services import Desk


class AskClose(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without a customer, everyone's. early: also the period that runs, up to this quarter of an hour."""

    customer: str | None = None
    early: bool = False


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    customer: str
    problem: Problem


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """Closing may be repeated: what is closed stays, what failed is tried again."""

    invoices: list[Invoice]
    failures: list[Failure]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """identical: the books still give the invoice's bytes."""

    number: str
    content_hash: str
    identical: bool


@post("/invoices/close", takes=AskClose, example={"customer": "acme"}, status_code=200)
async def close_periods(desk: DeskPart, actor: Actor, body: RawBody) -> Closed:
    """Close every period that has ended, and invoice it."""
    asked = decode(body, AskClose)
    if asked.customer is not None:
        tenant = await asyncio.to_thread(desk.accounts.tenants.get, asked.customer)
        return Closed(invoices=await desk.billing.closing.close(actor, tenant, early=asked.early), failures=[])
    closed = Closed(invoices=[], failures=[])
    cursor: str | None = None
    while True:
        page = await asyncio.to_thread(desk.accounts.tenants.page, limit=PAGE_MAX, cursor=cursor)
        for tenant in page.items:
            await _close_one(desk, actor, tenant, asked.early, closed)
        cursor = page.next_cursor
        if cursor is None:
            return closed


async def _close_one(desk: Desk, actor: str, tenant: Tenant, early: bool, closed: Closed) -> None:
    if await asyncio.to_thread(desk.billing.subscriptions.current, tenant.id) is None:
        return
    try:
        closed.invoices.extend(await desk.billing.closing.close(actor, tenant, early=early))
    except MintageError as error:
        closed.failures.append(Failure(customer=tenant.handle, problem=problem_of(error)))


@get("/invoices", sync_to_thread=True)
def list_invoices(
    desk: DeskPart, customer: Query = None, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None
) -> Page[InvoiceRow]:
    """Finalised invoices, newest first."""
    tenant_id = desk.accounts.tenants.get(customer).id if customer else None
    return desk.billing.invoices.page(tenant_id=tenant_id, limit=limit, cursor=cursor)


@get("/invoices/{number:str}", sync_to_thread=True)
def show_invoice(desk: DeskPart, number: Path) -> Invoice:
    """One invoice with its lines, by number or id."""
    return desk.billing.invoices.get(None, number)


@get("/invoices/{number:str}/content", sync_to_thread=True)
def invoice_content(desk: DeskPart, number: Path) -> Response[bytes]:
    """The invoice's content, byte for byte as it was hashed."""
    invoice = desk.billing.invoices.get(None, number)
    return Response(
        desk.billing.invoices.raw(invoice.id),
        media_type="application/json",
        headers={"etag": f'"{invoice.content_hash}"'},
    )


@get("/invoices/{number:str}/verify")
async def verify_invoice(desk: DeskPart, number: Path) -> Check:
    """Make the invoice once more from the books and compare the bytes."""
    invoice = await asyncio.to_thread(desk.billing.invoices.get, None, number)
    same = await desk.billing.closing.recompute(invoice) == await asyncio.to_thread(
        desk.billing.invoices.raw, invoice.id
    )
    return Check(number=invoice.number, content_hash=invoice.content_hash, identical=same)


HANDLERS: Final[list[Any]] = [close_periods, list_invoices, show_invoice, invoice_content, verify_invoice]
