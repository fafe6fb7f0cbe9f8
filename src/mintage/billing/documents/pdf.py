"""An invoice as a PDF (typst, in the extra `billing`): the same invoice gives the same bytes."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from functools import lru_cache
from importlib import resources
from typing import Any, Final

import msgspec

from mintage.base import MintageError
from mintage.billing.credit_notes import CreditNote
from mintage.billing.currencies import convert_nanos
from mintage.billing.documents.words import WORDS, count, day, money
from mintage.billing.extras import Extras
from mintage.billing.invoice import InvoiceContent, Party
from mintage.billing.invoices import Invoice
from mintage.billing.profiles import BillingProfile, BillingSettings
from mintage.billing.tax import TaxBasis

#: In order of preference; the last is built into typst and knows Latin, Greek and Cyrillic only.
_CHINESE: Final = ("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Zen Hei", "PingFang SC")
_LATIN: Final = ("Noto Sans", "Inter", "Libertinus Serif")
_LINES_MAX: Final = 5_000


def render_invoice(invoice: Invoice) -> bytes:
    """Raises unsupported without typst, or where the text needs a Chinese font and none is installed."""
    return _render(_invoice_data(invoice))


def render_credit_note(note: CreditNote) -> bytes:
    return _render(_note_data(note))


def _render(data: dict[str, Any]) -> bytes:
    try:
        import typst
    except ImportError as error:
        raise MintageError(
            "unsupported", "PDFs need typst, which is not installed.", "pip install 'mintage[billing]'"
        ) from error
    text = msgspec.json.encode(data).decode()
    data["fonts"] = _fonts(any(_is_wide(char) for char in text))
    template = resources.files("mintage.billing.documents").joinpath("invoice.typ").read_bytes()
    made = typst.compile(template, sys_inputs={"data": msgspec.json.encode(data).decode()}, pdf_standards=["a-3b"])
    assert isinstance(made, bytes)
    return made


def _is_wide(char: str) -> bool:
    return ord(char) > 0x2E7F and unicodedata.east_asian_width(char) in "WF"


@lru_cache(1)
def _families() -> frozenset[str]:
    import typst

    return frozenset(typst.Fonts().families())


def _fonts(chinese: bool) -> list[str]:
    found: list[str] = [name for name in (*_CHINESE, *_LATIN) if name in _families()]
    if chinese and not any(name in _CHINESE for name in found):
        raise MintageError(
            "unsupported",
            "The document has Chinese characters, and no font for them is installed.",
            "Install one, such as Debian's: apt install fonts-noto-cjk",
        )
    return found or ["Libertinus Serif"]


# -- what the template shows -----------------------------------------------------------------------------------------


def _party(party: Party, place: BillingSettings | BillingProfile, words: dict[str, str]) -> dict[str, Any]:
    city = " ".join(filter(None, (place.postal_code, place.city)))
    own = [line for line in (place.street, city, place.region) if line]
    lines = own or [line for line in party.address.splitlines() if line.strip()]
    lines += [party.country] if party.country else []
    lines += [f"{words['tax_id']}: {party.tax_id}"] if party.tax_id else []
    return {"name": party.name, "lines": lines or [" "]}


def _frame(kind: str, made: Invoice | CreditNote, extras: Extras) -> dict[str, Any]:
    words, content = WORDS[extras.language], made.content
    issued = datetime.fromtimestamp(made.issued_ns // 10**9, UTC)
    return {
        "title": words[kind],
        "number": made.number,
        "date": [issued.year, issued.month, issued.day],
        "language": extras.language,
        "words": words,
        "seller": _party(content.seller, extras.seller, words),
        "customer": _party(content.customer, extras.customer, words),
        "columns": [words[name] for name in ("description", "quantity", "rate", "amount")],
        "footer": " · ".join(filter(None, (content.seller.name, content.seller.tax_id, extras.seller.email))),
    }


def _extras(extras: Extras | None) -> Extras:
    return extras or Extras(tax=TaxBasis(scheme="none"))


def _invoice_data(invoice: Invoice) -> dict[str, Any]:
    content, extras = invoice.content, _extras(invoice.content.extras)
    words, zh, currency = WORDS[extras.language], extras.language == "zh", invoice.content.currency
    if len(content.lines) > _LINES_MAX:
        raise MintageError("unsupported", "The invoice has too many lines for a PDF.", "Export it as CSV.")
    facts = [
        (words["issued"], day(invoice.issued_ns, extras.language)),
        (words["period"], f"{content.first_day} – {content.last_day}"),
    ]
    if content.due_nanos > 0:
        facts.append((words["due"], day(invoice.due_ns, extras.language)))
    if extras.customer.purchase_order:
        facts.append((words["order"], extras.customer.purchase_order))
    totals = [(words["subtotal"], money(sum(line.amount_nanos for line in content.lines), currency))]
    totals += [(_tax_name(tax.name, tax.percent, extras), money(tax.tax_nanos, currency)) for tax in content.taxes]
    if content.paid_nanos or content.taxes:
        totals.append((words["total"], money(content.total_nanos, currency)))
    if content.paid_nanos:
        totals.append((words["paid"], money(-content.paid_nanos, currency)))
    return {
        **_frame("invoice", invoice, extras),
        "facts": facts,
        "lines": [
            {
                "description": (zh and line.description_zh) or line.description or line.product,
                "quantity": count(line.quantity),
                "rate": line.rate or "",
                "amount": money(line.amount_nanos, currency),
            }
            for line in content.lines
        ],
        "totals": totals,
        "due": (words["to_pay"], money(content.due_nanos, currency)),
        "notes": _notes(content, invoice.number, extras),
    }


def _tax_name(name: str, percent: str, extras: Extras) -> str:
    words = WORDS[extras.language]
    return f"{name} {percent} %" + (f" ({words['included']})" if extras.tax.inclusive else "")


def _notes(content: InvoiceContent, number: str, extras: Extras) -> list[str]:
    words, seller = WORDS[extras.language], extras.seller
    notes = [extras.tax.note_zh if extras.language == "zh" else extras.tax.note_en]
    if extras.rate is not None:
        there = [convert_nanos(nanos, extras.rate) for nanos in (content.net_nanos, content.tax_nanos)]
        net, tax = (money(nanos, extras.rate.quote) for nanos in there)
        rate = f"1 {extras.rate.base} = {extras.rate.rate} {extras.rate.quote}, {extras.rate.day}"
        notes.append(f"{words['in_books']}: {net} + {tax} ({rate})")
    if content.due_nanos > 0 and seller.iban:
        bank = " · ".join(filter(None, (seller.bank_name, f"IBAN {seller.iban}", seller.bic and f"BIC {seller.bic}")))
        notes.append(f"{words['bank']}: {bank} · {words['reference']}: {number}")
    if (fapiao := extras.fapiao) is not None:
        parts = (fapiao.title, fapiao.tax_number, fapiao.address_phone, fapiao.bank_account)
        notes += [f"{words['fapiao']}: {' · '.join(filter(None, parts))}", words["proforma"]]
    return [note for note in (*notes, seller.footer) if note]


def _note_data(note: CreditNote) -> dict[str, Any]:
    content, extras = note.content, _extras(note.content.extras)
    words, zh, currency = WORDS[extras.language], extras.language == "zh", note.content.currency
    return {
        **_frame("credit_note", note, extras),
        "facts": [
            (words["issued"], day(note.issued_ns, extras.language)),
            (words["of_invoice"], content.invoice_number),
            (words["reason"], content.reason or "-"),
        ],
        "lines": [
            {
                "description": (zh and line.description_zh) or line.description,
                "quantity": "",
                "rate": "",
                "amount": money(line.amount_nanos, currency),
            }
            for line in content.lines
        ],
        "totals": [(words["net"], money(content.net_nanos, currency))]
        + [(" + ".join(f"{r.name} {r.percent} %" for r in extras.tax.rates), money(content.tax_nanos, currency))]
        * bool(content.tax_nanos),
        "due": (words["credited"], money(content.total_nanos, currency)),
        "notes": [extras.tax.note_zh if zh else extras.tax.note_en] if extras.tax.note_en else [],
    }
