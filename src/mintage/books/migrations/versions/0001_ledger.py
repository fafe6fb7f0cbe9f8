"""The ledger: watermarks, rolled-up money and usage, journals with postings, wallets, closings."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _within(table: str, column: str) -> sa.CheckConstraint:
    limit = 2**63 - 1
    return sa.CheckConstraint(f"{column} BETWEEN {-limit} AND {limit}", name=op.f(f"ck_{table}_{column}"))


def upgrade() -> None:
    op.create_table(
        "ledger_watermarks",
        sa.Column("log", sa.String(64), nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("log", name="pk_ledger_watermarks"),
    )
    op.create_table(
        "ledger_rollups",
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("day", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("event", sa.String(32), nullable=False),
        sa.Column("product", sa.String(64), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("provider", sa.String(64), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("debit", sa.String(200), nullable=False),
        sa.Column("credit", sa.String(200), nullable=False),
        sa.Column("amount_nanos", sa.BigInteger, nullable=False),
        sa.Column("entries", sa.BigInteger, nullable=False),
        _within("ledger_rollups", "amount_nanos"),
        sa.PrimaryKeyConstraint(
            "tenant_id",
            "day",
            "event",
            "product",
            "model",
            "provider",
            "currency",
            "debit",
            "credit",
            name="pk_ledger_rollups",
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_ledger_rollups_day", "ledger_rollups", ["day"])
    op.create_table(
        "ledger_usage",
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("bucket_ns", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("price_id", sa.String(200), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("product", sa.String(64), nullable=False),
        sa.Column("meter", sa.String(64), nullable=False),
        sa.Column("rate_attos", sa.String(40), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.Column("amount_nanos", sa.BigInteger, nullable=False),
        sa.Column("amount_attos", sa.BigInteger, nullable=False),
        sa.Column("entries", sa.BigInteger, nullable=False),
        _within("ledger_usage", "quantity"),
        _within("ledger_usage", "amount_nanos"),
        _within("ledger_usage", "amount_attos"),
        sa.PrimaryKeyConstraint(
            "tenant_id",
            "bucket_ns",
            "price_id",
            "model",
            "product",
            "meter",
            "rate_attos",
            "currency",
            name="pk_ledger_usage",
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "ledger_journals",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("event", sa.String(32), nullable=False),
        sa.Column("source", sa.String(200), nullable=False),
        sa.Column("source_id", sa.String(200), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("occurred_ns", sa.BigInteger, nullable=False),
        sa.Column("memo", sa.String(500), nullable=False),
        sa.Column("payload_hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_journals"),
    )
    op.create_index("ix_ledger_journals_tenant_id_occurred_ns", "ledger_journals", ["tenant_id", "occurred_ns"])
    op.create_index("ix_ledger_journals_occurred_ns", "ledger_journals", ["occurred_ns"])
    op.create_table(
        "ledger_postings",
        sa.Column("journal_id", sa.String(32), nullable=False),
        sa.Column("line", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("account", sa.String(200), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("amount_nanos", sa.BigInteger, nullable=False),
        sa.Column("product", sa.String(64), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("provider", sa.String(64), nullable=False),
        _within("ledger_postings", "amount_nanos"),
        sa.ForeignKeyConstraint(
            ["journal_id"], ["ledger_journals.id"], name="fk_ledger_postings_journal_id_ledger_journals"
        ),
        sa.PrimaryKeyConstraint("journal_id", "line", name="pk_ledger_postings"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "ledger_wallets",
        sa.Column("wallet_id", sa.String(64), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("funding", sa.String(16), nullable=False),
        sa.Column("balance_nanos", sa.BigInteger, nullable=False),
        _within("ledger_wallets", "balance_nanos"),
        sa.PrimaryKeyConstraint("wallet_id", name="pk_ledger_wallets"),
    )
    op.create_index("ix_ledger_wallets_tenant_id", "ledger_wallets", ["tenant_id"])
    op.create_table(
        "ledger_closings",
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("closed_until_ns", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("log", sa.String(64), nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "closed_until_ns", name="pk_ledger_closings"),
    )
