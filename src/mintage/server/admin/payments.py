"""Payments by hand and from bank statements, dunning, and where webhooks go."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, delete, get, post
from litestar.params import QueryParameter, RawBody

from mintage.accounts import Page
from mintage.billing.payments import BankRow, Imported, PaymentRow, Step
from mintage.billing.webhooks import Delivery, Endpoint, NewEndpoint
from mintage.server.admin.bodies import decode, money_nanos
from mintage.server.admin.depends import LIMIT_DEFAULT, Actor, Cursor, DeskPart, Limit, Path, Query

#: Litestar keeps the bare name `state` for itself.
InState = Annotated[str | None, QueryParameter(name="state")]


class AskTransfer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """amount: currency units as text. reference names the transfer: the same again changes nothing."""

    amount: str
    reference: str
    invoice: str | None = None


class AskMatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    invoice: str


class AskEndpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """types: empty for all. customer: only what concerns this one."""

    url: str
    types: tuple[str, ...] = ()
    customer: str | None = None


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    endpoints: int


@get("/payments", sync_to_thread=True)
def list_payments(
    desk: DeskPart, customer: Query = None, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None
) -> Page[PaymentRow]:
    """Payments, newest first."""
    tenant_id = desk.accounts.tenants.get(customer).id if customer else None
    return desk.billing.invoicing.payments.records.page(tenant_id, limit=limit, cursor=cursor)


@post("/customers/{customer:str}/transfers", takes=AskTransfer, example={"amount": "11.90", "reference": "tx-1"})
async def record_transfer(desk: DeskPart, actor: Actor, customer: Path, body: RawBody) -> PaymentRow:
    """A bank transfer that arrived: it pays the named invoice, then the oldest."""
    asked = decode(body, AskTransfer)
    tenant = await asyncio.to_thread(desk.accounts.tenants.get, customer)
    nanos = money_nanos(asked.amount, tenant.currency)
    invoice = await asyncio.to_thread(desk.billing.invoices.get, tenant.id, asked.invoice) if asked.invoice else None
    return await desk.billing.invoicing.payments.transfer(actor, tenant, nanos, asked.reference, invoice)


@post("/bank/statements", status_code=200)
async def import_statement(desk: DeskPart, actor: Actor, request: Request[Any, Any, Any], body: RawBody) -> Imported:
    """A statement as CSV or CAMT.053; lines that name one open invoice and pay it exactly are matched."""
    return await desk.billing.invoicing.bank.take(actor, body)


@get("/bank/lines", sync_to_thread=True)
def list_lines(
    desk: DeskPart, in_state: InState = None, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None
) -> Page[BankRow]:
    """Lines of statements: open, matched or ignored."""
    return desk.billing.invoicing.bank.page(in_state, limit=limit, cursor=cursor)


@post("/bank/lines/{line:str}/match", takes=AskMatch, example={"invoice": "INV-000001"}, status_code=200)
async def match_line(desk: DeskPart, actor: Actor, line: Path, body: RawBody) -> BankRow:
    """Book an open line as a payment of an invoice's customer."""
    invoice = await asyncio.to_thread(desk.billing.invoices.get, None, decode(body, AskMatch).invoice)
    return await desk.billing.invoicing.bank.match(actor, line, invoice)


@post("/dunning/run", status_code=200)
async def run_dunning(desk: DeskPart) -> list[Step]:
    """Take every step of the schedule that is due, once."""
    return await desk.billing.invoicing.dunning.run()


@get("/webhooks", sync_to_thread=True)
def list_webhooks(desk: DeskPart) -> list[Endpoint]:
    """Where events are sent."""
    return desk.billing.invoicing.webhooks.all(None)


@post("/webhooks", takes=AskEndpoint, example={"url": "https://example.com/hook"}, sync_to_thread=True)
def add_webhook(desk: DeskPart, actor: Actor, body: RawBody) -> NewEndpoint:
    """Add an endpoint; the answer is the only time that its secret is shown."""
    asked = decode(body, AskEndpoint)
    tenant_id = desk.accounts.tenants.get(asked.customer).id if asked.customer else ""
    return desk.billing.invoicing.webhooks.add(actor, tenant_id, asked.url, asked.types)


@delete("/webhooks/{endpoint:str}", status_code=200, sync_to_thread=True)
def remove_webhook(desk: DeskPart, actor: Actor, endpoint: Path) -> dict[str, bool]:
    """Remove an endpoint, and what waits for it."""
    desk.billing.invoicing.webhooks.remove(actor, None, endpoint)
    return {"removed": True}


@get("/webhook-deliveries", sync_to_thread=True)
def list_deliveries(desk: DeskPart, in_state: InState = None) -> list[Delivery]:
    """What was sent, waits or is dead, newest first."""
    return desk.billing.invoicing.webhooks.deliveries(in_state)


@post("/webhook-messages/{message:str}/replay", status_code=200, sync_to_thread=True)
def replay_message(desk: DeskPart, actor: Actor, message: Path) -> Replayed:
    """Send a message again."""
    return Replayed(endpoints=desk.billing.invoicing.webhooks.replay(actor, message))


HANDLERS: Final[list[Any]] = [
    list_payments, record_transfer, import_statement, list_lines, match_line, run_dunning, list_webhooks, add_webhook,
    remove_webhook, list_deliveries, replay_message,
]  # fmt: skip
