"""A provider's own usage or bill export against what we recorded: what differs, request by request or bucket by bucket.

In: their export (CSV, JSON), our requests. Out: rows with a verdict and its cause, totals, rows that could not be
read. records.py reads, shapes.py knows the providers' shapes, compare.py compares. Start with reconcile_records.
"""

from mintage.pricing.reconcile.compare import Reconciliation, ReconciliationRow, reconcile_records
from mintage.pricing.reconcile.records import BillRecord, read_records

__all__ = ["BillRecord", "Reconciliation", "ReconciliationRow", "read_records", "reconcile_records"]
