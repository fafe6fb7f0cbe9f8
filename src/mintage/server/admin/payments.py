"""Payments by hand and from bank statements, dunning, and where webhooks go."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, delete, get, post, put
from litestar.params import QueryParameter, RawBody

from mintage.accounts import Page
from mintage.base import MintageError
from mintage.billing import Mailed
from mintage.billing.payments import BankRow, Imported, Order, PaymentRow, ProviderRow, Step
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


class AskProvider(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The secret or restricted key of Stripe's API, and the signing secret of its webhook. Neither is shown again."""

    api_key: str
    webhook_secret: str


class AskCheckout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """amount to top up, in currency units as text; or an invoice, of which all that is open is paid.

    back_url: where the customer comes back to; this server's pages when empty.
    """

    amount: str | None = None
    invoice: str | None = None
    provider: str = "stripe"
    back_url: str = ""


class AskRefund(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """amount: currency units as text. The same key again is the same refund."""

    amount: str
    reason: str
    key: str


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


@get("/payment-providers")
async def list_payment_providers(desk: DeskPart) -> list[ProviderRow]:
    """Payment providers that are set up."""
    return await desk.billing.invoicing.setup.all()


@put(
    "/payment-providers/stripe",
    takes=AskProvider,
    example={"api_key": "sk_test_...", "webhook_secret": "whsec_..."},
)
async def set_stripe(desk: DeskPart, actor: Actor, body: RawBody) -> ProviderRow:
    """Set Stripe up. Its messages come to POST /webhooks/stripe of this server."""
    asked = decode(body, AskProvider)
    return await desk.billing.invoicing.setup.set_stripe(actor, asked.api_key, asked.webhook_secret)


@post("/customers/{customer:str}/checkout", takes=AskCheckout, example={"amount": "25.00"})
async def open_checkout(desk: DeskPart, actor: Actor, customer: Path, body: RawBody) -> Order:
    """A page where the customer tops up or pays an invoice; what it pays with is saved for automatic top-ups."""
    asked = decode(body, AskCheckout)
    if (asked.amount is None) == (asked.invoice is None):
        raise MintageError("invalid_request", "Give an amount or an invoice.", "Give one of both.", param="amount")
    tenant = await asyncio.to_thread(desk.accounts.tenants.get, customer)
    invoice = await asyncio.to_thread(desk.billing.invoices.get, tenant.id, asked.invoice) if asked.invoice else None
    nanos = money_nanos(asked.amount, tenant.currency) if asked.amount is not None else 0
    back_url = asked.back_url or desk.settings.public_url or desk.base_url
    if len(back_url) > 2000 or not back_url.startswith(("http://", "https://")):
        raise MintageError("invalid_request", "back_url is no web address.", "https://...", param="back_url")
    return await desk.billing.invoicing.payments.checkout(
        actor, tenant, asked.provider, nanos=nanos, invoice=invoice, back_url=back_url
    )


@post(
    "/payments/{payment:str}/refund",
    takes=AskRefund,
    example={"amount": "5.00", "reason": "Goodwill", "key": "ticket-17"},
    status_code=200,
)
async def refund_payment(desk: DeskPart, actor: Actor, payment: Path, body: RawBody) -> PaymentRow:
    """Pay back what the customer has not spent of a payment."""
    asked = decode(body, AskRefund)
    if not 1 <= len(asked.key) <= 100:
        raise MintageError("invalid_request", "key names this refund, once.", "Use your ticket's id.", param="key")
    payments = desk.billing.invoicing.payments
    row = await asyncio.to_thread(payments.records.by_id, payment)
    nanos = money_nanos(asked.amount, row.currency)
    return await payments.refund(actor, row, nanos, reason=asked.reason, key=asked.key)


@post("/invoices/{number:str}/send", status_code=200)
async def send_invoice(desk: DeskPart, actor: Actor, number: Path) -> Mailed:
    """Send an invoice to its customer by e-mail, as PDF."""
    invoice = await asyncio.to_thread(desk.billing.invoices.get, None, number)
    return await desk.billing.invoicing.mailer.send(actor, invoice)


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
    list_payments, list_payment_providers, set_stripe, open_checkout, refund_payment, send_invoice,
    record_transfer, import_statement, list_lines, match_line, run_dunning, list_webhooks, add_webhook,
    remove_webhook, list_deliveries, replay_message,
]  # fmt: skip
