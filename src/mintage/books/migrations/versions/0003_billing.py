"""What is owed: price versions and their schedule, subscriptions, wallets, invoices."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "price_versions",
        sa.Column("id", sa.String(128), nullable=False),
        sa.Column("plan", sa.String(64), nullable=False),
        sa.Column("canonical", sa.LargeBinary, nullable=False),
        sa.Column("applied_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_price_versions"),
    )
    op.create_index("ix_price_versions_plan", "price_versions", ["plan"])
    op.create_table(
        "invoices",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("start_ns", sa.BigInteger, nullable=False),
        sa.Column("end_ns", sa.BigInteger, nullable=False),
        sa.Column("entity_id", sa.String(64), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=True),
        sa.Column("number", sa.String(40), nullable=True),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("total_nanos", sa.BigInteger, nullable=False),
        sa.Column("due_nanos", sa.BigInteger, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=True),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("issued_ns", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["entity_id"], ["legal_entities.id"], name="fk_invoices_entity_id_legal_entities"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_invoices_tenant_id_tenants"),
        sa.PrimaryKeyConstraint("id", name="pk_invoices"),
        sa.UniqueConstraint("entity_id", "sequence", name="uq_invoices_entity_id_sequence"),
        sa.UniqueConstraint("number", name="uq_invoices_number"),
        sa.UniqueConstraint("tenant_id", "start_ns", name="uq_invoices_tenant_id_start_ns"),
    )
    op.create_table(
        "price_schedule",
        sa.Column("plan", sa.String(64), nullable=False),
        sa.Column("effective_ns", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("version_id", sa.String(128), nullable=False),
        sa.ForeignKeyConstraint(
            ["version_id"], ["price_versions.id"], name="fk_price_schedule_version_id_price_versions"
        ),
        sa.PrimaryKeyConstraint("plan", "effective_ns", name="pk_price_schedule"),
    )
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("plan", sa.String(64), nullable=False),
        sa.Column("anchor_day", sa.String(10), nullable=False),
        sa.Column("time_zone", sa.String(64), nullable=False),
        sa.Column("period", sa.String(16), nullable=False),
        sa.Column("started_ns", sa.BigInteger, nullable=False),
        sa.Column("ended_ns", sa.BigInteger, nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_subscriptions_tenant_id_tenants"),
        sa.PrimaryKeyConstraint("id", name="pk_subscriptions"),
    )
    op.create_index("ix_subscriptions_plan", "subscriptions", ["plan"])
    op.create_index("ix_subscriptions_tenant_id_id", "subscriptions", ["tenant_id", "id"])
    op.create_table(
        "wallets",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("funding", sa.String(16), nullable=False),
        sa.Column("credit_limit_nanos", sa.BigInteger, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_wallets_tenant_id_tenants"),
        sa.PrimaryKeyConstraint("id", name="pk_wallets"),
        sa.UniqueConstraint("tenant_id", name="uq_wallets_tenant_id"),
    )
