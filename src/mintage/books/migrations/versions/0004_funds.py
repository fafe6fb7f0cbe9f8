"""Funds that several gateway processes share: wallets, grants, leases, workers, shipped entries."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "funds_wallets",
        sa.Column("wallet_id", sa.String(64), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("funding", sa.String(16), nullable=False),
        sa.Column("funded_nanos", sa.BigInteger, nullable=False),
        sa.Column("avail_nanos", sa.BigInteger, nullable=False),
        sa.Column("leased_nanos", sa.BigInteger, nullable=False),
        sa.Column("spent_nanos", sa.BigInteger, nullable=False),
        sa.Column("grant_nanos", sa.BigInteger, nullable=False),
        sa.Column("wanted_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("wallet_id", name="pk_funds_wallets"),
        sa.CheckConstraint("avail_nanos >= 0", name=op.f("ck_funds_wallets_avail")),
        sa.CheckConstraint("leased_nanos >= 0", name=op.f("ck_funds_wallets_leased")),
        sa.CheckConstraint("spent_nanos >= 0", name=op.f("ck_funds_wallets_spent")),
        sa.CheckConstraint(
            "avail_nanos + leased_nanos + spent_nanos = funded_nanos", name=op.f("ck_funds_wallets_conserved")
        ),
    )
    op.create_table(
        "funds_grants",
        sa.Column("source", sa.String(200), nullable=False),
        sa.Column("source_id", sa.String(200), nullable=False),
        sa.Column("wallet_id", sa.String(64), nullable=False),
        sa.Column("amount_nanos", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("source", "source_id", name="pk_funds_grants"),
        sa.ForeignKeyConstraint(
            ["wallet_id"], ["funds_wallets.wallet_id"], name="fk_funds_grants_wallet_id_funds_wallets"
        ),
    )
    op.create_table(
        "funds_leases",
        sa.Column("lease_id", sa.String(64), nullable=False),
        sa.Column("worker", sa.String(64), nullable=False),
        sa.Column("wallet_id", sa.String(64), nullable=False),
        sa.Column("amount_nanos", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("lease_id", name="pk_funds_leases"),
        sa.ForeignKeyConstraint(
            ["wallet_id"], ["funds_wallets.wallet_id"], name="fk_funds_leases_wallet_id_funds_wallets"
        ),
    )
    op.create_index("ix_funds_leases_worker", "funds_leases", ["worker"])
    op.create_table(
        "funds_workers",
        sa.Column("worker", sa.String(64), nullable=False),
        sa.Column("log_hash", sa.String(64), nullable=False),
        sa.Column("pruned_seq", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("worker", name="pk_funds_workers"),
    )
    op.create_table(
        "funds_shipped",
        sa.Column("worker", sa.String(64), nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("wallet_id", sa.String(64), nullable=False),
        sa.Column("spent_nanos", sa.BigInteger, nullable=False),
        sa.Column("returned_nanos", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("worker", "seq", name="pk_funds_shipped"),
    )
