"""A desk whose lake is at hand: requests as the gateway settles them, events as customers report them."""

import asyncio

from tests.billing.conftest import Desk

from mintage.base import Hold, Settlement, Usage, new_id
from mintage.billing import Billing
from mintage.books import UsageEvent
from mintage.books.deriver import Deriver
from mintage.pricing import compile_plan


class LakeDesk(Desk):
    def __init__(self, home, clock):
        super().__init__(home, clock)
        self.deriver = Deriver(home / "log.db", home / "books.db", home / "lake")
        self.billing = Billing(self.accounts, self.log, self.ledger, self.catch_up, self.query)
        self.events = 0

    async def catch_up(self):
        return (await asyncio.to_thread(self.deriver.catch_up)).ledger_seq

    async def query(self, sql, parameters=()):
        await self.catch_up()
        return await asyncio.to_thread(self.deriver.answer, "query", {"sql": sql, "parameters": list(parameters)})

    async def ask(self, tenant, model, at_ns=None, hold_nanos=None, **usage):
        """One request at the customer's plan, rated as the gateway rates it."""
        now = self.clock.now_ns() if at_ns is None else at_ns
        subscription = self.billing.subscriptions.current(tenant.id)
        card = compile_plan(self.billing.plans.current(subscription.plan, now))
        used = Usage(**usage, requests=1)
        charge = card.rate(model, used, now)
        wallet = self.billing.wallets.get(tenant.id)
        hold_id = new_id("req")
        held = self.log.hold(
            Hold(
                id=hold_id,
                tenant_id=tenant.id,
                wallet_id=wallet.id,
                currency=wallet.currency,
                amount_nanos=-(-charge.attos // 10**9) + 1 if hold_nanos is None else hold_nanos,
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
                occurred_ns=now,
                usage=used,
                charge=charge,
            )
        )
        await held
        return await settled

    async def report(self, tenant, kind, at_ns=None, event_id=None, supersedes=None, **properties):
        self.events += 1
        event = UsageEvent(
            tenant_id=tenant.id,
            source="api",
            id=event_id or f"e{self.events}",
            occurred_ns=self.clock.now_ns() if at_ns is None else at_ns,
            properties={"kind": kind, **{name: str(value) for name, value in properties.items()}},
            supersedes=supersedes,
        )
        return await self.log.record_events([event])

    async def close(self):
        self.deriver.close()
        await super().close()
