import asyncio

import httpx
import pytest

from mintage.accounts import Accounts
from mintage.base import Charge, Cost, Hold, ManualClock, RatedLine, Settings, Settlement, Usage, new_id
from mintage.billing import Billing
from mintage.books import CommitLog, Database, Ledger
from mintage.content import Content, FileStore
from mintage.jobs import Jobs
from mintage.registry import Registry
from mintage.server.admin import Desk, create_admin_app

TOKEN = "admin-token-of-this-test"
PAYG = b"""
id = "payg"
name = { en = "Pay as you go", zh = "\xe6\x8c\x89\xe9\x87\x8f\xe4\xbb\x98\xe8\xb4\xb9" }
currency = "USD"
[[prices]]
model = "*"
input_tokens.per_million = "0.15"
output_tokens.per_million = "0.60"
"""


class Client(httpx.AsyncClient):
    """Calls the API in this process; `ok` asserts success and gives the JSON, `refused` the problem."""

    async def ok(self, method, path, **options):
        answer = await self.request(method, f"/admin/v1{path}", **options)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    async def refused(self, method, path, **options):
        answer = await self.request(method, f"/admin/v1{path}", **options)
        problem = answer.json()
        assert answer.status_code >= 400, problem
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem["status"] == answer.status_code
        assert problem["detail"]
        return problem


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def desk(tmp_path, clock):
    database = Database.open(tmp_path / "books.db")
    database.migrate()
    log = CommitLog.open(tmp_path / "log.db", clock=clock)
    ledger = Ledger(database)
    accounts = Accounts(database, clock, tmp_path)
    accounts.entities.ensure("Mint & Co", "USD")

    async def catch_up():
        mark = ledger.watermark()
        while entries := log.entries(mark, 1000):
            mark = await asyncio.to_thread(ledger.apply, entries)
        return mark

    async def verify():
        return {"balanced": True}

    async def export():
        return b"; books\n"

    vault = accounts.vault
    files = FileStore(
        tmp_path / "content",
        clock,
        seal=lambda raw: vault.seal("content/tenants", raw),
        unseal=lambda raw: vault.unseal("content/tenants", raw),
    )
    desk = Desk(
        settings=Settings(home=str(tmp_path)),
        home=tmp_path,
        clock=clock,
        database=database,
        log=log,
        ledger=ledger,
        accounts=accounts,
        billing=Billing(accounts, log, ledger, catch_up),
        registry=Registry(
            tmp_path,
            seal=lambda raw: vault.seal("upstream", raw),
            unseal=lambda raw: vault.unseal("upstream", raw),
        ),
        jobs=Jobs(database, clock),
        content=Content(tmp_path / "content", clock, files),
        admin_token=TOKEN,
        catch_up=catch_up,
        verify=verify,
        export=export,
        base_url="http://mint.example",
    )
    yield desk
    await log.close()
    database.close()


@pytest.fixture
def app(desk):
    return create_admin_app(desk)


def connect(app, **headers):
    # raise_app_exceptions=False: what a server does with a failure is part of what is tested
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return Client(transport=transport, base_url="http://mint.example", headers=headers)


@pytest.fixture
async def admin(app):
    async with connect(app, authorization=f"Bearer {TOKEN}") as client:
        yield client


@pytest.fixture
async def stranger(app):
    async with connect(app) as client:
        yield client


@pytest.fixture
async def acme(admin):
    await admin.ok("POST", "/plans", content=PAYG, headers={"content-type": "application/toml"})
    tenant = await admin.ok("POST", "/customers", json={"name": "Acme Labs", "email": "ops@acme.example"})
    await admin.ok("PUT", "/customers/acme-labs/plan", json={"plan": "payg"})
    await admin.ok("POST", "/customers/acme-labs/top-ups", json={"amount": "25.00", "source_id": "first"})
    return tenant


@pytest.fixture
def use(desk):
    """use(tenant_id, tokens): one settled request of so many output tokens, priced by the plan and with a cost."""

    async def use(tenant_id, tokens, model="small"):
        now = desk.clock.now_ns()
        wallet = desk.billing.wallets.get(tenant_id)
        hold = Hold(
            id=new_id("req"),
            tenant_id=tenant_id,
            wallet_id=wallet.id,
            currency="USD",
            amount_nanos=10**9,
            created_ns=now,
            lease_until_ns=now + 10**12,
        )
        rate = 600 * 10**9  # attos a token
        charge = Charge(
            price_id=desk.billing.plans.current("payg", now).id,
            currency="USD",
            attos=rate * tokens,
            lines=(RatedLine(meter="output_tokens", quantity=tokens, rate_attos=rate, attos=rate * tokens),),
        )
        await desk.log.hold(hold)
        return await desk.log.settle(
            Settlement(
                hold_id=hold.id,
                tenant_id=tenant_id,
                project_id="prj_x",
                wallet_id=wallet.id,
                key_id="key_x",
                model=model,
                product="api",
                occurred_ns=now,
                usage=Usage(output_tokens=tokens),
                charge=charge,
                costs=(Cost(provider="own", price_id="compute", currency="USD", attos=100 * 10**9 * tokens),),
            )
        )

    return use
