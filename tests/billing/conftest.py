import asyncio

import pytest

from mintage.accounts import Accounts, NewTenant
from mintage.base import Charge, Hold, ManualClock, RatedLine, Settlement, Usage, new_id
from mintage.billing import Billing
from mintage.books import CommitLog, Database, Ledger

DAY_S = 86_400
PAYG = b"""
id = "payg"
name = { en = "Pay as you go" }
currency = "USD"
[[prices]]
model = "small"
input_tokens.per_million = "0.15"
output_tokens.per_million = "0.60"
"""


class Desk:
    """Accounts, billing and the books in one folder, with a clock that moves only when told."""

    def __init__(self, home, clock):
        self.home, self.clock = home, clock
        self.database = Database.open(home / "books.db")
        self.database.migrate()
        self.log = CommitLog.open(home / "log.db", clock=clock)
        self.ledger = Ledger(self.database)
        self.accounts = Accounts(self.database, clock, home)
        self.accounts.entities.ensure("Mint & Co", "USD")
        self.billing = Billing(self.accounts, self.log, self.ledger, self.catch_up)

    async def catch_up(self):
        mark = self.ledger.watermark()
        while entries := self.log.entries(mark, 1000):
            mark = await asyncio.to_thread(self.ledger.apply, entries)
        return mark

    async def customer(self, name="Acme", plan="payg", cash_nanos=0, **fields):
        tenant = self.accounts.tenants.add("t", NewTenant(name=name, **fields), currency="USD")
        await self.billing.assign("t", tenant, plan)
        if cash_nanos:
            await self.log.top_up(
                self.billing.wallets.get(tenant.id).id, cash_nanos, source="bank", source_id=tenant.id, kind="cash"
            )
        return tenant

    def price(self, plan="payg"):
        return self.billing.plans.current(plan, self.clock.now_ns()).id

    async def use(
        self, tenant, attos, *, price_id=None, model="small", meter="output_tokens", at_ns=None, hold_nanos=0
    ):
        """One request that is charged exactly `attos`, as one line of 1,000 units."""
        now = self.clock.now_ns()
        wallet = self.billing.wallets.get(tenant.id)
        hold_id = new_id("req")
        rate, rest = divmod(attos, 1000)
        lines = (RatedLine(meter=meter, quantity=1000, rate_attos=rate, attos=attos - rest),)
        if rest:
            lines += (RatedLine(meter="requests", quantity=1, rate_attos=rest, attos=rest),)
        held = self.log.hold(
            Hold(
                id=hold_id,
                tenant_id=tenant.id,
                wallet_id=wallet.id,
                currency="USD",
                amount_nanos=hold_nanos,
                created_ns=now,
                lease_until_ns=now + 10**12,
            )
        )
        settled = self.log.settle(
            Settlement(
                hold_id=hold_id,
                tenant_id=tenant.id,
                project_id="prj_x",
                wallet_id=wallet.id,
                key_id="key_x",
                model=model,
                product="api",
                occurred_ns=now if at_ns is None else at_ns,
                usage=Usage(output_tokens=1000),
                charge=Charge(price_id=price_id or self.price(), currency="USD", attos=attos, lines=lines),
            )
        )
        await held
        return await settled

    async def close(self):
        await self.log.close()
        self.database.close()


@pytest.fixture
def clock():
    return ManualClock()  # 2026-01-01T00:00Z


@pytest.fixture
async def desk(tmp_path, clock):
    desk = Desk(tmp_path, clock)
    desk.billing.plans.apply("t", PAYG, "toml")
    yield desk
    await desk.close()


@pytest.fixture
async def postpaid(desk):
    desk.billing.plans.apply("t", plan("post", 'funding = "postpaid"\ncredit_limit = "1000"'), "toml")
    return await desk.customer("Later", "post")


def plan(id_, top="", more=""):
    """A plan's TOML: fields before and tables after the prices."""
    return (
        f'id = "{id_}"\nname = {{ en = "{id_}" }}\ncurrency = "USD"\n{top}\n'
        f'[[prices]]\nmodel = "*"\noutput_tokens.per_million = "1"\n{more}\n'
    ).encode()
