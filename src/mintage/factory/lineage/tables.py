"""The tables of lineage. Times are nanoseconds since 1970; details are JSON as text."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from mintage.books import metadata

Id: Final = sa.String(64)

#: An artifact is what a step of a run made, or a deployment of it. id: run/kind, or the deployment's own.
artifacts: Final = sa.Table(
    "factory_artifacts",
    metadata,
    sa.Column("id", sa.String(128), primary_key=True),
    sa.Column("run_id", Id, nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("name", sa.String(128), nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("details", sa.Text, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Index("ix_factory_artifacts_run_id", "run_id"),
)

links: Final = sa.Table(
    "factory_links",
    metadata,
    sa.Column("child", sa.String(128), primary_key=True),
    sa.Column("parent", sa.String(128), primary_key=True),
)

#: lifetime_tokens: over how many served tokens the cost of making it is spread. ended_ns: when it was replaced.
deployments: Final = sa.Table(
    "factory_deployments",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("model", sa.String(100), nullable=False),
    sa.Column("run_id", Id, nullable=False),
    sa.Column("stage", sa.String(16), nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("lifetime_tokens", sa.BigInteger, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("ended_ns", sa.BigInteger, nullable=True),
    sa.Index("ix_factory_deployments_model", "model"),
)
