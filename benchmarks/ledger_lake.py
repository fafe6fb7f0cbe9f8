"""Ledger and lake against plain SQLite and plain DuckDB: `python benchmarks/ledger_lake.py [--events 10000000]`.

Every line runs in turns with its floor, best of five, so that a slow moment of the machine hits both alike. Seconds are
of the wall clock and, in the second pair of columns, of the processor: only the latter mean much on a shared machine.

- Ledger: batches of 5,000 requests (a hold and a settlement each; 100 customers, 4 models), applied with a durable
  watermark. Floors: sqlite3 with synchronous=FULL that inserts two postings per settlement, and one that adds up
  (customer, day, model) in a dict and upserts.
- Lake: segments of 20,000 entries, fsynced and renamed. Floor: DuckDB that writes as many rows of six numbers.
- Questions over a month of --events requests of one customer, made by DuckDB in the lake's own format, with the rollup
  summed from the same rows; both answers must be equal.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from mintage.base import Charge, Cost, Hold, RatedLine, Settlement, Usage
from mintage.books import Database, Entry, FrameReader, Ledger, LedgerReader, WalletBook
from mintage.books.entries import Settled, encode_frame
from mintage.books.lake import Lake
from mintage.books.lake_reports import raw_usage_lines, usage_by
from mintage.books.lake_segments import MERGE, SEGMENT_ENTRIES, Segment, publish
from mintage.books.log_store import Store

REQUESTS = 40_000
BATCH = 10_000  # entries: 5,000 requests
CUSTOMERS, MODELS = 100, 4
START_NS = 1_767_225_600_000_000_000
MONTH_NS = 31 * 86_400 * 10**9
ROUNDS = 5
RATES = {"input_tokens": 80_000_000_007, "output_tokens": 320_000_000_000}


def requests(count: int, *, alike: bool = True) -> list[Entry]:
    """Log entries of `count` requests; alike=False gives each its own model, so that nothing rolls up."""
    chance, book, bodies, now_ns = random.Random(7), WalletBook(), [], START_NS
    for number in range(CUSTOMERS):
        name, limit = f"cus_{number}", 2**62
        wallet = book.open_wallet(
            now_ns, name, f"wal_{number}", currency="USD", funding="postpaid", credit_limit_nanos=limit
        )
        bodies += [wallet]
    for number in range(count):
        now_ns += 10_000_000
        customer = chance.randrange(CUSTOMERS)
        hold = Hold(
            id=f"req_{number:026d}",
            tenant_id=f"cus_{customer}",
            wallet_id=f"wal_{customer}",
            currency="USD",
            amount_nanos=10**6,
            created_ns=now_ns,
            lease_until_ns=now_ns + 10**12,
        )
        bodies.append(book.hold(now_ns, hold))
        bodies.append(book.settle(now_ns, settlement(chance, hold, number, now_ns, alike)))
    return [Entry(seq, body) for seq, body in enumerate(bodies, 1)]


def settlement(chance: random.Random, hold: Hold, number: int, now_ns: int, alike: bool) -> Settlement:
    tokens = {"input_tokens": chance.randrange(2000), "output_tokens": chance.randrange(400)}
    lines = tuple(
        RatedLine(meter=meter, quantity=count, rate_attos=RATES[meter], attos=count * RATES[meter])
        for meter, count in tokens.items()
    )
    return Settlement(
        hold_id=hold.id,
        tenant_id=hold.tenant_id,
        project_id="prj_0001",
        wallet_id=hold.wallet_id,
        key_id="key_0001",
        model=f"model-{chance.randrange(MODELS) if alike else number}",
        product="api",
        occurred_ns=now_ns - chance.randrange(10**9),
        usage=Usage(**tokens),
        charge=Charge(
            price_id="standard@0123456789ab", currency="USD", attos=sum(line.attos for line in lines), lines=lines
        ),
        costs=(Cost(provider="own", price_id="own@0.10", currency="USD", attos=chance.randrange(10**15)),),
        latency_ms=round(chance.random() * 900, 1),
    )


class Seconds(NamedTuple):
    wall: float
    processor: float


class Table:
    """Prints one row per thing measured: the floor's figure, ours and the ratio, on both clocks."""

    def __init__(self) -> None:
        print(f"{'':<50}{'wall clock':^40}{'processor':^40}")
        print(f"{'what':<50}" + 2 * f"{'floor':>14}{'ours':>14}{'ratio':>10}  " + "target")

    def rates(self, what: str, count: int, floor: Seconds, ours: Seconds, target: str = "") -> None:
        """count per second; a ratio above 1 is faster than the floor."""
        cells = [f"{count / a:>14,.0f}{count / b:>14,.0f}{a / b:>10.2f}  " for a, b in zip(floor, ours, strict=True)]
        print(f"{what:<50}{''.join(cells)}{target}")

    def times(self, what: str, floor: Seconds, ours: Seconds, target: str = "") -> None:
        """Milliseconds; a ratio above 1 is slower than the floor."""
        cells = [f"{a * 1e3:>14,.1f}{b * 1e3:>14,.1f}{b / a:>10.2f}  " for a, b in zip(floor, ours, strict=True)]
        print(f"{what:<50}{''.join(cells)}{target}")


