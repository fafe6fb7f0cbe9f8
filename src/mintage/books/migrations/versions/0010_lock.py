"""The period lock of the books."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ledger_locks",
        sa.Column("until_ns", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("until_ns", name="pk_ledger_locks"),
    )
