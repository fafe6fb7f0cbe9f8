"""The ledger's tables. Amounts are nanos (1e-9); debits are positive; times are nanoseconds since the epoch, UTC.

A rolled-up journal has exactly two legs, so one row holds both and cannot be out of balance. Journals of any other
shape (top-ups, invoices, payments) are kept one by one, with their postings.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from mintage.base import NANOS_MAX
from mintage.books.database import metadata


def _within(column: str) -> sa.CheckConstraint:
    """SQLite turns a sum beyond int64 into a float without a word; this refuses it instead."""
    return sa.CheckConstraint(f"{column} BETWEEN {-NANOS_MAX} AND {NANOS_MAX}", name=column)


#: How far each log is applied: moved in the transaction that applies, so an entry counts once.
watermarks: Final = sa.Table(
    "ledger_watermarks",
    metadata,
    sa.Column("log", sa.String(64), primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
)

#: Money per tenant, UTC day (days since the epoch), event, product, model and provider.
rollups: Final = sa.Table(
    "ledger_rollups",
    metadata,
    sa.Column("tenant_id", sa.String(64), primary_key=True),
    sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("event", sa.String(32), primary_key=True),
    sa.Column("product", sa.String(64), primary_key=True),
    sa.Column("model", sa.String(200), primary_key=True),
    sa.Column("provider", sa.String(64), primary_key=True),
    sa.Column("currency", sa.String(3), primary_key=True),
    sa.Column("debit", sa.String(200), primary_key=True),
    sa.Column("credit", sa.String(200), primary_key=True),
    sa.Column("amount_nanos", sa.BigInteger, nullable=False),
    sa.Column("entries", sa.BigInteger, nullable=False),
    _within("amount_nanos"),
    sa.Index(None, "day"),
    sqlite_with_rowid=False,
)

#: What an invoice is made from: quantities and exact amounts per quarter of an hour, the finest step in which the
#: world's time zones differ, so that a customer's local month is a whole number of rows.
#: The exact amount of a row is amount_nanos * 1e9 + amount_attos attos: int64 holds only 9.2 units of attos.
usage: Final = sa.Table(
    "ledger_usage",
    metadata,
    sa.Column("tenant_id", sa.String(64), primary_key=True),
    sa.Column("bucket_ns", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("price_id", sa.String(200), primary_key=True),
    sa.Column("model", sa.String(200), primary_key=True),
    sa.Column("product", sa.String(64), primary_key=True),
    sa.Column("meter", sa.String(64), primary_key=True),
    sa.Column("rate_attos", sa.String(40), primary_key=True),
    sa.Column("currency", sa.String(3), primary_key=True),
    sa.Column("quantity", sa.BigInteger, nullable=False),
    sa.Column("amount_nanos", sa.BigInteger, nullable=False),
    sa.Column("amount_attos", sa.BigInteger, nullable=False),
    sa.Column("entries", sa.BigInteger, nullable=False),
    _within("quantity"),
    _within("amount_nanos"),
    _within("amount_attos"),
    sqlite_with_rowid=False,
)

#: id is a hash of (source, source_id): the same journal cannot be posted twice.
journals: Final = sa.Table(
    "ledger_journals",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("event", sa.String(32), nullable=False),
    sa.Column("source", sa.String(200), nullable=False),
    sa.Column("source_id", sa.String(200), nullable=False),
    sa.Column("tenant_id", sa.String(64), nullable=False),
    sa.Column("occurred_ns", sa.BigInteger, nullable=False),
    sa.Column("memo", sa.String(500), nullable=False),
    sa.Column("payload_hash", sa.String(64), nullable=False),
    sa.Index(None, "tenant_id", "occurred_ns"),
    sa.Index(None, "occurred_ns"),
)

postings: Final = sa.Table(
    "ledger_postings",
    metadata,
    sa.Column("journal_id", sa.String(32), sa.ForeignKey("ledger_journals.id"), primary_key=True),
    sa.Column("line", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("account", sa.String(200), nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("amount_nanos", sa.BigInteger, nullable=False),
    sa.Column("product", sa.String(64), nullable=False),
    sa.Column("model", sa.String(200), nullable=False),
    sa.Column("provider", sa.String(64), nullable=False),
    _within("amount_nanos"),
    sqlite_with_rowid=False,
)

#: Each wallet as the ledger derives it, so that the log's own balances have something to be compared with.
wallets: Final = sa.Table(
    "ledger_wallets",
    metadata,
    sa.Column("wallet_id", sa.String(64), primary_key=True),
    sa.Column("tenant_id", sa.String(64), nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("funding", sa.String(16), nullable=False),
    sa.Column("balance_nanos", sa.BigInteger, nullable=False),
    _within("balance_nanos"),
    sa.Index(None, "tenant_id"),
)

#: The books before until_ns are locked: no journal may be posted there any more. The latest row counts.
locks: Final = sa.Table(
    "ledger_locks",
    metadata,
    sa.Column("until_ns", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
)

#: A closed period takes no more usage: what arrives late for it counts in the first open moment instead. `seq` is
#: the watermark at closing, so the same log gives the same rows again.
closings: Final = sa.Table(
    "ledger_closings",
    metadata,
    sa.Column("tenant_id", sa.String(64), primary_key=True),
    sa.Column("closed_until_ns", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("log", sa.String(64), nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
)
