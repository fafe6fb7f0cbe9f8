"""Funds shared by several gateway processes: one row per wallet, debited before a process may spend.

Always: avail + leased + spent = funded, none of them below zero. The database refuses anything else.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from mintage.books.database import metadata

#: avail: for anyone to lease. leased: with some process, or spent there and not shipped yet. spent: shipped.
wallets: Final = sa.Table(
    "funds_wallets",
    metadata,
    sa.Column("wallet_id", sa.String(64), primary_key=True),
    sa.Column("tenant_id", sa.String(64), nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("funding", sa.String(16), nullable=False),
    sa.Column("funded_nanos", sa.BigInteger, nullable=False),
    sa.Column("avail_nanos", sa.BigInteger, nullable=False),
    sa.Column("leased_nanos", sa.BigInteger, nullable=False),
    sa.Column("spent_nanos", sa.BigInteger, nullable=False),
    sa.Column("grant_nanos", sa.BigInteger, nullable=False),  # the last lease's size, for RETURNING
    sa.Column("wanted_ns", sa.BigInteger, nullable=False),  # when a lease was last refused: others hand back then
    sa.CheckConstraint("avail_nanos >= 0", name="avail"),
    sa.CheckConstraint("leased_nanos >= 0", name="leased"),
    sa.CheckConstraint("spent_nanos >= 0", name="spent"),
    sa.CheckConstraint("avail_nanos + leased_nanos + spent_nanos = funded_nanos", name="conserved"),
)

#: What came in, once per (source, source_id).
grants: Final = sa.Table(
    "funds_grants",
    metadata,
    sa.Column("source", sa.String(200), primary_key=True),
    sa.Column("source_id", sa.String(200), primary_key=True),
    sa.Column("wallet_id", sa.String(64), sa.ForeignKey("funds_wallets.wallet_id"), nullable=False),
    sa.Column("amount_nanos", sa.BigInteger, nullable=False),
)

#: Money on its way to a worker. Removed when the worker's log, shipped, shows that it arrived.
leases: Final = sa.Table(
    "funds_leases",
    metadata,
    sa.Column("lease_id", sa.String(64), primary_key=True),
    sa.Column("worker", sa.String(64), nullable=False),
    sa.Column("wallet_id", sa.String(64), sa.ForeignKey("funds_wallets.wallet_id"), nullable=False),
    sa.Column("amount_nanos", sa.BigInteger, nullable=False),
    sa.Index(None, "worker"),
)

#: Which log a worker writes, by the hash of its first commit: a worker's name on another log would hide its spending.
workers: Final = sa.Table(
    "funds_workers",
    metadata,
    sa.Column("worker", sa.String(64), primary_key=True),
    sa.Column("log_hash", sa.String(64), nullable=False),
    sa.Column("pruned_seq", sa.BigInteger, nullable=False),  # entries up to here are counted and forgotten
)

#: Each log entry that moved a wallet, once.
shipped: Final = sa.Table(
    "funds_shipped",
    metadata,
    sa.Column("worker", sa.String(64), primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("wallet_id", sa.String(64), nullable=False),
    sa.Column("spent_nanos", sa.BigInteger, nullable=False),
    sa.Column("returned_nanos", sa.BigInteger, nullable=False),
)
