"""Credit notes: the only correction of an invoice. Numbered without gaps of their own, in the same transaction as their
journal; the money goes back to where the invoice took it from.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from mintage.accounts import PAGE_DEFAULT, Changes, LegalEntity, Page, check_text, fetch_page
from mintage.base import MintageError, check_nanos, currency_exponent, new_id
from mintage.billing.extras import Extras
from mintage.billing.invoice import InvoiceContent, Party, content_hash, minor_units
from mintage.billing.invoice_journals import RECEIVABLE, TAX
from mintage.billing.invoices import Invoice
from mintage.billing.tables_invoicing import credit_notes, invoice_states
from mintage.billing.webhooks.outbox import announce
from mintage.books import Journal, Ledger, Posting, usage_account
from mintage.pricing.rates import round_half_up

PREPAID: Final = "liabilities:customer_prepaid"
NOTES_MAX: Final = 1000  # of one invoice
_DECODE: Final = msgspec.json.Decoder


class CreditLine(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the invoice's line at `place` (from 0): amount as the line is stated, tax what goes with it."""

    place: int
    product: str
    description: str
    description_zh: str
    amount_nanos: int
    tax_nanos: int


class CreditContent(msgspec.Struct, frozen=True, kw_only=True):
    """What is credited and why. Number and day of issue are not content, as with an invoice."""

    invoice_id: str
    invoice_number: str
    invoice_hash: str
    reason: str
    seller: Party
    customer: Party
    funding: str
    currency: str
    lines: tuple[CreditLine, ...]
    net_nanos: int
    tax_nanos: int
    total_nanos: int
    total: str
    extras: Extras | None = None


