"""A subscription's life, and what follows from it: fees ahead, deferred revenue, trials, coupons, credit, caps."""

import json

import pytest
import sqlalchemy as sa
from tests.billing.conftest import DAY_S, plan
from tests.billing.lake_desk import LakeDesk

from mintage.accounts import NewKey, NewTenant
from mintage.base import ManualClock, MintageError
from mintage.billing import (
    AutoTopUpRule,
    Coupon,
    Entitlements,
    NewLot,
    Payment,
    SpendCap,
)
from mintage.billing.tables_invoicing import webhook_messages
from mintage.pricing import Names

CENT = 10**7  # nanos
MILLION = 1_000_000


def fee(amount, more=""):
    return f'[[fees]]\nname = {{ en = "Fee" }}\namount = "{amount}"\n{more}\n'


POST = 'funding = "postpaid"\ncredit_limit = "1000"'


@pytest.fixture
async def desk(tmp_path):
    desk = LakeDesk(tmp_path, ManualClock())
    for name, amount in (("small", "31"), ("big", "62")):
        desk.billing.plans.apply("t", plan(name, POST, fee(amount)), "toml")
    yield desk
    await desk.close()


def ahead(desk, tenant):
    return [(row.price_id.partition("@")[0], row.nanos // CENT) for row in desk.billing.closing.ahead.rows(tenant.id)]


def deferred(desk):
    found = desk.ledger.balances("liabilities:deferred_revenue")
    return -found.get(("liabilities:deferred_revenue", "USD"), 0) // CENT


async def test_a_fee_ahead_is_invoiced_at_once_and_earned_day_by_day(desk):
    tenant = await desk.customer("Acme", "small")
    [row] = desk.billing.invoices.page(tenant_id=tenant.id).items
    assert row.total_nanos == 31 * 10**9
    await desk.catch_up()
    assert deferred(desk) == 3100
    for days, left in ((1, 3000), (9, 2100), (21, 0)):
        desk.clock.advance(days * DAY_S)
        await desk.billing.lifecycle.tick()
        await desk.billing.lifecycle.tick()
        await desk.catch_up()
        expected = left + (3100 if desk.clock.now_ns() >= 1_769_904_000 * 10**9 else 0)  # February is billed by then
        assert deferred(desk) == expected
    assert sum(desk.ledger.balances().values()) == 0
    schedule = desk.billing.finance.deferred_schedule()
    assert [(month.month, month.nanos) for month in schedule.months] == [("2026-02", 31 * 10**9)]


async def test_an_upgrade_credits_what_is_unused_and_charges_what_remains(desk):
    tenant = await desk.customer("Acme", "small")
    desk.clock.advance(10 * DAY_S + 3600)
    await desk.billing.lifecycle.assign("t", tenant, "big")
    assert sorted(ahead(desk, tenant)) == [("big", 4200), ("small", -2100), ("small", 3100)]
    assert [row.state(desk.clock.now_ns()) for row in desk.billing.subscriptions.history(tenant.id)] == [
        "ended",
        "active",
    ]
    again = await desk.billing.lifecycle.tick()
    assert again.fees == 0


async def test_a_downgrade_at_the_period_end_can_be_taken_back(desk):
    tenant = await desk.customer("Acme", "big")
    desk.clock.advance(5 * DAY_S)
    await desk.billing.lifecycle.assign("t", tenant, "small", when="period_end")
    assert desk.billing.subscriptions.current(tenant.id).plan == "big"
    await desk.billing.lifecycle.keep("t", tenant)
    desk.clock.advance(28 * DAY_S)
    await desk.billing.lifecycle.tick()
    assert ahead(desk, tenant) == [("big", 6200), ("big", 6200)]
    await desk.billing.lifecycle.assign("t", tenant, "small", when="period_end")
    desk.clock.advance(28 * DAY_S)
    await desk.billing.lifecycle.tick()
    assert ahead(desk, tenant)[-1] == ("small", 3100)


@pytest.mark.parametrize(("refund", "kept"), [("prorate", 1000), ("none", 3100)])
async def test_who_cancels_pays_for_what_it_had_or_for_all(desk, refund, kept):
    tenant = await desk.customer("Acme", "small")
    key = desk.accounts.keys.create("t", tenant.id, NewKey())
    desk.clock.advance(10 * DAY_S)
    await desk.billing.lifecycle.cancel("t", tenant, when="now", refund=refund)
    assert sum(cents for _, cents in ahead(desk, tenant)) == kept
    [record] = [one for one in desk.billing.snapshot().keys if one.key_id == key.key.id]
    assert record.price_id == ""
    desk.clock.advance(900)
    await desk.billing.closing.close("t", tenant)
    desk.clock.advance(400 * DAY_S)
    assert await desk.billing.closing.close("t", tenant) == []
    with pytest.raises(MintageError):
        await desk.billing.lifecycle.cancel("t", tenant)


async def test_a_pause_stops_keys_and_fees_and_nothing_else(desk):
    tenant = await desk.customer("Acme", "small")
    desk.accounts.keys.create("t", tenant.id, NewKey())
    desk.clock.advance(10 * DAY_S)
    await desk.billing.lifecycle.pause("t", tenant)
    assert [record.paused for record in desk.billing.snapshot().keys] == [True]
    assert sum(cents for _, cents in ahead(desk, tenant)) == 1000
    desk.clock.advance(5 * DAY_S)
    await desk.billing.lifecycle.resume("t", tenant)
    assert [record.paused for record in desk.billing.snapshot().keys] == [False]
    assert sum(cents for _, cents in ahead(desk, tenant)) == 2600


async def test_a_trial_waives_fees_once_and_goes_on_by_itself(desk):
    desk.billing.plans.apply("t", plan("try", POST, fee("31") + "[trial]\ndays = 10\n"), "toml")
    tenant = await desk.customer("Acme", "try")
    assert ahead(desk, tenant) == []
    assert desk.billing.subscriptions.current(tenant.id).state(desk.clock.now_ns()) == "trial"
    desk.clock.advance(10 * DAY_S)
    await desk.billing.lifecycle.tick()
    assert ahead(desk, tenant) == [("try", 2100)]


async def test_a_promotional_trial_becomes_a_paid_plan(desk):
    grant = '[[grants]]\nname = { en = "Gift" }\namount = "2"\nexpires_days = 14\n'
    desk.billing.plans.apply(
        "t", plan("try", 'funding = "promo"', grant + '[trial]\ndays = 14\nthen = "small"\n'), "toml"
    )
    tenant = await desk.customer("Acme", "try")
    assert desk.billing.wallets.balance(tenant.id).balance_nanos == 2 * 10**9
    desk.clock.advance(14 * DAY_S)
    await desk.billing.lifecycle.tick()
    wallet = desk.billing.wallets.balance(tenant.id)
    assert (wallet.funding, desk.billing.subscriptions.current(tenant.id).plan) == ("postpaid", "small")
    assert ahead(desk, tenant) == [("small", 1700)]


async def test_a_coupon_comes_off_for_its_periods(desk):
    coupons = desk.billing.closing.coupons
    coupons.add("t", Coupon(code="HALF", name=Names(en="Half"), percent="50", periods=1))
    with pytest.raises(MintageError):
        coupons.add("t", Coupon(code="HALF", name=Names(en="Half"), percent="50"))
    desk.billing.plans.apply("t", plan("use", POST), "toml")
    tenant = await desk.customer("Acme", "use")
    coupons.redeem("t", tenant, "HALF")
    coupons.redeem("t", tenant, "HALF")
    totals = []
    for _ in range(2):
        await desk.ask(tenant, "m", output_tokens=8 * MILLION)
        desk.clock.advance(31 * DAY_S)
        [invoice] = await desk.billing.closing.close("t", tenant)
        totals.append(invoice.content.total)
        assert await desk.billing.closing.recompute(invoice) == desk.billing.invoices.raw(invoice.id)
    assert totals == ["4.00", "8.00"]


async def test_thresholds_invoice_early_and_the_last_invoice_credits_them(desk):
    tiers = '{ up_to = 1_000_000, per_million = "2" }, { per_million = "1" }'
    charge = (
        '[[charges]]\nkind = "volume"\nid = "tokens"\nname = { en = "Tokens" }\n'
        f'metric = {{ values = ["total_tokens"] }}\ntiers = [{tiers}]\n[progressive]\namounts = ["3"]\n'
    )
    raw = plan("vol", POST, charge).replace(b'[[prices]]\nmodel = "*"\noutput_tokens.per_million = "1"\n', b"")
    desk.billing.plans.apply("t", raw, "toml")
    tenant = await desk.customer("Acme", "vol")
    await desk.ask(tenant, "m", output_tokens=MILLION)
    assert (await desk.billing.lifecycle.tick()).invoices == 0
    desk.clock.advance(1000)
    await desk.ask(tenant, "m", output_tokens=MILLION)
    desk.clock.advance(1)
    await desk.catch_up()
    assert (await desk.billing.lifecycle.tick()).invoices == 1
    assert (await desk.billing.lifecycle.tick()).invoices == 0
    desk.clock.advance(32 * DAY_S)
    [last] = await desk.billing.closing.close("t", tenant)
    first = desk.billing.invoices.page(tenant_id=tenant.id).items[-1]
    assert first.total_nanos == 4 * 10**9
    assert [(line.meter, line.amount) for line in last.content.lines] == [("tokens", "2.00"), ("credit", "-4.00")]


async def test_credit_burns_in_order_lapses_and_never_twice(desk):
    desk.billing.plans.apply("t", plan("payg"), "toml")
    tenant = await desk.customer("Acme", "payg", cash_nanos=10**9)
    row = desk.billing.wallets.get(tenant.id)
    soon = desk.clock.now_ns() + 10 * DAY_S * 10**9
    for name, expires, priority in (("late", None, 50), ("soon", soon, 50), ("first", None, 10)):
        new = NewLot(id=name, name=name, amount_nanos=10**9, expires_ns=expires, priority=priority)
        await desk.billing.credit.add("t", tenant, row, new)
        await desk.billing.credit.add("t", tenant, row, new)
    await desk.ask(tenant, "m", output_tokens=1_500_000)
    left = {lot.name: lot.remaining_nanos for lot in await desk.billing.credit.view(row)}
    assert left == {"first": 0, "soon": 5 * 10**8, "late": 10**9, "Top-up": 10**9}
    desk.clock.advance(10 * DAY_S)
    assert (await desk.billing.lifecycle.tick()).lapsed == 1
    assert (await desk.billing.lifecycle.tick()).lapsed == 0
    assert desk.billing.wallets.balance(tenant.id).balance_nanos == 2 * 10**9
    await desk.catch_up()
    assert desk.ledger.balances("income:breakage") == {("income:breakage", "USD"): -5 * 10**8}


async def test_credit_of_a_scope_and_credit_for_who_pays_later_have_wallets_of_their_own(desk):
    tenant = await desk.customer("Acme", "small")
    key = desk.accounts.keys.create("t", tenant.id, NewKey())
    row = desk.billing.wallets.get(tenant.id)
    await desk.billing.credit.add("t", tenant, row, NewLot(id="x", name="x", amount_nanos=10**9, models=("small-*",)))
    [record] = [one for one in desk.billing.snapshot().keys if one.key_id == key.key.id]
    [credit] = record.credits
    assert (credit.models, desk.log.wallet(credit.wallet_id).balance_nanos) == (("small-*",), 10**9)
    assert desk.billing.wallets.balance(tenant.id).balance_nanos == -31 * 10**9


async def test_a_low_wallet_buys_credit_within_its_monthly_limit(desk):
    desk.billing.plans.apply("t", plan("payg"), "toml")
    tenant = await desk.customer("Acme", "payg", cash_nanos=10**9)
    rule = AutoTopUpRule(below_nanos=5 * 10**9, amount_nanos=10 * 10**9, monthly_limit_nanos=10 * 10**9)
    desk.billing.topping.set_rule("t", tenant, rule)
    asked = []

    async def collect(tenant, purchase):
        asked.append(purchase.id)
        if len(asked) == 1:
            raise MintageError("upstream_failed", "The provider is away.", "Try again.")
        return Payment(source="stand-in", source_id=purchase.id)

    desk.billing.topping.collect = collect
    for _ in range(4):
        await desk.billing.lifecycle.tick()
    assert len(set(asked)) == 1  # the same purchase was asked again, and no other one begun
    assert desk.billing.wallets.balance(tenant.id).balance_nanos == 11 * 10**9
    await desk.ask(tenant, "m", output_tokens=9 * MILLION)
    assert (await desk.billing.lifecycle.tick()).bought == 0
    desk.clock.advance(31 * DAY_S)
    assert (await desk.billing.lifecycle.tick()).bought == 1


async def test_caps_tell_once_and_entitlements_reach_the_gateway(desk):
    tenant = await desk.customer("Acme", "small")
    desk.accounts.keys.create("t", tenant.id, NewKey())
    desk.billing.caps.set("t", tenant, SpendCap(amount_nanos=10 * 10**9, hard=True, alerts=(50, 100)))
    desk.billing.caps.entitle("t", tenant, Entitlements(models=("m",), features=("tools",), requests_per_minute=3))
    [record] = desk.billing.snapshot().keys
    assert record.budgets == ((tenant.id, 10 * 10**9, "month"),)
    assert (record.entitled, record.features, record.requests_per_minute) == (("m",), ("tools",), 3)
    await desk.ask(tenant, "m", output_tokens=6 * MILLION)
    await desk.catch_up()
    for _ in range(2):
        assert (await desk.billing.lifecycle.tick()).problems == {}
    assert [alert.percent for alert in desk.billing.caps.alerts(tenant.id)] == [50]
    with desk.database.read() as connection:
        sent = connection.execute(sa.select(webhook_messages.c.type, webhook_messages.c.payload)).all()
    [told] = [json.loads(payload)["data"] for type_, payload in sent if type_ == "spend_cap.reached"]
    assert (told["percent"], told["spent_nanos"], told["cap_nanos"]) == (50, 6 * 10**9, 10 * 10**9)


async def test_a_free_allowance_that_is_used_up_stops_the_keys_until_the_next_period_or_plan(desk):
    body = '[[charges]]\nkind = "allowance"\nid = "tokens"\nname = { en = "Free" }\nincluded = 1000\n'
    raw = plan("free", POST, body + 'metric = { values = ["total_tokens"] }\n')
    raw = raw.replace(b'[[prices]]\nmodel = "*"\noutput_tokens.per_million = "1"\n', b"")
    desk.billing.plans.apply("t", raw, "toml")
    tenant = await desk.customer("Acme", "free")
    desk.accounts.keys.create("t", tenant.id, NewKey())
    states = []
    for tokens, days in ((999, 0), (1, 31), (5000, 0)):
        await desk.ask(tenant, "m", output_tokens=tokens)
        await desk.catch_up()
        await desk.billing.lifecycle.tick()
        states += [record.exhausted for record in desk.billing.snapshot().keys]
        desk.clock.advance(days * DAY_S)
        states += [record.exhausted for record in desk.billing.snapshot().keys]
    assert states == [False, False, True, False, True, True]
    await desk.billing.lifecycle.assign("t", tenant, "small")
    assert [record.exhausted for record in desk.billing.snapshot().keys] == [False]
    invoices = desk.billing.closing
    desk.clock.advance(31 * DAY_S)
    await invoices.close("t", tenant)
    assert {rated.rated_attos for rated in invoices.rated.of(tenant.id) if rated.plan == "free"} == {0}


async def test_late_duplicated_and_superseding_events_give_the_same_bill(desk):
    body = '[[charges]]\nkind = "per_unit"\nid = "jobs"\nname = { en = "Jobs" }\n'
    body += 'metric = { kind = "job", values = ["n"] }\n'
    desk.billing.plans.apply("t", plan("jobs", POST, body + 'rate = { per_unit = "1" }\n'), "toml")
    bills = []
    for order in ((0, 1, 2, 0, 2), (2, 2, 1, 0)):
        tenant = desk.accounts.tenants.add("t", NewTenant(name=f"C{order[0]}"), currency="USD")
        await desk.billing.assign("t", tenant, "jobs")
        at_ns = desk.clock.now_ns()
        for number in order:
            replaced = "job-0" if number == 2 else None
            await desk.report(
                tenant, "job", at_ns=at_ns + number, event_id=f"job-{number}", supersedes=replaced, n=number + 5
            )
        desk.clock.advance(32 * DAY_S)
        [invoice] = await desk.billing.closing.close("t", tenant)
        bills.append(invoice.content.total)
        await desk.report(tenant, "job", at_ns=at_ns, event_id="late", n=3)
        desk.clock.advance(31 * DAY_S)
        [invoice] = await desk.billing.closing.close("t", tenant)
        assert invoice.content.total == "3.00"
    assert bills == ["13.00", "13.00"]


async def test_the_finance_desk_balances_and_locks(desk):
    desk.billing.plans.apply("t", plan("payg"), "toml")
    prepaid = await desk.customer("Pre", "payg", cash_nanos=50 * 10**9)
    later = await desk.customer("Post", "small")
    await desk.ask(prepaid, "m", output_tokens=5 * MILLION)
    desk.clock.advance(40 * DAY_S)
    await desk.billing.lifecycle.tick()
    for tenant in (prepaid, later):
        await desk.billing.closing.close("t", tenant)
    await desk.catch_up()
    finance = desk.billing.finance
    [sheet] = finance.balance_sheet()
    assert sheet.balanced
    assert sheet.assets_nanos == sheet.liabilities_nanos + sheet.equity_nanos
    [statement] = finance.income_statement(None, None)
    assert statement.result_nanos == sheet.result_nanos
    [old] = finance.prepaid_by_age()
    assert (old.buckets["31-60"], old.total_nanos) == (45 * 10**9, 45 * 10**9)
    assert (
        sum(row.total_nanos for row in finance.ageing())
        == desk.ledger.balances("assets:receivable")["assets:receivable", "USD"]
    )
    figures = {one.name: one.value for one in desk.billing.metrics.month(_first(), desk.clock.now_ns())[0].metrics}
    assert (figures["mrr"], figures["arr"], figures["customers"]) == (31, 372, 2)
    cut = (desk.clock.now_ns() // (DAY_S * 10**9) - 30) * DAY_S * 10**9
    desk.ledger.lock("t", cut, desk.clock.now_ns())
    assert desk.ledger.locked_until_ns() == cut
    with pytest.raises(MintageError) as refused:
        desk.ledger.lock("t", desk.clock.now_ns() + DAY_S * 10**9, desk.clock.now_ns())
    assert refused.value.code == "invalid_request"


def _first():
    from datetime import date

    return date(2026, 1, 1)
