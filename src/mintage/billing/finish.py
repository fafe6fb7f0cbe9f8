"""From a net statement to an invoice: tax on the rounded lines, the total, what is due. Pure."""

from __future__ import annotations

import msgspec

from mintage.billing.extras import Extras
from mintage.billing.invoice import InvoiceContent, minor_units
from mintage.billing.tax import apply_tax


def finish(content: InvoiceContent, extras: Extras | None) -> InvoiceContent:
    """content as make_content made it. The same content and extras give the same invoice."""
    if extras is None:
        return content
    taxes, shares = apply_tax([line.amount_nanos for line in content.lines], extras.tax, content.currency)
    tax = sum(line.tax_nanos for line in taxes)
    subtotal = sum(line.amount_nanos for line in content.lines)
    total = subtotal if extras.tax.inclusive else subtotal + tax
    due = total if content.funding == "postpaid" else 0
    lines = tuple(
        msgspec.structs.replace(line, tax_nanos=share) for line, share in zip(content.lines, shares, strict=True)
    )
    return msgspec.structs.replace(
        content,
        lines=lines,
        taxes=tuple(taxes),
        net_nanos=total - tax,
        tax_nanos=tax,
        total_nanos=total,
        total=minor_units(total, content.currency),
        paid_nanos=total - due,
        due_nanos=due,
        extras=extras,
    )