class CreditNote(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    number: str
    tenant_id: str
    invoice_id: str
    issued_ns: int
    content_hash: str
    content: CreditContent


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a line to credit, in nanos, as the line is stated; whole minor units."""

    place: int
    amount_nanos: int


class CreditNotes:
    """Blocking, for a thread."""

    def __init__(self, changes: Changes, ledger: Ledger) -> None:
        self._changes = changes
        self._ledger = ledger

    def issue(
        self,
        actor: str,
        entity: LegalEntity,
        prefix: str,
        invoice: Invoice,
        parts: Sequence[Part] | None,
        *,
        reason: str,
        key: str,
    ) -> CreditNote:
        """Credit parts of an invoice, or (None) all that is left of it. The same key again gives the first note.

        Raises invalid_request for more than is left of a line, conflict for an invoice of which nothing is left or that
        was given away.
        """
        if (known := self._by_key(invoice.id, key)) is not None:
            return known
        content = self._content(invoice, parts, check_text(reason, "reason", limit=500))
        raw = msgspec.json.encode(content)
        note_id = new_id("cn")
        with self._changes.change(
            actor, "credit_note.issue", note_id, tenant_id=invoice.tenant_id, invoice=invoice.number
        ) as change:
            connection = change.connection
            last = connection.scalar(
                sa.select(sa.func.max(credit_notes.c.sequence)).where(credit_notes.c.entity_id == entity.id)
            )
            sequence = int(last or 0) + 1
            row: dict[str, Any] = {
                "id": note_id,
                "tenant_id": invoice.tenant_id,
                "invoice_id": invoice.id,
                "entity_id": entity.id,
                "sequence": sequence,
                "number": f"{prefix}-{sequence:06d}",
                "request_key": key,
                "currency": content.currency,
                "total_nanos": content.total_nanos,
                "tax_nanos": content.tax_nanos,
                "content": raw,
                "content_hash": content_hash(raw),
                "issued_ns": change.now_ns,
                "wallet_done": False,
            }
            self._check_unchanged(connection, invoice)
            connection.execute(credit_notes.insert().values(**row))
            connection.execute(
                invoice_states.update()
                .where(invoice_states.c.invoice_id == invoice.id)
                .values(credited_nanos=invoice_states.c.credited_nanos + content.total_nanos, changed_ns=change.now_ns)
            )
            self._ledger.post(_journal(row, content), connection)
            change.note(number=row["number"], total_nanos=content.total_nanos, currency=content.currency)
            told = {name: row[name] for name in ("id", "number", "invoice_id", "currency", "total_nanos")}
            announce(connection, "credit_note.issued", invoice.tenant_id, told, change.now_ns)
        return self.get(invoice.tenant_id, note_id)

    def _check_unchanged(self, connection: sa.Connection, invoice: Invoice) -> None:
        """No other note of the invoice came in between: what is left of it was counted outside this transaction."""
        credited = connection.scalar(
            sa.select(invoice_states.c.credited_nanos).where(invoice_states.c.invoice_id == invoice.id)
        )
        counted = connection.scalar(
            sa.select(sa.func.coalesce(sa.func.sum(credit_notes.c.total_nanos), 0)).where(
                credit_notes.c.invoice_id == invoice.id
            )
        )
        if credited != counted or counted != sum(note.content.total_nanos for note in self.of(invoice.id)):
            raise MintageError("conflict", "The invoice was credited just now.", "Look at it and try again.")

    def _content(self, invoice: Invoice, parts: Sequence[Part] | None, reason: str) -> CreditContent:
        content = invoice.content
        if content.funding == "promo":
            raise MintageError("conflict", "The invoice was given away: nothing was paid.", "Grant credit instead.")
        done: dict[int, tuple[int, int]] = {}
        for note in self.of(invoice.id):
            for line in note.content.lines:
                amount, tax = done.get(line.place, (0, 0))
                done[line.place] = (amount + line.amount_nanos, tax + line.tax_nanos)
        if parts is None:
            parts = [
                Part(place=place, amount_nanos=line.amount_nanos - done.get(place, (0, 0))[0])
                for place, line in enumerate(content.lines)
            ]
        lines = tuple(
            _line(content, part, done.get(part.place, (0, 0))) for part in _checked(content, parts) if part.amount_nanos
        )
        amount, tax = sum(line.amount_nanos for line in lines), sum(line.tax_nanos for line in lines)
        inclusive = bool(content.extras and content.extras.tax.inclusive)
        total = check_nanos(amount if inclusive else amount + tax)
        if not lines or total <= 0:
            raise MintageError("conflict", f"Nothing is left of {invoice.number}.", "It was credited already.")
        return CreditContent(
            invoice_id=invoice.id,
            invoice_number=invoice.number,
            invoice_hash=invoice.content_hash,
            reason=reason,
            seller=content.seller,
            customer=content.customer,
            funding=content.funding,
            currency=content.currency,
            lines=lines,
            net_nanos=total - tax,
            tax_nanos=tax,
            total_nanos=total,
            total=minor_units(total, content.currency),
            extras=content.extras,
        )

    def _by_key(self, invoice_id: str, key: str) -> CreditNote | None:
        found = self._read(credit_notes.c.invoice_id == invoice_id, credit_notes.c.request_key == key)
        return found[0] if found else None

    def of(self, invoice_id: str) -> list[CreditNote]:
        """All notes of an invoice, oldest first."""
        return self._read(credit_notes.c.invoice_id == invoice_id)

    def get(self, tenant_id: str | None, reference: str) -> CreditNote:
        """By id or number. Raises not_found."""
        column = credit_notes.c.id if reference.startswith("cn_") else credit_notes.c.number
        where = [column == reference] + ([] if tenant_id is None else [credit_notes.c.tenant_id == tenant_id])
        if not (found := self._read(*where)):
            raise MintageError(
                "not_found", f"There is no credit note {reference[:80]!r}.", "`mintage credit-notes list` shows all."
            )
        return found[0]

    def _read(self, *where: sa.ColumnElement[bool]) -> list[CreditNote]:
        select = sa.select(credit_notes).where(*where).order_by(credit_notes.c.sequence).limit(NOTES_MAX)
        with self._changes.database.read() as connection:
            return [_note(dict(row)) for row in connection.execute(select).mappings()]

    def page(
        self, *, tenant_id: str | None = None, limit: int = PAGE_DEFAULT, cursor: str | None = None
    ) -> Page[CreditNote]:
        """Newest first."""
        select = sa.select(credit_notes)
        if tenant_id is not None:
            select = select.where(credit_notes.c.tenant_id == tenant_id)
        with self._changes.database.read() as connection:
            rows, following = fetch_page(
                connection, select, credit_notes.c.id, limit=limit, cursor=cursor, newest_first=True
            )
        return Page(items=[_note(row) for row in rows], next_cursor=following)


def _note(row: dict[str, Any]) -> CreditNote:
    content = msgspec.json.decode(bytes(row["content"]), type=CreditContent)
    names = (name for name in CreditNote.__struct_fields__ if name != "content")
    return CreditNote(content=content, **{name: row[name] for name in names})


def _checked(content: InvoiceContent, parts: Sequence[Part]) -> list[Part]:
    unit = 10 ** (9 - currency_exponent(content.currency))
    places = [part.place for part in parts]
    for part in parts:
        if not 0 <= part.place < len(content.lines) or places.count(part.place) > 1:
            raise MintageError(
                "invalid_request",
                f"The invoice has no line {part.place}, or it is named twice.",
                f"Lines count from 0 to {len(content.lines) - 1}.",
                param=f"lines[{part.place}]",
            )
        if part.amount_nanos % unit:
            raise MintageError(
                "invalid_request", f"{content.currency} has no such small amounts.", "Round it.", param="amount"
            )
    return sorted(parts, key=lambda part: part.place)


def _line(content: InvoiceContent, part: Part, done: tuple[int, int]) -> CreditLine:
    """The tax is a difference of cumulative shares, so that what is credited in pieces adds up to the line's tax."""
    line = content.lines[part.place]
    before, tax_before = done
    after = before + part.amount_nanos
    low, high = sorted((0, line.amount_nanos))
    if not low <= after <= high or part.amount_nanos * (1 if line.amount_nanos > 0 else -1) < 0:
        raise MintageError(
            "invalid_request",
            f"Of line {part.place}, {minor_units(line.amount_nanos - before, content.currency)} is left to credit.",
            "Credit at most that.",
            param=f"lines[{part.place}].amount",
        )
    unit = 10 ** (9 - currency_exponent(content.currency))
    tax = round_half_up(Fraction(line.tax_nanos * after, line.amount_nanos * unit)) * unit if line.amount_nanos else 0
    return CreditLine(
        place=part.place,
        product=line.product,
        description=line.description,
        description_zh=line.description_zh,
        amount_nanos=part.amount_nanos,
        tax_nanos=int(tax) - tax_before,
    )


def _journal(row: dict[str, Any], content: CreditContent) -> Journal:
    inclusive = bool(content.extras and content.extras.tax.inclusive)
    sums: dict[str, int] = {}
    for line in content.lines:
        account = usage_account(line.product)
        net = line.amount_nanos - line.tax_nanos if inclusive else line.amount_nanos
        sums[account] = sums.get(account, 0) + net
    back = RECEIVABLE if content.funding == "postpaid" else PREPAID
    amounts = [*sorted(sums.items()), (TAX, content.tax_nanos), (back, -content.total_nanos)]
    return Journal(
        event="credit_note",
        source="credit_note",
        source_id=row["id"],
        occurred_ns=row["issued_ns"],
        tenant_id=row["tenant_id"],
        memo=row["number"],
        postings=tuple(
            Posting(account=account, currency=content.currency, amount_nanos=nanos)
            for account, nanos in amounts
            if nanos
        ),
    )
