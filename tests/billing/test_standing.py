"""Where invoices stand: taxed, paid, credited, voided and written off, with the books and wallets equal throughout."""

import asyncio

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.billing.conftest import DAY_S, PAYG, Desk, plan

from mintage.accounts import EntityUpdate
from mintage.base import ManualClock, MintageError
from mintage.billing.credit_notes import Part
from mintage.billing.currencies import CurrencyRate, convert_nanos
from mintage.billing.profiles import BillingProfile, BillingSettings, Fapiao
from mintage.billing.tables_invoicing import invoice_states
from mintage.billing.tax import RateRow

CENT = 10**16  # attos
C = 10**7  # a cent in nanos
MONTH_S = 31 * DAY_S


def german(desk):
    entity = desk.accounts.entities.get()
    desk.accounts.entities.update("t", EntityUpdate(country="DE", tax_id="DE136695976"))
    desk.billing.invoicing.taxes.put("t", [RateRow(country="DE", percent="19", from_day="2021-01-01")])
    return entity


async def billed(desk, clock, tenant, *cents):
    for number, amount in enumerate(cents):
        await desk.use(tenant, amount * CENT, model=f"m{number}")
    clock.advance(MONTH_S)
    [invoice] = await desk.billing.closing.close("t", tenant)
    return invoice


