"""Invoices: made from frozen usage alone, the same bytes each time, numbered without gaps, true to the nano."""

import asyncio
import hashlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.billing.conftest import DAY_S, Desk, plan

from mintage.accounts import EntityUpdate, TenantUpdate
from mintage.base import ManualClock, MintageError
from mintage.billing import TopUp
from mintage.billing.invoice import units
from mintage.books import Database, Ledger

CENT = 10**16  # attos
MONTH_S = 31 * DAY_S


async def close(desk, tenant, **options):
    return await desk.billing.closing.close("t", tenant, **options)


async def test_a_postpaid_month_becomes_a_receivable(desk, clock, postpaid):
    await desk.use(postpaid, 123 * CENT + 4 * 10**15)
    await desk.use(postpaid, 10**15, model="large")
    assert await close(desk, postpaid) == []
    clock.advance(MONTH_S)
    [invoice] = await close(desk, postpaid)
    content = invoice.content
    assert (invoice.number, content.first_day, content.last_day) == ("INV-000001", "2026-01-01", "2026-01-31")
    assert [(line.model, line.amount, line.exact) for line in content.lines] == [
        ("large", "0.00", "0.001"),
        ("small", "1.23", "1.234"),
    ]
    assert (content.total, content.due_nanos, content.paid_nanos) == ("1.23", 123 * 10**7, 0)
    assert (content.posted_nanos, content.rounding_nanos) == (1_235_000_000, -5_000_000)
    assert desk.ledger.balances("assets", tenant_id=postpaid.id) == {
        ("assets:receivable", "USD"): 1_230_000_000,
        ("assets:unbilled_receivable", "USD"): 0,
    }
    assert desk.ledger.balances("equity")["equity:rounding", "USD"] == 5_000_000
    assert all(sum(p.amount_nanos for p in j.postings) == 0 for j in desk.ledger.journals().journals)


async def test_a_prepaid_month_is_paid_already(desk, clock):
    tenant = await desk.customer(cash_nanos=10 * 10**9)
    await desk.use(tenant, 777 * 10**13, hold_nanos=10**9)
    before = desk.billing.wallets.balance(tenant.id)
    clock.advance(MONTH_S)
    [invoice] = await close(desk, tenant)
    assert (invoice.content.total, invoice.content.due_nanos, invoice.content.paid_nanos) == ("0.01", 0, 10**7)
    assert desk.billing.wallets.balance(tenant.id) == before
    assert desk.ledger.balances("assets:receivable") == {}
    assert desk.ledger.balances("equity") == {}


async def test_closing_twice_is_once_and_quiet_months_make_no_invoice(desk, clock, postpaid):
    await desk.use(postpaid, CENT)
    clock.advance(3 * MONTH_S)
    assert [invoice.number for invoice in await close(desk, postpaid)] == ["INV-000001"]
    assert await close(desk, postpaid) == []
    await desk.use(postpaid, CENT)
    clock.advance(MONTH_S)
    assert [invoice.number for invoice in await close(desk, postpaid)] == ["INV-000002"]
    listed = desk.billing.invoices.page(tenant_id=postpaid.id).items
    assert [row.number for row in listed] == ["INV-000002", "INV-000001"]
    starts = sorted((row.start_ns, row.end_ns) for row in listed)
    assert starts[0][1] < starts[1][0]


async def test_two_closings_at_once_make_one_invoice(desk, clock, postpaid):
    await desk.use(postpaid, CENT)
    clock.advance(MONTH_S)
    made = await asyncio.gather(*(close(desk, postpaid) for _ in range(5)))
    assert sorted(len(invoices) for invoices in made) == [0, 0, 0, 0, 1]


async def test_a_refused_closing_leaves_no_gap(desk, clock, postpaid, monkeypatch):
    await desk.use(postpaid, CENT)
    clock.advance(MONTH_S)
    with desk.database.write() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE INSERT ON ledger_postings BEGIN SELECT RAISE(ABORT, 'disk gone'); END"
        )
    with pytest.raises(Exception, match="disk gone"):
        await close(desk, postpaid)
    assert desk.billing.invoices.page().items == []
    with desk.database.write() as connection:
        connection.exec_driver_sql("DROP TRIGGER refuse")
    assert [invoice.number for invoice in await close(desk, postpaid)] == ["INV-000001"]


