"""Subscriptions: a customer's plan now and later, pauses, fees ahead, coupons; and doing what is due."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from litestar import delete, get, post
from litestar.params import RawBody

from mintage.accounts import Page, Tenant
from mintage.base import MintageError
from mintage.billing import (
    AheadFee,
    Assignment,
    Coupon,
    Pause,
    RatedPeriod,
    Redemption,
    Refund,
    Subscription,
    Ticked,
    When,
)
from mintage.pricing import Names
from mintage.server.admin.bodies import day_ns, decode, money_nanos
from mintage.server.admin.depends import LIMIT_DEFAULT, Actor, Cursor, DeskPart, Limit, Path
from mintage.server.admin.services import Desk


class SubscriptionView(msgspec.Struct, frozen=True, kw_only=True):
    """state: scheduled, trial, active, paused or ended. period: the one that runs, in the customer's days."""

    subscription: Subscription
    state: str
    period_first_day: str
    period_end_day: str


class SubscriptionsView(msgspec.Struct, frozen=True, kw_only=True):
    """Oldest first, planned ones included. fees: what was billed ahead."""

    items: list[SubscriptionView]
    pauses: list[Pause]
    fees: list[AheadFee]
    coupons: list[Redemption]


class ChangePlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """when: now, or when the running period ends. refund: what happens to unused fees of the plan before."""

    plan: str
    when: When = "now"
    refund: Refund = "prorate"
    credit_limit: str | None = None


class CancelPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    when: When = "period_end"
    refund: Refund = "prorate"


