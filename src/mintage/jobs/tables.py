"""The tables of work to do. Times are nanoseconds since 1970; payload, state and result are JSON as text."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from mintage.books import metadata

Id: Final = sa.String(64)

#: scope is the tenant's id, or empty for the operator. fence counts claims: who holds an older one has lost the job.
jobs: Final = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("scope", Id, nullable=False),
    sa.Column("idempotency_key", sa.String(200), nullable=True),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("run_at_ns", sa.BigInteger, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("attempts_max", sa.Integer, nullable=False),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("worker", sa.String(64), nullable=False),
    sa.Column("lease_until_ns", sa.BigInteger, nullable=False),
    sa.Column("cancel_ns", sa.BigInteger, nullable=True),
    sa.Column("done", sa.BigInteger, nullable=False),
    sa.Column("total", sa.BigInteger, nullable=True),
    sa.Column("message", sa.String(500), nullable=False),
    sa.Column("rate_per_s", sa.Float, nullable=False),
    sa.Column("checkpoint", sa.Text, nullable=False),
    sa.Column("result", sa.Text, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("created_by", sa.String(200), nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("started_ns", sa.BigInteger, nullable=True),
    sa.Column("ended_ns", sa.BigInteger, nullable=True),
    sa.UniqueConstraint("scope", "kind", "idempotency_key"),
    sa.Index("ix_jobs_due", "state", "priority", "run_at_ns", "id"),
    sa.Index("ix_jobs_scope", "scope", "id"),
    sa.Index("ix_jobs_ended_ns", "ended_ns"),
)

attempts: Final = sa.Table(
    "job_attempts",
    metadata,
    sa.Column("job_id", Id, sa.ForeignKey("jobs.id"), primary_key=True),
    sa.Column("fence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("worker", sa.String(64), nullable=False),
    sa.Column("started_ns", sa.BigInteger, nullable=False),
    sa.Column("ended_ns", sa.BigInteger, nullable=True),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("output", sa.Text, nullable=False),
)

schedules: Final = sa.Table(
    "job_schedules",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("scope", Id, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("cron", sa.String(100), nullable=False),
    sa.Column("time_zone", sa.String(64), nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("next_ns", sa.BigInteger, nullable=False),
    sa.Column("last_job_id", Id, nullable=True),
    sa.Column("updated_ns", sa.BigInteger, nullable=False),
)
