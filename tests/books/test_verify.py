"""Verification: true books pass; each planted corruption is caught and its size told in nanos."""

import json
import sqlite3

import apsw
import msgspec
import pytest

from mintage.base import MintageError
from mintage.books import Database, Journal, Ledger, Posting, verify_in_child
from mintage.books import lake_segments as segments_module
from mintage.books.entries import Settled, decode_frame, encode_frame
from mintage.books.log_archive import archive_frames
from mintage.books.log_store import chain_hash
from mintage.books.verify import verify


@pytest.fixture(autouse=True)
def small_segments(monkeypatch):
    monkeypatch.setattr(segments_module, "SEGMENT_ENTRIES", 50)


@pytest.fixture
def home(scribe, make_home):
    scribe.business(150)
    scribe.hold("wal_alice_prepaid", 5)  # still open
    home = make_home(scribe)
    database = Database.open(home / "books.db")
    ledger = Ledger(database)
    ledger.post(
        Journal(
            event="invoice_finalised",
            source="invoice",
            source_id="INV-1",
            occurred_ns=scribe.now_ns,
            tenant_id="bob",
            postings=(
                Posting(account="assets:receivable", currency="USD", amount_nanos=50),
                Posting(account="assets:unbilled_receivable", currency="USD", amount_nanos=-50),
            ),
        )
    )
    database.close()
    return home


def failed(report):
    return {check.name for check in report.checks if not check.ok}


def run(home, statement, parameters=(), file="books.db"):
    connection = sqlite3.connect(home / file)
    connection.execute("PRAGMA ignore_check_constraints=ON")
    changed = connection.execute(statement, parameters).rowcount
    connection.commit()
    connection.close()
    assert changed == 1


def test_true_books_balance(home, scribe):
    report = verify(home)
    assert report.balanced
    assert report.difference_nanos == 0
    assert report.holds_open == 1
    assert report.log_seq == report.ledger_seq == len(scribe.entries)
    assert report.lake_seq == len(scribe.entries) // 50 * 50
    assert report.state_seq == report.log_seq
    assert all(check.compared > 0 for check in report.checks)
    assert verify(home) == report


def test_archived_books_balance(home, scribe):
    made = archive_frames(home / "log.db", 200)
    assert made
    report = verify(home)
    assert report.balanced
    assert report.log_seq == len(scribe.entries)


def test_books_that_lag_or_closed_a_period_balance(home, scribe, make_home):
    database = Database.open(home / "books.db")
    start = 1_767_225_600_000_000_000
    Ledger(database).close_period("alice", start + 900 * 10**9)
    for _ in range(5):
        scribe.request("wal_alice_prepaid", late_ns=scribe.now_ns - start)  # late for the closed period
    make_home(scribe)
    for _ in range(5):
        scribe.request("wal_alice_prepaid")
    make_home(scribe, derive=False)
    report = verify(home)
    assert report.balanced
    assert report.ledger_seq == len(scribe.entries) - 10
    database.close()


def test_a_flipped_balance_is_caught(home):
    run(
        home, "UPDATE wallets SET balance_nanos = balance_nanos + 5 WHERE id = 'wal_alice_prepaid'", file="log-state.db"
    )
    report = verify(home)
    assert failed(report) == {"wallets, carries and holds"}
    assert report.difference_nanos == 5


@pytest.mark.parametrize(
    ("statement", "difference"),
    [
        ("UPDATE carries SET attos = attos + 1 WHERE side = 'charge' AND owner = 'wal_alice_prepaid'", 0),
        ("DELETE FROM holds", 5),
        ("UPDATE wallets SET held_nanos = 6 WHERE id = 'wal_alice_prepaid'", 1),
    ],
)
def test_other_corruptions_of_the_state_are_caught(home, statement, difference):
    run(home, statement, file="log-state.db")
    report = verify(home)
    assert failed(report) == {"wallets, carries and holds"}
    assert report.difference_nanos == difference


def test_a_flipped_ledger_balance_is_caught(home):
    run(home, "UPDATE ledger_wallets SET balance_nanos = balance_nanos - 7 WHERE wallet_id = 'wal_alice_prepaid'")
    report = verify(home)
    assert failed(report) == {"ledger against the log"}
    assert report.difference_nanos == 7


def rewrite(home, change):
    """Rewrite the log as someone would who knows the chain: only the derived parts can tell."""
    connection = apsw.Connection(str(home / "log.db"))
    frames = connection.execute("SELECT last_seq, body FROM frames ORDER BY last_seq").fetchall()
    connection.execute("DELETE FROM frames")
    chain, seq = b"\0" * 32, 0
    for _, raw in frames:
        bodies = change(decode_frame(raw))
        if not bodies:
            continue
        body = encode_frame(bodies)
        chain = chain_hash(chain, body)
        seq += len(bodies)
        connection.execute("INSERT INTO frames VALUES(?,?,?,?)", (seq, len(bodies), body, chain))
    connection.close()


