"""The lake: every row once, however entries arrive; equal to the log and to the ledger; whole files only."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mintage.base import MintageError
from mintage.books import Database, Ledger, Reported, UsageEvent
from mintage.books import lake_segments as segments_module
from mintage.books.lake import Lake
from mintage.books.lake_reports import DIMENSIONS, lake_totals, raw_usage_lines, usage_by

DAY_NS = 86_400 * 10**9
START_NS = 1_767_225_600_000_000_000
QUARTER_NS = 900 * 10**9


@pytest.fixture(autouse=True)
def small_segments(monkeypatch):
    monkeypatch.setattr(segments_module, "SEGMENT_ENTRIES", 50)
    monkeypatch.setattr(segments_module, "MERGE", 3)


@pytest.fixture
def lake(tmp_path):
    lake = Lake(tmp_path / "the lake's", threads=1)
    yield lake
    lake.close()


def settled(scribe):
    return [entry.body for entry in scribe.entries if entry.kind == "settle"]


def rows(lake):
    return lake.query("SELECT * FROM usage ORDER BY seq")


def test_rows_are_there_at_once_and_after_reopening(lake, scribe):
    scribe.business(120)
    assert lake.ship(scribe.entries) == len(scribe.entries)
    before = rows(lake)
    assert [row[0] for row in before] == [entry.seq for entry in scribe.entries if entry.kind == "settle"]
    assert lake.sealed_seq == len(scribe.entries) // 50 * 50
    lake.close()

    again = Lake(lake.folder.parent, threads=1)
    assert again.watermark == lake.sealed_seq
    again.ship(scribe.entries[again.watermark :])
    assert rows(again) == before
    again.close()


def test_amounts_and_columns_are_the_logs(lake, scribe):
    wallet = scribe.open("alice", cash=10**9)
    body = scribe.request(
        wallet, tokens=(11, 22), providers=("open ai", "own"), end_user="eve", first_token_ms=3.5, outcome="cut"
    )
    lake.ship(scribe.entries)
    names = (
        "tenant_id",
        "end_user",
        "outcome",
        "input_tokens",
        "output_tokens",
        "charge_nanos",
        "provider",
        "cost_nanos",
    )
    (row,) = lake.query(f"SELECT {', '.join(names)}, epoch_us(occurred), first_token_ms, costs FROM usage")
    assert row[:6] == ("alice", "eve", "cut", 11, 22, body.posted_nanos)
    assert row[6:8] == ("own", sum(cost.nanos for cost in body.costs))
    assert row[8:10] == (body.occurred_ns // 1000, 3.5)
    assert [cost["nanos"] for cost in row[10]] == [cost.nanos for cost in body.costs]


def test_reported_events_are_rows_too(lake, scribe):
    event = UsageEvent(
        tenant_id="cus", source="s", id="e1", occurred_ns=START_NS, properties={"region": "eu"}, supersedes="e0"
    )
    scribe.write(Reported(START_NS, event))
    lake.ship(scribe.entries)
    assert lake.query("SELECT kind, event_id, supersedes, properties['region'] FROM usage") == [
        ("event", "e1", "e0", "eu")
    ]


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_any_delivery_gives_the_same_lake(tmp_path_factory, new_scribe, seed):
    """Batches cut anywhere, delivered 0 to 3 times in any order, with restarts and merges in between."""
    chance = random.Random(seed)
    entries = new_scribe(seed).business(100).entries
    once = Lake(tmp_path_factory.mktemp("once"), threads=1)
    once.ship(entries)
    folder = tmp_path_factory.mktemp("many")
    many = Lake(folder, threads=1)
    cuts = sorted(chance.sample(range(1, len(entries)), 8))
    batches = [entries[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)]
    while many.watermark < len(entries):
        deliveries = [batch for batch in batches for _ in range(chance.randrange(4))]
        chance.shuffle(deliveries)
        for batch in deliveries:
            many.ship(chance.sample(batch, len(batch)))
            if chance.random() < 0.1:
                many.close()
                many = Lake(folder, threads=1)
            if chance.random() < 0.1:
                many.merge()
            if chance.random() < 0.2:
                rows(many)
    assert rows(many) == rows(once)
    once.close()
    many.close()


def test_merging_changes_no_row(lake, scribe):
    scribe.business(250)
    lake.ship(scribe.entries)
    before = rows(lake)
    files = len(lake.segments())
    made = lake.merge()
    assert made > 0
    assert len(lake.segments()) == files - 2 * made == len(list(lake.folder.glob("*.parquet")))
    assert rows(lake) == before
    assert lake.merge() == 0


def test_an_interrupted_merge_doubles_nothing(lake, scribe, monkeypatch):
    scribe.business(250)
    lake.ship(scribe.entries)
    before = rows(lake)
    monkeypatch.setattr(Path, "unlink", lambda self, **_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        lake.merge()
    monkeypatch.undo()
    monkeypatch.setattr(segments_module, "SEGMENT_ENTRIES", 50)
    monkeypatch.setattr(segments_module, "MERGE", 3)
    lake.close()
    again = Lake(lake.folder.parent, threads=1)
    again.ship(scribe.entries)
    assert rows(again) == before
    assert len(list(again.folder.iterdir())) == len(again.segments())
    again.close()


def test_a_reader_survives_a_merge_in_another_process(lake, scribe):
    scribe.business(250)
    lake.ship(scribe.entries)
    reader = Lake(lake.folder.parent, read_only=True, threads=1)
    count = reader.query("SELECT count(*) FROM usage")
    lake.merge()
    assert reader.query("SELECT count(*) FROM usage") == count
    reader.close()


def test_a_lost_segment_is_known_and_comes_back(lake, scribe):
    scribe.business(150)
    lake.ship(scribe.entries)
    before = rows(lake)
    lost = lake.segments()[1]
    (lake.folder / lost.name).unlink()
    lake.close()
    again = Lake(lake.folder.parent, threads=1)
    assert again.missing() == [(lost.first, lost.last)]
    assert again.watermark == lost.first - 1
    again.ship(scribe.entries)
    assert again.missing() == []
    assert rows(again) == before
    again.close()


def test_a_full_disk_loses_nothing(lake, scribe, monkeypatch):
    from mintage.books import lake as lake_module

    scribe.business(80)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lake_module, "publish", full)
    with pytest.raises(MintageError) as refusal:
        lake.ship(scribe.entries)
    assert refusal.value.code == "unavailable"
    assert lake.watermark == 49
    assert list(lake.folder.iterdir()) == []
    monkeypatch.setattr(lake_module, "publish", segments_module.publish)
    lake.ship(scribe.entries)
    assert lake.query("SELECT count(*) FROM usage") == [(len(settled(scribe)),)]


@pytest.mark.parametrize("moment", ["fsync", "rename"])
def test_a_kill_while_writing_leaves_no_half_file(tmp_path, scribe, moment):
    program = f"""
