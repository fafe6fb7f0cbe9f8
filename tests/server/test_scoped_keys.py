"""Scopes of a key over real HTTP, budgets across a restart, and what attackers try at the server's own doors."""

import socket
import time

import httpx
import pytest
from tests.cli.conftest import PAYG, Running

from mintage.app import App
from mintage.base import Charge, Cost, Hold, RatedLine, Settlement, Usage, load_settings, new_id
from mintage.client import AdminClient


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("scoped") / "home"


@pytest.fixture(scope="module")
def server(home):
    with Running(home) as running, AdminClient.of_home(home) as mint:
        mint.call("POST", "/plans", content=PAYG, headers={"content-type": "application/toml"})
        mint.call("POST", "/customers", json={"name": "Acme", "handle": "acme"})
        mint.call("PUT", "/customers/acme/plan", json={"plan": "payg"})
        running.mint = mint
        yield running


def models(server, secret, wanted, **headers):
    """GET /v1/models with this key, until the gateway has followed the desk."""
    until = time.monotonic() + 10
    while True:
        answer = httpx.get(f"{server.url}/v1/models", headers={"authorization": f"Bearer {secret}", **headers})
        if answer.status_code == wanted or time.monotonic() > until:
            return answer
        time.sleep(0.05)  # the desk is looked at four times a second


def make(server, **scopes):
    return server.mint.call("POST", "/customers/acme/keys", json=scopes)


def test_a_key_works_at_its_endpoints_and_from_its_networks_only(server):
    assert models(server, make(server)["secret"], 200).status_code == 200
    assert models(server, make(server, endpoints=["/v1/models"])["secret"], 200).status_code == 200
    assert models(server, make(server, ip_ranges=["127.0.0.0/8"])["secret"], 200).status_code == 200
    for scopes in ({"endpoints": ["/v1/chat/*"]}, {"ip_ranges": ["203.0.113.0/24"]}):
        secret = make(server, **scopes)["secret"]
        assert models(server, secret, 403).status_code == 403
        forged = models(server, secret, 403, **{"x-forwarded-for": "203.0.113.7"})
        assert forged.status_code == 403  # nobody believes a stranger


def test_a_rotated_key_works_beside_the_new_one_until_its_time(server):
    old = make(server, name="rotating")
    assert models(server, old["secret"], 200).status_code == 200
    new = server.mint.call("POST", f"/customers/acme/keys/{old['key']['id']}/rotate", json={"overlap_s": 3600})
    assert models(server, new["secret"], 200).status_code == 200
    assert models(server, old["secret"], 200).status_code == 200
    last = server.mint.call("POST", f"/customers/acme/keys/{new['key']['id']}/rotate", json={"overlap_s": 0})
    assert models(server, new["secret"], 401).status_code == 401
    assert models(server, last["secret"], 200).status_code == 200


