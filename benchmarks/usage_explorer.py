"""What the usage explorer asks, over 90 days of many customers.

`python benchmarks/usage_explorer.py [--events 1000000 10000000]`. Rows are made up by DuckDB in the lake's own format:
200 customers of which some buy far more than others, 2 projects each, 12 models. Each question runs in turns with its
floor, plain DuckDB that answers the same question from the same files, best of five. The target is one second on the
wall clock for every question.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb

from mintage.books.lake import Lake
from mintage.books.lake_reports import usage_by
from mintage.books.lake_segments import MERGE, SEGMENT_ENTRIES, Segment
from mintage.books.lake_views import request_rows

DAY_NS = 86_400 * 10**9
START_NS = 1_767_225_600_000_000_000
DAYS, CUSTOMERS, MODELS, ROUNDS = 90, 200, 12, 5
_ZERO_IN = ("cached_read_tokens", "cache_write_tokens")
_ZERO_OUT = (
    "reasoning_tokens", "image_count", "audio_ms", "characters", "requests", "outcomes", "seats", "duration_ms",
)  # fmt: skip
_EXTRA = "STRUCT(meter VARCHAR, quantity BIGINT, rate_attos DECIMAL(38,0), attos DECIMAL(38,0))[]"
_COSTS = "STRUCT(provider VARCHAR, currency VARCHAR, nanos BIGINT)[]"
_ROWS = f"""
SELECT seq * 2 AS seq, 'request' AS kind, t AS accepted, t AS occurred,
  'cus_' || who AS tenant_id, 'prj_' || (who * 2 + seq % 2) AS project_id, 'wal_' || who AS wallet_id,
  'key_' || (who * 2 + seq % 2) AS key_id, 'model-' || (random() * {MODELS} - 0.5)::INT AS model, 'api' AS product,
  'chat' AS operation, NULL::VARCHAR AS end_user, 'ok' AS outcome, false AS estimated, false AS replay,
  (random() * 2000)::BIGINT AS input_tokens, {", ".join(f"0::BIGINT AS {meter}" for meter in _ZERO_IN)},
  (random() * 400)::BIGINT AS output_tokens, {", ".join(f"0::BIGINT AS {meter}" for meter in _ZERO_OUT)},
  'standard@0123456789ab' AS price_id, 'USD' AS currency,
  'input_tokens=80000000007 output_tokens=320000000000' AS rates,
  0::BIGINT AS extra_lines, []::{_EXTRA} AS extra, (random() * 200000)::BIGINT AS charge_nanos,
  0::BIGINT AS shortfall_nanos, 'own' AS provider, (random() * 90000)::BIGINT AS cost_nanos, 0::BIGINT AS cost_parts,
  []::{_COSTS} AS costs, (random() * 900)::FLOAT AS latency_ms, NULL::FLOAT AS first_token_ms, '' AS source,
  '' AS event_id, '' AS supersedes, MAP()::MAP(VARCHAR, VARCHAR) AS properties
FROM (SELECT range AS seq, make_timestamp(? + range * ?) AS t, (pow(random(), 3) * {CUSTOMERS} - 0.5)::INT AS who
      FROM range(?, ?))
"""


def make_lake(folder: Path, events: int) -> Lake:
    """Merged segments, oldest first, as months of traffic leave them."""
    lake = Lake(folder / "lake")
    connection = duckdb.connect(config={"threads": 2})
    step_us = DAYS * DAY_NS // 1000 // events
    per_file = SEGMENT_ENTRIES * MERGE
    for first in range(0, 2 * events, per_file):
        segment = Segment(first + 1, first + per_file)
        connection.execute(
            f"COPY ({_ROWS}) TO '{lake.folder / segment.name}' (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION V2)",
            [START_NS // 1000, step_us, first // 2, min(first + per_file, 2 * events) // 2],
        )
    connection.close()
    lake.close()
    return Lake(folder / "lake")


def best_s(*actions: Callable[[], object]) -> list[float]:
    runs: list[list[float]] = [[] for _ in actions]
    for _ in range(ROUNDS):
        for index, action in enumerate(actions):
            began = time.perf_counter()
            action()
            runs[index].append(time.perf_counter() - began)
    return [min(run) for run in runs]


def measure(folder: Path, events: int) -> None:
    lake = make_lake(folder, events)
    files = f"read_parquet('{lake.folder}/*.parquet')"
    plain = duckdb.connect(config={"threads": 2})
    plain.execute("SET TimeZone = 'UTC'")
    end_ns = START_NS + DAYS * DAY_NS
    day = "date_trunc('day', occurred)"
    questions: list[tuple[str, Sequence[str], dict[str, str], str]] = [
        ("by model", ["model"], {}, "model"),
        ("by day and model", ["day", "model"], {}, f"{day}, model"),
        ("by day and customer", ["day", "tenant_id"], {}, f"{day}, tenant_id"),
        ("by month, customer, project and model", ["month", "tenant_id", "project_id", "model"], {},
         "date_trunc('month', occurred), tenant_id, project_id, model"),
        ("one customer, by day and project", ["day", "project_id"], {"tenant_id": "cus_7"}, f"{day}, project_id"),
    ]  # fmt: skip
    for name, keys, filters, sql in questions:
        where = "".join(f" WHERE {key} = '{value}'" for key, value in filters.items())
        floor_sql = (
            f"SELECT {sql}, count(*), sum(input_tokens), sum(output_tokens), sum(charge_nanos), sum(cost_nanos) "
            f"FROM {files}{where} GROUP BY ALL"
        )
        rows = usage_by(lake, keys, START_NS, end_ns, filters)
        assert sum(row.rows for row in rows) > 0
        if not filters:
            assert sum(row.rows for row in rows) == events
        floor, ours = best_s(
            lambda sql=floor_sql: plain.execute(sql).fetchall(),
            lambda keys=keys, filters=filters: usage_by(lake, keys, START_NS, end_ns, filters),
        )
        line(f"{events:,} events: {name}", floor, ours)
    newest = f"SELECT * FROM {files} WHERE tenant_id = 'cus_7' ORDER BY seq DESC LIMIT 50"
    floor, ours = best_s(lambda: plain.execute(newest).fetchall(), lambda: request_rows(lake, {"tenant_id": "cus_7"}))
    line(f"{events:,} events: newest 50 of a customer", floor, ours)
    plain.close()
    lake.close()


def line(what: str, floor_s: float, ours_s: float) -> None:
    print(f"{what:<58}{floor_s * 1e3:>12,.0f}{ours_s * 1e3:>12,.0f}{ours_s / floor_s:>10.2f}  <= 1,000")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000, 10_000_000])
    arguments = parser.parse_args()
    print(f"{'milliseconds, best of five':<58}{'DuckDB':>12}{'ours':>12}{'ratio':>10}  target")
    for events in arguments.events:
        folder = Path(tempfile.mkdtemp(prefix="mintage-usage-"))
        try:
            measure(folder, events)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
