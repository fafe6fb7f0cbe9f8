"""An invoice's content as a page shows it: parties, lines, taxes, totals. Pure; for drafts and finalised ones alike."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from mintage.billing import InvoiceContent, InvoiceLine
from mintage.console import figures
from mintage.console.table import Column, Empty, Table, amount, number, words
from mintage.console.visit import Visit


def invoice_values(visit: Visit, content: InvoiceContent) -> dict[str, Any]:
    t, currency = visit.t, content.currency
    return {
        "seller": content.seller,
        "customer": content.customer,
        "currency": currency,
        "first_day": content.first_day,
        "last_day": content.last_day,
        "zone": content.time_zone,
        "funding": t(f"customers.{content.funding}"),
        "lines": _lines(visit, content),
        "places": [(str(place), _name(visit, line)) for place, line in enumerate(content.lines)],
        "net": figures.money(content.net_nanos, currency) if content.taxes else None,
        "taxes": [
            {"name": one.name, "percent": one.percent, "base": figures.money(one.base_nanos, currency),
             "tax": figures.money(one.tax_nanos, currency)}
            for one in content.taxes
        ],
        "tax_note": _tax_note(visit, content),
        "total": figures.money(content.total_nanos, currency),
        "paid": figures.money(content.paid_nanos, currency) if content.paid_nanos else None,
        "due": figures.money(content.due_nanos, currency),
        "versions": content.price_versions,
        "policy": content.policy,
        "watermark": figures.count(content.watermark),
    }  # fmt: skip


def _tax_note(visit: Visit, content: InvoiceContent) -> str:
    if content.extras is None:
        return ""
    tax = content.extras.tax
    return tax.note_zh if visit.t.language == "zh" and tax.note_zh else tax.note_en


def _name(visit: Visit, line: InvoiceLine) -> str:
    shown = line.description_zh if visit.t.language == "zh" and line.description_zh else line.description
    return shown if not line.model or line.model in shown else f"{line.model} · {shown}"


def _lines(visit: Visit, content: InvoiceContent) -> Table:
    t, currency = visit.t, content.currency
    return Table(
        caption=t("invoice.lines"),
        columns=[
            Column(t("invoice.line"), wide=True),
            Column(t("requests.title_short"), numeric=True, keep=1),
            Column(t("invoice.quantity"), numeric=True, keep=2),
            Column(t("invoice.amount"), numeric=True),
        ],
        rows=[
            [
                words(_name(visit, line), title=f"{line.price_id} · {line.exact} {currency}"),
                number(line.requests) if line.requests else words(""),
                words(_quantity(line.quantity)) if line.requests or line.rate else words(""),
                amount(line.amount_nanos, currency),
            ]
            for line in content.lines
        ],
        empty=Empty(t("invoice.no_lines"), ""),
    )


def _quantity(value: int | Decimal) -> str:
    return figures.count(value) if isinstance(value, int) else f"{value:,f}"