class AskPause(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """until: a day (UTC) on which it resumes by itself."""

    until: str | None = None


class NewCoupon(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """percent, or amount of currency each period. periods: for how many; valid_until: a day (UTC)."""

    code: str
    name: Names
    percent: str = "0"
    amount: str | None = None
    currency: str = ""
    periods: int | None = None
    redemptions_max: int | None = None
    valid_until: str | None = None


class RedeemCoupon(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    code: str


class SetPool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """amount: currency units of the plan, in the pool for the period that begins on first_day."""

    charge: str
    first_day: str
    amount: str


class AskTick(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    customer: str | None = None


async def _tenant(desk: Desk, customer: str) -> Tenant:
    return await asyncio.to_thread(desk.accounts.tenants.get, customer)


@get("/customers/{customer:str}/subscriptions")
async def list_subscriptions(desk: DeskPart, customer: Path) -> SubscriptionsView:
    """A customer's plans, past, present and planned."""
    tenant = await _tenant(desk, customer)

    def read() -> SubscriptionsView:
        billing, now = desk.billing, desk.clock.now_ns()
        pauses = billing.subscriptions.pauses(tenant.id)
        paused = any(pause.holds(now) for pause in pauses)
        items = []
        for row in billing.subscriptions.history(tenant.id):
            last = now if row.ended_ns is None else min(now, row.ended_ns - 1)
            period = row.period_at(max(last, row.started_ns))
            items.append(
                SubscriptionView(
                    subscription=row,
                    state=row.state(now, paused),
                    period_first_day=str(period.start_day),
                    period_end_day=str(period.end_day),
                )
            )
        return SubscriptionsView(
            items=items,
            pauses=pauses,
            fees=billing.closing.ahead.rows(tenant.id),
            coupons=billing.closing.coupons.redemptions(tenant.id),
        )

    return await asyncio.to_thread(read)


@post("/customers/{customer:str}/subscriptions", takes=ChangePlan, example={"plan": "team", "when": "period_end"})
async def change_plan(desk: DeskPart, actor: Actor, customer: Path, body: RawBody) -> Assignment:
    """Give a customer a plan, now or when its period ends. Unused fees are credited, new ones charged."""
    asked, tenant = decode(body, ChangePlan), await _tenant(desk, customer)
    limit = None if asked.credit_limit is None else money_nanos(asked.credit_limit, tenant.currency, "credit_limit")
    return await desk.billing.lifecycle.assign(
        actor, tenant, asked.plan, credit_limit_nanos=limit, when=asked.when, refund=asked.refund
    )


@post(
    "/customers/{customer:str}/subscriptions/cancel", takes=CancelPlan, example={"when": "period_end"}, status_code=200
)
async def cancel_plan(desk: DeskPart, actor: Actor, customer: Path, body: RawBody) -> Subscription:
    """End the plan now or with its period."""
    asked = decode(body, CancelPlan)
    tenant = await _tenant(desk, customer)
    return await desk.billing.lifecycle.cancel(actor, tenant, when=asked.when, refund=asked.refund)


@post("/customers/{customer:str}/subscriptions/keep", status_code=200)
async def keep_plan(desk: DeskPart, actor: Actor, customer: Path) -> Subscription:
    """Take back a planned end or change."""
    return await desk.billing.lifecycle.keep(actor, await _tenant(desk, customer))


@post("/customers/{customer:str}/subscriptions/pause", takes=AskPause, example={"until": "2027-02-01"}, status_code=200)
async def pause_plan(desk: DeskPart, actor: Actor, customer: Path, body: RawBody) -> Pause:
    """Stop keys and fees until resumed."""
    asked = decode(body, AskPause)
    return await desk.billing.lifecycle.pause(actor, await _tenant(desk, customer), day_ns(asked.until, "until"))


@post("/customers/{customer:str}/subscriptions/resume", status_code=200)
async def resume_plan(desk: DeskPart, actor: Actor, customer: Path) -> Pause:
    """Go on."""
    return await desk.billing.lifecycle.resume(actor, await _tenant(desk, customer))


@get("/customers/{customer:str}/rated-periods")
async def list_rated(desk: DeskPart, customer: Path) -> list[RatedPeriod]:
    """Closed periods, rated: every line with its working, what settled and the adjustment."""
    tenant = await _tenant(desk, customer)
    return await asyncio.to_thread(desk.billing.closing.rated.of, tenant.id)


@get("/coupons", sync_to_thread=True)
def list_coupons(desk: DeskPart, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None) -> Page[Coupon]:
    """Coupons by code."""
    return desk.billing.closing.coupons.page(limit=limit, cursor=cursor)


@post(
    "/coupons",
    takes=NewCoupon,
    example={"code": "SPRING", "name": {"en": "Spring"}, "percent": "20", "periods": 3},
    sync_to_thread=True,
)
def add_coupon(desk: DeskPart, actor: Actor, body: RawBody) -> Coupon:
    """Add a coupon."""
    new = decode(body, NewCoupon)
    if new.amount is not None and not new.currency:
        raise MintageError("invalid_request", "An amount has a currency.", "Give currency.", param="currency")
    amount = 0 if new.amount is None else money_nanos(new.amount, new.currency)
    return desk.billing.closing.coupons.add(
        actor,
        Coupon(
            code=new.code,
            name=new.name,
            percent=new.percent,
            amount_nanos=amount,
            currency=new.currency,
            periods=new.periods,
            redemptions_max=new.redemptions_max,
            valid_until_ns=day_ns(new.valid_until, "valid_until"),
        ),
    )


@post("/customers/{customer:str}/coupons", takes=RedeemCoupon, example={"code": "SPRING"}, sync_to_thread=True)
def redeem_coupon(desk: DeskPart, actor: Actor, customer: Path, body: RawBody) -> Redemption:
    """Redeem a coupon from the running period on."""
    tenant = desk.accounts.tenants.get(customer)
    return desk.billing.closing.coupons.redeem(actor, tenant, decode(body, RedeemCoupon).code)


@delete("/customers/{customer:str}/coupons/{code:str}", status_code=200, sync_to_thread=True)
def end_coupon(desk: DeskPart, actor: Actor, customer: Path, code: Path) -> list[Redemption]:
    """End a coupon from the running period on; what it took off before stays."""
    tenant = desk.accounts.tenants.get(customer)
    desk.billing.closing.coupons.end(actor, tenant, code)
    return desk.billing.closing.coupons.redemptions(tenant.id)


@post(
    "/plans/{plan:str}/pools",
    takes=SetPool,
    example={"charge": "pool", "first_day": "2027-01-01", "amount": "1000.00"},
    sync_to_thread=True,
)
def set_pool(desk: DeskPart, actor: Actor, plan: Path, body: RawBody) -> SetPool:
    """Say how much money a plan's pool has in a period."""
    asked = decode(body, SetPool)
    day_ns(asked.first_day, "first_day")
    version = desk.billing.plans.current(plan, desk.clock.now_ns())
    nanos = money_nanos(asked.amount, version.plan.currency)
    desk.billing.closing.rated.set_pool(actor, plan, asked.charge, asked.first_day, nanos)
    return asked


@post("/billing/run", takes=AskTick, example={"customer": "acme"}, status_code=200)
async def run_billing(desk: DeskPart, body: RawBody) -> Ticked:
    """Do what is due: fees ahead, grants, credit that lapses or is bought, revenue earned. Running twice is once."""
    asked = decode(body, AskTick)
    tenant = None if asked.customer is None else await _tenant(desk, asked.customer)
    return await desk.billing.lifecycle.tick(tenant)


HANDLERS: Final[list[Any]] = [
    list_subscriptions,
    change_plan,
    cancel_plan,
    keep_plan,
    pause_plan,
    resume_plan,
    list_rated,
    list_coupons,
    add_coupon,
    redeem_coupon,
    end_coupon,
    set_pool,
    run_billing,
]
