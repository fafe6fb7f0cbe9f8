"""One gateway process of the funds tests: `lease_worker.py ADDRESS WORKER FOLDER SEED TASKS WALLETS MODE`.

MODE `fixed`: every request holds and costs 1,000 nanos. `random`: holds up to 2,000, costs anything up to the hold,
some are released. Each task goes on until its requests are refused three times in a row. Prints what it saw as JSON.
"""

import asyncio
import json
import random
import sys
from pathlib import Path

from mintage.base import Charge, Hold, MintageError, Settlement, SystemClock, Usage, new_id
from mintage.books import CommitLog, Database, FrameReader
from mintage.books.funds_lease import LeasedFunds
from mintage.books.funds_pg import Funds, Outbox, log_hash

REFUSALS = 3


def request(wallet_id, amount):
    return Hold(
        id=new_id("req"),
        tenant_id=wallet_id.removeprefix("w_"),
        wallet_id=wallet_id,
        currency="USD",
        amount_nanos=amount,
        created_ns=1,
        lease_until_ns=10**18,
    )


def settlement(hold, nanos):
    return Settlement(
        hold_id=hold.id,
        tenant_id=hold.tenant_id,
        project_id="",
        wallet_id=hold.wallet_id,
        key_id="",
        model="m",
        product="api",
        occurred_ns=1,
        usage=Usage(),
        charge=Charge(price_id="p", currency="USD", attos=nanos * 10**9),
    )


async def spend(log, leased, wallets, chance, mode, counts):
    refused = 0
    while refused < REFUSALS:
        hold = request(chance.choice(wallets), 1000 if mode == "fixed" else chance.randrange(1, 2000))
        try:
            await leased.hold(hold)
        except MintageError as error:
            assert error.code == "insufficient_funds", error
            refused += 1
            counts["refused"] += 1
            continue
        refused = 0
        counts["admitted"] += 1
        if mode == "random" and chance.random() < 0.1:
            await log.release(hold.id, "failed")
        else:
            nanos = hold.amount_nanos if mode == "fixed" else chance.randrange(hold.amount_nanos + 1)
            await log.settle(settlement(hold, nanos))
            counts["spent"] += nanos


async def main(address, worker, folder, seed, tasks, wallets, mode):
    database = Database.open(address)
    funds = Funds(database)
    path = Path(folder) / f"{worker}.db"
    log = CommitLog.open(path, clock=SystemClock())
    for hold in log.open_holds():  # of a life before a kill
        await log.release(hold.id, "orphaned")
    names = [f"w_{number}" for number in range(int(wallets))]
    outbox = None
    turn = asyncio.Lock()

    def ship_now():
        nonlocal outbox
        reader = FrameReader(path)
        try:
            outbox = outbox or Outbox(funds, worker, log_hash(reader.entries(0, 1)))
            while entries := reader.entries(outbox.seq, 4096):
                outbox.ship(entries)
        finally:
            reader.close()

    async def ship():
        async with turn:
            await asyncio.to_thread(ship_now)

    leased = LeasedFunds(log, funds, worker, clock=SystemClock(), ship=ship)
    for name in names:
        await leased.open_wallet(name, name.removeprefix("w_"), "USD")
    await leased.start()
    counts = {"admitted": 0, "refused": 0, "spent": 0}
    chance = random.Random(int(seed))
    await asyncio.gather(
        *(spend(log, leased, names, random.Random(chance.random()), mode, counts) for _ in range(int(tasks)))
    )
    await leased.close()
    await ship()
    await log.close()
    database.close()
    print(json.dumps(counts))


asyncio.run(main(*sys.argv[1:]))
