"""A business with a past: plans, customers and months of requests, invoices, payments and debts, on a clock that is
set back and comes forward. `fill` ends at the real present, so that browsers' sessions and the pages' days are real."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from mintage.accounts import EntityUpdate, NewTenant, Tenant
from mintage.base import Message, Request, SystemClock, Text
from mintage.billing import AutoTopUpRule, Coupon, NewLot, RateRow, SpendCap, TopUp
from mintage.gateway import Caller, KeyLimits
from mintage.pricing import Names, compile_plan

from .world import MODEL, World

NANOS = 10**9
PAYG = """
id = "payg"
currency = "USD"
funding = "prepaid"
name = { en = "Pay as you go", zh = "按量付费" }
[[prices]]
model = "*"
input_tokens = { per_million = "2.00" }
output_tokens = { per_million = "9.00" }
[policies.output]
max_tokens = 1000
[[packs]]
name = { en = "Fifty and five on top", zh = "充 50 送 5" }
price = "50"
credit = "50"
bonus = "5"
"""
TEAM = """
id = "team"
currency = "USD"
funding = "postpaid"
credit_limit = "500"
name = { en = "Team", zh = "团队版" }
[[prices]]
model = "*"
input_tokens = { per_million = "1.60" }
output_tokens = { per_million = "7.00" }
[[fees]]
name = { en = "Team fee", zh = "团队月费" }
amount = "49"
[policies.output]
max_tokens = 1000
"""
BUSINESS = """
id = "business"
currency = "USD"
funding = "postpaid"
credit_limit = "2000"
name = { en = "Business", zh = "企业版" }
minimum = "250"
[[prices]]
model = "*"
input_tokens = { per_million = "1.20" }
output_tokens = { per_million = "5.00" }
[[fees]]
name = { en = "Platform fee", zh = "平台费" }
amount = "199"
timing = "advance"
[policies.output]
max_tokens = 1000
"""
#: handle, name, plan, month in which it came, requests a month, tokens a request, whether it pays its invoices
CUSTOMERS: tuple[tuple[str, str, str, int, int, int, bool], ...] = (
    ("acme", "Acme Writing Co.", "payg", 0, 6, 90_000, True),
    ("borealis", "Borealis GmbH", "business", 0, 7, 400_000, True),
    ("chen", "Chen's Teahouse 陈记茶馆", "team", 1, 5, 120_000, True),
    ("dune", "Dune Robotics", "team", 1, 6, 300_000, False),
    ("elm", "Elm & Ash Legal", "business", 2, 5, 250_000, True),
    ("fjord", "Fjord Analytics", "payg", 2, 6, 60_000, True),
    ("gaia", "Gaia Seeds", "team", 3, 5, 80_000, False),
)
MONTHS = 5


class MovedClock(SystemClock):
    """The real clock, set back by `behind_ns`."""

    behind_ns: int = 0

    def now_ns(self) -> int:
        return super().now_ns() - self.behind_ns

    def set_to(self, when: datetime) -> None:
        self.behind_ns = max(0, super().now_ns() - int(when.timestamp()) * NANOS)


@dataclass
class Till:
    world: World
    clock: MovedClock
    tenants: dict[str, Tenant]

    async def chat(self, handle: str, tokens: int) -> None:
        services = self.world.services
        tenant = self.tenants[handle]
        row = services.billing.wallets.get(tenant.id)
        subscription = services.billing.subscriptions.current(tenant.id)
        assert subscription is not None
        version = services.billing.plans.current(subscription.plan, services.clock.now_ns())
        caller = Caller(
            key_id=f"key_{tenant.id}", tenant_id=tenant.id, project_id=f"prj_{tenant.id}", wallet_id=row.id,
            currency=row.currency, card=compile_plan(version), policies=version.plan.policies,
            limits=KeyLimits(None, None), models=frozenset({MODEL}),
        )  # fmt: skip
        snapshot = services.gateway.snapshot
        callers = snapshot.callers | {hashlib.sha256(tenant.id.encode()).digest(): caller}
        services.gateway.snapshot = dataclasses.replace(snapshot, version=snapshot.version + 1, callers=callers)
        self.world.engine.prompt_tokens = tokens
        self.world.engine.engine_ms = tokens * 4.0
        request = Request(operation="chat", model=MODEL, messages=(Message("user", (Text("Hello"),)),))
        conversation = await services.gateway.admit(caller, request)
        await conversation.answer()

    async def month(self, first: datetime, index: int, until: datetime) -> None:
        """One month of trade, then what the day after it brings: fees, invoices, payments."""
        services = self.world.services
        following = (first + timedelta(days=32)).replace(day=1)
        for handle, name, plan, began, requests, tokens, _ in CUSTOMERS:
            if began > index:
                continue
            self.clock.set_to(min(first + timedelta(hours=2), until))
            if handle not in self.tenants:
                new = NewTenant(
                    name=name,
                    handle=handle,
                    email=f"pay@{handle}.example",
                    country="DE" if handle == "borealis" else "US",
                )
                self.tenants[handle] = services.accounts.tenants.add("system", new, currency="USD")
                await services.billing.assign("system", self.tenants[handle], plan)
            if plan == "payg":
                top_up = TopUp(amount_nanos=25 * NANOS, source="bank", source_id=f"{handle}-{index}", memo="Top-up")
                await services.billing.wallets.top_up("system", self.tenants[handle], top_up)
            for number in range(requests):
                when = first + timedelta(days=1 + number * 4, hours=9 + number)
                if when >= min(until, following):
                    break
                self.clock.set_to(when)
                await self.chat(handle, tokens + 7_000 * number + 9_000 * index)
        self.clock.set_to(min(following + timedelta(hours=6), until))
        await services.catch_up()
        await services.billing.lifecycle.tick()
        for tenant in list(self.tenants.values()):
            if following <= until:
                await services.billing.closing.close("system", tenant)
        await self.pay(until)

    async def pay(self, until: datetime) -> None:
        services = self.world.services
        for handle, *_, pays in CUSTOMERS:
            if handle not in self.tenants:
                continue
            tenant = self.tenants[handle]
            for row in services.billing.invoices.page(tenant_id=tenant.id, state="finalised").items:
                if pays and row.open_nanos:
                    self.clock.set_to(
                        min(datetime.fromtimestamp(row.issued_ns / NANOS, UTC) + timedelta(days=6), until)
                    )
                    invoice = services.billing.invoices.get(tenant.id, row.number)
                    await services.billing.invoicing.payments.transfer(
                        "system", tenant, row.open_nanos, f"tr-{row.number}", invoice
                    )


async def fill(world: World, clock: MovedClock) -> Till:
    """Five months of trade up to now. What this leaves open: invoices overdue, a draft, lots of credit, a cap."""
    services = world.services
    snapshot = services.gateway.snapshot
    route = snapshot.routes[MODEL]
    roomy = dataclasses.replace(
        route, capabilities=msgspec.structs.replace(route.capabilities, context_tokens=2_000_000)
    )
    services.gateway.snapshot = dataclasses.replace(snapshot, routes={MODEL: roomy})
    now = datetime.now(UTC).replace(microsecond=0)
    first = now.replace(day=1, hour=0, minute=0, second=0)
    months = [first]
    for _ in range(MONTHS - 1):
        months.insert(0, (months[0] - timedelta(days=1)).replace(day=1))
    clock.set_to(months[0])
    entity = services.entity()
    services.accounts.entities.update(
        "system", EntityUpdate(country="DE", tax_id="DE136695976", address="Münzgasse 1, 10178 Berlin")
    )
    invoicing = services.billing.invoicing
    settings: Any = invoicing.profiles.settings(entity.id)
    invoicing.profiles.put_settings("system", entity.id, settings)
    invoicing.taxes.put(
        "system",
        [
            RateRow(country="DE", percent="19", from_day="2021-01-01", source="EU"),
            RateRow(country="FR", percent="20", from_day="2014-01-01", source="EU"),
            RateRow(country="US", region="NY", name="State", percent="4", from_day="2005-06-01"),
        ],
    )
    for text in (PAYG, TEAM, BUSINESS):
        services.billing.plans.apply("system", text.encode(), "toml")
    till = Till(world, clock, {})
    for index, month in enumerate(months):
        await till.month(month, index, now)
    clock.behind_ns = 0
    await invoicing.dunning.run()
    acme = till.tenants["acme"]
    row = services.billing.wallets.get(acme.id)
    expires = services.clock.now_ns() + 60 * 86_400 * NANOS
    new = NewLot(id=f"{acme.id}:welcome", name="Welcome back", amount_nanos=12 * NANOS, expires_ns=expires, priority=10)
    await services.billing.credit.add("system", acme, row, new)
    services.billing.topping.set_rule(
        "system", acme, AutoTopUpRule(below_nanos=5 * NANOS, amount_nanos=20 * NANOS, monthly_limit_nanos=100 * NANOS)
    )
    services.billing.caps.set("system", acme, SpendCap(amount_nanos=40 * NANOS, every="month", hard=True))
    coupon = Coupon(code="SPRING", name=Names(en="Spring offer", zh="春季优惠"), percent="10", periods=3)
    services.billing.closing.coupons.add("system", coupon)
    services.billing.closing.coupons.redeem("system", till.tenants["chen"], "SPRING")
    await services.catch_up()
    return till
