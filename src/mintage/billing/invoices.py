"""Invoices as they are kept: numbered without gaps when finalised, posted in the same transaction, never changed.

What changes is where an invoice stands (finalised, paid, void, uncollectible): see standing.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from mintage.accounts import PAGE_DEFAULT, Changes, LegalEntity, Page, fetch_page
from mintage.base import MintageError, new_id
from mintage.billing.extras import Extras
from mintage.billing.finish import finish
from mintage.billing.invoice import InvoiceContent, content_hash, decode_content, encode_content
from mintage.billing.invoice_journals import invoice_journals
from mintage.billing.tables import invoices
from mintage.billing.tables_invoicing import invoice_states
from mintage.billing.webhooks.outbox import announce
from mintage.books import Ledger

DAY_NS: Final = 86_400 * 10**9

#: What an invoice says beside its lines: see extras.ExtrasDesk.
Gather = Callable[[LegalEntity, InvoiceContent], Extras]


class Invoice(msgspec.Struct, frozen=True, kw_only=True):
    """One finalised invoice. content_hash is the SHA-256 of the content's bytes. open_nanos is left to pay."""

    id: str
    number: str
    tenant_id: str
    issued_ns: int
    content_hash: str
    content: InvoiceContent
    state: str = "finalised"
    due_ns: int = 0
    open_nanos: int = 0


