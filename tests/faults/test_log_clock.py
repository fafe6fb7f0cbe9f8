"""The wall clock jumps an hour either way: live requests are not cut off, orphans still end, exactly once."""

import pytest

from mintage.base import ManualClock
from mintage.books import CommitLog

from .business import LEASE_NS, NOW_NS, hold, prepaid, settlement
from .plants import planted

HOUR_S = 3600
LEASE_S = LEASE_NS / 1e9


async def jump_while_running(folder, jump_s):
    """(ids that a sweep expired after the jump, ids it expired a lease later)."""
    clock = ManualClock(NOW_NS)
    log = CommitLog.open(folder / "log.db", clock=clock)
    await prepaid(log, 1000)
    await log.hold(hold("req_live", 10, created_ns=clock.now_ns()))
    await log.hold(hold("req_orphan", 10, created_ns=clock.now_ns()))
    clock.jump_wall(jump_s)
    early = await log.expire(clock.now_ns())
    await log.settle(settlement("req_live"))
    clock.advance(LEASE_S)
    late = await log.expire(clock.now_ns())
    assert await log.expire(clock.now_ns()) == []
    assert log.wallet("wal_1").available_nanos == 993
    await log.close()
    return early, late


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S])
async def test_a_jump_ends_no_live_request_and_keeps_no_orphan(jump_s, tmp_path):
    assert await jump_while_running(tmp_path, jump_s) == ([], ["req_orphan"])


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S])
async def test_leases_on_the_wall_clock_would_be_caught(jump_s, tmp_path):
    with planted("leases_on_the_wall_clock"), pytest.raises(Exception):  # noqa: B017
        assert await jump_while_running(tmp_path, jump_s) == ([], ["req_orphan"])


@pytest.mark.parametrize(("jump_s", "wait_s"), [(HOUR_S, 0), (-HOUR_S, LEASE_S), (0, LEASE_S - 100)])
async def test_a_jump_while_down_delays_an_orphan_by_one_lease_at_most(jump_s, wait_s, tmp_path):
    clock = ManualClock(NOW_NS)
    log = CommitLog.open(tmp_path / "log.db", clock=clock)
    await prepaid(log, 1000)
    await log.hold(hold("req_orphan", 10, created_ns=clock.now_ns()))
    clock.advance(100)
    await log.close()
    clock.jump_wall(jump_s)
    log = CommitLog.open(tmp_path / "log.db", clock=clock)
    if wait_s:
        clock.advance(wait_s - 1)
        assert await log.expire(clock.now_ns()) == []
        clock.advance(1)
    assert await log.expire(clock.now_ns()) == ["req_orphan"]
    assert await log.expire(clock.now_ns()) == []
    assert log.wallet("wal_1").available_nanos == 1000
    await log.close()


async def test_amounts_do_not_depend_on_the_order_of_times(tmp_path):
    """Entries are ordered by seq, not by at_ns, which goes back when the clock does."""
    clock = ManualClock(NOW_NS)
    log = CommitLog.open(tmp_path / "log.db", clock=clock)
    await prepaid(log, 1000)
    for number, jump_s in enumerate((HOUR_S, -2 * HOUR_S, HOUR_S, -HOUR_S)):
        clock.jump_wall(jump_s)
        await log.hold(hold(f"req_{number}", 10))
        await log.settle(settlement(f"req_{number}"))
    assert log.wallet("wal_1").balance_nanos == 1000 - 30
    times = [entry.at_ns for entry in log.entries(0, 100)]
    assert times != sorted(times)
    await log.close()
    log = CommitLog.open(tmp_path / "log.db", clock=clock)
    assert log.wallet("wal_1").balance_nanos == 1000 - 30
    await log.close()