def best(*actions: Callable[[], Any]) -> list[Seconds]:
    """Of ROUNDS runs of each, in turns."""
    runs: list[list[Seconds]] = [[] for _ in actions]
    for _ in range(ROUNDS):
        for index, action in enumerate(actions):
            wall, processor = time.perf_counter(), time.process_time()
            action()
            runs[index].append(Seconds(time.perf_counter() - wall, time.process_time() - processor))
    return [Seconds(min(run.wall for run in each), min(run.processor for run in each)) for each in runs]


# -- ledger --------------------------------------------------------------------------------------------------------


def fresh_sqlite(folder: Path, schema: str) -> sqlite3.Connection:
    file = Path(tempfile.mkdtemp(dir=folder)) / "floor.db"
    connection = sqlite3.connect(file, isolation_level=None)
    connection.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; {schema}")
    return connection


def plain_postings(folder: Path, entries: Sequence[Entry]) -> None:
    """Two rows per settlement."""
    database = fresh_sqlite(folder, "CREATE TABLE p(seq, tenant, day, account, model, nanos)")
    for start in range(0, len(entries), BATCH):
        rows = []
        for entry in entries[start : start + BATCH]:
            body = entry.body
            if type(body) is Settled:
                day = body.occurred_ns // 86_400_000_000_000
                rows.append((entry.seq, body.tenant_id, day, "unbilled", body.model, body.posted_nanos))
                rows.append((entry.seq, body.tenant_id, day, "income", body.model, -body.posted_nanos))
        database.execute("BEGIN")
        database.executemany("INSERT INTO p VALUES(?,?,?,?,?,?)", rows)
        database.execute("COMMIT")
    database.close()


