"""The tables of invoicing: profiles and settings, tax and currency rates, credit notes, payments, webhooks."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from mintage.billing.tables import Id
from mintage.books import metadata

#: How an entity invoices ("" is a setting of the entity), and how a customer is invoiced: a struct as JSON.
billing_profiles: Final = sa.Table(
    "billing_profiles",
    metadata,
    sa.Column("subject", Id, primary_key=True),
    sa.Column("content", sa.Text, nullable=False),
)

tax_rates: Final = sa.Table(
    "tax_rates",
    metadata,
    sa.Column("country", sa.String(2), primary_key=True),
    sa.Column("region", sa.String(32), primary_key=True),
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("from_day", sa.String(10), primary_key=True),
    sa.Column("percent", sa.String(16), nullable=False),
    sa.Column("source", sa.String(200), nullable=False),
)

#: One unit of `base` in `quote`, from a day on. rate is exact text.
currency_rates: Final = sa.Table(
    "currency_rates",
    metadata,
    sa.Column("base", sa.String(3), primary_key=True),
    sa.Column("quote", sa.String(3), primary_key=True),
    sa.Column("day", sa.String(10), primary_key=True),
    sa.Column("rate", sa.String(40), nullable=False),
    sa.Column("source", sa.String(200), nullable=False),
)

#: Where an invoice stands. state: finalised, paid, void, uncollectible. Amounts in nanos of the invoice's currency.
invoice_states: Final = sa.Table(
    "invoice_states",
    metadata,
    sa.Column("invoice_id", Id, sa.ForeignKey("invoices.id"), primary_key=True),
    sa.Column("tenant_id", Id, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("total_nanos", sa.BigInteger, nullable=False),
    sa.Column("tax_nanos", sa.BigInteger, nullable=False),
    sa.Column("paid_nanos", sa.BigInteger, nullable=False),
    sa.Column("credited_nanos", sa.BigInteger, nullable=False),
    sa.Column("written_off_nanos", sa.BigInteger, nullable=False),
    sa.Column("due_ns", sa.BigInteger, nullable=False),
    sa.Column("wallet_done", sa.Boolean, nullable=False),
    sa.Column("changed_ns", sa.BigInteger, nullable=False),
    sa.Index("ix_invoice_states_tenant_id", "tenant_id", "state"),
    sa.Index("ix_invoice_states_state", "state", "due_ns"),
)

credit_notes: Final = sa.Table(
    "credit_notes",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("tenant_id", Id, sa.ForeignKey("tenants.id"), nullable=False),
    sa.Column("invoice_id", Id, sa.ForeignKey("invoices.id"), nullable=False),
    sa.Column("entity_id", Id, sa.ForeignKey("legal_entities.id"), nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("number", sa.String(40), nullable=False, unique=True),
    sa.Column("request_key", sa.String(200), nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("total_nanos", sa.BigInteger, nullable=False),
    sa.Column("tax_nanos", sa.BigInteger, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("content_hash", sa.String(64), nullable=False),
    sa.Column("issued_ns", sa.BigInteger, nullable=False),
    sa.Column("wallet_done", sa.Boolean, nullable=False),
    sa.UniqueConstraint("entity_id", "sequence"),
    sa.UniqueConstraint("invoice_id", "request_key"),
    sa.Index("ix_credit_notes_tenant_id", "tenant_id", "id"),
)

#: Money that came in from outside, once per (provider, reference); order_id binds it to what was asked for. state:
#: received (not yet in the log), credited, refunded, disputed.
payments: Final = sa.Table(
    "payments",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("tenant_id", Id, sa.ForeignKey("tenants.id"), nullable=False),
    sa.Column("provider", sa.String(32), nullable=False),
    sa.Column("reference", sa.String(200), nullable=False),
    sa.Column("order_id", Id, nullable=False),
    sa.Column("invoice_id", Id, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("amount_nanos", sa.BigInteger, nullable=False),
    sa.Column("fee_nanos", sa.BigInteger, nullable=False),
    sa.Column("refunded_nanos", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("received_ns", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("provider", "reference"),
    sa.Index("ix_payments_tenant_id", "tenant_id", "id"),
    sa.Index("ix_payments_state", "state"),
)

#: What a customer was asked to pay at a provider: a top-up, or an invoice. state: open, paid, failed, expired.
payment_orders: Final = sa.Table(
    "payment_orders",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("tenant_id", Id, sa.ForeignKey("tenants.id"), nullable=False),
    sa.Column("provider", sa.String(32), nullable=False),
    sa.Column("remote_id", sa.String(200), nullable=False),
    sa.Column("purpose", sa.String(16), nullable=False),
    sa.Column("invoice_id", Id, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("amount_nanos", sa.BigInteger, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("problem", sa.String(200), nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Index("ix_payment_orders_tenant_id", "tenant_id", "id"),
)

#: A customer at a provider, and the method that it saved there for later payments.
payment_methods: Final = sa.Table(
    "payment_methods",
    metadata,
    sa.Column("tenant_id", Id, sa.ForeignKey("tenants.id"), primary_key=True),
    sa.Column("provider", sa.String(32), primary_key=True),
    sa.Column("remote_customer", sa.String(200), nullable=False),
    sa.Column("remote_method", sa.String(200), nullable=False),
    sa.Column("label", sa.String(200), nullable=False),
    sa.Column("changed_ns", sa.BigInteger, nullable=False),
)

#: Messages of payment providers, by their own id: each is acted on once.
provider_events: Final = sa.Table(
    "provider_events",
    metadata,
    sa.Column("provider", sa.String(32), primary_key=True),
    sa.Column("event_id", sa.String(200), primary_key=True),
    sa.Column("kind", sa.String(100), nullable=False),
    sa.Column("payload_hash", sa.String(64), nullable=False),
    sa.Column("outcome", sa.String(200), nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
)

#: Reminders of unpaid invoices: step is the place in the schedule.
dunning: Final = sa.Table(
    "dunning",
    metadata,
    sa.Column("invoice_id", Id, sa.ForeignKey("invoices.id"), primary_key=True),
    sa.Column("step", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("outcome", sa.String(200), nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
)

#: Lines of bank statements, by a hash of what they say. state: open, matched, ignored.
bank_lines: Final = sa.Table(
    "bank_lines",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("account", sa.String(64), nullable=False),
    sa.Column("day", sa.String(10), nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("amount_nanos", sa.BigInteger, nullable=False),
    sa.Column("payer", sa.String(200), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("matched_to", sa.String(64), nullable=False),
    sa.Column("imported_ns", sa.BigInteger, nullable=False),
    sa.Index("ix_bank_lines_state", "state", "id"),
)

#: Where customers and the operator want events sent. tenant_id "" is the operator's own. The secret is sealed.
webhook_endpoints: Final = sa.Table(
    "webhook_endpoints",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("tenant_id", Id, nullable=False),
    sa.Column("url", sa.String(2048), nullable=False),
    sa.Column("types", sa.Text, nullable=False),
    sa.Column("secret", sa.LargeBinary, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
)

#: The outbox: written in the transaction of what happened, so that neither is without the other.
webhook_messages: Final = sa.Table(
    "webhook_messages",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("tenant_id", Id, nullable=False),
    sa.Column("type", sa.String(64), nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
    sa.Column("spread", sa.Boolean, nullable=False),
    sa.Index("ix_webhook_messages_spread", "spread", "id"),
)

#: One message on its way to one endpoint. state: waiting, delivered, dead.
webhook_deliveries: Final = sa.Table(
    "webhook_deliveries",
    metadata,
    sa.Column("message_id", Id, sa.ForeignKey("webhook_messages.id"), primary_key=True),
    sa.Column("endpoint_id", Id, sa.ForeignKey("webhook_endpoints.id"), primary_key=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_ns", sa.BigInteger, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("problem", sa.String(200), nullable=False),
    sa.Index("ix_webhook_deliveries_state", "state", "next_ns"),
)
