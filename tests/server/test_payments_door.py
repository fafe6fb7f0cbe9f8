"""POST /webhooks/stripe over real sockets: the real client against a stand-in process, signed messages, credit once."""

import hashlib
import hmac
import json
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from mintage.accounts import NewTenant
from mintage.app import App, Service
from mintage.base import load_settings
from mintage.billing import AutoTopUpRule

SECRET = "whsec_of_this_test"
UNIT = 10**9
PLAN = b'id = "payg"\nname = { en = "P" }\ncurrency = "USD"\n[[prices]]\nmodel = "*"\nrequests.per_unit = "1"\n'
STAND_IN = Path(__file__).parents[1] / "billing/payments/stripe_stand_in.py"


@pytest.fixture
def stripe():
    with subprocess.Popen([sys.executable, STAND_IN, SECRET], stdout=subprocess.PIPE, text=True) as process:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.terminate()


@pytest.fixture
async def house(tmp_path, stripe):
    app = await App.open(load_settings({"MINTAGE_PORT": "0", "MINTAGE_STRIPE_URL": stripe}, home=str(tmp_path)))
    service = await Service.start(app)
    app.accounts.entities.ensure("Mint & Co", "USD")
    app.billing.plans.apply("t", PLAN, "toml")
    yield app, service.url
    await service.stop()
    await app.close()


async def customer(app):
    tenant = app.accounts.tenants.add("t", NewTenant(name="Acme"), currency="USD")
    await app.billing.assign("t", tenant, "payg")
    return tenant


def units(app, tenant):
    return app.billing.wallets.balance(tenant.id).balance_nanos / UNIT


def signed(payload, at=None, secret=SECRET):
    at = int(time.time()) if at is None else at
    digest = hmac.new(secret.encode(), f"{at}.".encode() + payload, hashlib.sha256).hexdigest()
    return {"stripe-signature": f"t={at},v1={digest}"}


async def deliver(client, url, payload, headers):
    answer = await client.post(f"{url}/webhooks/stripe", content=payload, headers=headers)
    return answer.status_code, answer.json()


async def test_a_page_is_paid_once_and_the_method_buys_the_next_credit(house, stripe):
    app, url = house
    tenant = await customer(app)
    invoicing = app.billing.invoicing
    row = await invoicing.setup.set_stripe("t", "sk_test_1", SECRET)
    assert (row.webhook_path, row.test) == ("/webhooks/stripe", True)
    order = await invoicing.payments.checkout("t", tenant, "stripe", nanos=25 * UNIT, invoice=None, back_url=url)
    async with httpx.AsyncClient() as client:
        paid = (await client.post(f"{stripe}/_pay/{order.remote_id}")).json()
        told = [(event["payload"].encode(), {"stripe-signature": event["signature"]}) for event in paid["events"]]
        answers = [await deliver(client, url, *one) for one in (*told, *told)]
    assert [answer["outcome"] for _, answer in answers] == ["paid", "paid", "known", "known"]
    assert units(app, tenant) == 25
    rule = AutoTopUpRule(below_nanos=30 * UNIT, amount_nanos=10 * UNIT, monthly_limit_nanos=None)
    app.billing.topping.set_rule("t", tenant, rule)
    assert [await app.billing.topping.buy_if_low(tenant) for _ in range(2)] == [1, 0]
    assert units(app, tenant) == 35
    assert (await app.verify()).balanced


async def test_what_is_not_signed_now_by_the_provider_changes_nothing(house, stripe):
    app, url = house
    tenant = await customer(app)
    payments = app.billing.invoicing.payments
    payload = b'{"id": "evt_1", "object": "event", "type": "ping", "data": {"object": {}}}'
    async with httpx.AsyncClient() as client:
        assert (await deliver(client, url, payload, signed(payload)))[0] == 404  # nobody set it up
        await app.billing.invoicing.setup.set_stripe("t", "sk_test_1", SECRET)
        order = await payments.checkout("t", tenant, "stripe", nanos=25 * UNIT, invoice=None, back_url=url)
        thing = {"id": order.remote_id, "metadata": {"order_id": order.id}, "currency": "usd", "amount_total": 2500,
                 "payment_intent": "pi_1", "payment_status": "paid"}  # fmt: skip
        event = {"id": "evt_2", "object": "event", "type": "checkout.session.completed", "data": {"object": thing}}
        payload = json.dumps(event).encode()
        old = signed(payload, int(time.time()) - 3600)
        for headers in ({}, {"stripe-signature": "x"}, signed(payload, secret="whsec_other"), old, signed(b"{}")):
            status, answer = await deliver(client, url, payload, headers)
            assert (status, answer["error"]["code"]) == (403, "permission_denied")
        assert units(app, tenant) == 0
        assert (await deliver(client, url, payload, signed(payload)))[1] == {"outcome": "paid"}
        changed = payload.replace(b"2500", b"2501")
        assert (await deliver(client, url, changed, signed(changed)))[0] == 409
        assert (await deliver(client, url, b"x" * (2 << 20), signed(b"x" * (2 << 20))))[0] == 413
    assert units(app, tenant) == 25
