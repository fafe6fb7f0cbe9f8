"""The tables of how a customer buys: pauses, fees billed ahead, rated periods, coupons, credit, budgets, pools."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from mintage.billing.tables import Id, VersionId
from mintage.books import metadata

#: A pause takes its time out of fees and stops the keys; until_ns is NULL while nobody has resumed.
pauses: Final = sa.Table(
    "subscription_pauses",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("tenant_id", Id, sa.ForeignKey("tenants.id"), nullable=False),
    sa.Column("from_ns", sa.BigInteger, nullable=False),
    sa.Column("until_ns", sa.BigInteger, nullable=True),
    sa.Index(None, "tenant_id"),
)

#: What was billed ahead: for each fee of a subscription and period one row, and one for every correction of it
#: (seq above 0). The row is written before it is settled, under a key made of its own, so that it counts once.
ahead_fees: Final = sa.Table(
    "subscription_fees",
    metadata,
    sa.Column("subscription_id", Id, sa.ForeignKey("subscriptions.id"), primary_key=True),
    sa.Column("period_start_ns", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("fee", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("tenant_id", Id, nullable=False),
    sa.Column("price_id", VersionId, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("nanos", sa.BigInteger, nullable=False),
    sa.Column("start_ns", sa.BigInteger, nullable=False),
    sa.Column("end_ns", sa.BigInteger, nullable=False),
    sa.Column("occurred_ns", sa.BigInteger, nullable=False),
    sa.Column("settled", sa.Boolean, nullable=False),
    sa.Index(None, "tenant_id"),
)

#: How much of what was billed ahead is earned already, day by day; moved with its journal in one transaction.
released_fees: Final = sa.Table(
    "subscription_releases",
    metadata,
    sa.Column("subscription_id", Id, sa.ForeignKey("subscriptions.id"), primary_key=True),
    sa.Column("period_start_ns", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("fee", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("day", sa.String(16), primary_key=True),
    sa.Column("tenant_id", Id, nullable=False),
    sa.Column("nanos", sa.BigInteger, nullable=False),
    sa.Index(None, "tenant_id"),
)

#: One plan's part of one closed period, as it was rated: `content` is RatedPeriod as JSON.
rated_periods: Final = sa.Table(
    "rated_periods",
    metadata,
    sa.Column("tenant_id", Id, sa.ForeignKey("tenants.id"), primary_key=True),
    sa.Column("start_ns", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("plan", Id, primary_key=True),
    sa.Column("period_index", sa.Integer, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("content_hash", sa.String(64), nullable=False),
    sa.Column("closed_ns", sa.BigInteger, nullable=False),
)

coupons: Final = sa.Table(
    "coupons",
    metadata,
    sa.Column("code", sa.String(64), primary_key=True),
    sa.Column("name_en", sa.String(200), nullable=False),
    sa.Column("name_zh", sa.String(200), nullable=False),
    sa.Column("percent", sa.String(40), nullable=False),
    sa.Column("amount_nanos", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("periods", sa.Integer, nullable=True),
    sa.Column("redemptions_max", sa.Integer, nullable=True),
    sa.Column("valid_until_ns", sa.BigInteger, nullable=True),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
)

redemptions: Final = sa.Table(
    "coupon_redemptions",
    metadata,
    sa.Column("code", sa.String(64), sa.ForeignKey("coupons.code"), primary_key=True),
    sa.Column("tenant_id", Id, sa.ForeignKey("tenants.id"), primary_key=True),
    sa.Column("redeemed_ns", sa.BigInteger, nullable=False),
    sa.Column("ended_ns", sa.BigInteger, nullable=True),
    sa.Index(None, "tenant_id"),
)

#: Lots of credit: which money of a wallet burns first and when it lapses. state: pending until the log has the money.
#: A lot with a scope has a wallet of its own (its wallet_id is not the tenant's).
credit_lots: Final = sa.Table(
    "credit_lots",
    metadata,
    sa.Column("id", sa.String(200), primary_key=True),
    sa.Column("tenant_id", Id, sa.ForeignKey("tenants.id"), nullable=False),
    sa.Column("wallet_id", Id, nullable=False),
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
    sa.Index(None, "tenant_id", "state"),
    sa.Index(None, "state", "expires_ns"),
)

#: Buying credit before it runs out: the customer's own rule, and every purchase that it began.
auto_top_ups: Final = sa.Table(
    "auto_top_ups",
    metadata,
    sa.Column("tenant_id", Id, sa.ForeignKey("tenants.id"), primary_key=True),
    sa.Column("below_nanos", sa.BigInteger, nullable=False),
    sa.Column("amount_nanos", sa.BigInteger, nullable=False),
    sa.Column("monthly_limit_nanos", sa.BigInteger, nullable=True),
    sa.Column("enabled", sa.Boolean, nullable=False),
)

purchases: Final = sa.Table(
    "credit_purchases",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("tenant_id", Id, sa.ForeignKey("tenants.id"), nullable=False),
    sa.Column("amount_nanos", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("month", sa.String(7), nullable=False),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("problem", sa.String(200), nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
    sa.Index(None, "tenant_id", "month"),
)

#: What a customer may spend in a calendar period: a hard cap refuses, alerts (percents, with commas) only tell.
spend_caps: Final = sa.Table(
    "spend_caps",
    metadata,
    sa.Column("tenant_id", Id, sa.ForeignKey("tenants.id"), primary_key=True),
    sa.Column("amount_nanos", sa.BigInteger, nullable=False),
    sa.Column("every", sa.String(8), nullable=False),
    sa.Column("hard", sa.Boolean, nullable=False),
    sa.Column("alerts", sa.String(200), nullable=False),
)

spend_alerts: Final = sa.Table(
    "spend_alerts",
    metadata,
    sa.Column("tenant_id", Id, primary_key=True),
    sa.Column("period_start_ns", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("percent", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("spent_nanos", sa.BigInteger, nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
)

#: Money of a pool that is shared out among the customers of a plan, by the first day of the period; units of all of
#: them, as a fraction, once the first of them closed it.
pools: Final = sa.Table(
    "plan_pools",
    metadata,
    sa.Column("plan", Id, primary_key=True),
    sa.Column("charge", Id, primary_key=True),
    sa.Column("first_day", sa.String(10), primary_key=True),
    sa.Column("amount_nanos", sa.BigInteger, nullable=False),
    sa.Column("units", sa.String(200), nullable=True),
)

#: A customer's own entitlements over its plan's, as JSON.
entitlements: Final = sa.Table(
    "entitlements",
    metadata,
    sa.Column("tenant_id", Id, sa.ForeignKey("tenants.id"), primary_key=True),
    sa.Column("content", sa.Text, nullable=False),
)
