"""How fast usage events become durable, with few and with many of them already known, side by side in one run.

`python benchmarks/usage_events.py [--known 10000000] [--seconds 10]`

Each call brings 500 new events; 16 calls are under way. `known` keys are put into the index beforehand, at random
places, as so many events of the past would have left them. Run it for longer than one merge of the index (a million
events) to see what merging costs. The slowest call shows how long a client may wait while the index is written.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import shutil
import tempfile
import time
from pathlib import Path

import apsw
import uvloop

from mintage.base import SystemClock, Usage
from mintage.books.entries import UsageEvent
from mintage.books.log import CommitLog
from mintage.books.log_state import StateStore, state_path

PER_CALL = 500
CALLS = 16


def know(log: Path, count: int) -> None:
    """Fill the index with `count` random keys."""
    StateStore(log).close()
    connection = apsw.Connection(str(state_path(log)))
    connection.pragma("synchronous", "off")
    connection.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        " INSERT OR IGNORE INTO event_keys SELECT random() AS hash, 0 FROM n ORDER BY hash",
        (count,),
    )
    connection.close()


def events(caller: int, call: int) -> list[UsageEvent]:
    now_ns = time.time_ns()
    return [
        UsageEvent(
            tenant_id=f"ten_{caller}",
            source="crm",
            id=f"{caller}-{call}-{number}",
            occurred_ns=now_ns,
            usage=Usage(input_tokens=number, requests=1),
            model="smollm2-135m",
        )
        for number in range(PER_CALL)
    ]


async def measure(known: int, seconds: float, folder: Path) -> tuple[float, float, float, float]:
    """(durable events per second, CPU of all threads per event in us, slowest call in ms, MB of the index)."""
    path = folder / "log.db"
    if known:
        know(path, known)
    log = CommitLog.open(path, clock=SystemClock())
    done, slowest = 0, 0.0
    began, cpu = time.perf_counter(), time.process_time()

    async def caller(number: int) -> None:
        nonlocal done, slowest
        call = 0
        while time.perf_counter() - began < seconds:
            batch = events(number, call)
            asked = time.perf_counter()
            receipt = await log.record_events(batch)
            slowest = max(slowest, time.perf_counter() - asked)
            assert receipt.accepted == PER_CALL
            done += PER_CALL
            call += 1

    await asyncio.gather(*(caller(number) for number in range(CALLS)))
    rate, cpu_us = done / (time.perf_counter() - began), (time.process_time() - cpu) / done * 1e6
    await log.close()
    return rate, cpu_us, slowest * 1e3, state_path(path).stat().st_size / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--known", type=int, default=10_000_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--home", type=Path, default=Path.home(), help="a folder on the disk to measure")
    options = parser.parse_args()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)  # as the server runs
    print("| known events | durable events/s | of an empty index | CPU us per event | slowest call ms | index MB |")
    print("|---|---|---|---|---|---|")
    first = 0.0
    for known in (0, options.known):
        folder = Path(tempfile.mkdtemp(dir=options.home))
        try:
            rate, cpu_us, slowest_ms, size_mb = uvloop.run(measure(known, options.seconds, folder))
        finally:
            shutil.rmtree(folder)
        first = first or rate
        print(f"| {known:,} | {rate:,.0f} | {rate / first:.2f} | {cpu_us:.1f} | {slowest_ms:.0f} | {size_mb:.0f} |")
    print(
        f"\nMost memory used: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB, the filling included."
    )


if __name__ == "__main__":
    main()
