"""The tables of what is owed: price versions and their schedule, subscriptions, wallets, invoices."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from mintage.books import metadata

Id: Final = sa.String(64)
VersionId: Final = sa.String(128)

#: A version is never changed or deleted. `canonical` is the plan; the id is its hash.
price_versions: Final = sa.Table(
    "price_versions",
    metadata,
    sa.Column("id", VersionId, primary_key=True),
    sa.Column("plan", Id, nullable=False),
    sa.Column("canonical", sa.LargeBinary, nullable=False),
    sa.Column("applied_ns", sa.BigInteger, nullable=False),
    sa.Index(None, "plan"),
)

#: From effective_ns on, the plan means this version, until the next row. The same version may come back later.
price_schedule: Final = sa.Table(
    "price_schedule",
    metadata,
    sa.Column("plan", Id, primary_key=True),
    sa.Column("effective_ns", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("version_id", VersionId, sa.ForeignKey("price_versions.id"), nullable=False),
)

#: Which plan a tenant has from started_ns to ended_ns; both may lie ahead. The anchor day stays the first one's for as
#: long as one follows another. Fees are waived until trial_until_ns; refund says whether the unused part of a fee is
#: credited when the plan ends early (prorate, none).
subscriptions: Final = sa.Table(
    "subscriptions",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("tenant_id", Id, sa.ForeignKey("tenants.id"), nullable=False),
    sa.Column("plan", Id, nullable=False),
    sa.Column("anchor_day", sa.String(10), nullable=False),
    sa.Column("time_zone", sa.String(64), nullable=False),
    sa.Column("period", sa.String(16), nullable=False),
    sa.Column("started_ns", sa.BigInteger, nullable=False),
    sa.Column("ended_ns", sa.BigInteger, nullable=True),
    sa.Column("trial_until_ns", sa.BigInteger, nullable=True),
    sa.Column("refund", sa.String(8), nullable=False, server_default="prorate"),
    sa.Index(None, "tenant_id", "id"),
    sa.Index(None, "plan"),
)

#: Which wallets there are. Their balances live in the commit log alone.
wallets: Final = sa.Table(
    "wallets",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("tenant_id", Id, sa.ForeignKey("tenants.id"), nullable=False, unique=True),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("funding", sa.String(16), nullable=False),
    sa.Column("credit_limit_nanos", sa.BigInteger, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
)

#: One row per closed stretch of a tenant's time. `content` is the invoice, byte for byte; a stretch without anything to
#: bill has neither content nor number.
invoices: Final = sa.Table(
    "invoices",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("tenant_id", Id, sa.ForeignKey("tenants.id"), nullable=False),
    sa.Column("start_ns", sa.BigInteger, nullable=False),
    sa.Column("end_ns", sa.BigInteger, nullable=False),
    sa.Column("entity_id", Id, sa.ForeignKey("legal_entities.id"), nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=True),
    sa.Column("number", sa.String(40), nullable=True, unique=True),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("total_nanos", sa.BigInteger, nullable=False),
    sa.Column("due_nanos", sa.BigInteger, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=True),
    sa.Column("content_hash", sa.String(64), nullable=False),
    sa.Column("issued_ns", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("tenant_id", "start_ns"),
    sa.UniqueConstraint("entity_id", "sequence"),
)