async def balances(desk, tenant=None):
    await desk.catch_up()
    found = desk.ledger.balances(tenant_id=tenant.id if tenant else None)
    return {account: nanos // C for (account, _), nanos in found.items() if nanos}


def again(desk, invoice):
    return desk.billing.invoices.get(invoice.tenant_id, invoice.id)


async def pay(desk, tenant, cents, source_id):
    wallet = desk.billing.wallets.get(tenant.id)
    await desk.log.top_up(wallet.id, cents * C, source="bank", source_id=source_id, kind="cash")
    return await desk.billing.invoicing.standing.allocate("t", tenant.id)


async def test_a_taxed_invoice_is_posted_paid_and_leaves_nothing(desk, clock, postpaid):
    german(desk)
    invoice = await billed(desk, clock, postpaid, 1000)
    content = invoice.content
    assert (content.net_nanos // C, content.tax_nanos // C, content.total) == (1000, 190, "11.90")
    assert (invoice.state, invoice.open_nanos // C) == ("finalised", 1190)
    assert invoice.due_ns - invoice.issued_ns == 14 * DAY_S * 10**9
    assert await balances(desk, postpaid) == {
        "assets:receivable": 1190,
        "income:usage:api": -1000,
        "liabilities:tax_payable": -190,
    }
    assert desk.billing.wallets.balance(postpaid.id).balance_nanos // C == -1190
    assert await pay(desk, postpaid, 500, "p1") == []
    assert (again(desk, invoice).state, again(desk, invoice).open_nanos // C) == ("finalised", 690)
    assert await pay(desk, postpaid, 690, "p2") == [invoice.id]
    assert (again(desk, invoice).state, again(desk, invoice).open_nanos) == ("paid", 0)
    assert desk.billing.wallets.balance(postpaid.id).balance_nanos == 0
    assert "assets:receivable" not in await balances(desk, postpaid)
    assert await desk.billing.closing.recompute(invoice) == desk.billing.invoices.raw(invoice.id)


async def test_prepaid_usage_contains_its_tax(desk, clock):
    german(desk)
    tenant = await desk.customer(cash_nanos=100 * 10**9)
    await desk.use(tenant, 1190 * CENT, hold_nanos=20 * 10**9)
    clock.advance(MONTH_S)
    [invoice] = await desk.billing.closing.close("t", tenant)
    assert (invoice.state, invoice.content.total, invoice.content.tax_nanos // C) == ("paid", "11.90", 190)
    found = await balances(desk, tenant)
    assert (found["income:usage:api"], found["liabilities:tax_payable"]) == (-1000, -190)
    assert desk.billing.wallets.balance(tenant.id).balance_nanos // C == 8810


async def test_a_credit_note_gives_back_in_pieces_and_never_more(desk, clock, postpaid):
    german(desk)
    invoice = await billed(desk, clock, postpaid, 33, 33, 33)
    standing = desk.billing.invoicing.standing
    first = await standing.credit("t", invoice, [Part(place=0, amount_nanos=13 * C)], reason="slow", key="k1")
    same = await standing.credit("t", invoice, [Part(place=0, amount_nanos=13 * C)], reason="slow", key="k1")
    assert (first.number, same) == ("CN-000001", first)
    with pytest.raises(MintageError) as caught:
        await standing.credit("t", invoice, [Part(place=0, amount_nanos=21 * C)], reason="more", key="k2")
    assert caught.value.param == "lines[0].amount"
    rest = await standing.credit("t", invoice, None, reason="rest", key="k3")
    assert rest.number == "CN-000002"
    assert first.content.total_nanos + rest.content.total_nanos == invoice.content.total_nanos == 118 * C
    assert again(desk, invoice).state == "paid"
    assert await balances(desk, postpaid) == {}
    assert desk.billing.wallets.balance(postpaid.id).balance_nanos == 0
    with pytest.raises(MintageError) as caught:
        await standing.credit("t", invoice, None, reason="again", key="k4")
    assert caught.value.code == "conflict"


async def test_a_prepaid_credit_note_refills_the_wallet(desk, clock):
    german(desk)
    tenant = await desk.customer(cash_nanos=10**10)
    await desk.use(tenant, 500 * CENT, hold_nanos=10**10)
    clock.advance(MONTH_S)
    [invoice] = await desk.billing.closing.close("t", tenant)
    await desk.billing.invoicing.standing.credit("t", invoice, None, reason="outage", key="k")
    assert desk.billing.wallets.balance(tenant.id).balance_nanos == 10**10
    assert await balances(desk, tenant) == {"assets:cash": 1000, "liabilities:customer_prepaid": -1000}


async def test_void_and_write_off(desk, clock, postpaid):
    german(desk)
    standing = desk.billing.invoicing.standing
    first = await billed(desk, clock, postpaid, 1000)
    assert (await standing.void("t", first, reason="wrong customer")).state == "void"
    assert (await standing.void("t", first, reason="twice")).state == "void"
    assert await balances(desk, postpaid) == {}
    second = await billed(desk, clock, postpaid, 1000)
    await pay(desk, postpaid, 595, "half")
    with pytest.raises(MintageError):
        await standing.void("t", second, reason="partly paid")
    gone = await standing.write_off("t", second, reason="insolvent")
    assert (gone.state, gone.open_nanos) == ("uncollectible", 0)
    assert await balances(desk, postpaid) == {
        "assets:cash": 595,
        "expenses:bad_debt": 500,
        "income:usage:api": -1000,
        "liabilities:tax_payable": -95,
    }
    with pytest.raises(MintageError):
        await standing.credit("t", gone, None, reason="no", key="k")


async def test_numbers_have_no_gaps_whoever_races(desk, clock):
    desk.billing.plans.apply("t", plan("post", 'funding = "postpaid"\ncredit_limit = "1000"'), "toml")
    tenants = [await desk.customer(f"C{n}", "post") for n in range(8)]
    for tenant in tenants:
        await desk.use(tenant, 100 * CENT)
    clock.advance(MONTH_S)
    await asyncio.gather(*(desk.billing.closing.close("t", tenant) for tenant in [*tenants, *tenants]))
    rows = desk.billing.invoices.page(limit=50).items
    assert sorted(row.number for row in rows) == [f"INV-{n:06d}" for n in range(1, 9)]
    standing = desk.billing.invoicing.standing
    made = await asyncio.gather(
        *(
            standing.credit("t", desk.billing.invoices.get(None, row.id), None, reason="r", key=f"k{row.id}{n}")
            for row in rows
            for n in range(2)
        ),
        return_exceptions=True,
    )
    notes = [note for note in made if not isinstance(note, BaseException)]
    assert sorted(note.number for note in notes) == [f"CN-{n:06d}" for n in range(1, 9)]
    assert all(isinstance(other, MintageError) for other in made if other not in notes)
    assert await balances(desk) == {}


async def test_a_crash_before_the_wallet_heard_is_mended_at_start(desk, clock, postpaid):
    german(desk)
    desk.billing.closing.issued = lambda invoice: asyncio.sleep(0, invoice)  # the process dies here
    await billed(desk, clock, postpaid, 1000)
    assert desk.billing.wallets.balance(postpaid.id).balance_nanos // C == -1000
    for _ in range(2):
        await desk.billing.start()
        assert desk.billing.wallets.balance(postpaid.id).balance_nanos // C == -1190


async def test_a_period_waits_for_late_events(desk, clock, postpaid):
    desk.billing.invoicing.profiles.put_settings(
        "t", desk.accounts.entities.get().id, BillingSettings(grace_hours=48, payment_days=30)
    )
    await desk.use(postpaid, 100 * CENT)
    clock.advance(MONTH_S + 3600)
    assert await desk.billing.closing.close("t", postpaid) == []
    await desk.use(postpaid, 200 * CENT, at_ns=clock.now_ns() - DAY_S * 10**9)
    clock.advance(2 * DAY_S)
    [invoice] = await desk.billing.closing.close("t", postpaid)
    assert (invoice.content.total, invoice.content.last_day) == ("3.00", "2026-01-31")
    assert invoice.due_ns - invoice.issued_ns == 30 * DAY_S * 10**9


async def test_another_currency_keeps_the_days_rate(desk, clock):
    currencies = desk.billing.invoicing.currencies
    desk.accounts.entities.ensure("x", "USD")
    currencies.put("t", [CurrencyRate(base="EUR", quote="USD", day="2026-01-15", rate="1.10")])
    rate = currencies.on("2026-01-31", "EUR", "USD")
    assert convert_nanos(123 * C, rate) == 135 * C
    assert currencies.on("2026-01-31", "USD", "EUR").rate == "0.909090909091"
    with pytest.raises(MintageError) as caught:
        currencies.on("2026-04-01", "EUR", "USD")
    assert "mintage currency set" in caught.value.hint


def test_fapiao_needs_a_valid_credit_code(desk):
    tenant = desk.accounts.tenants.add("t", _new(), currency="USD")
    profiles = desk.billing.invoicing.profiles
    good = BillingProfile(
        language="zh", fapiao=Fapiao(kind="special", title="陈记茶馆", tax_number="91110000600037341L")
    )
    assert profiles.put_profile("t", tenant.id, good) == profiles.profile(tenant.id) == good
    for number in ("", "91110000600037342L"):
        with pytest.raises(MintageError):
            profiles.put_profile(
                "t", tenant.id, BillingProfile(fapiao=Fapiao(kind="special", title="x", tax_number=number))
            )
    assert profiles.profile(tenant.id) == good


def _new():
    from mintage.accounts import NewTenant

    return NewTenant(name="Chen")


STEPS = st.lists(
    st.tuples(st.sampled_from(["use", "pay", "credit", "off", "void"]), st.integers(1, 900)), min_size=1, max_size=12
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_whatever_happens_the_wallet_is_the_ledgers_other_side(tmp_path_factory, steps):
    async def run():
        clock = ManualClock()
        desk = Desk(tmp_path_factory.mktemp("s"), clock)
        desk.billing.plans.apply("t", plan("post", 'funding = "postpaid"\ncredit_limit = "9000"'), "toml")
        desk.billing.plans.apply("t", PAYG, "toml")
        german(desk)
        tenant = await desk.customer("P", "post")
        standing = desk.billing.invoicing.standing
        for number, (kind, cents) in enumerate(steps):
            rows = desk.billing.invoices.page(tenant_id=tenant.id, limit=50).items
            last = desk.billing.invoices.get(None, rows[cents % len(rows)].id) if rows else None
            try:
                if kind == "use":
                    await billed(desk, clock, tenant, cents)
                elif kind == "pay":
                    await pay(desk, tenant, cents, f"p{number}")
                elif last and kind == "credit":
                    await standing.credit("t", last, None, reason="r", key=f"c{number}")
                elif last:
                    await (standing.void if kind == "void" else standing.write_off)("t", last, reason="r")
            except MintageError as error:
                assert error.code == "conflict"
        await desk.catch_up()
        found = {account: nanos for (account, _), nanos in desk.ledger.balances(tenant_id=tenant.id).items()}
        assert sum(found.values()) == 0
        owed = found.get("assets:receivable", 0)
        rows = desk.billing.invoices.page(tenant_id=tenant.id, limit=50).items
        assert sum(row.open_nanos for row in rows if row.state == "finalised") == max(owed, 0)
        with desk.database.read() as connection:
            written = connection.scalar(sa.select(sa.func.sum(invoice_states.c.written_off_nanos))) or 0
        assert -desk.billing.wallets.balance(tenant.id).balance_nanos == owed + written
        await desk.close()

    asyncio.run(run())