async def test_an_early_closing_bills_until_now_and_the_rest_later(desk, clock, postpaid):
    await desk.use(postpaid, 5 * CENT)
    clock.advance(3 * 3600 + 7)
    [first] = await close(desk, postpaid, early=True)
    assert first.content.end_ns == first.content.start_ns + (3 * 3600 + 900) * 10**9
    assert await close(desk, postpaid, early=True) == []
    await desk.use(postpaid, 2 * CENT)  # in the quarter of an hour that is closed already
    clock.advance(MONTH_S)
    [second] = await close(desk, postpaid)
    assert (first.content.total, second.content.total) == ("0.05", "0.02")
    assert second.content.start_ns == first.content.end_ns
    assert second.content.last_day == "2026-01-31"


async def test_a_payment_clears_the_receivable_and_frees_the_credit(desk, clock, postpaid):
    await desk.use(postpaid, 250 * CENT)
    clock.advance(MONTH_S)
    [invoice] = await close(desk, postpaid)
    before = desk.billing.wallets.balance(postpaid.id)
    payment = TopUp(amount_nanos=invoice.content.due_nanos, source="bank", source_id="transfer-1")
    for _ in range(2):  # a payment that is told twice counts once
        after = await desk.billing.wallets.top_up("t", postpaid, payment)
    await desk.catch_up()
    assert desk.ledger.balances("assets", tenant_id=postpaid.id) == {
        ("assets:cash", "USD"): 2_500_000_000,
        ("assets:receivable", "USD"): 0,
        ("assets:unbilled_receivable", "USD"): 0,
    }
    assert (before.available_nanos, after.available_nanos) == (997_500_000_000, 1_000_000_000_000)


async def test_late_usage_goes_to_the_next_invoice(desk, clock, postpaid):
    started_ns = clock.now_ns()
    await desk.use(postpaid, CENT)
    clock.advance(MONTH_S)
    [first] = await close(desk, postpaid)
    raw = desk.billing.invoices.raw(first.id)
    await desk.use(postpaid, 3 * CENT, at_ns=started_ns)
    clock.advance(MONTH_S)
    [second] = await close(desk, postpaid)
    assert second.content.total == "0.03"
    assert await desk.billing.closing.recompute(first) == raw


async def test_the_same_books_give_the_same_bytes(desk, clock, postpaid, tmp_path):
    for number in range(20):
        await desk.use(postpaid, 10**14 * number + number, model=f"m{number % 3}")
    clock.advance(MONTH_S)
    [invoice] = await close(desk, postpaid)
    raw = desk.billing.invoices.raw(invoice.id)
    assert hashlib.sha256(raw).hexdigest() == invoice.content_hash
    assert await desk.billing.closing.recompute(invoice) == raw
    desk.accounts.tenants.update("t", postpaid.id, TenantUpdate(name="Renamed"))
    desk.accounts.entities.update("t", EntityUpdate(name="Renamed too"))
    assert await desk.billing.closing.recompute(desk.billing.invoices.get(None, invoice.number)) == raw
    assert desk.billing.invoices.get(postpaid.id, invoice.id).content.customer.name == "Later"
    rebuilt = Database.open(tmp_path / "rebuilt.db")
    rebuilt.migrate()
    ledger = Ledger(rebuilt)
    for entry in desk.log.entries(0, 1000):  # one by one, where the first ledger had them in one go
        ledger.apply([entry])
    again = ledger.usage_lines(postpaid.id, invoice.content.start_ns, invoice.content.end_ns)
    assert again == desk.ledger.usage_lines(postpaid.id, invoice.content.start_ns, invoice.content.end_ns)
    rebuilt.close()


async def test_touched_books_give_other_bytes(desk, clock, postpaid):
    await desk.use(postpaid, CENT)
    clock.advance(MONTH_S)
    [invoice] = await close(desk, postpaid)
    with desk.database.write() as connection:
        connection.exec_driver_sql("UPDATE ledger_usage SET amount_nanos = amount_nanos + 10000000")
    assert await desk.billing.closing.recompute(invoice) != desk.billing.invoices.raw(invoice.id)


