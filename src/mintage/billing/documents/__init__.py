"""Invoices and credit notes as people and machines read them: PDF, e-invoice XML, tables, e-mail.

In: finalised invoices. Out: bytes; the same invoice gives the same bytes. Nothing here decides an amount.
Start with pdf.py and invoice.typ (what is seen), then einvoice.py (EN 16931), export.py and mail.py.
"""

from mintage.billing.documents.einvoice import credit_note_xml, factur_x, invoice_xml
from mintage.billing.documents.export import FORMATS, export_lines
from mintage.billing.documents.mail import Attachment, MailServer, send_mail
from mintage.billing.documents.make import make_document
from mintage.billing.documents.pdf import render_credit_note, render_invoice

__all__ = [
    "FORMATS",
    "Attachment",
    "MailServer",
    "credit_note_xml",
    "export_lines",
    "factur_x",
    "invoice_xml",
    "make_document",
    "render_credit_note",
    "render_invoice",
    "send_mail",
]
