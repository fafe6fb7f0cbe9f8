"""How a customer buys: planned and ended subscriptions, pauses, fees ahead, rated periods, coupons, credit, caps."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "coupons",
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("name_en", sa.String(200), nullable=False),
        sa.Column("name_zh", sa.String(200), nullable=False),
        sa.Column("percent", sa.String(40), nullable=False),
        sa.Column("amount_nanos", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("periods", sa.Integer, nullable=True),
        sa.Column("redemptions_max", sa.Integer, nullable=True),
        sa.Column("valid_until_ns", sa.BigInteger, nullable=True),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("code", name="pk_coupons"),
    )
    op.create_table(
        "plan_pools",
        sa.Column("plan", sa.String(64), nullable=False),
        sa.Column("charge", sa.String(64), nullable=False),
        sa.Column("first_day", sa.String(10), nullable=False),
        sa.Column("amount_nanos", sa.BigInteger, nullable=False),
        sa.Column("units", sa.String(200), nullable=True),
        sa.PrimaryKeyConstraint("plan", "charge", "first_day", name="pk_plan_pools"),
    )
    op.create_table(
        "spend_alerts",
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("period_start_ns", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("percent", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("spent_nanos", sa.BigInteger, nullable=False),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "period_start_ns", "percent", name="pk_spend_alerts"),
    )
    op.create_table(
        "auto_top_ups",
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("below_nanos", sa.BigInteger, nullable=False),
        sa.Column("amount_nanos", sa.BigInteger, nullable=False),
        sa.Column("monthly_limit_nanos", sa.BigInteger, nullable=True),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_auto_top_ups_tenant_id_tenants"),
        sa.PrimaryKeyConstraint("tenant_id", name="pk_auto_top_ups"),
    )
    op.create_table(
        "coupon_redemptions",
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("redeemed_ns", sa.BigInteger, nullable=False),
        sa.Column("ended_ns", sa.BigInteger, nullable=True),
        sa.ForeignKeyConstraint(["code"], ["coupons.code"], name="fk_coupon_redemptions_code_coupons"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_coupon_redemptions_tenant_id_tenants"),
        sa.PrimaryKeyConstraint("code", "tenant_id", name="pk_coupon_redemptions"),
    )
    op.create_index("ix_coupon_redemptions_tenant_id", "coupon_redemptions", ["tenant_id"])

    op.create_table(
        "credit_lots",
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("wallet_id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("amount_nanos", sa.BigInteger, nullable=False),
        sa.Column("remaining_nanos", sa.BigInteger, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("expires_ns", sa.BigInteger, nullable=True),
        sa.Column("models", sa.Text, nullable=False),
        sa.Column("products", sa.Text, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_credit_lots_tenant_id_tenants"),
        sa.PrimaryKeyConstraint("id", name="pk_credit_lots"),
    )
    op.create_index("ix_credit_lots_state_expires_ns", "credit_lots", ["state", "expires_ns"])
    op.create_index("ix_credit_lots_tenant_id_state", "credit_lots", ["tenant_id", "state"])

    op.create_table(
        "credit_purchases",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("amount_nanos", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("problem", sa.String(200), nullable=False),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_credit_purchases_tenant_id_tenants"),
        sa.PrimaryKeyConstraint("id", name="pk_credit_purchases"),
    )
    op.create_index("ix_credit_purchases_tenant_id_month", "credit_purchases", ["tenant_id", "month"])

    op.create_table(
        "entitlements",
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_entitlements_tenant_id_tenants"),
        sa.PrimaryKeyConstraint("tenant_id", name="pk_entitlements"),
    )
    op.create_table(
        "rated_periods",
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("start_ns", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("plan", sa.String(64), nullable=False),
        sa.Column("period_index", sa.Integer, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("closed_ns", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_rated_periods_tenant_id_tenants"),
        sa.PrimaryKeyConstraint("tenant_id", "start_ns", "plan", name="pk_rated_periods"),
    )
    op.create_table(
        "spend_caps",
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("amount_nanos", sa.BigInteger, nullable=False),
        sa.Column("every", sa.String(8), nullable=False),
        sa.Column("hard", sa.Boolean, nullable=False),
        sa.Column("alerts", sa.String(200), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_spend_caps_tenant_id_tenants"),
        sa.PrimaryKeyConstraint("tenant_id", name="pk_spend_caps"),
    )
    op.create_table(
        "subscription_pauses",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("from_ns", sa.BigInteger, nullable=False),
        sa.Column("until_ns", sa.BigInteger, nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_subscription_pauses_tenant_id_tenants"),
        sa.PrimaryKeyConstraint("id", name="pk_subscription_pauses"),
    )
    op.create_index("ix_subscription_pauses_tenant_id", "subscription_pauses", ["tenant_id"])

    op.create_table(
        "subscription_fees",
        sa.Column("subscription_id", sa.String(64), nullable=False),
        sa.Column("period_start_ns", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("fee", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("seq", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("price_id", sa.String(128), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("nanos", sa.BigInteger, nullable=False),
        sa.Column("start_ns", sa.BigInteger, nullable=False),
        sa.Column("end_ns", sa.BigInteger, nullable=False),
        sa.Column("occurred_ns", sa.BigInteger, nullable=False),
        sa.Column("settled", sa.Boolean, nullable=False),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name="fk_subscription_fees_subscription_id_subscriptions"
        ),
        sa.PrimaryKeyConstraint("subscription_id", "period_start_ns", "fee", "seq", name="pk_subscription_fees"),
    )
    op.create_index("ix_subscription_fees_tenant_id", "subscription_fees", ["tenant_id"])

    op.create_table(
        "subscription_releases",
        sa.Column("subscription_id", sa.String(64), nullable=False),
        sa.Column("period_start_ns", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("fee", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("day", sa.String(16), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("nanos", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name="fk_subscription_releases_subscription_id_subscriptions"
        ),
        sa.PrimaryKeyConstraint("subscription_id", "period_start_ns", "fee", "day", name="pk_subscription_releases"),
    )
    op.create_index("ix_subscription_releases_tenant_id", "subscription_releases", ["tenant_id"])

    with op.batch_alter_table("subscriptions") as batch_op:
        batch_op.add_column(sa.Column("trial_until_ns", sa.BigInteger, nullable=True))
        batch_op.add_column(sa.Column("refund", sa.String(8), server_default="prorate", nullable=False))
