"""Lineage of models made here."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "factory_artifacts",
        sa.Column("id", sa.String(128), nullable=False),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_factory_artifacts"),
    )
    op.create_index("ix_factory_artifacts_run_id", "factory_artifacts", ["run_id"])
    op.create_table(
        "factory_links",
        sa.Column("child", sa.String(128), nullable=False),
        sa.Column("parent", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("child", "parent", name="pk_factory_links"),
    )
    op.create_table(
        "factory_deployments",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("lifetime_tokens", sa.BigInteger, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("ended_ns", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_factory_deployments"),
    )
    op.create_index("ix_factory_deployments_model", "factory_deployments", ["model"])
