"""What an invoice posts, by the table of docs/decisions/0003-money.md."""

from __future__ import annotations

from typing import Any, Final

from mintage.billing.invoice import InvoiceContent
from mintage.books import Journal, Posting, usage_account

RECEIVABLE: Final = "assets:receivable"
UNBILLED: Final = "assets:unbilled_receivable"
ROUNDING: Final = "equity:rounding"
TAX: Final = "liabilities:tax_payable"


def invoice_journals(row: dict[str, Any], content: InvoiceContent) -> list[Journal]:
    """A postpaid invoice moves what was used, and its tax, to the receivable; what rounding leaves goes to equity.

    A prepaid one was paid as it was used: only the tax within it moves, from income to what is owed to the state.
    """
    if not content.lines or content.funding == "promo":
        return []
    if content.funding == "prepaid":
        return [_journal(row, content, "tax_included", ":tax", _included(content))] if content.tax_nanos else []
    journals = []
    if content.total_nanos or content.net_nanos:
        postings = [(RECEIVABLE, content.total_nanos), (UNBILLED, -content.net_nanos), (TAX, -content.tax_nanos)]
        journals.append(_journal(row, content, "invoice_finalised", "", postings))
    if content.rounding_nanos:
        postings = [(ROUNDING, -content.rounding_nanos), (UNBILLED, content.rounding_nanos)]
        journals.append(_journal(row, content, "rounding", ":rounding", postings))
    return journals


def _included(content: InvoiceContent) -> list[tuple[str, int]]:
    """The tax of each product's lines out of its income."""
    sums: dict[str, int] = {}
    for line in content.lines:
        account = usage_account(line.product)
        sums[account] = sums.get(account, 0) + line.tax_nanos
    return [*sorted(sums.items()), (TAX, -content.tax_nanos)]


def _journal(
    row: dict[str, Any], content: InvoiceContent, event: str, suffix: str, amounts: list[tuple[str, int]]
) -> Journal:
    return Journal(
        event=event,
        source="invoice",
        source_id=f"{row['id']}{suffix}",
        occurred_ns=row["issued_ns"],
        tenant_id=row["tenant_id"],
        memo=row["number"],
        postings=tuple(
            Posting(account=account, currency=content.currency, amount_nanos=nanos)
            for account, nanos in amounts
            if nanos
        ),
    )
