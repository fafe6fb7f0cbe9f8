"""Money from outside: credited once, bound to what was asked for, paid back, disputed, tried again."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.billing.conftest import DAY_S

from mintage.base import MintageError
from mintage.billing.payments import StripeProvider, read_statement
from mintage.billing.profiles import BillingSettings

SECRET = "whsec_of_this_test"
C = 10**7
CENT = 10**16


class Stripe:
    def __init__(self, url):
        self.url = url

    def call(self, path, **query):
        answer = httpx.post(self.url + path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def stripe():
    program = Path(__file__).with_name("stripe_stand_in.py")
    with subprocess.Popen([sys.executable, program, SECRET], stdout=subprocess.PIPE, text=True) as process:
        yield Stripe(f"http://127.0.0.1:{process.stdout.readline().strip()}")
        process.terminate()


@pytest.fixture
def pay(desk, stripe):
    payments = desk.billing.invoicing.payments
    payments.providers["stripe"] = StripeProvider("sk_test_1", SECRET, base_url=stripe.url)
    return payments


async def hear(pay, event, provider="stripe"):
    return await pay.notice(provider, event["payload"].encode(), event["signature"])


async def top_up(desk, pay, stripe, tenant, cents):
    order = await pay.checkout("t", tenant, "stripe", nanos=cents * C, invoice=None, back_url="https://x.example")
    return order, stripe.call(f"/_pay/{order.remote_id}")


def cents(desk, tenant):
    return desk.billing.wallets.balance(tenant.id).balance_nanos // C


async def billed(desk, clock, tenant, amount):
    await desk.use(tenant, amount * CENT)
    clock.advance(31 * DAY_S)
    [invoice] = await desk.billing.closing.close("t", tenant)
    return invoice


async def test_a_top_up_is_credited_once_however_often_it_is_told(desk, pay, stripe):
    tenant = await desk.customer()
    order, paid = await top_up(desk, pay, stripe, tenant, 2500)
    assert order.url.startswith("https://pay.example")
    assert [await hear(pay, event) for event in (*paid["events"], *paid["events"])] == [
        "paid",
        "paid",
        "known",
        "known",
    ]
    assert cents(desk, tenant) == 2500
    method = pay.records.method(tenant.id, "stripe")
    assert (method.remote_method, bool(method.remote_customer)) == ("pm_card", True)
    charged = await pay.charge_saved(tenant, 500 * C, None, "pur_1")
    again = await pay.charge_saved(tenant, 500 * C, None, "pur_1")
    assert (charged.reference, cents(desk, tenant)) == (again.reference, 3000)


async def test_a_message_pays_only_its_own_order(desk, pay, stripe):
    tenant, other = await desk.customer(), await desk.customer("Other")
    order, _ = await top_up(desk, pay, stripe, tenant, 2500)
    thing = {"id": order.remote_id, "metadata": {"order_id": order.id}, "currency": "usd", "payment_intent": "pi_x",
             "amount_total": 2500, "payment_status": "paid"}  # fmt: skip
    wrong = [
        {**thing, "amount_total": 999_900},
        {**thing, "currency": "jpy"},
        {**thing, "id": "cs_other"},
        {**thing, "metadata": {"order_id": "ord_unknown"}},
        {**thing, "metadata": {}},
        {**thing, "payment_intent": None},
    ]
    for one in wrong:
        event = stripe.call("/_sign", type="checkout.session.completed", thing=json.dumps(one))
        assert (await hear(pay, event)) in ("nothing to do",) or "refused" in pay_outcome(desk)
    good = stripe.call("/_sign", type="checkout.session.completed", thing=json.dumps(thing))
    forged = {**good, "payload": good["payload"].replace("2500", "2501")}
    with pytest.raises(MintageError) as caught:
        await hear(pay, forged)
    assert caught.value.code == "permission_denied"
    pay.providers["elsewhere"] = pay.providers["stripe"]
    assert await hear(pay, good, "elsewhere") == "refused: the order is another provider's"
    assert (cents(desk, tenant), cents(desk, other)) == (0, 0)
    assert await hear(pay, good) == "paid"
    assert (cents(desk, tenant), cents(desk, other)) == (2500, 0)


def pay_outcome(desk):
    import sqlalchemy as sa

    from mintage.billing.tables_invoicing import provider_events

    with desk.database.read() as connection:
        select = sa.select(provider_events.c.outcome).order_by(sa.literal_column("rowid").desc()).limit(1)
        return connection.scalar(select)


async def test_a_crash_between_record_and_credit_is_mended(desk, pay, stripe, monkeypatch):
    tenant = await desk.customer()
    _, paid = await top_up(desk, pay, stripe, tenant, 100)

    async def dies(payment):
        raise RuntimeError("killed here")

    monkeypatch.setattr(pay, "_credit", dies)
    with pytest.raises(RuntimeError):
        await hear(pay, paid["events"][0])
    assert cents(desk, tenant) == 0
    monkeypatch.undo()
    await desk.billing.start()
    await desk.billing.start()
    assert cents(desk, tenant) == 100


async def test_refunds_and_disputes_leave_the_books_once(desk, pay, stripe):
    tenant = await desk.customer()
    _, paid = await top_up(desk, pay, stripe, tenant, 1000)
    await hear(pay, paid["events"][0])
    payment = pay.records.payment("stripe", paid["intent"])
    back = await pay.refund("t", payment, 300 * C, reason="asked", key="r1")
    assert (back.refunded_nanos // C, cents(desk, tenant), stripe.call("/_state")["refunds"]) == (300, 700, 1)
    event = stripe.call(f"/_refund/{paid['intent']}", amount=300)
    assert await hear(pay, event) == "refunded"
    assert cents(desk, tenant) == 700
    await hear(pay, stripe.call(f"/_refund/{paid['intent']}", amount=400))
    assert cents(desk, tenant) == 600
    await desk.use(tenant, 500 * CENT, hold_nanos=500 * C)
    lost = stripe.call(f"/_dispute/{paid['intent']}")
    assert (await hear(pay, lost), await hear(pay, lost)) == ("disputed", "known")
    await desk.catch_up()
    found = {account: nanos // C for (account, _), nanos in desk.ledger.balances(tenant_id=tenant.id).items() if nanos}
    assert found == {"income:refunds": 500, "income:usage:api": -500}
    with pytest.raises(MintageError):
        await pay.refund("t", pay.records.by_id(payment.id), C, reason="more", key="r2")


async def test_an_answer_that_never_came_is_asked_again_with_the_same_key(desk, pay, stripe):
    tenant = await desk.customer()
    pay.records.save_method(tenant.id, "stripe", "cus_9", "pm_down")
    charged = await pay.charge_saved(tenant, 500 * C, None, "pur_7")
    assert (charged.state, cents(desk, tenant), stripe.call("/_state")["intents"]) == ("credited", 500, 1)


async def test_dunning_tries_reminds_and_asks_to_give_up(desk, clock, pay, stripe, postpaid):
    invoicing = desk.billing.invoicing
    entity = desk.accounts.entities.get()
    invoicing.profiles.put_settings("t", entity.id, BillingSettings(reminder_days=(3, 10), uncollectible_days=30))
    invoice = await billed(desk, clock, postpaid, 1000)
    sent = []

    async def remind(invoice, step):
        sent.append((invoice.number, step))

    invoicing.dunning.remind = remind
    assert await invoicing.dunning.run() == []
    clock.advance(18 * DAY_S)
    [step] = await invoicing.dunning.run()
    assert (step.step, step.action, step.outcome, sent) == (0, "remind", "sent", [("INV-000001", 0)])
    assert await invoicing.dunning.run() == []
    pay.records.save_method(postpaid.id, "stripe", "cus_9", "pm_bad")
    clock.advance(7 * DAY_S)
    [step] = await invoicing.dunning.run()
    assert (step.step, step.action) == (1, "charge")
    assert "Declined" in step.outcome
    clock.advance(25 * DAY_S)
    [step] = await invoicing.dunning.run()
    assert (step.step, step.action) == (2, "review")
    assert await invoicing.dunning.run() == []
    pay.records.save_method(postpaid.id, "stripe", "cus_9", "pm_good")
    paid = await pay.charge_saved(postpaid, invoice.open_nanos, invoice, "by-hand")
    assert (paid.state, desk.billing.invoices.get(None, invoice.id).state) == ("credited", "paid")
    assert [one.step for one in invoicing.dunning.steps(invoice.id)] == [0, 1, 2]


CAMT = """<?xml version="1.0"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><Stmt>
<Acct><Id><IBAN>DE89370400440532013000</IBAN></Id></Acct>
<Ntry><Amt Ccy="USD">10.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><BookgDt><Dt>2026-02-03</Dt></BookgDt>
<NtryDtls><TxDtls><RltdPties><Dbtr><Nm>Later Ltd</Nm></Dbtr></RltdPties>
<RmtInf><Ustrd>Invoice INV-000001 thanks</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>
<Ntry><Amt Ccy="USD">5.00</Amt><CdtDbtInd>DBIT</CdtDbtInd><BookgDt><Dt>2026-02-03</Dt></BookgDt></Ntry>
</Stmt></BkToCstmrStmt></Document>"""


async def test_a_statement_pays_the_invoice_that_it_names(desk, clock, postpaid):
    invoice = await billed(desk, clock, postpaid, 1000)
    bank = desk.billing.invoicing.bank
    taken = await bank.take("t", CAMT.encode())
    assert (taken.lines, taken.known, taken.matched, taken.open) == (2, 0, 1, 0)
    assert desk.billing.invoices.get(None, invoice.id).state == "paid"
    taken = await bank.take("t", CAMT.encode())
    assert (taken.known, taken.matched) == (2, 0)
    csv = b"date,amount,currency,text,payer\n2026-02-04,3.00,USD,thanks,Later\n2026-02-04,3.00,USD,thanks,Later\n"
    assert (await bank.take("t", csv)).open == 2
    [first, second] = bank.page("open").items
    row = await bank.match("t", first.id, invoice)
    assert (row.state, await bank.match("t", first.id, invoice)) == ("matched", row)
    assert cents(desk, postpaid) == 300
    assert bank.page("open").items == [second]


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b"date,amount,currency,text\n2026-02-04,x,USD,t\n", "line 2.amount"),
        (b"date,amount,currency,text\n2026-02-04,1.001,USD,t\n", "line 2.amount"),
        (b"date,amount,currency,text\nyesterday,1,USD,t\n", "line 2.date"),
        (b"date,amount,currency,text\n2026-02-04,1,usd,t\n", "line 2.currency"),
        (b"date,amount,text\n2026-02-04,1,t\n", "line 1.currency"),
        (b"<x/>", "line 1"),
        (b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "line 1"),
        (CAMT.replace("CRDT", "?").encode(), "entry 1.CdtDbtInd"),
    ],
)
def test_bad_statements_are_refused_by_line(raw, param):
    with pytest.raises(MintageError) as caught:
        read_statement(raw)
    assert caught.value.param == param


@given(st.binary(max_size=400) | st.tuples(st.integers(0, 900), st.binary(max_size=8)))
def test_whatever_a_bank_sends_is_read_or_refused(sent):
    raw = sent if isinstance(sent, bytes) else CAMT.encode()[: sent[0]] + sent[1] + CAMT.encode()[sent[0] :]
    try:
        lines = read_statement(raw)
    except MintageError as error:
        assert error.code in ("invalid_request", "payload_too_large")
    else:
        assert len({line.id for line in lines}) == len(lines)


@given(st.binary(max_size=300) | st.recursive(st.none() | st.text(), lambda x: st.dictionaries(st.text(), x)))
def test_whatever_comes_as_a_message_is_refused(sent):
    payload = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    with pytest.raises(MintageError) as caught:
        StripeProvider("sk_test", SECRET).read(payload, "t=1,v1=00")
    assert caught.value.code in ("permission_denied", "invalid_json")