def raw(server, head):
    """The bytes that the server answers to these."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head + b"host: x\r\nconnection: close\r\n\r\n")
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


@pytest.mark.parametrize(
    "where",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/console/../..//evil.example",
        "javascript:alert(1)",
        "/console%0d%0aset-cookie:%20x=1",
        "%2F%2Fevil.example",
        "/console?period=day%0d%0alocation:%20//evil.example",
    ],
)
def test_no_page_sends_people_elsewhere_or_writes_a_header_for_others(server, where):
    link = server.mint.call("POST", "/staff/owner/links")["url"]
    with httpx.Client(base_url=server.url) as browser:
        page = browser.get("/console/sign-in", params={"next": where})
        assert "evil.example" not in page.text
        done = browser.post("/console/sign-in", data={"token": link, "next": where})
        assert done.status_code == 303
        assert done.headers["location"].startswith("/console")
        assert "evil" not in str(done.headers)
    for head in (f"GET /console/sign-in?next={where} HTTP/1.1\r\n", f"GET /admin/v1/customers/{where} HTTP/1.1\r\n"):
        answer = raw(server, head.replace("\\", "%5c").replace("javascript:alert(1)", "js").encode())
        head_lines = answer.split(b"\r\n\r\n")[0].lower()
        assert b"\r\nset-cookie: x=1" not in head_lines
        assert b"\r\nlocation: //evil" not in head_lines


@pytest.mark.parametrize(
    "path",
    [
        "/console/static/../../../../etc/passwd",
        "/console/static/x/..%2f..%2f..%2fetc%2fpasswd",
        "/admin/v1/../../secret.key",
        "/admin/v1/secrets/..%2f..%2fsecret.key",
        "/admin/v1/customers/..%2fstaff",
        "/admin/v1/invoices/..%2f..%2fconfig/content",
        "/console/%2e%2e/secret.key",
        "//etc/passwd",
        "/console/static/%00",
        "/v1/models/..%2f..%2fadmin%2fv1%2fconfig",
    ],
)
def test_no_path_leads_out(server, path):
    token = server.mint._http.headers["authorization"].encode()
    answer = raw(server, b"GET " + path.encode() + b" HTTP/1.1\r\nauthorization: " + token + b"\r\n")
    assert b"root:" not in answer
    assert answer.split(b" ")[1] in (b"400", b"401", b"403", b"404", b"405"), answer[:200]


async def test_what_was_spent_before_counts_after_a_restart(tmp_path):
    settings = load_settings({"MINTAGE_PORT": "0"}, home=str(tmp_path / "home"))
    app = await App.open(settings)
    try:
        key = await _customer_with_spending(app, 3_000)
        project = app.accounts.tenants.project(key.tenant_id, key.project_id)
    finally:
        await app.close()
    app = await App.open(settings)
    try:
        await app.shipping.start()
        accounts = app.accounts
        rotated = accounts.keys.rotate("t", key.tenant_id, key.id).key
        await app.refresh(models=True)
        callers = {caller.key_id: caller for caller in app.gateway.snapshot.callers.values()}
        [budget] = callers[key.id].budgets
        assert (budget.known, budget.spent_nanos, budget.limit_nanos) == (True, 3_000, 10_000)
        assert callers[rotated.id].budgets == (budget,)  # one budget for both
        from mintage.accounts import KeyUpdate, ProjectUpdate

        accounts.tenants.update_project("t", key.tenant_id, project.id, ProjectUpdate(budget_nanos=4_000))
        accounts.keys.update("t", key.tenant_id, rotated.id, KeyUpdate(budget_nanos=None))
        await app.refresh()
        callers = {caller.key_id: caller for caller in app.gateway.snapshot.callers.values()}
        [of_project] = callers[rotated.id].budgets
        assert (of_project.id, of_project.known, of_project.spent_nanos) == (project.id, True, 3_000)
        assert [one.id for one in callers[key.id].budgets] == [key.id, project.id]
        assert not await app.stale()
    finally:
        await app.close()


async def _customer_with_spending(app, nanos):
    """A customer with a plan, money, and a key with a budget that has spent so much."""
    from mintage.accounts import NewKey, NewTenant

    entity = app.accounts.entities.ensure("Mint & Co", "USD")
    tenant = app.accounts.tenants.add("t", NewTenant(name="Acme"), currency=entity.currency)
    app.billing.plans.apply("t", PAYG.encode(), "toml")
    wallet = (await app.billing.assign("t", tenant, "payg")).wallet
    await app.log.top_up(wallet.id, 10**9, source="t", source_id="1", kind="cash")
    key = app.accounts.keys.create("t", tenant.id, NewKey(budget_nanos=10_000)).key
    now = app.clock.now_ns()
    hold = Hold(
        id=new_id("req"),
        tenant_id=tenant.id,
        wallet_id=wallet.id,
        currency="USD",
        amount_nanos=5_000,
        created_ns=now,
        lease_until_ns=now + 10**12,
        key_id=key.id,
        model="m",
    )
    await app.log.hold(hold)
    attos = nanos * 10**9
    await app.log.settle(
        Settlement(
            hold_id=hold.id,
            tenant_id=tenant.id,
            project_id=key.project_id,
            wallet_id=wallet.id,
            key_id=key.id,
            model="m",
            product="api",
            occurred_ns=now,
            usage=Usage(output_tokens=1),
            charge=Charge(
                price_id="p", currency="USD", attos=attos, lines=(RatedLine("output_tokens", 1, attos, attos),)
            ),
            costs=(Cost(provider="own", price_id="own", currency="USD", attos=0),),
        )
    )
    return key