def plain_rollup(folder: Path, entries: Sequence[Entry]) -> None:
    """One sum per customer, day and model."""
    database = fresh_sqlite(
        folder, "CREATE TABLE r(tenant, day, model, nanos, n, PRIMARY KEY(tenant, day, model)) WITHOUT ROWID"
    )
    for start in range(0, len(entries), BATCH):
        sums: dict[tuple[str, int, str], int] = {}
        for entry in entries[start : start + BATCH]:
            body = entry.body
            if type(body) is Settled:
                key = (body.tenant_id, body.occurred_ns // 86_400_000_000_000, body.model)
                sums[key] = sums.get(key, 0) + body.posted_nanos
        database.execute("BEGIN")
        database.executemany(
            "INSERT INTO r VALUES(?,?,?,?,1) ON CONFLICT DO UPDATE SET nanos = nanos + excluded.nanos, n = n + 1",
            [(*key, nanos) for key, nanos in sums.items()],
        )
        database.execute("COMMIT")
    database.close()


def fresh_ledger(folder: Path) -> tuple[Ledger, Path]:
    file = Path(tempfile.mkdtemp(dir=folder)) / "books.db"
    database = Database.open(file)
    database.migrate()
    return Ledger(database), file


def measure_ledger(table: Table, folder: Path) -> None:
    entries, unlike = requests(REQUESTS), requests(REQUESTS // 3, alike=False)
    store = Store(folder / "log.db")
    for start in range(0, len(entries), 2000):
        bodies = [entry.body for entry in entries[start : start + 2000]]
        store.write(len(bodies), encode_frame(bodies))
    store.close()
    ledgers = [fresh_ledger(folder) for _ in range(3 * ROUNDS)]  # one for each run that applies
    size = ledgers[0][1]

    def apply(given: Sequence[Entry]) -> None:
        ledger, _ = ledgers.pop(0)
        for start in range(0, len(given), BATCH):
            ledger.apply(given[start : start + BATCH])

    def read_and_apply() -> None:
        ledger, _ = ledgers.pop(0)
        reader, seq = FrameReader(folder / "log.db"), 0
        while part := reader.entries(seq, BATCH):
            seq = ledger.apply(part)
        reader.close()

    postings, rolled, ours, ours_read = best(
        lambda: plain_postings(folder, entries), lambda: plain_rollup(folder, entries), lambda: apply(entries),
        read_and_apply,
    )  # fmt: skip
    table.rates("ledger, requests/s; floor: two postings each", REQUESTS, postings, ours, ">= 64,000/s")
    table.rates("ledger, requests/s; floor: one sum rolled up", REQUESTS, rolled, ours, ">= 185,000/s")
    table.rates("  with reading and decoding the log", REQUESTS, rolled, ours_read)
    floor, worst = best(lambda: plain_postings(folder, unlike), lambda: apply(unlike))
    table.rates("  no two requests alike; floor: two postings each", REQUESTS // 3, floor, worst)
    print(f"    {REQUESTS:,} requests make a ledger of {size.stat().st_size / 2**20:.1f} MiB")


# -- lake ----------------------------------------------------------------------------------------------------------


def plain_segments(folder: Path, rows: int, per_file: int) -> None:
    """DuckDB makes numbers and writes them: no input to read."""
    target = Path(tempfile.mkdtemp(dir=folder))
    connection = duckdb.connect(config={"threads": 2})
    for number in range(rows // per_file):
        file = target / f"{number}.parquet"
        connection.execute(
            "COPY (SELECT range AS seq, range * 7 AS t, (random() * 2000)::BIGINT AS a, (random() * 400)::BIGINT AS b, "
            f"(random() * 200000)::BIGINT AS c, random()::FLOAT AS d FROM range({per_file})) TO '{file}.new' "
            "(FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION V2)"
        )
        publish(file.with_name(f"{file.name}.new"), file)
    connection.close()


def measure_lake(table: Table, folder: Path) -> None:
    entries = requests(REQUESTS)
    whole = entries[: len(entries) // SEGMENT_ENTRIES * SEGMENT_ENTRIES]
    rows = sum(entry.kind == "settle" for entry in whole)
    made: list[Path] = []

    def ship() -> None:
        lake = Lake(Path(tempfile.mkdtemp(dir=folder)))
        for start in range(0, len(whole), BATCH):
            lake.ship(whole[start : start + BATCH])
        lake.close()
        made.append(lake.folder)

    floor, ours = best(lambda: plain_segments(folder, rows, SEGMENT_ENTRIES // 2), ship)
    table.rates("lake, rows/s", rows, floor, ours, ">= 87,000/s")
    size = sum(file.stat().st_size for file in made[0].glob("*.parquet"))
    print(f"    {size / rows:.1f} bytes a row (target 20)")


# -- questions -----------------------------------------------------------------------------------------------------

_ZERO_IN = ("cached_read_tokens", "cache_write_tokens")
_ZERO_OUT = (
    "reasoning_tokens", "image_count", "audio_ms", "characters", "requests", "outcomes", "seats", "duration_ms",
)  # fmt: skip
_EXTRA = "STRUCT(meter VARCHAR, quantity BIGINT, rate_attos DECIMAL(38,0), attos DECIMAL(38,0))[]"
_COSTS = "STRUCT(provider VARCHAR, currency VARCHAR, nanos BIGINT)[]"
_MONTH = f"""
SELECT seq * 2 AS seq, 'request' AS kind, t AS accepted, t - to_microseconds((random() * 900000)::BIGINT) AS occurred,
  'cus_big' AS tenant_id, 'prj_0001' AS project_id, 'wal_big' AS wallet_id, 'key_0001' AS key_id,
  'model-' || (random() * {MODELS} - 0.5)::INT AS model, 'api' AS product, 'chat' AS operation,
  NULL::VARCHAR AS end_user, 'ok' AS outcome, false AS estimated, false AS replay,
  (random() * 2000)::BIGINT AS input_tokens, {", ".join(f"0::BIGINT AS {meter}" for meter in _ZERO_IN)},
  (random() * 400)::BIGINT AS output_tokens, {", ".join(f"0::BIGINT AS {meter}" for meter in _ZERO_OUT)},
  'standard@0123456789ab' AS price_id, 'USD' AS currency,
  'input_tokens={RATES["input_tokens"]} output_tokens={RATES["output_tokens"]}' AS rates,
  0::BIGINT AS extra_lines, []::{_EXTRA} AS extra,
  (random() * 200000)::BIGINT AS charge_nanos, 0::BIGINT AS shortfall_nanos, 'own' AS provider,
  (random() * 90000)::BIGINT AS cost_nanos, 0::BIGINT AS cost_parts, []::{_COSTS} AS costs,
  (random() * 900)::FLOAT AS latency_ms,
  NULL::FLOAT AS first_token_ms, '' AS source, '' AS event_id, '' AS supersedes,
  MAP()::MAP(VARCHAR, VARCHAR) AS properties
FROM (SELECT range AS seq, make_timestamp(? + range * ?) AS t FROM range(?, ?))
"""


def make_month(folder: Path, events: int) -> Lake:
    """A lake whose merged segments DuckDB wrote by itself: the rows are made up, the format is ours."""
    lake = Lake(folder / "lake")
    connection = duckdb.connect(config={"threads": 2})
    first_us = START_NS // 1000 + 1_000_000
    step_us = (MONTH_NS // 1000 - 2_000_000) // events
    per_file = SEGMENT_ENTRIES * MERGE
    for first in range(0, 2 * events, per_file):
        segment = Segment(first + 1, first + per_file)
        connection.execute(
            f"COPY ({_MONTH}) TO '{lake.folder / segment.name}' (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION V2)",
            [first_us, step_us, first // 2, min(first + per_file, 2 * events) // 2],
        )
    connection.close()
    lake.close()
    return Lake(folder / "lake")


def fill_rollup(lake: Lake, file: Path) -> LedgerReader:
    """The rollup of the same rows, a row per quarter of an hour, model and meter."""
    database = Database.open(file)
    database.migrate()
    connection = sqlite3.connect(file)
    for meter, rate in RATES.items():
        rows = lake.query(
            "SELECT epoch_us(time_bucket(INTERVAL 15 MINUTE, occurred)) * 1000, model, "
            f"sum({meter})::BIGINT, count(*) FROM usage GROUP BY ALL"
        )
        connection.executemany(
            "INSERT INTO ledger_usage VALUES('cus_big',?,'standard@0123456789ab',?,'api',?,?,'USD',?,?,?,?)",
            [(at, model, meter, str(rate), n, *divmod(n * rate, 10**9), count) for at, model, n, count in rows],
        )
    connection.commit()
    connection.close()
    return LedgerReader(database)


def measure_questions(table: Table, folder: Path, events: int) -> None:
    lake = make_month(folder, events)
    reader = fill_rollup(lake, folder / "questions.db")
    plain_sqlite = sqlite3.connect(folder / "questions.db")
    plain_duckdb = duckdb.connect(config={"threads": 2})
    files = f"read_parquet('{lake.folder}/*.parquet')"
    end_ns = START_NS + MONTH_NS
    rolled = reader.usage_lines("cus_big", START_NS, end_ns)
    assert rolled == raw_usage_lines(lake, "cus_big", START_NS, end_ns)
    assert sum(line.entries for line in rolled) == 2 * events

    floor, ours = best(
        lambda: plain_sqlite.execute(
            "SELECT price_id, model, meter, rate_attos, sum(quantity), sum(amount_nanos) FROM ledger_usage "
            "WHERE tenant_id = 'cus_big' AND bucket_ns >= ? AND bucket_ns < ? GROUP BY 1, 2, 3, 4", (START_NS, end_ns)
        ).fetchall(),
        lambda: reader.usage_lines("cus_big", START_NS, end_ns),
    )  # fmt: skip
    table.times(f"invoice of {events:,} requests, rollup, ms", floor, ours, "< 100 ms")
    floor, ours = best(
        lambda: plain_duckdb.execute(
            f"SELECT model, sum(input_tokens), sum(output_tokens) FROM {files} WHERE tenant_id = 'cus_big' GROUP BY 1"
        ).fetchall(),
        lambda: raw_usage_lines(lake, "cus_big", START_NS, end_ns),
    )
    table.times("  the same, raw rows, ms", floor, ours, "< 2,000 ms")
    floor, ours = best(
        lambda: plain_duckdb.execute(
            f"SELECT tenant_id, occurred::DATE, sum(charge_nanos), sum(cost_nanos) FROM {files} GROUP BY ALL"
        ).fetchall(),
        lambda: usage_by(lake, ["tenant_id", "day"]),
    )
    table.times("revenue and margin per customer-day, raw, ms", floor, ours, "~ 1,600 ms")
    plain_sqlite.close()
    plain_duckdb.close()
    lake.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000, help="requests of the month that is invoiced")
    events = parser.parse_args().events
    folder = Path(tempfile.mkdtemp(prefix="mintage-bench-"))
    print(f"load {os.getloadavg()[0]:.1f}; best of {ROUNDS}")
    try:
        table = Table()
        measure_ledger(table, folder)
        measure_lake(table, folder)
        measure_questions(table, folder, events)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
