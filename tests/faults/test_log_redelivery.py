"""Everything is delivered zero to three times more, reordered, before and after restarts: each counts once."""

import random

import pytest

from mintage.base import ManualClock
from mintage.books import CommitLog

from .business import NOW_NS
from .judge import Claims, judge
from .plants import planted
from .recover import recover
from .workload import Clients, redeliver


async def deliver_again_and_again(folder, seed):
    """The problems after three storms of redelivery with restarts between."""
    path, claims, clock = folder / "log.db", Claims(), ManualClock(NOW_NS)
    log = CommitLog.open(path, clock=clock)
    clients = Clients(log, claims, seed, "s")
    await clients.set_up()
    await clients.run(150)
    for storm in range(3):
        await redeliver(log, claims, random.Random(f"{seed}.{storm}"))
        await log.close()
        log = CommitLog.open(path, clock=clock)
    await log.close()
    problems, _ = judge(path, claims)
    return problems or await recover(path, claims, seed)


@pytest.mark.parametrize("seed", range(3))
async def test_each_delivery_counts_once(seed, tmp_path):
    assert await deliver_again_and_again(tmp_path, seed) == []


@pytest.mark.parametrize("plant", ["settle_without_dedup", "top_up_moves_the_balance_always", "events_without_dedup"])
async def test_the_plan_catches(plant, tmp_path):
    with planted(plant):
        problems = await deliver_again_and_again(tmp_path, 0)
    assert problems


def test_the_judge_sees_a_changed_past(tmp_path):
    """An acknowledgement that differs from the one before is a contradiction by itself."""
    claims = Claims()
    claims.tell("settle", "req_1", 7)
    claims.tell("settle", "req_1", 7)
    assert claims.contradictions == []
    claims.tell("settle", "req_1", 8)
    assert claims.contradictions
