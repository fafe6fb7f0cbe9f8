"""One document of one kind, whatever it is of."""

from __future__ import annotations

from mintage.base import MintageError
from mintage.billing.credit_notes import CreditNote
from mintage.billing.documents.einvoice import credit_note_xml, factur_x, invoice_xml
from mintage.billing.documents.pdf import render_credit_note, render_invoice
from mintage.billing.invoices import Invoice

KINDS = {"pdf": "application/pdf", "xml": "application/xml", "factur-x": "application/pdf"}


def make_document(made: Invoice | CreditNote, kind: str) -> tuple[bytes, str]:
    """(bytes, media type). kind: pdf, xml or factur-x. Raises invalid_request, unsupported."""
    if kind not in KINDS:
        raise MintageError("invalid_request", f"There is no document {kind[:20]!r}.", f"One of {', '.join(KINDS)}.")
    if kind == "pdf":
        return _pdf(made), KINDS[kind]
    if kind == "xml":
        return _xml(made), KINDS[kind]
    language = made.content.extras.language if made.content.extras else "en"
    return factur_x(_pdf(made), _xml(made), language=language), KINDS[kind]


def _pdf(made: Invoice | CreditNote) -> bytes:
    return render_invoice(made) if isinstance(made, Invoice) else render_credit_note(made)


def _xml(made: Invoice | CreditNote) -> bytes:
    return invoice_xml(made) if isinstance(made, Invoice) else credit_note_xml(made)
