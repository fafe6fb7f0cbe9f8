"""Credit of a wallet: lots, grants, packs, automatic top-ups; spending caps and entitlements."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from litestar import delete, get, post, put
from litestar.params import RawBody

from mintage.accounts import Tenant
from mintage.base import new_id
from mintage.billing import AutoTopUpRule, Entitlements, Lot, NewLot, Purchase, SpendAlert, SpendCap
from mintage.books import TopUpKind
from mintage.server.admin.bodies import day_ns, decode, money_nanos
from mintage.server.admin.depends import Actor, DeskPart, Path
from mintage.server.admin.services import Desk


class CreditView(msgspec.Struct, frozen=True, kw_only=True):
    """lots as of now: the remaining amounts of those in the customer's own wallet add up to its balance."""

    lots: list[Lot]
    rule: AutoTopUpRule | None
    purchases: list[Purchase]


class NewGrant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """amount: currency units. expires: a day (UTC). models, products: what alone it pays for. Lower priority first."""

    amount: str
    name: str = "Credit"
    kind: TopUpKind = "promo"
    priority: int = 50
    expires: str | None = None
    models: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    id: str | None = None


class SellPack(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """pack: its place in the plan, from 0. source, source_id: the payment; the same again changes nothing."""

    pack: int
    source: str = "manual"
    source_id: str | None = None


class SetRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    below: str
    amount: str
    monthly_limit: str | None = None
    enabled: bool = True


class SetCap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """every: day, week, month (UTC) or ever. hard: refuse what would pass it. alerts: percents in order."""

    amount: str
    every: str = "month"
    hard: bool = False
    alerts: tuple[int, ...] = (80, 100)


class CapView(msgspec.Struct, frozen=True, kw_only=True):
    cap: SpendCap | None
    spent_nanos: int
    alerts: list[SpendAlert]
    entitlements: Entitlements | None


async def _tenant(desk: Desk, customer: str) -> Tenant:
    return await asyncio.to_thread(desk.accounts.tenants.get, customer)


@get("/customers/{customer:str}/credit")
async def show_credit(desk: DeskPart, customer: Path) -> CreditView:
    """The lots of a customer's wallet, in the order in which they came, and its automatic top-up."""
    tenant = await _tenant(desk, customer)
    lots = await desk.billing.credit.view(await asyncio.to_thread(desk.billing.wallets.get, tenant.id))
    rule = await asyncio.to_thread(desk.billing.topping.rule, tenant)
    return CreditView(
        lots=lots, rule=rule, purchases=await asyncio.to_thread(desk.billing.topping.purchases, tenant.id)
    )


@post(
    "/customers/{customer:str}/credit",
    takes=NewGrant,
    example={"amount": "10.00", "name": "Sorry", "expires": "2027-03-01"},
)
async def grant_credit(desk: DeskPart, actor: Actor, customer: Path, body: RawBody) -> Lot:
    """Give credit, once per id."""
    asked, tenant = decode(body, NewGrant), await _tenant(desk, customer)
    row = await asyncio.to_thread(desk.billing.wallets.get, tenant.id)
    new = NewLot(
        id=f"{tenant.id}:{asked.id or new_id('crd')}",
        name=asked.name,
        amount_nanos=money_nanos(asked.amount, tenant.currency),
        kind=asked.kind,
        priority=asked.priority,
        expires_ns=day_ns(asked.expires, "expires"),
        models=asked.models,
        products=asked.products,
    )
    return await desk.billing.credit.add(actor, tenant, row, new)


@post("/customers/{customer:str}/packs", takes=SellPack, example={"pack": 0, "source": "bank", "source_id": "tr-1"})
async def sell_pack(desk: DeskPart, actor: Actor, customer: Path, body: RawBody) -> list[Lot]:
    """Credit a pack of the customer's plan that was paid for."""
    asked, tenant = decode(body, SellPack), await _tenant(desk, customer)
    source_id = asked.source_id or new_id("pck")
    return await desk.billing.topping.sell_pack(actor, tenant, asked.pack, asked.source, source_id)


@put(
    "/customers/{customer:str}/auto-top-up",
    takes=SetRule,
    example={"below": "5.00", "amount": "20.00", "monthly_limit": "100.00"},
    sync_to_thread=True,
)
def set_rule(desk: DeskPart, actor: Actor, customer: Path, body: RawBody) -> AutoTopUpRule:
    """When to buy credit automatically; instead of the plan's rule."""
    asked, tenant = decode(body, SetRule), desk.accounts.tenants.get(customer)
    limit = None if asked.monthly_limit is None else money_nanos(asked.monthly_limit, tenant.currency, "monthly_limit")
    rule = AutoTopUpRule(
        below_nanos=money_nanos(asked.below, tenant.currency, "below"),
        amount_nanos=money_nanos(asked.amount, tenant.currency),
        monthly_limit_nanos=limit,
        enabled=asked.enabled,
    )
    return desk.billing.topping.set_rule(actor, tenant, rule)


@get("/customers/{customer:str}/cap")
async def show_cap(desk: DeskPart, customer: Path) -> CapView:
    """The customer's spending cap, what it has spent of it, alerts, and its own entitlements."""
    tenant = await _tenant(desk, customer)
    await desk.catch_up()

    def read() -> CapView:
        caps = desk.billing.caps
        cap = caps.get(tenant.id)
        spent = 0 if cap is None else caps.spent_nanos(tenant.id, cap, desk.clock.now_ns())
        own = caps.entitlements().get(tenant.id)
        return CapView(cap=cap, spent_nanos=spent, alerts=caps.alerts(tenant.id), entitlements=own)

    return await asyncio.to_thread(read)


@put("/customers/{customer:str}/cap", takes=SetCap, example={"amount": "500.00", "hard": True}, sync_to_thread=True)
def set_cap(desk: DeskPart, actor: Actor, customer: Path, body: RawBody) -> SpendCap:
    """Cap what the customer spends, or only tell about it."""
    asked, tenant = decode(body, SetCap), desk.accounts.tenants.get(customer)
    raw = {"every": asked.every, "hard": asked.hard, "alerts": list(asked.alerts)}
    cap = decode(msgspec.json.encode(raw | {"amount_nanos": money_nanos(asked.amount, tenant.currency)}), SpendCap)
    return desk.billing.caps.set(actor, tenant, cap)


@delete("/customers/{customer:str}/cap", status_code=200, sync_to_thread=True)
def remove_cap(desk: DeskPart, actor: Actor, customer: Path) -> dict[str, bool]:
    """Remove the cap."""
    desk.billing.caps.remove(actor, desk.accounts.tenants.get(customer))
    return {"removed": True}


@put("/customers/{customer:str}/entitlements", takes=Entitlements, example={"models": ["small-*"]}, sync_to_thread=True)
def set_entitlements(desk: DeskPart, actor: Actor, customer: Path, body: RawBody) -> Entitlements:
    """The customer's own models, features and limits, over those of its plan."""
    tenant = desk.accounts.tenants.get(customer)
    return desk.billing.caps.entitle(actor, tenant, decode(body, Entitlements))


HANDLERS: Final[list[Any]] = [
    show_credit,
    grant_credit,
    sell_pack,
    set_rule,
    show_cap,
    set_cap,
    remove_cap,
    set_entitlements,
]