class InvoiceRow(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice in a list, without its lines."""

    id: str
    number: str
    tenant_id: str
    start_ns: int
    end_ns: int
    issued_ns: int
    currency: str
    total_nanos: int
    due_nanos: int
    content_hash: str
    state: str = "finalised"
    due_ns: int = 0
    open_nanos: int = 0


_OPEN: Final = (
    invoices.c.due_nanos
    - sa.func.coalesce(
        invoice_states.c.paid_nanos + invoice_states.c.credited_nanos + invoice_states.c.written_off_nanos, 0
    )
).label("open_nanos")
_STANDING: Final = (invoice_states.c.state, invoice_states.c.due_ns, _OPEN)
_JOINED: Final = invoices.join(invoice_states, invoice_states.c.invoice_id == invoices.c.id)


class Invoices:
    """gather: None makes invoices without tax, for a room of its own in tests of the arithmetic."""

    def __init__(self, changes: Changes, ledger: Ledger, gather: Gather | None = None) -> None:
        self._changes = changes
        self._ledger = ledger
        self._gather = gather

    def closed_until_ns(self, tenant_id: str) -> int | None:
        """The end of the last closed stretch; None before the first."""
        select = sa.select(sa.func.max(invoices.c.end_ns)).where(invoices.c.tenant_id == tenant_id)
        with self._changes.database.read() as connection:
            found = connection.scalar(select)
        return None if found is None else int(found)

    def draft(self, entity: LegalEntity, content: InvoiceContent) -> InvoiceContent:
        """The content with its tax, as finalise would make it. Nothing is kept and no number is taken."""
        return content if self._gather is None else finish(content, self._gather(entity, content))

    def finalise(self, actor: str, entity: LegalEntity, content: InvoiceContent) -> Invoice | None:
        """Close the stretch for good: tax, number, store and post in one transaction.

        Without lines there is nothing to bill: the stretch is closed without an invoice and without a number (None).
        """
        tenant_id = content.customer.id
        if content.lines and self._gather is not None:
            content = finish(content, self._gather(entity, content))
        invoice_id = new_id("inv")
        with self._changes.change(
            actor, "invoice.finalise", invoice_id, tenant_id=tenant_id, start_ns=content.start_ns, end_ns=content.end_ns
        ) as change:
            row: dict[str, Any] = {
                "id": invoice_id,
                "tenant_id": tenant_id,
                "start_ns": content.start_ns,
                "end_ns": content.end_ns,
                "entity_id": entity.id,
                "currency": content.currency,
                "total_nanos": content.total_nanos,
                "due_nanos": content.due_nanos,
                "content_hash": "",
                "issued_ns": change.now_ns,
            }
            if content.lines:
                raw = encode_content(content)
                row |= self._number(change.connection, entity)
                row |= {"content": raw, "content_hash": content_hash(raw)}
                change.note(number=row["number"], total_nanos=content.total_nanos, currency=content.currency)
            change.connection.execute(invoices.insert().values(**row))
            if content.lines:
                state = _state(row, content)
                change.connection.execute(invoice_states.insert().values(**state))
                announce(change.connection, "invoice.finalised", tenant_id, _told(row, state), change.now_ns)
            for journal in invoice_journals(row, content):
                self._ledger.post(journal, change.connection)
        return self.get(tenant_id, invoice_id) if content.lines else None

    def _number(self, connection: sa.Connection, entity: LegalEntity) -> dict[str, Any]:
        """The next number of the entity, for good only if the transaction is: so there are no gaps. SQLite lets one
        writer in at a time; elsewhere the unique constraint refuses the second of two, which closes again.
        """
        last = connection.scalar(sa.select(sa.func.max(invoices.c.sequence)).where(invoices.c.entity_id == entity.id))
        sequence = int(last or 0) + 1
        return {"sequence": sequence, "number": f"{entity.invoice_prefix}-{sequence:06d}"}

    def get(self, tenant_id: str | None, reference: str) -> Invoice:
        """By id or number; with tenant_id only that tenant's. Raises not_found."""
        column = invoices.c.id if reference.startswith("inv_") else invoices.c.number
        select = sa.select(invoices, *_STANDING).select_from(_JOINED)
        select = select.where(column == reference, invoices.c.number.is_not(None))
        if tenant_id is not None:
            select = select.where(invoices.c.tenant_id == tenant_id)
        with self._changes.database.read() as connection:
            row = connection.execute(select).mappings().one_or_none()
        if row is None:
            raise MintageError(
                "not_found", f"There is no invoice {reference[:80]!r}.", "`mintage invoices list` shows all."
            )
        return Invoice(
            content=decode_content(bytes(row["content"])),
            **{name: row[name] for name in Invoice.__struct_fields__ if name not in ("content", "open_nanos")},
            open_nanos=max(0, row["open_nanos"]),
        )

    def raw(self, invoice_id: str) -> bytes:
        """The content's bytes, as they were hashed."""
        with self._changes.database.read() as connection:
            found = connection.scalar(sa.select(invoices.c.content).where(invoices.c.id == invoice_id))
        if found is None:
            raise MintageError("not_found", f"There is no invoice {invoice_id[:80]!r}.", "Check the id.")
        return bytes(found)

    def page(
        self,
        *,
        tenant_id: str | None = None,
        state: str | None = None,
        limit: int = PAGE_DEFAULT,
        cursor: str | None = None,
    ) -> Page[InvoiceRow]:
        """Newest first."""
        joined = ("state", "due_ns", "open_nanos")
        plain = (invoices.c[name] for name in InvoiceRow.__struct_fields__ if name not in joined)
        select = sa.select(*plain, *_STANDING).select_from(_JOINED).where(invoices.c.number.is_not(None))
        if tenant_id is not None:
            select = select.where(invoices.c.tenant_id == tenant_id)
        if state is not None:
            select = select.where(invoice_states.c.state == state)
        with self._changes.database.read() as connection:
            rows, following = fetch_page(
                connection, select, invoices.c.id, limit=limit, cursor=cursor, newest_first=True
            )
        items = [InvoiceRow(**{**row, "open_nanos": max(0, row["open_nanos"])}) for row in rows]
        return Page(items=items, next_cursor=following)


def _state(row: dict[str, Any], content: InvoiceContent) -> dict[str, Any]:
    """How a new invoice stands. wallet_done: the wallet need not be told of the tax."""
    days = content.extras.payment_days if content.extras else 0
    return {
        "invoice_id": row["id"],
        "tenant_id": row["tenant_id"],
        "state": "finalised" if content.due_nanos > 0 else "paid",
        "total_nanos": content.total_nanos,
        "tax_nanos": content.tax_nanos,
        "paid_nanos": 0,
        "credited_nanos": 0,
        "written_off_nanos": 0,
        "due_ns": row["issued_ns"] + days * DAY_NS,
        "wallet_done": content.funding != "postpaid" or not content.tax_nanos,
        "changed_ns": row["issued_ns"],
    }


def _told(row: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    names = ("id", "number", "currency", "total_nanos", "due_nanos", "start_ns", "end_ns")
    return {**{name: row[name] for name in names}, "state": state["state"], "due_ns": state["due_ns"]}
