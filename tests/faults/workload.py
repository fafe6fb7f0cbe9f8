"""Clients of one log: requests, payments and events, some delivered twice or three times, some abandoned.

Each tells `claims` what it tries and what it was told. Everything follows from a seed.
"""

import asyncio
import random

from mintage.base import MintageError, Usage
from mintage.books import UsageEvent

from .business import NOW_NS, TENANT, hold, settlement

WALLETS = ("wal_1", "wal_2")


def attos_of(hold_id):
    """What a request costs follows from its id, so that a redelivery is the same request."""
    return random.Random(hold_id).randrange(1, 900 * 10**9)


def wallet_of(hold_id):
    return random.Random(hold_id).choice(WALLETS)


def event_of(event_id):
    tokens = random.Random(event_id).randrange(1000)
    return UsageEvent(tenant_id=TENANT, source="crm", id=event_id, occurred_ns=NOW_NS, usage=Usage(input_tokens=tokens))


class Clients:
    def __init__(self, log, claims, seed, prefix):
        self.log = log
        self.claims = claims
        self.random = random.Random(seed)
        self.prefix = prefix
        self.count = 0

    def name(self, kind):
        self.count += 1
        return f"{self.prefix}-{kind}{self.count}"

    async def set_up(self):
        await self.log.open_wallet(TENANT, "wal_1", "USD", "prepaid")
        await self.log.open_wallet(TENANT, "wal_2", "USD", "postpaid", 10**9)

    async def run(self, steps, clients=6):
        """`steps` errands shared by some clients at once."""
        todo = iter(range(steps))

        async def client():
            for _ in todo:
                await self.errand()

        await asyncio.gather(*(client() for _ in range(clients)))

    async def errand(self):
        errands = (self.request, self.request, self.request, self.pay, self.report, self.give_up, self.abandon)
        try:
            await self.random.choice(errands)()
        except MintageError as error:
            if error.code != "insufficient_funds":
                raise

    async def hold(self):
        hold_id = self.name("r")
        self.claims.trying("hold", hold_id)
        await self.log.hold(hold(hold_id, 1000, wallet=wallet_of(hold_id)))
        self.claims.tell("hold", hold_id)
        return hold_id

    async def request(self):
        hold_id = await self.hold()
        await asyncio.gather(*(self.settle(hold_id) for _ in range(self.random.randrange(1, 4))))

    async def settle(self, hold_id):
        receipt = await self.log.settle(settlement(hold_id, attos_of(hold_id), wallet=wallet_of(hold_id)))
        self.claims.tell("settle", hold_id, receipt.posted_nanos)

    async def give_up(self):
        hold_id = await self.hold()
        await self.log.release(hold_id, "client gone")
        self.claims.tell("end", hold_id, "Released")

    async def abandon(self):
        await self.hold()

    async def pay(self):
        source_id = self.name("t")
        self.claims.trying("top_up", source_id)
        for _ in range(self.random.randrange(1, 4)):
            await self.log.top_up("wal_1", 5000, source="bank", source_id=source_id, kind="cash")
            self.claims.tell("top_up", source_id)

    async def report(self):
        names = [self.name("e") for _ in range(self.random.randrange(1, 5))]
        for name in names:
            self.claims.trying("event", f"{TENANT}/crm/{name}")
        for _ in range(self.random.randrange(1, 3)):
            self.random.shuffle(names)
            receipt = await self.log.record_events([event_of(name) for name in names])
            assert not receipt.conflicts
            for name in names:
                self.claims.tell("event", f"{TENANT}/crm/{name}")


async def redeliver(log, claims, chance):
    """Send everything that was ever sent again, zero to three times, in any order: each gets its first answer."""
    calls = []
    for hold_id in sorted(claims.tried["hold"]):
        calls += [("settle", hold_id)] * chance.randrange(4)
    for source_id in sorted(claims.tried["top_up"]):
        calls += [("top_up", source_id)] * chance.randrange(4)
    for name in sorted(claims.tried["event"]):
        calls += [("event", name)] * chance.randrange(4)
    chance.shuffle(calls)
    for kind, name in calls:
        try:
            await _again(log, claims, kind, name)
        except MintageError as error:
            if error.code not in ("conflict", "not_found", "insufficient_funds"):
                raise


async def _again(log, claims, kind, name):
    if kind == "settle":
        receipt = await log.settle(settlement(name, attos_of(name), wallet=wallet_of(name)))
        claims.tell("settle", name, receipt.posted_nanos)
    elif kind == "top_up":
        await log.top_up("wal_1", 5000, source="bank", source_id=name, kind="cash")
        claims.tell("top_up", name)
    else:
        await log.record_events([event_of(name.rsplit("/", 1)[1])])
        claims.tell("event", name)
