"""Invoices as they are kept: numbered without gaps when finalised, posted in the same transaction, never changed."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import sqlalchemy as sa

from mintage.accounts import PAGE_DEFAULT, Changes, LegalEntity, Page, fetch_page
from mintage.base import MintageError, new_id
from mintage.billing.invoice import InvoiceContent, content_hash, decode_content, encode_content
from mintage.billing.tables import invoices
from mintage.books import Journal, Ledger, Posting

RECEIVABLE: Final = "assets:receivable"
UNBILLED: Final = "assets:unbilled_receivable"
ROUNDING: Final = "equity:rounding"


class Invoice(msgspec.Struct, frozen=True, kw_only=True):
    """One finalised invoice. content_hash is the SHA-256 of the content's bytes."""

    id: str
    number: str
    tenant_id: str
    issued_ns: int
    content_hash: str
    content: InvoiceContent


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


class Invoices:
    def __init__(self, changes: Changes, ledger: Ledger) -> None:
        self._changes = changes
        self._ledger = ledger

    def closed_until_ns(self, tenant_id: str) -> int | None:
        """The end of the last closed stretch; None before the first."""
        select = sa.select(sa.func.max(invoices.c.end_ns)).where(invoices.c.tenant_id == tenant_id)
        with self._changes.database.read() as connection:
            found = connection.scalar(select)
        return None if found is None else int(found)

    def finalise(self, actor: str, entity: LegalEntity, content: InvoiceContent) -> Invoice | None:
        """Close the stretch for good: number, store and post in one transaction.

        Without lines there is nothing to bill: the stretch is closed without an invoice and without a number (None).
        """
        tenant_id = content.customer.id
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
        select = sa.select(invoices).where(column == reference, invoices.c.number.is_not(None))
        if tenant_id is not None:
            select = select.where(invoices.c.tenant_id == tenant_id)
        with self._changes.database.read() as connection:
            row = connection.execute(select).mappings().one_or_none()
        if row is None:
            raise MintageError(
                "not_found", f"There is no invoice {reference[:80]!r}.", "`mintage invoices list` shows all."
            )
        return Invoice(
            id=row["id"],
            number=row["number"],
            tenant_id=row["tenant_id"],
            issued_ns=row["issued_ns"],
            content_hash=row["content_hash"],
            content=decode_content(bytes(row["content"])),
        )

    def raw(self, invoice_id: str) -> bytes:
        """The content's bytes, as they were hashed."""
        with self._changes.database.read() as connection:
            found = connection.scalar(sa.select(invoices.c.content).where(invoices.c.id == invoice_id))
        if found is None:
            raise MintageError("not_found", f"There is no invoice {invoice_id[:80]!r}.", "Check the id.")
        return bytes(found)

    def page(
        self, *, tenant_id: str | None = None, limit: int = PAGE_DEFAULT, cursor: str | None = None
    ) -> Page[InvoiceRow]:
        """Newest first."""
        select = sa.select(*(invoices.c[name] for name in InvoiceRow.__struct_fields__))
        select = select.where(invoices.c.number.is_not(None))
        if tenant_id is not None:
            select = select.where(invoices.c.tenant_id == tenant_id)
        with self._changes.database.read() as connection:
            rows, following = fetch_page(
                connection, select, invoices.c.id, limit=limit, cursor=cursor, newest_first=True
            )
        return Page(items=[InvoiceRow(**row) for row in rows], next_cursor=following)


def invoice_journals(row: dict[str, Any], content: InvoiceContent) -> list[Journal]:
    """What a postpaid invoice posts; a prepaid one was paid as it was used, and moves nothing.

    The receivable takes the rounded total out of the unbilled receivable; what rounding leaves there goes to equity.
    """
    if content.funding != "postpaid" or not content.lines:
        return []
    journals = []
    for event, suffix, account, nanos in (
        ("invoice_finalised", "", RECEIVABLE, content.total_nanos),
        ("rounding", ":rounding", ROUNDING, -content.rounding_nanos),
    ):
        if nanos:
            journals.append(
                Journal(
                    event=event,
                    source="invoice",
                    source_id=f"{row['id']}{suffix}",
                    occurred_ns=row["issued_ns"],
                    tenant_id=row["tenant_id"],
                    memo=row["number"],
                    postings=(
                        Posting(account=account, currency=content.currency, amount_nanos=nanos),
                        Posting(account=UNBILLED, currency=content.currency, amount_nanos=-nanos),
                    ),
                )
            )
    return journals
