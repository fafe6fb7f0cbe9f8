"""A company that lives through random weeks: customers come, use, change plans, pause and leave; processes die.

It only acts on the product and writes down what it did; recompute.py works out from that what everyone owes.
"""

import asyncio
import random

from tests.billing.lake_desk import LakeDesk
from tests.billing.simulation.recompute import Customer

from mintage.accounts import NewTenant
from mintage.billing import NewLot, TopUp

HOUR_NS = 3600 * 10**9
ZONES = ("UTC", "Asia/Kolkata", "Pacific/Apia", "America/New_York")
TIERS = """tiers = [
  { up_to = 1_000_000, per_million = "2.00" }, { up_to = 5_000_000, per_million = "1.50" }, { per_million = "1.00" },
]"""
TOKENS = 'id = "tokens"\nname = { en = "Tokens" }\nmetric = { values = ["total_tokens"] }\n'
FREE = '[[prices]]\nmodel = "*"\ninput_tokens = { per_unit = 0 }\noutput_tokens = { per_unit = 0 }\n'
POSTPAID = 'funding = "postpaid"\ncredit_limit = "1000000"\n'
PLANS = {
    "payg": '[[prices]]\nmodel = "*"\ninput_tokens = { per_million = "0.60" }\n'
    'output_tokens = { per_million = "2.40" }\n',
    "grad": f'{POSTPAID}[[charges]]\nkind = "graduated"\n{TOKENS}{TIERS}\n',
    "vol": f'{POSTPAID}[[charges]]\nkind = "volume"\n{TOKENS}{TIERS}\n',
    "flat": f'{POSTPAID}{FREE}[[fees]]\nname = {{ en = "Fee" }}\namount = "20"\n',
    "hybrid": f'{POSTPAID}[[fees]]\nname = {{ en = "Fee" }}\namount = "15"\n[[charges]]\nkind = "allowance"\n{TOKENS}'
    'included = 2_000_000\noverage = { per_million = "3.00" }\n',
    "seats": f'{POSTPAID}{FREE}[[charges]]\nkind = "seats"\nid = "seats"\nname = {{ en = "Seats" }}\n'
    'price_each = "30"\n',
    "base": f'{POSTPAID}minimum = "25"\n[[prices]]\nmodel = "*"\ninput_tokens = {{ per_unit = 0 }}\n'
    'output_tokens = { per_million = "1" }\n[[fees]]\nname = { en = "Base" }\namount = "9.99"\ntiming = "arrears"\n',
}
LATER = tuple(name for name in PLANS if name != "payg")


