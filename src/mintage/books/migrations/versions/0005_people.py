"""People and scopes: credentials, customers' people, budgets and scopes of keys, data keys, replays, audit indexes.

Sessions and sign-in links are made anew: everyone signs in once more.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("actor", "action"):
        op.create_index(f"ix_audit_{name}", "audit", [name, "seq"])
    op.create_index("ix_audit_at_ns", "audit", ["at_ns"])
    _people()
    _scopes()
    _sealed()


def _people() -> None:
    op.add_column("staff", sa.Column("updated_ns", sa.BigInteger, nullable=False, server_default="0"))
    op.create_table(
        "customer_users",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("updated_ns", sa.BigInteger, nullable=False),
        sa.Column("disabled_ns", sa.BigInteger, nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_customer_users_tenant_id_tenants"),
        sa.PrimaryKeyConstraint("id", name="pk_customer_users"),
        sa.UniqueConstraint("email", name="uq_customer_users_email"),
    )
    op.create_index("ix_customer_users_tenant_id", "customer_users", ["tenant_id", "id"])
    op.create_table(
        "credentials",
        sa.Column("person_id", sa.String(64), nullable=False),
        sa.Column("password_hash", sa.String(200), nullable=True),
        sa.Column("totp_sealed", sa.LargeBinary, nullable=True),
        sa.Column("totp_confirmed_ns", sa.BigInteger, nullable=True),
        sa.Column("totp_step", sa.BigInteger, nullable=False),
        sa.Column("recovery", sa.Text, nullable=False),
        sa.Column("updated_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("person_id", name="pk_credentials"),
    )
    op.drop_table("sign_in_links")
    op.create_table(
        "sign_in_links",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("person_id", sa.String(64), nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("expires_ns", sa.BigInteger, nullable=False),
        sa.Column("used_ns", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("digest", name="pk_sign_in_links"),
    )
    op.create_index("ix_sign_in_links_person_id", "sign_in_links", ["person_id"])
    op.drop_table("sessions")
    op.create_table(
        "sessions",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("person_id", sa.String(64), nullable=False),
        sa.Column("method", sa.String(16), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("agent", sa.String(200), nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("seen_ns", sa.BigInteger, nullable=False),
        sa.Column("expires_ns", sa.BigInteger, nullable=False),
        sa.Column("ended_ns", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("digest", name="pk_sessions"),
        sa.UniqueConstraint("id", name="uq_sessions_id"),
    )
    op.create_index("ix_sessions_person_id", "sessions", ["person_id", "id"])


def _scopes() -> None:
    for table in ("projects", "api_keys"):
        op.add_column(table, sa.Column("budget_nanos", sa.BigInteger, nullable=True))
        op.add_column(table, sa.Column("budget_period", sa.String(8), nullable=False, server_default="month"))
        op.add_column(table, sa.Column("updated_ns", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("api_keys", sa.Column("endpoints", sa.Text, nullable=False, server_default="[]"))
    op.add_column("api_keys", sa.Column("ip_ranges", sa.Text, nullable=False, server_default="[]"))
    op.add_column("api_keys", sa.Column("rotated_from", sa.String(64), nullable=True))


def _sealed() -> None:
    op.create_table(
        "data_keys",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_data_keys"),
    )
    op.create_table(
        "replays",
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("head", sa.Text, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=True),
        sa.Column("expires_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("actor", "key", name="pk_replays"),
    )
    op.create_index("ix_replays_expires_ns", "replays", ["expires_ns"])
