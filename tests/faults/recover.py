"""After the fault: open the log again, resolve orphans, deliver everything again, and judge after each step."""

import random

from mintage.base import ManualClock, MintageError
from mintage.books import CommitLog

from .business import LEASE_NS, NOW_NS
from .disk import Disk
from .judge import compare, judge
from .workload import redeliver

DISK = Disk("recover")  # kills keep the page cache: syncing here would only be slow


async def recover(path, claims, seed, *, again=True):
    """The problems found, at best []."""
    problems, books = judge(path, claims)
    if books is None or problems:
        return problems
    clock = ManualClock(NOW_NS)
    try:
        log = CommitLog.open(path, clock=clock, vfs=DISK.name)
    except MintageError as error:
        return [f"the log cannot be opened: {error}"]
    try:
        problems = compare(log, books)
        problems += await _orphans(log, claims, books, clock)
        if again:
            await redeliver(log, claims, random.Random(seed))
    except (MintageError, AssertionError, KeyError) as error:
        problems.append(f"recovery stumbled: {error!r}")
    finally:
        await log.close()
    after, _ = judge(path, claims)
    return problems + after


async def _orphans(log, claims, books, clock):
    """Every hold that nobody will settle expires exactly once."""
    clock.advance(LEASE_NS / 1e9)
    first = await log.expire(clock.now_ns())
    second = await log.expire(clock.now_ns())
    for hold_id in first:
        claims.tell("end", hold_id, "Expired")
    problems = [] if set(first) == set(books.open()) else ["not every orphan expired, or more than the orphans"]
    if len(first) != len(set(first)) or second:
        problems.append("an orphan expired twice")
    if any(wallet.held_nanos for wallet in log.wallets()):
        problems.append("funds stay held though no hold is open")
    return problems