class World:
    def __init__(self, home, clock, seed, customers):
        self.home, self.clock, self.random = home, clock, random.Random(seed)
        self.desk = LakeDesk(home, clock)
        for name, body in PLANS.items():
            raw = f'id = "{name}"\nname = {{ en = "{name}" }}\ncurrency = "USD"\n{body}'
            self.desk.billing.plans.apply("t", raw.encode(), "toml")
        self.size = customers
        self.customers = {}  # tenant id -> facts
        self.kills = self.repeats = 0

    @property
    def now(self):
        return self.clock.now_ns()

    def tenant(self, tenant_id):
        return self.desk.accounts.tenants.get(tenant_id)

    async def live(self, hours, actions_an_hour):
        for _ in range(hours):
            self.clock.advance(3600)
            for _ in range(actions_an_hour):
                await self.act()

    async def act(self):
        if len(self.customers) < self.size and self.random.random() < 0.3:
            await self.join()
            return
        if not self.customers:
            return
        tenant_id = self.random.choice(sorted(self.customers))
        facts = self.customers[tenant_id]
        step = self.random.choices(
            (self.ask, self.seat, self.change, self.pause, self.leave, self.tick, self.close, self.kill, self.top_up),
            (60, 8, 4, 3, 1, 8, 8, 2, 4),
        )[0]
        await step(tenant_id, facts)

    async def join(self):
        zone = self.random.choice(ZONES)
        name = f"C{len(self.customers)}"
        tenant = self.desk.accounts.tenants.add("t", NewTenant(name=name, time_zone=zone), currency="USD")
        plan = self.random.choice(sorted(PLANS))
        await self.desk.billing.assign("t", tenant, plan)
        facts = self.customers[tenant.id] = Customer(zone)
        facts.plans.append((self.now, None, plan))

    def holds(self, facts):
        """The plan of now; None for one who has left."""
        start, end, plan = facts.plans[-1]
        return plan if start <= self.now and end is None else None

    def paused(self, facts):
        return bool(facts.pauses) and facts.pauses[-1][1] is None

    async def ask(self, tenant_id, facts):
        plan = self.holds(facts)
        if plan is None or plan == "seats":
            return
        read, written = self.random.randrange(400_000), self.random.randrange(100_000)
        tenant = self.tenant(tenant_id)
        if plan == "payg":
            needed = (6 * read + 24 * written) * 100 + 1
            if self.desk.billing.wallets.balance(tenant_id).available_nanos < needed:
                await self.top_up(tenant_id, facts)
        await self.desk.ask(tenant, "m", input_tokens=read, output_tokens=written)
        facts.asks.append((self.now, plan, read, written))

    async def seat(self, tenant_id, facts):
        level = sum(change for _, change in facts.seats)
        change = self.random.choice((1, 2, 3)) if level < 4 else -self.random.randrange(1, level)
        at_ns = self.now - self.random.randrange(1000)
        event_id = f"seat-{len(facts.seats)}"
        for _ in range(self.random.choice((1, 1, 2))):  # delivered again, now and then
            await self.desk.report(
                self.tenant(tenant_id), "seat", at_ns=at_ns // 1000 * 1000, event_id=event_id, seats=change
            )
        facts.seats.append((at_ns // 1000 * 1000, change))

    async def change(self, tenant_id, facts):
        plan = self.holds(facts)
        had = {name for _, _, name in facts.plans}
        left = [name for name in LATER if name not in had]
        if plan is None or plan == "payg" or not left or self.paused(facts):
            return
        new = self.random.choice(left)
        await self.desk.billing.lifecycle.assign("t", self.tenant(tenant_id), new)
        start, _, _ = facts.plans[-1]
        facts.plans[-1] = (start, self.now, plan)
        facts.plans.append((self.now, None, new))

    async def pause(self, tenant_id, facts):
        if self.holds(facts) is None or facts.plans[-1][0] == self.now:
            return
        if self.paused(facts):
            await self.desk.billing.lifecycle.resume("t", self.tenant(tenant_id))
            facts.pauses[-1] = (facts.pauses[-1][0], self.now)
        elif not facts.pauses or facts.pauses[-1][1] < self.now:
            await self.desk.billing.lifecycle.pause("t", self.tenant(tenant_id))
            facts.pauses.append((self.now, None))

    async def leave(self, tenant_id, facts):
        plan = self.holds(facts)
        if plan is None or self.paused(facts) or facts.plans[-1][0] == self.now:
            return
        await self.desk.billing.lifecycle.cancel("t", self.tenant(tenant_id), when="now")
        facts.plans[-1] = (facts.plans[-1][0], self.now, plan)

    async def top_up(self, tenant_id, facts):
        if facts.plans[0][2] != "payg":
            return
        nanos = self.random.randrange(1, 50) * 10**9
        source_id = f"{tenant_id}:{self.now}:{facts.top_ups}"
        tenant = self.tenant(tenant_id)
        if self.random.random() < 0.5:
            row = self.desk.billing.wallets.get(tenant_id)
            expires = self.now + self.random.randrange(1, 400) * HOUR_NS
            new = NewLot(id=source_id, name="Gift", amount_nanos=nanos, expires_ns=expires)
            for _ in range(self.random.choice((1, 2))):
                await self.desk.billing.credit.add("t", tenant, row, new)
        else:
            top_up = TopUp(amount_nanos=nanos, source="bank", source_id=source_id)
            for _ in range(self.random.choice((1, 2))):
                await self.desk.billing.wallets.top_up("t", tenant, top_up)
        facts.top_ups += nanos

    async def tick(self, tenant_id, facts):
        ticked = await self.desk.billing.lifecycle.tick()
        assert ticked.problems == {}

    async def close(self, tenant_id, facts):
        early = self.random.random() < 0.3 and facts.plans[-1][2] in ("grad", "payg", "vol", "hybrid")
        await self.desk.billing.closing.close("t", self.tenant(tenant_id), early=early)

    async def kill(self, tenant_id, facts):
        """Something dies in the middle of its work; what is on the disk is all that is left."""
        self.kills += 1
        billing = self.desk.billing
        work = self.random.choice((lambda: billing.closing.close("t", self.tenant(tenant_id)), billing.lifecycle.tick))
        task = asyncio.ensure_future(work())
        for _ in range(self.random.randrange(1, 60)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await self.desk.close()
        self.desk = LakeDesk(self.home, self.clock)
        await self.desk.billing.start()
