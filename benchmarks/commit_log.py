"""The commit log against its floors, side by side in one run: `python benchmarks/commit_log.py [--seconds 2]`.

A cycle is what one paid request needs: one durable record (the hold), then another (the settlement). The sinks run the
same cycles at concurrency 1, 64 and 512, in turns, so that a slow moment of the machine hits all alike:

- hand-off: an event loop and a thread pass records and wake each other; nothing is written. The floor of the design.
- journal: the same, with a preallocated file, CRC and one fdatasync per batch. The floor of durability.
- commit log: mintage.books.CommitLog, with check and deduct, rating carries, and everything it promises.
- settle only: the same log with all holds placed beforehand: durable settlements per second.

Loop CPU is the event-loop thread's own time per cycle (time.thread_time), the caller's task included.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import shutil
import statistics
import tempfile
import threading
import time
import zlib
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import uvloop

from mintage.base import Charge, Cost, Hold, RatedLine, Settlement, SystemClock, Usage, new_id
from mintage.books.log import CommitLog

CONCURRENCY = (1, 64, 512)
RECORD = b"x" * 450  # what a settlement weighs on disk
USAGE = Usage(input_tokens=900, output_tokens=120, requests=1)
CHARGE = Charge(
    price_id="standard@0123456789ab",
    currency="USD",
    attos=15_307_500_000_000,
    lines=(
        RatedLine(meter="input_tokens", quantity=900, rate_attos=80_000_000_000, attos=72_000_000_000_000),
        RatedLine(meter="output_tokens", quantity=120, rate_attos=320_000_000_000, attos=38_400_000_000_000),
    ),
)
COSTS = (Cost(provider="own", price_id="own@0.10", currency="USD", attos=1_111_111_111_111, engine_ms=40.0),)

Cycle = Callable[[Any], Awaitable[Any]]


class Floor:
    """Hand records to a thread, get woken once per batch. With a path: write each batch and fdatasync it."""

    def __init__(self, path: Path | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[bytes, asyncio.Future[None]]] = deque()
        self._signal: SimpleQueue[bool] = SimpleQueue()
        self._idle = False
        self._file = -1
        if path is not None:
            self._file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
            os.write(self._file, bytes(64 << 20))
            os.fsync(self._file)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, record: bytes) -> asyncio.Future[None]:
        future = self._loop.create_future()
        self._queue.append((record, future))
        if self._idle:
            self._idle = False
            self._signal.put(True)
        return future

    def _run(self) -> None:
        offset = 0
        while True:
            if not self._queue:
                self._idle = True
                if not self._queue and not self._signal.get():
                    return
                self._idle = False
                continue
            batch = [self._queue.popleft() for _ in range(len(self._queue))]
            if self._file >= 0:
                body = b"".join([record for record, _ in batch])
                raw = zlib.crc32(body).to_bytes(4, "little") + body
                offset = 0 if offset + len(raw) > 64 << 20 else offset
                os.pwrite(self._file, raw, offset)
                os.fdatasync(self._file)
                offset += len(raw)
            self._loop.call_soon_threadsafe(self._done, batch)

    @staticmethod
    def _done(batch: list[tuple[bytes, asyncio.Future[None]]]) -> None:
        for _, future in batch:
            future.set_result(None)

    async def cycle(self, _: Any) -> None:
        await self.put(RECORD)
        await self.put(RECORD)

    async def close(self) -> None:
        self._signal.put(False)
        await asyncio.to_thread(self._thread.join)
        if self._file >= 0:
            os.close(self._file)


def work(count: int, wallets: int) -> list[tuple[Hold, Settlement]]:
    """Requests made ahead of the clock: building them is the gateway's cost, not the log's."""
    now_ns = time.time_ns()
    made = []
    for index in range(count):
        wallet, tenant, request = f"wal_{index % wallets}", f"ten_{index % wallets}", new_id("req")
        hold = Hold(
            id=request,
            tenant_id=tenant,
            wallet_id=wallet,
            currency="USD",
            amount_nanos=20_000,
            created_ns=now_ns,
            lease_until_ns=now_ns + 900 * 10**9,
            key_id="key_1",
            model="smollm2-135m",
        )
        settlement = Settlement(
            hold_id=request,
            tenant_id=tenant,
            project_id="prj_1",
            wallet_id=wallet,
            key_id="key_1",
            model="smollm2-135m",
            product="api",
            occurred_ns=now_ns,
            usage=USAGE,
            charge=CHARGE,
            costs=COSTS,
            latency_ms=41.5,
        )
        made.append((hold, settlement))
    return made


async def drive(cycle: Cycle, items: list[Any], concurrency: int, seconds: float) -> tuple[float, float]:
    """(cycles per second, loop CPU in microseconds per cycle)."""
    todo = iter(items)
    done = 0
    end = time.perf_counter() + seconds

    async def worker() -> None:
        nonlocal done
        for item in todo:
            await cycle(item)
            done += 1
            if time.perf_counter() >= end:
                return

    began, cpu = time.perf_counter(), time.thread_time()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return done / (time.perf_counter() - began), (time.thread_time() - cpu) / done * 1e6


async def measure(sink: str, concurrency: int, seconds: float, home: Path) -> tuple[float, float]:
    folder = Path(tempfile.mkdtemp(dir=home))
    try:
        if sink in ("hand-off", "journal"):
            floor = Floor(None if sink == "hand-off" else folder / "journal")
            try:
                return await drive(floor.cycle, [None] * 5_000_000, concurrency, seconds)
            finally:
                await floor.close()
        return await measure_log(sink, concurrency, seconds, folder)
    finally:
        shutil.rmtree(folder)


async def measure_log(sink: str, concurrency: int, seconds: float, folder: Path) -> tuple[float, float]:
    log = CommitLog.open(folder / "log.db", clock=SystemClock())
    try:
        for index in range(100):
            await log.open_wallet(f"ten_{index}", f"wal_{index}", "USD", "postpaid", 10**15)
        items = work(int(seconds * {1: 6_000, 64: 40_000, 512: 90_000}[concurrency]), 100)

        async def cycle(item: tuple[Hold, Settlement]) -> None:
            await log.hold(item[0])
            await log.settle(item[1])

        async def settle(item: tuple[Hold, Settlement]) -> None:
            await log.settle(item[1])

        await drive(cycle, work(4000, 100), max(64, concurrency), 0.2)  # grow the WAL to its working size
        if sink == "commit log":
            return await drive(cycle, items, concurrency, seconds)
        for start in range(0, len(items), 1000):
            await asyncio.gather(*(log.hold(item[0]) for item in items[start : start + 1000]))
        return await drive(settle, items, concurrency, seconds)
    finally:
        await log.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0, help="per measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each cell; the median is shown")
    parser.add_argument("--home", type=Path, default=Path.home(), help="a folder on the disk to measure")
    options = parser.parse_args()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)  # as the server runs
    sinks = ("hand-off", "journal", "commit log", "settle only")
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for _ in range(options.rounds):
        for concurrency in CONCURRENCY:
            for sink in sinks:
                result = uvloop.run(measure(sink, concurrency, options.seconds, options.home))
                found.setdefault((sink, concurrency), []).append(result)
    print(
        "| sink | cycles/s at c=1 | of journal | c=64 | of journal | c=512 | of journal | loop CPU us c=1 / 64 / 512 |"
    )
    print("|---|---|---|---|---|---|---|---|")
    median = {
        key: (statistics.median(a for a, _ in runs), statistics.median(b for _, b in runs))
        for key, runs in found.items()
    }
    for sink in sinks:
        cells = []
        for concurrency in CONCURRENCY:
            rate = median[sink, concurrency][0]
            cells += [f"{rate:,.0f}", f"{rate / median['journal', concurrency][0]:.2f}"]
        cpu = " / ".join(f"{median[sink, c][1]:.1f}" for c in CONCURRENCY)
        print(f"| {sink} | {' | '.join(cells)} | {cpu} |")


if __name__ == "__main__":
    main()