import os, signal, sys
from pathlib import Path
from mintage.books import lake_segments
from mintage.books.lake import Lake
from mintage.books.entries import Entry, Reported, UsageEvent
lake_segments.SEGMENT_ENTRIES = 50
die = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
if {moment!r} == 'fsync': os.fsync = die
else: Path.replace = die
Lake(Path({str(tmp_path)!r}), threads=1).ship(
    [Entry(n, Reported(n, UsageEvent(tenant_id='t', source='s', id=str(n), occurred_ns=n))) for n in range(1, 60)])
"""
    run = subprocess.run([sys.executable, "-c", program], check=False)
    assert run.returncode == -signal.SIGKILL
    lake = Lake(tmp_path, threads=1)
    assert lake.segments() == []
    assert list(lake.folder.iterdir()) == []
    lake.close()


def test_usage_by_adds_up_by_every_dimension(lake, scribe):
    scribe.business(200)
    lake.ship(scribe.entries)
    bodies = settled(scribe)
    (whole,) = usage_by(lake)
    assert whole.rows == len(bodies)
    assert whole.charge_nanos == sum(body.posted_nanos for body in bodies)
    assert whole.shortfall_nanos == sum(body.shortfall_nanos for body in bodies) > 0
    assert whole.cost_nanos == sum(cost.nanos for body in bodies for cost in body.costs)
    assert whole.meters["input_tokens"] == sum(body.usage.input_tokens for body in bodies)
    for dimension in DIMENSIONS:
        parts = usage_by(lake, [dimension])
        assert sum(part.rows for part in parts) == whole.rows
        assert sum(part.margin_nanos for part in parts) == whole.margin_nanos
    (alice,) = usage_by(lake, ["tenant_id"], filters={"tenant_id": "alice"})
    assert alice.rows == sum(body.tenant_id == "alice" for body in bodies)
    half = scribe.entries[len(scribe.entries) // 2].at_ns
    first, second = usage_by(lake, end_ns=half), usage_by(lake, start_ns=half)
    assert first[0].charge_nanos + second[0].charge_nanos == whole.charge_nanos
    assert first[0].charge_nanos == sum(body.posted_nanos for body in bodies if body.occurred_ns < half)


def test_a_cost_in_another_currency_is_not_lost(lake, scribe):
    import msgspec

    wallet = scribe.open("alice", cash=10**9)
    held = scribe.hold(wallet)
    body = scribe.settle(held)
    foreign = msgspec.structs.replace(body.costs[0], currency="CNY", nanos=77)
    scribe.entries[-1] = type(scribe.entries[-1])(
        scribe.entries[-1].seq, msgspec.structs.replace(body, costs=(*body.costs, foreign))
    )
    lake.ship(scribe.entries)
    assert [(row.currency, row.rows, row.cost_nanos) for row in usage_by(lake)] == [
        ("CNY", 0, 77),
        ("USD", 1, body.costs[0].nanos),
    ]
    totals = lake_totals(lake, lake.watermark)
    assert (totals["CNY"].cost_nanos, totals["USD"].cost_nanos) == (77, body.costs[0].nanos)


@pytest.mark.parametrize("bad", [{"group_by": ["1; DROP"]}, {"filters": {"x": "y"}}, {"filters": {"day": "y"}}])
def test_unknown_dimensions_are_refused(lake, bad):
    with pytest.raises(MintageError) as refusal:
        usage_by(lake, **bad)
    assert refusal.value.code == "invalid_request"


def test_values_are_bound_never_spliced(lake, scribe):
    scribe.business(5)
    lake.ship(scribe.entries)
    assert usage_by(lake, filters={"model": "' OR 1=1 --"}) == []


@pytest.mark.parametrize("sql", ["SELECT * FROM read_text('/etc/hostname')", "COPY usage TO '/tmp/x.csv'", "nonsense"])
def test_a_query_reaches_nothing_but_the_lake(lake, sql):
    with pytest.raises(MintageError) as refusal:
        lake.query(sql)
    assert refusal.value.code == "invalid_request"


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), close=st.booleans())
def test_raw_rows_and_rollup_make_the_same_invoice(tmp_path_factory, new_scribe, seed, close):
    """Odd rates, fixed parts, replays, lines that are not usage x rate, late arrivals: equal to the atto."""
    chance = random.Random(seed)
    scribe = new_scribe(seed, step_ns=QUARTER_NS // 4)
    wallet = scribe.open("alice", cash=10**15)
    scribe.open("bob", cash=10**15)
    folder = tmp_path_factory.mktemp("books")
    database = Database.open(folder / "books.db")
    database.migrate()
    ledger, lake = Ledger(database), Lake(folder / "lake", threads=1)
    closings = []
    for number in range(80):
        rates = {"input_tokens": chance.randrange(10**12), chance.choice(["output_tokens", "requests"]): 7 * 10**18}
        body = scribe.request(
            chance.choice([wallet, "wal_bob_prepaid"]),
            tokens=(chance.randrange(3000), chance.randrange(3)),
            rates=rates,
            price_id=f"p@{number // 20}",
            fixed_attos=chance.choice([0, 0, 10**19 + 1]),
            late_ns=chance.randrange(3 * QUARTER_NS),
            replay_of=chance.choice(["", "", "", "req_1"]),
        )
        assert body.tenant_id in ("alice", "bob")
        if close and number == 40:
            ledger.apply(scribe.entries)
            end = scribe.now_ns // QUARTER_NS * QUARTER_NS
            closings.append((end, ledger.close_period("alice", end)))
    ledger.apply(scribe.entries)
    lake.ship(scribe.entries)
    for start, end in ((START_NS - DAY_NS, START_NS + DAY_NS), (START_NS + 5 * QUARTER_NS, START_NS + 11 * QUARTER_NS)):
        assert raw_usage_lines(lake, "alice", start, end, closings) == ledger.usage_lines("alice", start, end)
    assert ledger.usage_lines("alice", START_NS - DAY_NS, START_NS + DAY_NS)
    database.close()
    lake.close()
