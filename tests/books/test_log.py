"""The commit log through its public doors: what it accepts, refuses, replays and finds again."""

import asyncio
import gzip
import operator
import subprocess
import sys
import threading

import apsw
import pytest

from mintage.base import ManualClock, MintageError, Usage
from mintage.books import CommitLog, Expired, FrameReader, Held, Released, Settled, ToppedUp, UsageEvent
from mintage.books.entries import decode_frame
from mintage.books.log_archive import archive_frames
from mintage.books.log_state import state_path

from ..faults.business import LEASE_NS, NOW_NS, TENANT, WALLET, hold, prepaid, settlement


@pytest.fixture
def clock():
    return ManualClock(NOW_NS)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.db"


@pytest.fixture
async def log(path, clock):
    log = CommitLog.open(path, clock=clock)
    yield log
    await log.close()


async def reopened(log, path, clock):
    await log.close()
    return CommitLog.open(path, clock=clock)


def code_of(call):
    with pytest.raises(MintageError) as caught:
        call()
    assert caught.value.hint
    return caught.value.code


def standing(log):
    by_id = operator.attrgetter("id")
    return sorted(log.wallets(), key=by_id), sorted(log.open_holds(), key=by_id)


def bodies(log, kind=object):
    return [entry.body for entry in log.entries(0, 10_000) if isinstance(entry.body, kind)]


async def test_a_request_is_held_then_settled_and_the_receipt_says_what_moved(log):
    await prepaid(log, 10_000)
    await log.hold(hold("req_1", 1000))
    assert (log.wallet(WALLET).balance_nanos, log.wallet(WALLET).held_nanos) == (10_000, 1000)
    receipt = await log.settle(settlement("req_1", 250_000_000_000))
    assert (receipt.posted_nanos, receipt.cost_nanos, receipt.currency, receipt.replayed) == (250, 3, "USD", False)
    assert (receipt.balance_nanos, receipt.held_nanos) == (9750, 0)
    assert log.wallet(WALLET).available_nanos == 9750
    assert log.open_holds() == []
    assert [type(body) for body in bodies(log)][1:] == [ToppedUp, Held, Settled]


async def test_entries_are_numbered_without_gaps_and_read_in_any_slices(log):
    await prepaid(log, 10**6)
    await asyncio.gather(*(log.hold(hold(f"req_{i}", 1)) for i in range(100)))
    whole = log.entries(0, 1000)
    assert [entry.seq for entry in whole] == list(range(1, 103))
    assert log.last_seq() == 102
    for size in (1, 7, 101):
        sliced = []
        while part := log.entries(len(sliced), size):
            sliced += part
        assert sliced == whole


async def test_a_thousand_fractions_post_their_exact_sum(log):
    await prepaid(log, 10**6)
    for i in range(1000):
        log.hold(hold(f"req_{i}", 8))
        settled = log.settle(settlement(f"req_{i}"))
    await settled
    assert log.wallet(WALLET).balance_nanos == 10**6 - 7500
    assert sum(body.posted_nanos for body in bodies(log, Settled)) == 7500
    assert sum(body.costs[0].nanos for body in bodies(log, Settled)) == 3333  # 3,333.333333 with its carry


async def test_carries_are_kept_per_wallet_and_price(log):
    await prepaid(log, 10**6)
    await prepaid(log, 10**6, wallet="wal_2")
    plan = [(WALLET, "a"), (WALLET, "b"), ("wal_2", "a"), (WALLET, "a")]
    posted = []
    for i, (wallet, price) in enumerate(plan):
        log.hold(hold(f"req_{i}", 8, wallet=wallet))
        posted.append((await log.settle(settlement(f"req_{i}", wallet=wallet, price_id=price))).posted_nanos)
    assert posted == [7, 7, 7, 8]


