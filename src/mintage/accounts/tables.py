"""The tables of who: legal entity, staff, tenants, projects, keys, secrets, audit. Times are nanoseconds since 1970."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from mintage.books import metadata

Id: Final = sa.String(64)
Name: Final = sa.String(200)

#: One row: `version` moves with every change, `audit_hash` is the head of the audit chain.
control: Final = sa.Table(
    "control",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("audit_seq", sa.BigInteger, nullable=False),
    sa.Column("audit_hash", sa.String(64), nullable=False),
    sa.CheckConstraint("id = 1", name="one_row"),
)

audit: Final = sa.Table(
    "audit",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
    sa.Column("actor", Name, nullable=False),
    sa.Column("action", sa.String(64), nullable=False),
    sa.Column("subject", Name, nullable=False),
    sa.Column("tenant_id", Id, nullable=True),
    sa.Column("details", sa.Text, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Index("ix_audit_tenant_id", "tenant_id", "seq"),
    sa.Index("ix_audit_subject", "subject", "seq"),
    sa.Index("ix_audit_actor", "actor", "seq"),
    sa.Index("ix_audit_action", "action", "seq"),
    sa.Index("ix_audit_at_ns", "at_ns"),
)

legal_entities: Final = sa.Table(
    "legal_entities",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("name", Name, nullable=False, unique=True),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("time_zone", sa.String(64), nullable=False),
    sa.Column("country", sa.String(2), nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("tax_id", sa.String(64), nullable=False),
    sa.Column("invoice_prefix", sa.String(16), nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
)

staff: Final = sa.Table(
    "staff",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("name", Name, nullable=False),
    sa.Column("email", sa.String(254), nullable=False, unique=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("updated_ns", sa.BigInteger, nullable=False),
    sa.Column("disabled_ns", sa.BigInteger, nullable=True),
)

#: People of a customer, who sign in to its portal. One address signs in to one customer.
customer_users: Final = sa.Table(
    "customer_users",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("tenant_id", Id, sa.ForeignKey("tenants.id"), nullable=False),
    sa.Column("name", Name, nullable=False),
    sa.Column("email", sa.String(254), nullable=False, unique=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("updated_ns", sa.BigInteger, nullable=False),
    sa.Column("disabled_ns", sa.BigInteger, nullable=True),
    sa.Index("ix_customer_users_tenant_id", "tenant_id", "id"),
)

#: What a person proves themselves with: staff and customers' people alike. The TOTP secret is sealed; `totp_step` is
#: the last time step that was used, so that no code works twice; `recovery` is a JSON list of digests.
credentials: Final = sa.Table(
    "credentials",
    metadata,
    sa.Column("person_id", Id, primary_key=True),
    sa.Column("password_hash", sa.String(200), nullable=True),
    sa.Column("totp_sealed", sa.LargeBinary, nullable=True),
    sa.Column("totp_confirmed_ns", sa.BigInteger, nullable=True),
    sa.Column("totp_step", sa.BigInteger, nullable=False),
    sa.Column("recovery", sa.Text, nullable=False),
    sa.Column("updated_ns", sa.BigInteger, nullable=False),
)

sign_in_links: Final = sa.Table(
    "sign_in_links",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("person_id", Id, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("expires_ns", sa.BigInteger, nullable=False),
    sa.Column("used_ns", sa.BigInteger, nullable=True),
    sa.Index("ix_sign_in_links_person_id", "person_id"),
)

#: A session ends at expires_ns whatever happens, and earlier when nothing was heard from it since seen_ns.
sessions: Final = sa.Table(
    "sessions",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("id", Id, nullable=False, unique=True),
    sa.Column("person_id", Id, nullable=False),
    sa.Column("method", sa.String(16), nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("agent", Name, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("seen_ns", sa.BigInteger, nullable=False),
    sa.Column("expires_ns", sa.BigInteger, nullable=False),
    sa.Column("ended_ns", sa.BigInteger, nullable=True),
    sa.Index("ix_sessions_person_id", "person_id", "id"),
)

tenants: Final = sa.Table(
    "tenants",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("handle", sa.String(64), nullable=False, unique=True),
    sa.Column("name", Name, nullable=False),
    sa.Column("email", sa.String(254), nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("time_zone", sa.String(64), nullable=False),
    sa.Column("country", sa.String(2), nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("tax_id", sa.String(64), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("updated_ns", sa.BigInteger, nullable=False),
)

projects: Final = sa.Table(
    "projects",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("tenant_id", Id, sa.ForeignKey("tenants.id"), nullable=False),
    sa.Column("name", Name, nullable=False),
    sa.Column("budget_nanos", sa.BigInteger, nullable=True),
    sa.Column("budget_period", sa.String(8), nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("updated_ns", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("tenant_id", "name"),
)

api_keys: Final = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("tenant_id", Id, sa.ForeignKey("tenants.id"), nullable=False),
    sa.Column("project_id", Id, sa.ForeignKey("projects.id"), nullable=False),
    sa.Column("name", Name, nullable=False),
    sa.Column("prefix", sa.String(16), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False, unique=True),
    sa.Column("models", sa.Text, nullable=False),
    sa.Column("endpoints", sa.Text, nullable=False),
    sa.Column("ip_ranges", sa.Text, nullable=False),
    sa.Column("budget_nanos", sa.BigInteger, nullable=True),
    sa.Column("budget_period", sa.String(8), nullable=False),
    sa.Column("requests_per_minute", sa.Integer, nullable=True),
    sa.Column("tokens_per_minute", sa.BigInteger, nullable=True),
    sa.Column("expires_ns", sa.BigInteger, nullable=True),
    sa.Column("revoked_ns", sa.BigInteger, nullable=True),
    sa.Column("rotated_from", Id, nullable=True),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("updated_ns", sa.BigInteger, nullable=False),
    sa.Index("ix_api_keys_tenant_id", "tenant_id", "id"),
)

secrets: Final = sa.Table(
    "secrets",
    metadata,
    sa.Column("name", Name, primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("updated_ns", sa.BigInteger, nullable=False),
)

#: The keys that secrets are sealed with, each sealed under the master key. The newest seals; all of them open.
data_keys: Final = sa.Table(
    "data_keys",
    metadata,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
)

#: What a call under an Idempotency-Key was answered, sealed. status 0: the first try has not been answered yet.
replays: Final = sa.Table(
    "replays",
    metadata,
    sa.Column("actor", Name, primary_key=True),
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("request_hash", sa.String(64), nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("head", sa.Text, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=True),
    sa.Column("expires_ns", sa.BigInteger, nullable=False),
    sa.Index("ix_replays_expires_ns", "expires_ns"),
)
