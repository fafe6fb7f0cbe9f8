"""The shipper process: what is settled shows in ledger and lake within seconds, whatever happens to the process."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from mintage.base import Charge, Hold, MintageError, RatedLine, Settlement, SystemClock, Usage
from mintage.books import CommitLog, Database, LedgerReader, Shipper, lake_segments
from mintage.books.log_store import Store
from mintage.books.verify import verify

LINE = RatedLine(meter="output_tokens", quantity=10, rate_attos=7 * 10**9, attos=70 * 10**9)


async def spend(log, number):
    hold = Hold(
        id=f"req_{number}",
        tenant_id="alice",
        wallet_id="w",
        currency="USD",
        amount_nanos=100,
        created_ns=1,
        lease_until_ns=time.time_ns() + 10**12,
    )
    await log.hold(hold)
    charge = Charge(price_id="p@1", currency="USD", attos=LINE.attos, lines=(LINE,))
    await log.settle(
        Settlement(
            hold_id=hold.id,
            tenant_id="alice",
            project_id="prj",
            wallet_id="w",
            key_id="key",
            model="m",
            product="api",
            occurred_ns=time.time_ns(),
            usage=Usage(output_tokens=10),
            charge=charge,
        )
    )


@pytest.fixture
async def log(tmp_path):
    log = CommitLog.open(tmp_path / "log.db", clock=SystemClock())
    await log.open_wallet("alice", "w", "USD", "prepaid")
    await log.top_up("w", 10**9, source="bank", source_id="1", kind="cash")
    yield log
    await log.close()


@pytest.fixture
async def shipper(tmp_path, log):
    shipper = Shipper(tmp_path / "log.db", tmp_path / "books.db", tmp_path / "lake")
    await shipper.start()
    yield shipper
    await shipper.close()


async def until(check, limit_s=20.0):
    """Ask again until the answer is there; the shipper may be starting."""
    async with asyncio.timeout(limit_s):
        while True:
            try:
                if found := await check():
                    return found
            except MintageError as error:
                assert error.code == "unavailable"
            await asyncio.sleep(0.02)


async def test_rows_show_within_five_seconds_without_being_asked_for(log, shipper):
    await until(shipper.sync)
    await spend(log, 1)
    settled = time.monotonic()

    async def shown():
        return [row for row in await shipper.usage_by(["tenant_id"]) if row.rows == 1]

    (row,) = await until(shown)
    assert time.monotonic() - settled < 5
    assert row.group == {"tenant_id": "alice"}
    assert (row.charge_nanos, row.meters) == (70, {"output_tokens": 10})


async def test_sync_covers_ledger_and_lake(tmp_path, log, shipper):
    for number in range(50):
        await spend(log, number)
    progress = await until(shipper.sync)
    assert progress.ledger_seq == progress.lake_seq == progress.log_seq == log.last_seq()
    database = Database.open(tmp_path / "books.db")
    reader = LedgerReader(database)
    assert reader.profit_and_loss()[0].revenue_nanos == 50 * 70
    day = 86_400 * 10**9
    start = time.time_ns() // day * day - day
    assert await shipper.raw_usage_lines("alice", start, start + 3 * day) == reader.usage_lines(
        "alice", start, start + 3 * day
    )
    assert await shipper.query("SELECT count(*) FROM usage") == [[50]]
    database.close()


async def test_a_killed_shipper_comes_back_and_nothing_is_lost_or_doubled(log, shipper):
    number = 0
    for _ in range(3):
        for _ in range(20):
            await spend(log, number)
            number += 1
        first = shipper.pid
        if first is not None:
            os.kill(first, signal.SIGKILL)
    progress = await until(shipper.sync)
    assert progress.error == ""
    (row,) = await shipper.usage_by()
    assert (row.rows, row.charge_nanos) == (60, 60 * 70)


def test_the_shipper_ends_with_the_server(tmp_path):
    Store(tmp_path / "log.db").close()
    program = f"""