async def test_amounts_beyond_64_bits_of_attos_stay_exact(log, path, clock):
    attos = 123_456_789_012_345_678_901_234_567  # 123 million units
    await prepaid(log, 10**18)
    await log.hold(hold("req_1", 10**18))
    receipt = await log.settle(settlement("req_1", attos, cost_attos=attos + 1))
    assert receipt.posted_nanos == attos // 10**9
    log = await reopened(log, path, clock)
    (body,) = bodies(log, Settled)
    assert (body.attos, body.lines[0].attos, body.costs[0].attos) == (attos, attos, attos + 1)
    await log.close()


async def test_a_refusal_changes_nothing_and_reports_balance_held_and_needed(log):
    await prepaid(log, 1000)
    await log.hold(hold("req_1", 700))
    before = log.last_seq()
    with pytest.raises(MintageError) as refusal:
        log.hold(hold("req_2", 301))
    assert refusal.value.code == "insufficient_funds"
    assert refusal.value.status == 402
    assert refusal.value.details == {
        "balance_nanos": 1000,
        "held_nanos": 700,
        "needed_nanos": 301,
        "credit_limit_nanos": 0,
        "currency": "USD",
    }
    await log.hold(hold("req_3", 300))
    assert log.last_seq() == before + 1


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (hold("req_1", -1), "invalid_request"),
        (hold("req_1", 1, tenant="ten_other"), "invalid_request"),
        (hold("req_1", 1, wallet="wal_none"), "not_found"),
    ],
)
async def test_a_hold_that_does_not_fit_its_wallet_is_refused(log, bad, code):
    await prepaid(log, 1000)
    assert code_of(lambda: log.hold(bad)) == code
    assert log.wallet(WALLET).held_nanos == 0


async def test_a_hold_id_is_used_once(log, path, clock):
    await prepaid(log, 1000)
    await log.hold(hold("req_1", 10))
    assert code_of(lambda: log.hold(hold("req_1", 10))) == "conflict"
    await log.settle(settlement("req_1"))
    assert code_of(lambda: log.hold(hold("req_1", 10))) == "conflict"
    assert log.wallet(WALLET).held_nanos == 0


async def test_settling_again_gives_the_first_receipt_also_in_flight_and_after_restarts(log, path, clock):
    await prepaid(log, 10_000)
    await log.hold(hold("req_1", 100))
    first, second = await asyncio.gather(
        log.settle(settlement("req_1", 50_000_000_000)), log.settle(settlement("req_1", 99_000_000_000))
    )
    assert (first.posted_nanos, first.replayed, second.posted_nanos, second.replayed) == (50, False, 50, True)
    for _ in range(2):
        log = await reopened(log, path, clock)
        assert await log.settle(settlement("req_1", 1)) == second
    assert len(bodies(log, Settled)) == 1
    assert log.wallet(WALLET).balance_nanos == 9950
    await log.close()


async def test_a_replayed_settlement_waits_until_the_first_is_durable(path, clock):
    """The second future must not resolve from memory while the first is on its way to the disk."""
    log = CommitLog.open(path, clock=clock)
    await prepaid(log, 1000)
    await log.hold(hold("req_1", 10))
    gate = threading.Event()
    write = log._pipeline._store.write
    log._pipeline._store.write = lambda *frame: gate.wait(30) and write(*frame)
    first = log.settle(settlement("req_1"))
    second = log.settle(settlement("req_1"))
    await asyncio.wait([first, second], timeout=0.05)
    assert not first.done()
    assert not second.done()
    gate.set()
    assert (await second).replayed
    assert first.done()
    await log.close()


