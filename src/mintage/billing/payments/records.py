"""Orders, payments and providers' messages as rows. Blocking, for a thread."""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from mintage.accounts import PAGE_DEFAULT, SYSTEM, Changes, Page, fetch_page
from mintage.base import MintageError, new_id
from mintage.billing.payments.provider import Notice
from mintage.billing.tables_invoicing import payment_methods, payment_orders, payments, provider_events
from mintage.billing.webhooks.outbox import announce


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer was asked to pay at a provider. purpose: top_up or invoice. state: open, paid, failed."""

    id: str
    tenant_id: str
    provider: str
    remote_id: str
    purpose: str
    invoice_id: str
    currency: str
    amount_nanos: int
    url: str
    state: str
    problem: str
    created_ns: int


class PaymentRow(msgspec.Struct, frozen=True, kw_only=True):
    """state: received (the wallet does not know yet) or credited."""

    id: str
    tenant_id: str
    provider: str
    reference: str
    order_id: str
    invoice_id: str
    currency: str
    amount_nanos: int
    fee_nanos: int
    refunded_nanos: int
    state: str
    received_ns: int


class Method(msgspec.Struct, frozen=True, kw_only=True):
    tenant_id: str
    provider: str
    remote_customer: str
    remote_method: str
    label: str
    changed_ns: int


R = TypeVar("R", Order, PaymentRow, Method)


class Records:
    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def now_ns(self) -> int:
        return self._changes.clock.now_ns()

    def _rows(self, type_: type[R], table: sa.Table, *where: sa.ColumnElement[bool], limit: int = 1000) -> list[R]:
        with self._changes.database.read() as connection:
            rows = connection.execute(sa.select(table).where(*where).limit(limit)).mappings()
            return [type_(**{name: row[name] for name in type_.__struct_fields__}) for row in rows]

    def order(self, order_id: str) -> Order | None:
        found = self._rows(Order, payment_orders, payment_orders.c.id == order_id)
        return found[0] if found else None

    def payment(self, provider: str, reference: str) -> PaymentRow | None:
        where = (payments.c.provider == provider, payments.c.reference == reference)
        found = self._rows(PaymentRow, payments, *where)
        return found[0] if found else None

    def by_id(self, payment_id: str) -> PaymentRow:
        if not (found := self._rows(PaymentRow, payments, payments.c.id == payment_id)):
            raise MintageError(
                "not_found", f"There is no payment {payment_id[:80]!r}.", "`mintage payments list` shows all."
            )
        return found[0]

    def received(self) -> list[PaymentRow]:
        return self._rows(PaymentRow, payments, payments.c.state == "received")

    def method(self, tenant_id: str, provider: str) -> Method | None:
        where = (payment_methods.c.tenant_id == tenant_id, payment_methods.c.provider == provider)
        found = self._rows(Method, payment_methods, *where)
        return found[0] if found else None

    def page(self, tenant_id: str | None, *, limit: int = PAGE_DEFAULT, cursor: str | None = None) -> Page[PaymentRow]:
        """Newest first."""
        select = sa.select(payments)
        if tenant_id is not None:
            select = select.where(payments.c.tenant_id == tenant_id)
        with self._changes.database.read() as connection:
            rows, following = fetch_page(
                connection, select, payments.c.id, limit=limit, cursor=cursor, newest_first=True
            )
        return Page(items=[PaymentRow(**row) for row in rows], next_cursor=following)

    def add_order(self, actor: str, order: Order) -> None:
        with self._changes.change(actor, "payment.order", order.id, tenant_id=order.tenant_id) as change:
            change.connection.execute(payment_orders.insert().values(**msgspec.structs.asdict(order)))
            change.note(provider=order.provider, amount_nanos=order.amount_nanos, currency=order.currency)

    def set_order(self, order_id: str, **values: Any) -> None:
        with self._changes.database.write() as connection:
            connection.execute(payment_orders.update().where(payment_orders.c.id == order_id).values(**values))

    def seen(self, provider: str, notice: Notice, payload: bytes) -> bool:
        """Whether the message was acted on. Raises conflict for its id with another payload."""
        select = sa.select(provider_events.c.payload_hash).where(
            provider_events.c.provider == provider, provider_events.c.event_id == notice.event_id
        )
        with self._changes.database.read() as connection:
            found = connection.scalar(select)
        if found is not None and found != hashlib.sha256(payload).hexdigest():
            raise MintageError("conflict", "That message came before with another payload.", "It is not acted on.")
        return found is not None

    def note(
        self,
        provider: str,
        notice: Notice,
        payload: bytes,
        outcome: str,
        *,
        payment: PaymentRow | None = None,
        order: Order | None = None,
    ) -> None:
        """Keep the message, its outcome, the payment that it brought and the order that it ends, in one transaction."""
        tenant_id = payment.tenant_id if payment else None
        with self._changes.change(SYSTEM, "payment.notice", notice.event_id, tenant_id=tenant_id) as change:
            connection = change.connection
            connection.execute(
                provider_events.insert().values(
                    provider=provider,
                    event_id=notice.event_id,
                    kind=notice.type[:100],
                    payload_hash=hashlib.sha256(payload).hexdigest(),
                    outcome=outcome[:200],
                    at_ns=change.now_ns,
                )
            )
            change.note(provider=provider, type=notice.type, outcome=outcome[:200])
            if order is not None:
                state = "failed" if notice.kind == "failed" else "paid"
                connection.execute(
                    payment_orders.update()
                    .where(payment_orders.c.id == order.id)
                    .values(state=state, problem=notice.problem[:200])
                )
                if state == "failed":
                    told = {"order_id": order.id, "invoice_id": order.invoice_id, "problem": notice.problem[:200]}
                    announce(connection, "payment.failed", order.tenant_id, told, change.now_ns)
            if payment is not None:
                connection.execute(payments.insert().values(**msgspec.structs.asdict(payment)))

    def receive(self, actor: str, payment: PaymentRow) -> PaymentRow:
        """A payment that no message brought. The same again gives the first; raises conflict for other contents."""
        known = self.payment(payment.provider, payment.reference)
        if known is None:
            with self._changes.change(actor, "payment.receive", payment.id, tenant_id=payment.tenant_id) as change:
                change.connection.execute(payments.insert().values(**msgspec.structs.asdict(payment)))
            return payment
        same = ("tenant_id", "currency", "amount_nanos")
        if any(getattr(known, name) != getattr(payment, name) for name in same):
            raise MintageError(
                "conflict",
                f"The payment {payment.reference[:80]!r} is in the books with other contents.",
                "Give every payment its own reference.",
                param="reference",
            )
        return known

    def credited(self, payment: PaymentRow) -> None:
        with self._changes.change(
            SYSTEM, "payment.credit", payment.id, tenant_id=payment.tenant_id, amount_nanos=payment.amount_nanos
        ) as change:
            done = change.connection.execute(
                payments.update()
                .where(payments.c.id == payment.id, payments.c.state == "received")
                .values(state="credited")
            )
            if done.rowcount:
                names = ("id", "provider", "reference", "invoice_id", "currency", "amount_nanos")
                told = {name: getattr(payment, name) for name in names}
                announce(change.connection, "payment.received", payment.tenant_id, told, change.now_ns)

    def paid_back(self, payment: PaymentRow, nanos: int, type_: str, reason: str) -> None:
        with self._changes.change(SYSTEM, type_, payment.id, tenant_id=payment.tenant_id, nanos=nanos) as change:
            change.connection.execute(
                payments.update()
                .where(payments.c.id == payment.id)
                .values(refunded_nanos=payments.c.refunded_nanos + nanos)
            )
            told = {"id": payment.id, "reference": payment.reference, "amount_nanos": nanos, "reason": reason[:200]}
            announce(change.connection, type_, payment.tenant_id, told, change.now_ns)

    def save_method(self, tenant_id: str, provider: str, customer: str, method: str, label: str = "") -> None:
        """What is empty stays as it is."""
        known = self.method(tenant_id, provider)
        row = Method(
            tenant_id=tenant_id,
            provider=provider,
            remote_customer=customer or (known.remote_customer if known else ""),
            remote_method=method or (known.remote_method if known else ""),
            label=label or (known.label if known else ""),
            changed_ns=self.now_ns(),
        )
        where = (payment_methods.c.tenant_id == tenant_id, payment_methods.c.provider == provider)
        with self._changes.database.write() as connection:
            connection.execute(payment_methods.delete().where(*where))
            connection.execute(payment_methods.insert().values(**msgspec.structs.asdict(row)))


def new_payment(tenant_id: str, provider: str, reference: str, *, currency: str, nanos: int, now_ns: int) -> PaymentRow:
    """One that has just come in, bound to nothing."""
    return PaymentRow(
        id=new_id("pay"),
        tenant_id=tenant_id,
        provider=provider,
        reference=reference,
        order_id="",
        invoice_id="",
        currency=currency,
        amount_nanos=nanos,
        fee_nanos=0,
        refunded_nanos=0,
        state="received",
        received_ns=now_ns,
    )
