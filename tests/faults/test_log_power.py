"""Power cuts: what was acknowledged was synced, whatever the disk makes of the rest."""

import copy
import itertools
import random

import pytest

import mintage.books.log_pipeline as log_pipeline
import mintage.books.log_writer as log_writer
from mintage.base import ManualClock, MintageError
from mintage.books import CommitLog

from .business import NOW_NS
from .disk import Disk
from .judge import Claims
from .plants import planted
from .recover import recover
from .workload import Clients

NUMBERS = itertools.count()


@pytest.fixture
def disk(monkeypatch):
    monkeypatch.setattr(log_pipeline, "SNAPSHOT_ENTRIES", 40)
    monkeypatch.setattr(log_writer, "WAL_PAGES", 60)
    monkeypatch.setattr(log_writer, "EVENT_KEYS", 20)
    return Disk(f"power-{next(NUMBERS)}")


class Cutter(Claims):
    """Cuts the power at random acknowledgements: the files at that moment, and what the clients know at it."""

    def __init__(self, disk, home, target, seed, every):
        super().__init__()
        self.disk, self.home, self.target = disk, home, target
        self.chance = random.Random(seed)
        self.every = every
        self.cuts = []

    def tell(self, kind, name, answer=None):
        super().tell(kind, name, answer)
        if self.chance.random() < 1 / self.every:
            known = Claims(copy.deepcopy(self.tried), dict(self.told), list(self.contradictions))
            target = self.target / f"cut-{len(self.cuts)}"
            survives = random.Random(len(self.cuts)) if len(self.cuts) % 2 else None
            self.disk.cut(self.home, target, survives)
            self.cuts.append((target, known))


async def cut_and_judge(disk, folder, *, seed, rounds, every=12):
    """(number of cuts, problems found in what each left behind)."""
    cutter = Cutter(disk, folder / "home", folder / "cuts", seed, every)
    log = CommitLog.open(folder / "home" / "log.db", clock=ManualClock(NOW_NS), vfs=disk.name)
    clients = Clients(log, cutter, seed, "p")
    await clients.set_up()
    for _ in range(rounds):
        await clients.run(30)
        log.archive(log.last_seq() - 40)
    await log.close()
    problems = []
    for number, (target, known) in enumerate(cutter.cuts):
        problems += await recover(target / "log.db", known, seed=number, again=number % 4 == 0)
    return len(cutter.cuts), problems


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_acknowledged_is_lost(seed, disk, tmp_path):
    cuts, problems = await cut_and_judge(disk, tmp_path, seed=seed, rounds=3)
    assert problems == []
    assert cuts >= 10


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(10, 30))
async def test_nothing_acknowledged_is_lost_in_many_cuts(seed, disk, tmp_path):
    cuts, problems = await cut_and_judge(disk, tmp_path, seed=seed, rounds=6, every=6)
    assert problems == []
    assert cuts >= 40


async def test_without_fsync_acknowledged_work_is_lost(disk, tmp_path):
    with planted("fsync_off"):
        _, problems = await cut_and_judge(disk, tmp_path, seed=0, rounds=2)
    assert any("lost" in problem for problem in problems)


# -- a disk that fails -------------------------------------------------------------------------------------------------


async def fail_and_judge(disk, folder, kind, after, *, seed=0, times=10**9, rounds=40):
    """Clients work until the disk fails; then the power goes. Returns (clients that failed, problems)."""
    home = folder / "home"
    claims = Claims()
    log = CommitLog.open(home / "log.db", clock=ManualClock(NOW_NS), vfs=disk.name)
    clients = Clients(log, claims, seed, "d")
    await clients.set_up()
    disk.fail(kind, after, times)
    refusals = 0
    for _ in range(rounds):
        try:
            await clients.run(3, clients=3)
        except MintageError as error:
            assert error.code == "books_unavailable"
            refusals += 1
    disk.cut(home, folder / "after")
    disk.heal()
    await log.close()
    return refusals, await recover(folder / "after" / "log.db", claims, seed=seed)


FAILURES = [
    ("full", 0),
    ("full", 7),
    ("full", 60),
    ("eio_write", 0),
    ("eio_write", 33),
    ("eio_sync", 0),
    ("eio_sync", 5),
    ("eio_sync", 40),
]


@pytest.mark.parametrize(("kind", "after"), FAILURES)
async def test_a_failing_disk_stops_the_books_and_loses_nothing(kind, after, disk, tmp_path):
    refusals, problems = await fail_and_judge(disk, tmp_path, kind, after)
    assert problems == []
    assert refusals > 0


async def test_after_a_failure_everything_is_refused_with_a_hint_and_the_log_still_closes(disk, tmp_path):
    log = CommitLog.open(tmp_path / "log.db", clock=ManualClock(NOW_NS), vfs=disk.name)
    disk.fail("eio_sync")
    with pytest.raises(MintageError) as failure:
        await log.open_wallet("ten_1", "wal_1", "USD", "prepaid")
    assert failure.value.code == "books_unavailable"
    assert log.failed
    disk.heal()
    with pytest.raises(MintageError) as refusal:
        log.open_wallet("ten_1", "wal_1", "USD", "prepaid")
    assert refusal.value.code == "books_unavailable"
    assert refusal.value.hint
    assert log.entries(0, 10) == []
    await log.close()


@pytest.mark.parametrize("plant", ["failed_fsync_is_retried", "failed_commit_is_ignored"])
async def test_the_plan_catches(plant, disk, tmp_path):
    problems = []
    with planted(plant):
        for number, after in enumerate((0, 1, 2, 5, 8)):
            folder = tmp_path / str(number)  # few rounds: a later checkpoint would copy what the cache still has
            _, found = await fail_and_judge(disk, folder, "eio_sync", after, times=1, rounds=8)
            problems += found
    assert problems