async def test_a_settlement_must_fit_its_hold(log):
    await prepaid(log, 1000)
    await prepaid(log, 1000, wallet="wal_2")
    await log.hold(hold("req_1", 10))
    assert code_of(lambda: log.settle(settlement("req_unknown"))) == "not_found"
    assert code_of(lambda: log.settle(settlement("req_1", wallet="wal_2"))) == "invalid_request"
    assert code_of(lambda: log.settle(settlement("req_1", -1))) == "invalid_request"
    assert code_of(lambda: log.settle(settlement("req_1", cost_attos=-1))) == "invalid_request"
    assert code_of(lambda: log.settle(settlement("req_1", 2**64 * 10**9))) == "invalid_request"
    assert [held.id for held in log.open_holds()] == ["req_1"]
    assert (await log.settle(settlement("req_1"))).posted_nanos == 7


async def test_a_failed_request_charges_nothing_and_books_its_cost(log):
    await prepaid(log, 1000)
    await log.hold(hold("req_1", 10))
    receipt = await log.settle(settlement("req_1", 0, outcome="failed", cost_attos=5_000_000_000))
    assert (receipt.posted_nanos, receipt.cost_nanos, receipt.balance_nanos) == (0, 5, 1000)


async def test_above_the_hold_the_difference_is_drawn(log):
    await prepaid(log, 1000)
    await log.hold(hold("req_1", 10))
    receipt = await log.settle(settlement("req_1", 400_000_000_000))
    assert (receipt.posted_nanos, receipt.shortfall_nanos, receipt.balance_nanos) == (400, 0, 600)


async def test_a_prepaid_wallet_never_goes_below_zero_nor_takes_from_other_holds(log):
    await prepaid(log, 1000)
    await log.hold(hold("req_1", 100))
    await log.hold(hold("req_2", 600))
    receipt = await log.settle(settlement("req_1", 700_000_000_000))
    assert (receipt.posted_nanos, receipt.shortfall_nanos, receipt.balance_nanos) == (700, 300, 600)
    assert log.wallet(WALLET).available_nanos == 0
    rest = await log.settle(settlement("req_2", 600_000_000_000))
    assert (rest.shortfall_nanos, rest.balance_nanos) == (0, 0)
    assert [body.drawn_nanos for body in bodies(log, Settled)] == [400, 600]


async def test_a_postpaid_wallet_owes_up_to_its_limit(log):
    await log.open_wallet(TENANT, WALLET, "USD", "postpaid", 500)
    await log.hold(hold("req_1", 500))
    assert code_of(lambda: log.hold(hold("req_2", 1))) == "insufficient_funds"
    receipt = await log.settle(settlement("req_1", 600_000_000_000))
    assert (receipt.balance_nanos, receipt.shortfall_nanos) == (-600, 0)
    assert (await log.open_wallet(TENANT, WALLET, "USD", "postpaid", 1000)).available_nanos == 400
    await log.hold(hold("req_2", 400))


async def test_wallets_open_once(log):
    await prepaid(log, 5)
    seq = log.last_seq()
    assert (await log.open_wallet(TENANT, WALLET, "USD", "prepaid")).balance_nanos == 5
    assert log.last_seq() == seq
    assert code_of(lambda: log.open_wallet("ten_2", WALLET, "USD", "prepaid")) == "conflict"
    assert code_of(lambda: log.open_wallet(TENANT, WALLET, "EUR", "prepaid")) == "conflict"
    assert code_of(lambda: log.open_wallet(TENANT, "wal_2", "usd", "prepaid")) == "invalid_request"
    assert code_of(lambda: log.open_wallet(TENANT, "wal_2", "USD", "prepaid", 1)) == "invalid_request"
    assert code_of(lambda: log.open_wallet(TENANT, "", "USD", "prepaid")) == "invalid_request"
    assert [wallet.id for wallet in log.wallets()] == [WALLET]


