"""How invoices are made, corrected, paid and told of: profiles, rates, standing, notes, payments, webhooks."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bank_lines",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("amount_nanos", sa.BigInteger, nullable=False),
        sa.Column("payer", sa.String(200), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("matched_to", sa.String(64), nullable=False),
        sa.Column("imported_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_bank_lines"),
    )
    op.create_index("ix_bank_lines_state", "bank_lines", ["state", "id"])
    op.create_table(
        "billing_profiles",
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_billing_profiles"),
    )
    op.create_table(
        "currency_rates",
        sa.Column("base", sa.String(3), nullable=False),
        sa.Column("quote", sa.String(3), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("rate", sa.String(40), nullable=False),
        sa.Column("source", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("base", "quote", "day", name="pk_currency_rates"),
    )
    op.create_table(
        "provider_events",
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("event_id", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(100), nullable=False),
        sa.Column("payload_hash", sa.String(64), nullable=False),
        sa.Column("outcome", sa.String(200), nullable=False),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("provider", "event_id", name="pk_provider_events"),
    )
    op.create_table(
        "tax_rates",
        sa.Column("country", sa.String(2), nullable=False),
        sa.Column("region", sa.String(32), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("from_day", sa.String(10), nullable=False),
        sa.Column("percent", sa.String(16), nullable=False),
        sa.Column("source", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("country", "region", "name", "from_day", name="pk_tax_rates"),
    )
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("url", sa.String(2048), nullable=False),
        sa.Column("types", sa.Text, nullable=False),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_endpoints"),
    )
    op.create_table(
        "webhook_messages",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.Column("spread", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_messages"),
    )
    op.create_index("ix_webhook_messages_spread", "webhook_messages", ["spread", "id"])
    op.create_table(
        "payment_methods",
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("remote_customer", sa.String(200), nullable=False),
        sa.Column("remote_method", sa.String(200), nullable=False),
        sa.Column("label", sa.String(200), nullable=False),
        sa.Column("changed_ns", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_payment_methods_tenant_id_tenants"),
        sa.PrimaryKeyConstraint("tenant_id", "provider", name="pk_payment_methods"),
    )
    op.create_table(
        "payment_orders",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("remote_id", sa.String(200), nullable=False),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("invoice_id", sa.String(64), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("amount_nanos", sa.BigInteger, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("problem", sa.String(200), nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_payment_orders_tenant_id_tenants"),
        sa.PrimaryKeyConstraint("id", name="pk_payment_orders"),
    )
    op.create_index("ix_payment_orders_tenant_id", "payment_orders", ["tenant_id", "id"])
    op.create_table(
        "payments",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("reference", sa.String(200), nullable=False),
        sa.Column("order_id", sa.String(64), nullable=False),
        sa.Column("invoice_id", sa.String(64), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("amount_nanos", sa.BigInteger, nullable=False),
        sa.Column("fee_nanos", sa.BigInteger, nullable=False),
        sa.Column("refunded_nanos", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("received_ns", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_payments_tenant_id_tenants"),
        sa.PrimaryKeyConstraint("id", name="pk_payments"),
        sa.UniqueConstraint("provider", "reference", name="uq_payments_provider_reference"),
    )
    op.create_index("ix_payments_state", "payments", ["state"])
    op.create_index("ix_payments_tenant_id", "payments", ["tenant_id", "id"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("message_id", sa.String(64), nullable=False),
        sa.Column("endpoint_id", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_ns", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("problem", sa.String(200), nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["webhook_endpoints.id"], name="fk_webhook_deliveries_endpoint_id_webhook_endpoints"
        ),
        sa.ForeignKeyConstraint(
            ["message_id"], ["webhook_messages.id"], name="fk_webhook_deliveries_message_id_webhook_messages"
        ),
        sa.PrimaryKeyConstraint("message_id", "endpoint_id", name="pk_webhook_deliveries"),
    )
    op.create_index("ix_webhook_deliveries_state", "webhook_deliveries", ["state", "next_ns"])
    op.create_table(
        "credit_notes",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("invoice_id", sa.String(64), nullable=False),
        sa.Column("entity_id", sa.String(64), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("number", sa.String(40), nullable=False),
        sa.Column("request_key", sa.String(200), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("total_nanos", sa.BigInteger, nullable=False),
        sa.Column("tax_nanos", sa.BigInteger, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("issued_ns", sa.BigInteger, nullable=False),
        sa.Column("wallet_done", sa.Boolean, nullable=False),
        sa.ForeignKeyConstraint(["entity_id"], ["legal_entities.id"], name="fk_credit_notes_entity_id_legal_entities"),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name="fk_credit_notes_invoice_id_invoices"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_credit_notes_tenant_id_tenants"),
        sa.PrimaryKeyConstraint("id", name="pk_credit_notes"),
        sa.UniqueConstraint("entity_id", "sequence", name="uq_credit_notes_entity_id_sequence"),
        sa.UniqueConstraint("invoice_id", "request_key", name="uq_credit_notes_invoice_id_request_key"),
        sa.UniqueConstraint("number", name="uq_credit_notes_number"),
    )
    op.create_index("ix_credit_notes_tenant_id", "credit_notes", ["tenant_id", "id"])
    op.create_table(
        "dunning",
        sa.Column("invoice_id", sa.String(64), nullable=False),
        sa.Column("step", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("outcome", sa.String(200), nullable=False),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name="fk_dunning_invoice_id_invoices"),
        sa.PrimaryKeyConstraint("invoice_id", "step", name="pk_dunning"),
    )
    op.create_table(
        "invoice_states",
        sa.Column("invoice_id", sa.String(64), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("total_nanos", sa.BigInteger, nullable=False),
        sa.Column("tax_nanos", sa.BigInteger, nullable=False),
        sa.Column("paid_nanos", sa.BigInteger, nullable=False),
        sa.Column("credited_nanos", sa.BigInteger, nullable=False),
        sa.Column("written_off_nanos", sa.BigInteger, nullable=False),
        sa.Column("due_ns", sa.BigInteger, nullable=False),
        sa.Column("wallet_done", sa.Boolean, nullable=False),
        sa.Column("changed_ns", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name="fk_invoice_states_invoice_id_invoices"),
        sa.PrimaryKeyConstraint("invoice_id", name="pk_invoice_states"),
    )
    op.create_index("ix_invoice_states_state", "invoice_states", ["state", "due_ns"])
    op.create_index("ix_invoice_states_tenant_id", "invoice_states", ["tenant_id", "state"])
    op.execute(
        "INSERT INTO invoice_states SELECT id, tenant_id, CASE WHEN due_nanos > 0 THEN 'finalised' ELSE 'paid' END,"
        " total_nanos, 0, 0, 0, 0, issued_ns, true, issued_ns FROM invoices WHERE number IS NOT NULL"
    )
