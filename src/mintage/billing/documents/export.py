"""Invoices' lines as a table: CSV, JSON lines, or Parquet."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from mintage.base import MintageError
from mintage.billing.invoices import Invoice

FORMATS: Final = {"csv": "text/csv", "json": "application/json", "parquet": "application/vnd.apache.parquet"}

COLUMNS: Final = (
    "invoice", "state", "customer_id", "customer", "issued_ns", "first_day", "last_day", "currency", "line",
    "product", "model", "meter", "description", "price_id", "quantity", "rate", "exact", "amount_nanos", "tax_nanos",
    "invoice_total_nanos", "invoice_tax_nanos", "invoice_due_nanos", "invoice_open_nanos",
)  # fmt: skip
_CHILD_S: Final = 120.0
_RISKY: Final = ("=", "+", "-", "@", "\t", "\r")


def export_lines(invoices: Sequence[Invoice], form: str) -> bytes:
    """One row a line. Exact amounts are text; nanos are integers. Raises invalid_request for another format."""
    rows = [row for invoice in invoices for row in _rows(invoice)]
    match form:
        case "csv":
            out = io.StringIO()
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows([_safe(row[name]) for name in COLUMNS] for row in rows)
            return out.getvalue().encode()
        case "json":
            return msgspec.json.encode(rows)
        case "parquet":
            return _parquet(rows)
    raise MintageError("invalid_request", f"There is no format {form[:20]!r}.", f"One of {', '.join(FORMATS)}.")


def _safe(cell: Any) -> Any:
    """Text that a spreadsheet would run as a formula is quoted; numbers are left alone."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_RISKY) and not _is_number(cell) else cell


def _is_number(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).isdigit()


def _rows(invoice: Invoice) -> list[dict[str, Any]]:
    content = invoice.content
    head = {
        "invoice": invoice.number,
        "state": invoice.state,
        "customer_id": invoice.tenant_id,
        "customer": content.customer.name,
        "issued_ns": invoice.issued_ns,
        "first_day": content.first_day,
        "last_day": content.last_day,
        "currency": content.currency,
        "invoice_total_nanos": content.total_nanos,
        "invoice_tax_nanos": content.tax_nanos,
        "invoice_due_nanos": content.due_nanos,
        "invoice_open_nanos": invoice.open_nanos,
    }
    names = ("product", "model", "meter", "description", "price_id", "rate", "exact", "amount_nanos", "tax_nanos")
    return [
        {**head, "line": place, "quantity": str(line.quantity), **{name: getattr(line, name) for name in names}}
        for place, line in enumerate(content.lines)
    ]


def _parquet(rows: Sequence[dict[str, Any]]) -> bytes:
    """In a process of its own: the server never loads DuckDB."""
    made = subprocess.run(
        [sys.executable, "-m", "mintage.billing.documents.parquet"],
        input=b"\n".join(msgspec.json.encode(row) for row in rows),
        capture_output=True,
        timeout=_CHILD_S,
        check=False,
    )
    if made.returncode:
        raise MintageError("unavailable", "The Parquet file could not be written.", made.stderr.decode()[-200:])
    return made.stdout