async def test_a_top_up_counts_once_per_source_also_after_restarts(log, path, clock):
    await log.open_wallet(TENANT, WALLET, "USD", "prepaid")

    def pay(nanos=100, source="stripe", source_id="pi_1"):
        return log.top_up(WALLET, nanos, source=source, source_id=source_id, kind="cash")

    await asyncio.gather(pay(), pay(), pay(source="paypal"))
    assert log.wallet(WALLET).balance_nanos == 200
    for _ in range(2):
        log = await reopened(log, path, clock)
        assert (await pay()).balance_nanos == 200
        assert code_of(lambda: pay(101)) == "conflict"
    assert code_of(lambda: pay(0, source_id="pi_2")) == "invalid_request"
    assert code_of(lambda: pay(2**63, source_id="pi_2")) == "invalid_request"
    assert len(bodies(log, ToppedUp)) == 2
    await log.close()


async def test_releasing_ends_a_hold_once(log, path, clock):
    await prepaid(log, 100)
    await log.hold(hold("req_1", 60))
    await log.release("req_1", "never dispatched")
    await log.release("req_1", "again")
    assert log.wallet(WALLET).available_nanos == 100
    assert len(bodies(log, Released)) == 1
    assert code_of(lambda: log.settle(settlement("req_1"))) == "conflict"
    log = await reopened(log, path, clock)
    assert code_of(lambda: log.settle(settlement("req_1"))) == "conflict"
    await log.hold(hold("req_2", 60))
    await log.settle(settlement("req_2"))
    assert code_of(lambda: log.release("req_2", "too late")) == "conflict"
    assert code_of(lambda: log.release("req_3", "unknown")) == "not_found"
    await log.close()


async def test_leases_expire_once_and_uncharged(log, clock):
    await prepaid(log, 100)
    await log.hold(hold("req_1", 60))
    clock.advance(LEASE_NS / 1e9 - 1)
    assert await log.expire(clock.now_ns()) == []
    await log.hold(hold("req_2", 10, created_ns=clock.now_ns()))
    clock.advance(1)
    assert await log.expire(clock.now_ns()) == ["req_1"]
    assert await log.expire(clock.now_ns()) == []
    assert log.wallet(WALLET).held_nanos == 10
    assert [body.hold_id for body in bodies(log, Expired)] == ["req_1"]
    assert code_of(lambda: log.settle(settlement("req_1"))) == "conflict"


async def test_a_renewed_hold_lives_on(log, clock):
    await prepaid(log, 100)
    await log.hold(hold("req_1", 60))
    clock.advance(890)
    log.renew("req_1", 900)
    clock.advance(890)
    assert await log.expire(clock.now_ns()) == []
    assert (await log.settle(settlement("req_1"))).posted_nanos == 7


async def test_a_request_repeated_under_its_idempotency_key_is_charged_once_and_costs_twice(log, path, clock):
    await prepaid(log, 1000)
    for i in (1, 2, 3):
        await log.hold(hold(f"req_{i}", 100))
    keyed = {"idempotency_key": "order-7", "payload_hash": "abc"}
    first = await log.settle(settlement("req_1", 80_000_000_000, **keyed))
    again = await log.settle(settlement("req_2", 90_000_000_000, **keyed))
    assert (again.hold_id, again.posted_nanos, again.replayed) == ("req_1", 80, True)
    other = settlement("req_3", idempotency_key="order-7", payload_hash="def")
    assert code_of(lambda: log.settle(other)) == "idempotency_conflict"
    await log.release("req_3", "refused")
    assert log.wallet(WALLET).balance_nanos == 920
    second = bodies(log, Settled)[1]
    assert (second.replay_of, second.posted_nanos, second.costs[0].nanos) == ("req_1", 0, 3)
    for _ in range(2):
        log = await reopened(log, path, clock)
        assert log.idempotent(TENANT, "order-7") == ("abc", first)
        assert log.idempotent("ten_2", "order-7") is None
        assert (log.wallet(WALLET).balance_nanos, log.wallet(WALLET).held_nanos) == (920, 0)
    await log.close()