async def test_fees_and_minimum_are_settled_and_invoiced(desk, clock):
    more = '[[fees]]\nname = { en = "Base fee" }\namount = "9.99"\ntiming = "arrears"\n'
    desk.billing.plans.apply(
        "t", plan("base", 'funding = "postpaid"\ncredit_limit = "1"\nminimum = "20"', more), "toml"
    )
    tenant = await desk.customer("Base", "base")
    await desk.use(tenant, 100 * CENT, price_id=desk.price("base"), hold_nanos=10**9)
    clock.advance(2 * MONTH_S)
    first, second = await close(desk, tenant)
    assert [(line.description, line.amount) for line in first.content.lines] == [
        ("small output tokens", "1.00"),
        ("Minimum of the period", "9.01"),
        ("Base fee", "9.99"),
    ]
    assert first.content.total == second.content.total == "20.00"
    assert [line.product for line in second.content.lines] == ["rating_adjustment", "subscription"]
    income = {account: -nanos for (account, _), nanos in desk.ledger.balances("income").items()}
    assert income == {
        "income:usage:api": 10**9,
        "income:usage:subscription": 2 * 9_990_000_000,
        "income:usage:rating_adjustment": 9_010_000_000 + 10_010_000_000,
    }
    wallet = desk.billing.wallets.balance(tenant.id)
    assert (wallet.balance_nanos, wallet.credit_limit_nanos, wallet.held_nanos) == (-40 * 10**9, 10**9, 0)
    assert desk.ledger.balances("assets:unbilled_receivable")["assets:unbilled_receivable", "USD"] == 0


async def test_a_closing_that_died_after_its_fees_charges_them_once(desk, clock, monkeypatch):
    more = '[[fees]]\nname = { en = "Base fee" }\namount = "5"\ntiming = "arrears"\n'
    desk.billing.plans.apply("t", plan("base", "", more), "toml")
    tenant = await desk.customer("Base", "base", cash_nanos=100 * 10**9)
    clock.advance(MONTH_S)
    with desk.database.write() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE INSERT ON invoices BEGIN SELECT RAISE(ABORT, 'power cut'); END"
        )
    for _ in range(2):
        with pytest.raises(Exception, match="power cut"):
            await close(desk, tenant)
    with desk.database.write() as connection:
        connection.exec_driver_sql("DROP TRIGGER refuse")
    [invoice] = await close(desk, tenant)
    assert (invoice.content.total, invoice.content.due_nanos) == ("5.00", 0)
    assert desk.billing.wallets.balance(tenant.id).balance_nanos == 95 * 10**9
    assert desk.log.open_holds() == []


async def test_a_minimum_waits_for_running_requests(desk, clock):
    from mintage.base import Hold

    desk.billing.plans.apply("t", plan("floor", 'minimum = "3"'), "toml")
    tenant = await desk.customer("Floor", "floor", cash_nanos=10 * 10**9)
    now = clock.now_ns()
    await desk.log.hold(
        Hold(
            id="req_slow",
            tenant_id=tenant.id,
            wallet_id=desk.billing.wallets.get(tenant.id).id,
            currency="USD",
            amount_nanos=1,
            created_ns=now,
            lease_until_ns=now + 10**18,
        )
    )
    clock.advance(MONTH_S)
    with pytest.raises(MintageError) as refused:
        await close(desk, tenant)
    assert refused.value.code == "conflict"
    await desk.log.release("req_slow", "gone")
    [invoice] = await close(desk, tenant)
    assert invoice.content.total == "3.00"


@pytest.mark.parametrize(
    ("before", "after", "total"), [("20", None, "20.00"), (None, "20", "1.00"), ("5", "20", "5.00")]
)
async def test_a_period_closed_late_is_billed_by_the_plan_it_ended_with(desk, clock, before, after, total):
    """January is closed in February, after the customer took a plan that January did not have yet."""

    def with_minimum(name, amount):
        return plan(name, 'funding = "postpaid"\ncredit_limit = "100"\n' + (f'minimum = "{amount}"' if amount else ""))

    desk.billing.plans.apply("t", with_minimum("old", before), "toml")
    tenant = await desk.customer("Switcher", "old")
    await desk.use(tenant, 100 * CENT, price_id=desk.price("old"), hold_nanos=10**9)
    clock.advance(MONTH_S + 3 * DAY_S)
    desk.billing.plans.apply("t", with_minimum("new", after), "toml")
    await desk.billing.assign("t", tenant, "new")
    [january] = await close(desk, tenant)
    assert (january.content.last_day, january.content.total) == ("2026-01-31", total)


