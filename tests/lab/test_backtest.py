"""The backtest: closed months, rated again by the lab from the log, equal their invoices to the nano."""

import asyncio
import random

import pytest

from mintage.accounts import Accounts, NewTenant
from mintage.base import Hold, ManualClock, Settlement, Usage
from mintage.billing import Billing
from mintage.books import CommitLog, Database, Ledger
from mintage.lab.answers import Issued, backtest
from mintage.lab.workload import import_log
from mintage.pricing import compile_plan

pytest.importorskip("numpy", reason="the extra `lab` is not installed")

DAY_S = 86_400
PLANS = {
    "payg": b"""
id = "payg"
name = { en = "Pay as you go" }
currency = "USD"
funding = "postpaid"
credit_limit = "1000"
[[prices]]
model = "small"
input_tokens.per_million = "0.1533"
output_tokens.per_million = "0.6177"
[[prices]]
model = "*"
input_tokens.per_million = "1.25"
cached_read_tokens.per_million = "0.3"
output_tokens.per_million = "10"
[[adjustments]]
factor = "0.333"
during = { start = 16:30:00, end = 00:30:00 }
""",
    "base": b"""
id = "base"
name = { en = "Base fee" }
currency = "USD"
funding = "postpaid"
credit_limit = "1000"
minimum = "12.50"
[[fees]]
name = { en = "Fee" }
amount = "9.99"
timing = "arrears"
[[prices]]
model = "*"
input_tokens.per_million = "0.6"
output_tokens.per_million = "2.4"
""",
}


class Desk:
    def __init__(self, home):
        self.home, self.clock = home, ManualClock(1_767_225_600 * 10**9)
        self.database = Database.open(home / "books.db")
        self.database.migrate()
        self.log = CommitLog.open(home / "log.db", clock=self.clock)
        self.ledger = Ledger(self.database)
        self.accounts = Accounts(self.database, self.clock, home)
        self.accounts.entities.ensure("Mint & Co", "USD")
        self.billing = Billing(self.accounts, self.log, self.ledger, self.catch_up)
        for raw in PLANS.values():
            self.billing.plans.apply("t", raw, "toml")

    async def catch_up(self):
        mark = self.ledger.watermark()
        while entries := self.log.entries(mark, 1000):
            mark = await asyncio.to_thread(self.ledger.apply, entries)
        return mark

    async def use(self, tenant, plan, model, usage, number):
        now = self.clock.now_ns()
        version = self.billing.plans.current(plan, now)
        wallet = self.billing.wallets.get(tenant.id)
        hold_id = f"req_{tenant.handle}_{number}"
        await self.log.hold(
            Hold(id=hold_id, tenant_id=tenant.id, wallet_id=wallet.id, currency="USD", amount_nanos=10**7,
                 created_ns=now, lease_until_ns=now + 10**12)
        )  # fmt: skip
        await self.log.settle(
            Settlement(hold_id=hold_id, tenant_id=tenant.id, project_id="prj", wallet_id=wallet.id, key_id="key",
                       model=model, product="api", occurred_ns=now, usage=usage,
                       charge=compile_plan(version).rate(model, usage, now))
        )  # fmt: skip


@pytest.mark.parametrize("plan", PLANS)
async def test_closed_months_equal_their_invoices_to_the_nano(tmp_path, plan):
    desk, rng = Desk(tmp_path), random.Random(7)
    desk.clock.advance(1)
    tenants = [desk.accounts.tenants.add("t", NewTenant(name=name), currency="USD") for name in ("Acme", "Zeta")]
    for tenant in tenants:
        await desk.billing.assign("t", tenant, plan)
    number = 0
    for _ in range(62):
        for tenant in tenants:
            for _ in range(rng.randrange(4)):
                usage = Usage(
                    input_tokens=rng.randrange(5_000),
                    cached_read_tokens=rng.randrange(900),
                    output_tokens=rng.randrange(1, 3_000),
                    requests=1,
                )
                await desk.use(tenant, plan, rng.choice(["small", "large"]), usage, number)
                number += 1
        desk.clock.advance(DAY_S - rng.randrange(3_600) + 1_799)
    issued = []
    for tenant in tenants:
        made = await desk.billing.closing.close("t", tenant)
        assert len(made) >= 2
        issued += [
            Issued(
                number=invoice.number,
                tenant=tenant.id,
                start_ns=invoice.content.start_ns,
                end_ns=invoice.content.end_ns,
                zone=invoice.content.time_zone,
                exact=invoice.content.exact,
                price_versions=invoice.content.price_versions,
                first=not place,
            )
            for place, invoice in enumerate(made)
        ]
    workload = import_log(tmp_path / "log.db", tmp_path / "w.parquet")
    rows = backtest(workload, issued, lambda version: desk.billing.plans.version(version).plan)
    assert [(row.number, row.difference_nanos) for row in rows] == [(row.number, 0) for row in rows]
    assert all(row.equal and row.requests for row in rows)
    assert sum(row.issued for row in rows) > 0
    other = desk.billing.plans.current("payg" if plan == "base" else "base", desk.clock.now_ns()).plan
    wrong = backtest(workload, issued, lambda _: other)
    assert not any(row.equal for row in wrong)
    await desk.log.close()
    desk.database.close()