async def test_one_settlement_can_be_found_for_a_receipt(log, path, clock):
    await prepaid(log, 1000)
    await log.hold(hold("req_1", 10))
    assert log.settled("req_1") is None
    receipt = await log.settle(settlement("req_1"))
    assert log.settled("req_1").receipt() == receipt
    log = await reopened(log, path, clock)
    assert log.settled("req_1").receipt() == receipt
    assert log.settled("req_2") is None
    await log.close()


async def test_everything_is_there_again_after_a_restart_with_and_without_the_stored_state(log, path, clock):
    await prepaid(log, 10**6)
    await log.open_wallet("ten_2", "wal_2", "USD", "postpaid", 10**6)
    for i in range(50):
        wallet, tenant = (WALLET, TENANT) if i % 2 else ("wal_2", "ten_2")
        log.hold(hold(f"req_{i}", 100, wallet=wallet, tenant=tenant))
        if i % 5:
            await log.settle(settlement(f"req_{i}", 7_777_777_777 * i, wallet=wallet, tenant=tenant))
    expected = standing(log)
    for forget in (False, True, False):
        await log.close()
        if forget:
            state_path(path).unlink()
        log = CommitLog.open(path, clock=clock)
        assert standing(log) == expected
    log.hold(hold("req_next", 8))
    posted = (await log.settle(settlement("req_next", 1))).posted_nanos
    odd = sum(7_777_777_777 * i for i in range(50) if i % 2 and i % 5)
    assert posted == (odd + 1) // 10**9 - odd // 10**9  # the carry survived too
    await log.close()


async def test_the_state_of_another_log_is_not_believed(log, path, clock, tmp_path):
    await prepaid(log, 1000)
    await log.close()
    other = CommitLog.open(tmp_path / "other" / "log.db", clock=clock)
    await prepaid(other, 777)
    await other.close()
    state_path(tmp_path / "other" / "log.db").replace(state_path(path))
    log = CommitLog.open(path, clock=clock)
    assert log.wallet(WALLET).balance_nanos == 1000
    await log.close()


@pytest.mark.parametrize("damage", [b"not a database" * 400, b"", "version"])
async def test_a_damaged_state_is_made_again(log, path, clock, damage):
    await prepaid(log, 1000)
    await log.hold(hold("req_1", 10))
    await log.close()
    if damage == "version":
        connection = apsw.Connection(str(state_path(path)))
        connection.pragma("user_version", 99)
        connection.close()
    else:
        state_path(path).write_bytes(damage)
    log = CommitLog.open(path, clock=clock)
    assert (log.wallet(WALLET).balance_nanos, log.wallet(WALLET).held_nanos) == (1000, 10)
    assert (await log.settle(settlement("req_1"))).balance_nanos == 993
    await log.close()


async def test_a_damaged_log_is_not_opened(log, path, clock):
    await prepaid(log, 1000)
    await log.close()
    state_path(path).unlink()
    path.with_name("log.db-wal").unlink(missing_ok=True)
    path.write_bytes(b"not a database" * 400)
    assert code_of(lambda: CommitLog.open(path, clock=clock)) == "unavailable"


async def test_subscribers_hear_of_every_entry_in_order_after_it_is_durable(log, path):
    heard = []
    reader = FrameReader(path)

    def listen(entries):
        assert reader.last_seq() >= entries[-1].seq
        heard.extend(entries)

    log.subscribe(listen)
    await prepaid(log, 1000)
    await asyncio.gather(*(log.hold(hold(f"req_{i}", 1)) for i in range(20)))
    assert heard == log.entries(0, 100)
    reader.close()


async def test_a_caller_that_stops_waiting_loses_nothing(log):
    await prepaid(log, 1000)
    await log.hold(hold("req_1", 10))
    waiting = asyncio.ensure_future(log.settle(settlement("req_1")))
    waiting.cancel()
    await log.hold(hold("req_2", 10))
    assert log.wallet(WALLET).balance_nanos == 993
    assert len(bodies(log, Settled)) == 1