async def test_invoices_stay_with_their_tenant(desk, clock, postpaid):
    other = await desk.customer("Other")
    await desk.use(postpaid, CENT)
    clock.advance(MONTH_S)
    [invoice] = await close(desk, postpaid)
    assert desk.billing.invoices.get(postpaid.id, invoice.number) == invoice
    for reference in (invoice.number, invoice.id):
        with pytest.raises(MintageError) as refused:
            desk.billing.invoices.get(other.id, reference)
        assert refused.value.code == "not_found"
    assert desk.billing.invoices.page(tenant_id=other.id).items == []


async def test_a_period_is_local(desk, clock):
    tenant = await desk.customer("Kolkata", time_zone="Asia/Kolkata", cash_nanos=10**9)
    await desk.use(tenant, CENT, hold_nanos=10**8)
    clock.advance(MONTH_S - 5.5 * 3600 - 1)
    await desk.use(tenant, CENT, hold_nanos=10**8)  # 23:59:59 on Jan 31 in Kolkata
    assert await close(desk, tenant) == []
    clock.advance(1)
    await desk.use(tenant, CENT, hold_nanos=10**8)  # February there, January in UTC
    [invoice] = await close(desk, tenant)
    assert (invoice.content.total, invoice.content.last_day) == ("0.02", "2026-01-31")


@given(st.integers(-(10**30), 10**30))
def test_units_are_exact(attos):
    from decimal import Context, Decimal

    assert int(Context(prec=60).scaleb(Decimal(units(attos)), 18)) == attos


charges = st.lists(
    st.tuples(
        st.integers(0, 3 * CENT) | st.integers(0, 10**10) | st.just(7_500_000_000),
        st.sampled_from(("small", "large")),
        st.sampled_from(("use", "close early", "close", "reprice")),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=charges, funding=st.sampled_from(("prepaid", "postpaid")))
def test_invoices_add_up_to_the_settlements_to_the_nano(steps, funding):
    """Whatever is used, however often a period is cut, however prices change: nothing is lost or doubled."""
    asyncio.run(_add_up(steps, funding))


async def _add_up(steps, funding):
    with tempfile.TemporaryDirectory() as home:
        clock = ManualClock()
        desk = Desk(Path(home), clock)
        limit = '\ncredit_limit = "100000"' if funding == "postpaid" else ""
        raw = plan("p", f'funding = "{funding}"{limit}')
        desk.billing.plans.apply("t", raw, "toml")
        tenant = await desk.customer("C", "p", cash_nanos=0 if funding == "postpaid" else 100_000 * 10**9)
        invoices, receipts, total = [], [], 0
        for attos, model, step in steps:
            receipts.append(await desk.use(tenant, attos, price_id=desk.price("p"), model=model, hold_nanos=10**9))
            total += attos
            clock.advance(20 * 60 if step != "close" else 31 * DAY_S)
            if step.startswith("close"):
                invoices += await close(desk, tenant, early=step == "close early")
            elif step == "reprice":
                desk.billing.plans.apply("t", raw.replace(b'"1"', b'"2"') if len(receipts) % 2 else raw, "toml")
        clock.advance(31 * DAY_S)
        invoices += await close(desk, tenant)
        contents = [invoice.content for invoice in invoices]
        posted = sum(receipt.posted_nanos for receipt in receipts)
        assert sum(content.posted_nanos for content in contents) == posted
        assert sum(_attos(line.exact) for content in contents for line in content.lines) == total
        assert sum(content.total_nanos - content.rounding_nanos for content in contents) == posted
        assert [invoice.number for invoice in invoices] == [f"INV-{n + 1:06d}" for n in range(len(invoices))]
        assert all([await desk.billing.closing.recompute(i) == desk.billing.invoices.raw(i.id) for i in invoices])
        await desk.catch_up()
        assert sum(desk.ledger.balances().values()) == 0
        if funding == "postpaid":
            due = sum(content.due_nanos for content in contents)
            assert desk.ledger.balances("assets:receivable").get(("assets:receivable", "USD"), 0) == due
            assert desk.ledger.balances("assets:unbilled_receivable").get(("assets:unbilled_receivable", "USD"), 0) == 0
        await desk.close()


def _attos(text):
    whole, _, rest = text.partition(".")
    return int(whole) * 10**18 + int((rest or "0").ljust(18, "0"))