def test_a_dropped_entry_is_caught_even_with_a_forged_chain(home):
    dropped = []

    def drop(bodies):
        for body in bodies:
            if type(body) is Settled and body.posted_nanos > 0 and not dropped:
                dropped.append(body)
                return [one for one in bodies if one is not body]
        return bodies

    rewrite(home, drop)
    report = verify(home)
    assert not report.balanced
    assert "log replay" in failed(report) or "ledger totals" in failed(report)
    totals = next(check for check in report.checks if check.name == "ledger totals")
    assert any("revenue in USD" in problem for problem in totals.problems)
    assert report.difference_nanos >= dropped[0].posted_nanos


def test_a_dropped_frame_is_caught_by_the_chain(home):
    connection = sqlite3.connect(home / "log.db")
    seq = connection.execute("SELECT last_seq FROM frames ORDER BY last_seq LIMIT 1 OFFSET 9").fetchone()
    connection.close()
    run(home, "DELETE FROM frames WHERE last_seq = ?", seq, file="log.db")
    report = verify(home)
    assert {"log chain", "log replay"} <= failed(report)


def test_a_changed_entry_is_caught_by_the_chain(home):
    run(
        home,
        "UPDATE frames SET body = CAST(replace(CAST(body AS TEXT), 'alice', 'alicf') AS BLOB) "
        "WHERE last_seq = (SELECT min(last_seq) FROM frames)",
        file="log.db",
    )
    assert "log chain" in failed(verify(home))


def test_a_changed_archive_segment_is_caught(home):
    (file,) = archive_frames(home / "log.db", 100)
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    report = verify(home)
    assert not report.balanced
    file.unlink()
    assert "log chain" in failed(verify(home))


@pytest.mark.parametrize("table", ["ledger_rollups", "ledger_usage"])
def test_a_doubled_posting_is_caught(home, table):
    connection = sqlite3.connect(home / "books.db")
    cursor = connection.execute(f"SELECT * FROM {table} WHERE amount_nanos > 0")
    row = dict(zip((column[0] for column in cursor.description), cursor.fetchone(), strict=True))
    connection.close()
    sums = ("amount_nanos", "amount_attos", "entries", "quantity")
    key = {name: value for name, value in row.items() if name not in sums}
    where = " AND ".join(f"{name} = ?" for name in key)
    run(home, f"UPDATE {table} SET amount_nanos = 2 * amount_nanos WHERE {where}", tuple(key.values()))
    report = verify(home)
    assert failed(report) == {"ledger against the log", "ledger totals"}
    assert report.difference_nanos == 2 * row["amount_nanos"]  # as a row, and in the sum


@pytest.mark.parametrize(
    ("statement", "difference"),
    [
        ("UPDATE ledger_postings SET amount_nanos = 51 WHERE amount_nanos = 50", 1),
        ("DELETE FROM ledger_postings WHERE amount_nanos = -50", 50),
        ("UPDATE ledger_journals SET memo = 'x' WHERE source = 'invoice'", 0),
    ],
)
def test_changed_journals_are_caught(home, statement, difference):
    run(home, statement)
    report = verify(home)
    assert failed(report) == {"journals"}
    assert report.difference_nanos == difference


def test_a_journal_of_the_log_that_was_removed_is_caught(home):
    connection = sqlite3.connect(home / "books.db")
    (identity,) = connection.execute("SELECT id FROM ledger_journals WHERE event = 'top_up' LIMIT 1").fetchone()
    connection.execute("DELETE FROM ledger_postings WHERE journal_id = ?", (identity,))
    connection.execute("DELETE FROM ledger_journals WHERE id = ?", (identity,))
    connection.commit()
    connection.close()
    report = verify(home)
    assert failed(report) == {"ledger against the log", "ledger totals"}


def test_a_lost_segment_is_caught(home, scribe):
    lost = sorted((home / "lake" / "v1").glob("*.parquet"))[1]
    first, last = (int(part) for part in lost.stem.split("-"))
    charges = sum(e.body.posted_nanos for e in scribe.entries[first - 1 : last] if e.kind == "settle")
    lost.unlink()
    report = verify(home)
    assert failed(report) == {"lake against the log"}
    (check,) = [check for check in report.checks if not check.ok]
    assert f"{first} to {last}" in check.problems[0]
    assert str(charges) in check.problems[0]
    assert report.difference_nanos >= charges > 0


def test_an_unreadable_segment_is_caught(home):
    file = sorted((home / "lake" / "v1").glob("*.parquet"))[0]
    file.write_bytes(b"PAR1 nothing of use PAR1")
    assert failed(verify(home)) == {"lake against the log"}


def test_no_log_is_an_error_with_a_hint(tmp_path):
    with pytest.raises(MintageError) as refusal:
        verify(tmp_path)
    assert refusal.value.code == "not_found"
    assert refusal.value.hint


async def test_the_child_reports_the_same(tmp_path):
    with pytest.raises(MintageError) as refusal:
        await verify_in_child(tmp_path / "nowhere")
    assert refusal.value.code == "not_found"


def test_the_report_is_plain_data(home):
    report = verify(home)
    plain = json.loads(msgspec.json.encode(report))
    assert plain["balanced"] is True
    assert {check["name"] for check in plain["checks"]} >= {"log chain", "journals", "lake against the log"}