async def test_another_process_reads_while_this_one_writes(log, path):
    await prepaid(log, 1000)
    script = (
        "import sys; from pathlib import Path; from mintage.books.log_reader import FrameReader;"
        "print([e.kind for e in FrameReader(Path(sys.argv[1])).entries(0, 10)])"
    )
    command = [sys.executable, "-c", script, str(path)]
    read = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    assert read.stdout.strip() == "['wallet', 'top_up']"


async def test_a_closed_log_refuses(log):
    await prepaid(log, 1000)
    await log.close()
    assert code_of(lambda: log.hold(hold("req_1"))) == "shutting_down"


def test_a_reader_of_nothing_says_so(tmp_path):
    assert code_of(lambda: FrameReader(tmp_path / "log.db")) == "not_found"
    (tmp_path / "log.db").touch()
    assert code_of(lambda: FrameReader(tmp_path / "log.db")) == "not_found"


async def test_a_log_of_another_version_is_left_alone(log, path, clock):
    await prepaid(log, 1000)
    await log.close()
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", 99)
    connection.close()
    assert code_of(lambda: CommitLog.open(path, clock=clock)) == "unsupported"
    assert code_of(lambda: FrameReader(path)) == "unsupported"


# -- usage events ------------------------------------------------------------------------------------------------------


def event(event_id, tokens=1, **fields):
    return UsageEvent(
        tenant_id=fields.pop("tenant", TENANT),
        source=fields.pop("source", "crm"),
        id=event_id,
        occurred_ns=NOW_NS,
        usage=Usage(input_tokens=tokens),
        **fields,
    )


async def test_events_enter_once_by_tenant_source_and_id(log, path, clock):
    first = await log.record_events([event("e1"), event("e2"), event("e1", tenant="ten_2"), event("e1", source="erp")])
    assert (first.accepted, first.duplicates, first.conflicts) == (4, 0, ())
    again = await log.record_events([event("e2"), event("e3"), event("e3"), event("e1", 2), event("e3", 5)])
    assert (again.accepted, again.duplicates, again.conflicts) == (1, 2, ("e1", "e3"))
    for forget in (False, True):
        await log.close()
        if forget:
            state_path(path).unlink()
        log = CommitLog.open(path, clock=clock)
        late = await log.record_events([event("e1"), event("e2", 9), event("e3")])
        assert (late.accepted, late.duplicates, late.conflicts) == (0, 2, ("e2",))
    assert [body.event.id for body in bodies(log)] == ["e1", "e2", "e1", "e1", "e3"]
    await log.close()


async def test_a_correction_is_a_new_event_that_supersedes(log):
    await log.record_events([event("e1", 5)])
    receipt = await log.record_events([event("e1-fix", 4, supersedes="e1")])
    assert receipt.accepted == 1
    assert [body.event.supersedes for body in bodies(log)] == [None, "e1"]


async def test_events_and_requests_share_one_order(log):
    await prepaid(log, 1000)
    await log.hold(hold("req_1", 10))
    await log.record_events([event("e1")])
    await log.settle(settlement("req_1"))
    assert [entry.kind for entry in log.entries(2, 10)] == ["hold", "event", "settle"]


@pytest.mark.parametrize(
    ("events", "code"),
    [
        ([event("")], "invalid_request"),
        ([event("x" * 257)], "invalid_request"),
        ([event("a\x1fb")], "invalid_request"),
        ([event(f"e{i}") for i in range(10_001)], "payload_too_large"),
    ],
)
async def test_events_that_cannot_be_identified_are_refused(log, events, code):
    assert code_of(lambda: log.record_events(events)) == code
    assert log.last_seq() == 0


async def test_event_keys_move_through_both_tables_and_are_still_known(log, path, clock, monkeypatch):
    monkeypatch.setattr("mintage.books.log_writer.EVENT_KEYS", 50)
    monkeypatch.setattr("mintage.books.log_state.RECENT_KEYS_LIMIT", 120)
    for start in range(0, 300, 30):
        receipt = await log.record_events([event(f"e{i}") for i in range(start, start + 30)])
        assert receipt.accepted == 30
    log = await reopened(log, path, clock)
    receipt = await log.record_events([event(f"e{i}") for i in range(310)])
    assert (receipt.accepted, receipt.duplicates) == (10, 300)
    await log.close()