import asyncio
from pathlib import Path
from mintage.books import Shipper
async def main():
    shipper = Shipper(*(Path({str(tmp_path)!r}) / name for name in ("log.db", "books.db", "lake")))
    await shipper.start()
    print(shipper.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    server = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    child = psutil.Process(int(server.stdout.readline()))
    server.kill()
    server.wait()
    server.stdout.close()
    child.wait(20)
    assert not child.is_running()


async def test_closing_reads_the_rest_of_the_log(tmp_path, log):
    shipper = Shipper(tmp_path / "log.db", tmp_path / "books.db", tmp_path / "lake")
    await shipper.start()
    for number in range(30):
        await spend(log, number)
    await log.close()
    await shipper.close()
    await shipper.close()
    database = Database.open(tmp_path / "books.db")
    assert LedgerReader(database).profit_and_loss()[0].revenue_nanos == 30 * 70
    database.close()
    with pytest.raises(MintageError):
        await shipper.sync()


async def test_bad_questions_are_answered_with_errors(shipper):
    await until(shipper.sync)
    for operation, parameters, code in (
        ("nothing", {}, "not_found"),
        ("usage_by", {"wrong": 1}, "invalid_request"),
        ("usage_by", {"group_by": ["nothing"]}, "invalid_request"),
        ("query", {"sql": "nonsense"}, "invalid_request"),
        ("query", {"sql": "SELECT unnest(range(200000))"}, "payload_too_large"),
    ):
        with pytest.raises(MintageError) as refusal:
            await shipper.ask(operation, **parameters)
        assert refusal.value.code == code
    assert (await shipper.progress()).error == ""


SHIP = """
import sys
from mintage.books import deriver, lake_segments, shipper
deriver.BATCH, lake_segments.SEGMENT_ENTRIES, lake_segments.MERGE = 40, 40, 3
sys.exit(shipper.main(sys.argv[1:]))
"""


def ship_once(home, failpoints=""):
    """The shipper, with small batches and segments, until it has read the whole log."""
    arguments = [str(home / name) for name in ("log.db", "books.db", "lake")]
    environment = os.environ | {"MINTAGE_FAILPOINTS": failpoints}
    return subprocess.run(
        [sys.executable, "-c", SHIP, *arguments], env=environment, stdin=subprocess.DEVNULL, check=False
    ).returncode


@pytest.mark.parametrize("nth", [1, 2, 4])
@pytest.mark.parametrize("point", ["ledger.commit", "ship_to_ledger", "lake.publish", "ship_to_lake", "lake.merged"])
def test_a_kill_anywhere_is_made_good_by_the_next_shipper(scribe, make_home, monkeypatch, point, nth):
    monkeypatch.setattr(lake_segments, "SEGMENT_ENTRIES", 40)
    scribe.business(150)
    home = make_home(scribe, derive=False)
    killed = ship_once(home, f"{point}:kill:{nth}")
    assert killed == -signal.SIGKILL
    assert ship_once(home) == 0
    report = verify(home)
    assert report.balanced, [check for check in report.checks if not check.ok]
    assert report.ledger_seq == len(scribe.entries)
    assert report.lake_seq == len(scribe.entries) // 40 * 40


def test_a_missing_log_is_said_plainly(tmp_path):
    arguments = [str(tmp_path / name) for name in ("log.db", "books.db", "lake")]
    run = subprocess.run(
        [sys.executable, "-m", "mintage.books.shipper", *arguments], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1


def test_lines_that_are_no_questions(tmp_path):
    """Spoken to directly: garbage is answered, an endless line ends the process."""
    Store(tmp_path / "log.db").close()
    arguments = [str(tmp_path / name) for name in ("log.db", "books.db", "lake")]
    run = subprocess.run(
        [sys.executable, "-m", "mintage.books.shipper", *arguments],
        input=b'garbage\n{"id": 1}\n\xff\xfe\n' + b"x" * (3 << 20),
        capture_output=True,
        check=True,
    )
    replies = run.stdout.splitlines()
    assert len(replies) == 3
    assert all(b'"invalid_json"' in reply for reply in replies)
    assert run.stderr == b""


async def test_the_server_process_never_loads_duckdb(log, shipper):
    await until(shipper.sync)
    await shipper.usage_by()
    process = psutil.Process(shipper.pid)
    assert process.memory_info().rss < 400 * 2**20
    program = "import sys, mintage.books; print('duckdb' in sys.modules, 'alembic' in sys.modules)"
    run = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["False", "False"]
