"""What a payment does: it is recorded, then credited once, then pays what is open. And back again."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from mintage.accounts import Accounts, Tenant
from mintage.base import MintageError, new_id
from mintage.billing.invoices import Invoice
from mintage.billing.payments.provider import Asked, Notice, Provider
from mintage.billing.payments.records import Order, PaymentRow, Records, new_payment
from mintage.billing.standing import Standing
from mintage.billing.topping import Payment, Purchase
from mintage.billing.wallets import Wallets
from mintage.books import CommitLog, Journal, Ledger, Posting

BANK = "bank"


class Payments:
    """On the event loop; providers and the database in threads."""

    def __init__(
        self, accounts: Accounts, log: CommitLog, ledger: Ledger, wallets: Wallets, standing: Standing
    ) -> None:
        self._accounts = accounts
        self._log = log
        self._ledger = ledger
        self._wallets = wallets
        self._standing = standing
        self.records = Records(accounts.changes)
        self.providers: dict[str, Provider] = {}

    def provider(self, name: str) -> Provider:
        """Raises not_found for one that is not set up."""
        if (found := self.providers.get(name)) is None:
            raise MintageError(
                "not_found", f"The provider {name[:40]!r} is not set up.", "`mintage payments setup stripe` does it."
            )
        return found

    async def repair(self) -> int:
        """Credit what a crash left on record only; returns how many."""
        left = await asyncio.to_thread(self.records.received)
        for payment in left:
            await self._credit(payment)
        return len(left)

    # -- asking ------------------------------------------------------------------------------------------------------

    async def checkout(
        self, actor: str, tenant: Tenant, provider_name: str, *, nanos: int, invoice: Invoice | None, back_url: str
    ) -> Order:
        """A page where the customer tops up, or pays an invoice's open amount; its method is saved for later."""
        provider = self.provider(provider_name)
        if invoice is not None:
            nanos = invoice.open_nanos
            if invoice.tenant_id != tenant.id or nanos <= 0:
                raise MintageError("conflict", f"Nothing of {invoice.number} is open.", f"It is {invoice.state}.")
        order = self._order(tenant, provider_name, nanos, invoice)
        await asyncio.to_thread(self.records.add_order, actor, order)
        asked = await self._asked(tenant, order, invoice.number if invoice else "Credit")
        opened = await asyncio.to_thread(lambda: provider.checkout(asked, success_url=back_url, cancel_url=back_url))
        values = {"remote_id": opened.remote_id, "url": opened.url}
        await asyncio.to_thread(lambda: self.records.set_order(order.id, **values))
        return msgspec.structs.replace(order, **values)

    def _order(self, tenant: Tenant, provider: str, nanos: int, invoice: Invoice | None, order_id: str = "") -> Order:
        return Order(
            id=order_id or new_id("ord"),
            tenant_id=tenant.id,
            provider=provider,
            remote_id="",
            purpose="invoice" if invoice else "top_up",
            invoice_id=invoice.id if invoice else "",
            currency=tenant.currency,
            amount_nanos=nanos,
            url="",
            state="open",
            problem="",
            created_ns=self.records.now_ns(),
        )

    async def _asked(self, tenant: Tenant, order: Order, description: str) -> Asked:
        method = await asyncio.to_thread(self.records.method, tenant.id, order.provider)
        return Asked(
            order_id=order.id,
            tenant_id=tenant.id,
            name=tenant.name,
            email=tenant.email,
            currency=order.currency,
            amount_nanos=order.amount_nanos,
            description=description,
            customer=method.remote_customer if method else "",
        )

    async def collect(self, tenant: Tenant, purchase: Purchase) -> Payment:
        """Charge the saved method for an automatic top-up, once per purchase."""
        found = await self.charge_saved(tenant, purchase.amount_nanos, None, purchase.id)
        return Payment(source=found.provider, source_id=found.reference)

    async def charge_saved(self, tenant: Tenant, nanos: int, invoice: Invoice | None, order_id: str) -> PaymentRow:
        """Charge what the customer saved; once per order_id. Raises not_found without a method, and refusals."""
        for name, provider in self.providers.items():
            method = await asyncio.to_thread(self.records.method, tenant.id, name)
            if method is None or not method.remote_method:
                continue
            order = await asyncio.to_thread(self.records.order, order_id)
            if order is None:
                order = self._order(tenant, name, nanos, invoice, order_id)
                await asyncio.to_thread(self.records.add_order, "system", order)
            asked = await self._asked(tenant, order, invoice.number if invoice else "Credit")
            charged = await asyncio.to_thread(provider.charge, asked, method.remote_method)
            if not charged.paid:
                raise MintageError("invalid_request", f"The payment is {charged.problem}.", "Ask the customer to pay.")
            new = new_payment(
                tenant.id,
                name,
                charged.reference,
                currency=order.currency,
                nanos=nanos,
                now_ns=self.records.now_ns(),
            )
            new = msgspec.structs.replace(new, order_id=order.id, invoice_id=order.invoice_id)
            kept = await asyncio.to_thread(self.records.receive, "system", new)
            return await self._credit(kept)
        raise MintageError("not_found", f"{tenant.name} has no saved payment method.", "Send a payment page.")

    # -- hearing -----------------------------------------------------------------------------------------------------

    async def notice(self, provider_name: str, payload: bytes, signature: str) -> str:
        """Act on a provider's message, once; returns what came of it. Raises for a message that is not the provider's.

        It is bound to the order that it names: provider, remote id, currency and amount must be those asked for, or
        nothing is credited and the outcome says why.
        """
        provider = self.provider(provider_name)
        told = await asyncio.to_thread(provider.read, payload, signature)
        if await asyncio.to_thread(self.records.seen, provider_name, told, payload):
            await self.repair()
            return "known"
        if told.kind in ("refunded", "disputed"):
            return await self._went_back(provider_name, told, payload)
        order = await asyncio.to_thread(self.records.order, told.order_id) if told.order_id else None
        problem = _mismatch(provider_name, told, order)
        if told.kind == "other" or problem or order is None:
            outcome = problem or "nothing to do"
            await asyncio.to_thread(self.records.note, provider_name, told, payload, outcome)
            return outcome
        payment: PaymentRow | None = None
        known = await asyncio.to_thread(self.records.payment, provider_name, told.reference)
        if told.kind == "paid" and known is None:
            now_ns = self.records.now_ns()
            payment = new_payment(
                order.tenant_id,
                provider_name,
                told.reference,
                currency=told.currency,
                nanos=told.amount_nanos,
                now_ns=now_ns,
            )
            payment = msgspec.structs.replace(
                payment, order_id=order.id, invoice_id=order.invoice_id, fee_nanos=told.fee_nanos
            )
        if told.customer or told.method:
            await asyncio.to_thread(
                self.records.save_method, order.tenant_id, provider_name, told.customer, told.method
            )
        await asyncio.to_thread(
            lambda: self.records.note(provider_name, told, payload, told.kind, payment=payment, order=order)
        )
        if payment is not None:
            await self._credit(payment)
        return told.kind

    async def _credit(self, payment: PaymentRow) -> PaymentRow:
        """Tell the wallet, then the books of invoices. Every step may be repeated."""
        if payment.state == "received":
            wallet = await asyncio.to_thread(self._wallets.get, payment.tenant_id)
            await self._wallets.before_top_up(wallet)
            await self._log.top_up(
                wallet.id,
                payment.amount_nanos,
                source=payment.provider,
                source_id=payment.reference,
                kind="cash",
                memo=payment.id,
            )
            await asyncio.to_thread(self.records.credited, payment)
        await self._standing.allocate("system", payment.tenant_id, payment.invoice_id)
        return msgspec.structs.replace(payment, state="credited")

    async def transfer(
        self, actor: str, tenant: Tenant, nanos: int, reference: str, invoice: Invoice | None = None
    ) -> PaymentRow:
        """A bank transfer that arrived: by hand, or from a statement. Once per reference."""
        if not 1 <= len(reference) <= 200 or nanos <= 0:
            raise MintageError("invalid_request", "A transfer has a reference and an amount.", "Give both.")
        new = new_payment(
            tenant.id, BANK, reference, currency=tenant.currency, nanos=nanos, now_ns=self.records.now_ns()
        )
        new = msgspec.structs.replace(new, invoice_id=invoice.id if invoice else "")
        return await self._credit(await asyncio.to_thread(self.records.receive, actor, new))

    # -- back again --------------------------------------------------------------------------------------------------

    async def refund(self, actor: str, payment: PaymentRow, nanos: int, *, reason: str, key: str) -> PaymentRow:
        """Pay back what the wallet still has of it. The money leaves the wallet first, so that it is not spent twice.

        Raises insufficient_funds, conflict for more than came in, and the provider's refusal (the wallet has it again).
        """
        if not 0 < nanos <= payment.amount_nanos - payment.refunded_nanos:
            raise MintageError("conflict", "That is more than is left of the payment.", "Refund less.", param="amount")
        wallet = await asyncio.to_thread(self._wallets.get, payment.tenant_id)
        source, source_id = f"{payment.provider}_refund", f"{payment.reference}:{key}"
        await self._log.withdraw(wallet.id, nanos, source=source, source_id=source_id, kind="cash", memo=reason[:200])
        if payment.provider != BANK:
            provider = self.provider(payment.provider)
            try:
                await asyncio.to_thread(provider.refund, payment.reference, payment.currency, nanos, key)
            except MintageError as error:
                if error.status < 500:
                    back = f"{source}_undone"
                    await self._log.top_up(wallet.id, nanos, source=back, source_id=source_id, kind="cash")
                raise
        await asyncio.to_thread(self.records.paid_back, payment, nanos, "payment.refunded", reason)
        await self._standing.allocate(actor, payment.tenant_id)
        return await asyncio.to_thread(self.records.by_id, payment.id)

    async def _went_back(self, provider: str, told: Notice, payload: bytes) -> str:
        """A refund made at the provider, or a dispute that was lost: what we do not know of yet leaves the books."""
        payment = await asyncio.to_thread(self.records.payment, provider, told.reference)
        if payment is None or payment.currency != told.currency:
            outcome = "refused: no such payment"
            await asyncio.to_thread(self.records.note, provider, told, payload, outcome)
            return outcome
        gone = payment.refunded_nanos
        nanos = told.amount_nanos - gone if told.kind == "refunded" else told.amount_nanos
        nanos = min(nanos, payment.amount_nanos - gone)
        if nanos > 0:
            await self._take(payment, nanos, told)
            type_ = "payment.refunded" if told.kind == "refunded" else "payment.disputed"
            await asyncio.to_thread(self.records.paid_back, payment, nanos, type_, told.type)
        await asyncio.to_thread(self.records.note, provider, told, payload, told.kind)
        await self._standing.allocate("system", payment.tenant_id)
        return told.kind

    async def _take(self, payment: PaymentRow, nanos: int, told: Notice) -> None:
        """From the wallet as far as it has it; what was spent already is our loss."""
        wallet = await asyncio.to_thread(self._wallets.get, payment.tenant_id)
        view = self._log.wallet(wallet.id)
        there = max(0, min(nanos, view.balance_nanos - view.held_nanos))
        source, source_id = f"{payment.provider}_{told.kind}", f"{payment.reference}:{told.event_id}"
        if there:
            await self._log.withdraw(wallet.id, there, source=source, source_id=source_id, kind="cash")
        if lost := nanos - there:
            await asyncio.to_thread(self._post_loss, payment, lost, told, source, source_id)

    def _post_loss(self, payment: PaymentRow, lost: int, told: Notice, source: str, source_id: str) -> None:
        def posting(account: str, amount: int) -> Posting:
            return Posting(account=account, currency=payment.currency, amount_nanos=amount)

        values: dict[str, Any] = {"memo": payment.id, "tenant_id": payment.tenant_id}
        self._ledger.post(
            Journal(
                event="refund" if told.kind == "refunded" else "dispute_lost",
                source=source,
                source_id=source_id,
                occurred_ns=payment.received_ns,
                postings=(posting("income:refunds", lost), posting("assets:cash", -lost)),
                **values,
            )
        )


def _mismatch(provider: str, told: Notice, order: Order | None) -> str:
    """Why the message may not pay the order that it names; empty when it may."""
    if told.kind == "other":
        return ""
    if order is None:
        return "refused: it names no order of ours"
    if order.provider != provider:
        return "refused: the order is another provider's"
    if told.remote_id and order.remote_id and told.remote_id != order.remote_id:
        return "refused: the order was opened under another id there"
    if told.kind == "paid" and not told.reference:
        return "refused: it names no payment"
    if told.kind == "paid" and (told.currency, told.amount_nanos) != (order.currency, order.amount_nanos):
        return "refused: another amount than was asked for"
    return ""