async def test_a_log_opens_from_its_last_snapshot_whether_or_not_it_has_events(log, path, clock, monkeypatch):
    monkeypatch.setattr("mintage.books.log_writer.EVENTS_SPAN", 20)
    await prepaid(log, 10**6)
    await log.record_events([event("e1")])
    for i in range(30):
        await log.hold(hold(f"req_{i}", 1))
    await log.close()
    read = []
    monkeypatch.setattr("mintage.books.log_load.decode_frame", lambda raw: read.append(raw) or decode_frame(raw))
    log = CommitLog.open(path, clock=clock)
    assert read == []
    assert len(log.open_holds()) == 30
    assert (await log.record_events([event("e1")])).duplicates == 1
    await log.close()


# -- growth ------------------------------------------------------------------------------------------------------------


async def fill(log, count):
    await prepaid(log, 10**9)
    for i in range(count):
        await log.hold(hold(f"req_{i}", 10))
        await log.settle(settlement(f"req_{i}"))


async def test_archived_entries_stay_readable_and_the_log_goes_on(log, path, clock, monkeypatch):
    monkeypatch.setattr("mintage.books.log_archive.SEGMENT_BYTES", 5000)
    await fill(log, 40)
    whole = log.entries(0, 1000)
    log = await reopened(log, path, clock)  # only what the stored state covers may leave
    made = await asyncio.to_thread(log.archive, 60)
    assert len(made) > 2
    assert log.entries(0, 1000) == whole
    for start in (0, 1, 30, 58, 59, 60, 81):
        assert log.entries(start, 7) == whole[start : start + 7]
    assert await asyncio.to_thread(log.archive, 60) == []
    await log.hold(hold("req_after", 10))
    balance = log.wallet(WALLET).balance_nanos
    log = await reopened(log, path, clock)
    assert log.wallet(WALLET).balance_nanos == balance
    await log.close()
    state_path(path).unlink()
    log = CommitLog.open(path, clock=clock)
    assert log.wallet(WALLET).balance_nanos == balance
    await log.close()


async def test_a_settlement_of_an_archived_hold_is_refused_not_repeated(log, path, clock):
    await fill(log, 3)
    log = await reopened(log, path, clock)
    await asyncio.to_thread(log.archive, 9)
    log = await reopened(log, path, clock)
    assert code_of(lambda: log.settle(settlement("req_0"))) == "not_found"
    assert code_of(lambda: log.top_up(WALLET, 5, source="bank", source_id=f"first-{WALLET}", kind="cash")) == "conflict"
    await log.close()


async def test_everything_may_be_archived(log, path, clock):
    await fill(log, 3)
    log = await reopened(log, path, clock)
    await asyncio.to_thread(log.archive, 10**9)
    assert log.last_seq() == 8
    log = await reopened(log, path, clock)
    await log.hold(hold("req_after", 10))
    assert [entry.seq for entry in log.entries(7, 5)] == [8, 9]
    await log.close()


async def test_a_damaged_segment_is_named(log, path, clock):
    await fill(log, 3)
    log = await reopened(log, path, clock)
    (segment,) = await asyncio.to_thread(log.archive, 10**9)
    lines = gzip.decompress(segment.read_bytes())
    segment.write_bytes(gzip.compress(lines)[:-20])
    with pytest.raises(MintageError, match=segment.name):
        log.entries(0, 10)
    await log.close()


async def test_frames_newer_than_the_stored_state_stay(log, path):
    await fill(log, 3)
    assert archive_frames(path, 10**9) == []
    assert len(log.entries(0, 100)) == 8
