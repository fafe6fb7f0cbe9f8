"""Plans: versions never change, prices never change for the past, what cannot be billed is refused."""

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from tests.billing.conftest import PAYG, plan

from mintage.accounts import NewKey, NewTenant, TenantUpdate, key_digest
from mintage.base import MintageError
from mintage.billing import TopUp
from mintage.billing.plans import Plans
from mintage.books import metadata


def refusal(action):
    with pytest.raises(MintageError) as refused:
        action()
    return refused.value.code


def test_the_migration_builds_what_the_tables_say(desk):
    mine = {"price_versions", "price_schedule", "subscriptions", "wallets", "invoices"}
    with desk.database.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": lambda _, name, kind, *__: kind != "table" or name in mine}
        )
        assert compare_metadata(context, metadata) == []
        assert mine <= set(sa.inspect(connection).get_table_names())


async def test_applying_the_same_plan_changes_nothing(desk):
    before = desk.accounts.version()
    again = desk.billing.plans.apply("t", PAYG.replace(b'"0.60"', b'"0.600"'), "toml")
    assert not again.changed
    assert desk.accounts.version() == before
    assert len(desk.billing.plans.history("payg")) == 1


async def test_a_new_version_applies_from_its_time_and_an_old_one_may_return(desk, clock):
    first = desk.price()
    started = clock.now_ns()
    clock.advance(100)
    dearer = PAYG.replace(b'"0.60"', b'"0.70"')
    second = desk.billing.plans.apply("t", dearer, "toml").version.version_id
    assert second != first
    assert desk.billing.plans.current("payg", clock.now_ns() - 1).id == first
    assert desk.price() == second
    clock.advance(100)
    assert desk.billing.plans.apply("t", PAYG, "toml").version.version_id == first
    assert [row.version_id for row in desk.billing.plans.history("payg")] == [first, second, first]
    assert desk.billing.plans.version(first).effective_ns == started
    assert refusal(lambda: desk.billing.plans.current("payg", started - 1)) == "not_found"


async def test_a_plan_for_the_future_waits(desk, clock):
    later = PAYG.replace(b"currency", b"effective = 2026-02-01T00:00:00Z\ncurrency").replace(b"0.60", b"0.70")
    first = desk.price()
    row = desk.billing.plans.apply("t", later, "toml").version
    assert desk.price() == first
    assert desk.billing.plans.next_effective_ns(clock.now_ns()) == row.effective_ns
    assert refusal(lambda: desk.billing.plans.apply("t", PAYG, "toml")) == "conflict"  # it would come before
    clock.advance(31 * 86_400)
    assert desk.price() == row.version_id
    assert desk.billing.plans.next_effective_ns(clock.now_ns()) is None


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (
            PAYG.replace(b"currency", b"effective = 2025-12-01T00:00:00Z\ncurrency").replace(b"0.60", b"0.70"),
            "conflict",
        ),
        (PAYG.replace(b"USD", b"EUR"), "conflict"),
        (PAYG.replace(b"currency", b'period = "year"\ncurrency'), "conflict"),
        (PAYG.replace(b"currency", b'funding = "promo"\ncurrency'), "conflict"),
        (plan("x", "", '[policies]\nexpired_hold = "charge"\n'), "unsupported"),
        (plan("x", 'funding = "postpaid"', '[auto_top_up]\nbelow = "5"\namount = "10"\n'), "unsupported"),
        (plan("x", "", '[progressive]\namounts = ["5"]\n'), "unsupported"),
        (plan("x", "surprise = 1"), "invalid_request"),
        (b"\xff", "invalid_request"),
    ],
)
async def test_what_a_plan_may_not_say_is_refused_whole(desk, raw, code):
    before = desk.accounts.version()
    assert refusal(lambda: desk.billing.plans.apply("t", raw, "toml")) == code
    assert desk.accounts.version() == before
    assert [row.plan_id for row in desk.billing.plans.page().items] == ["payg"]


async def test_prices_do_not_change_for_a_time_that_is_over(desk, clock):
    """After the version in force, but before now: requests of that time are rated already."""
    clock.advance(60 * 86_400)
    late = PAYG.replace(b"currency", b"effective = 2026-02-01T00:00:00Z\ncurrency").replace(b"0.60", b"0.70")
    with pytest.raises(MintageError) as refused:
        desk.billing.plans.apply("t", late, "toml")
    assert (refused.value.code, refused.value.param) == ("conflict", "effective")
    assert "past" in refused.value.message
    assert len(desk.billing.plans.history("payg")) == 1


async def test_a_touched_price_version_is_noticed(desk):
    version = desk.price()
    with desk.database.write() as connection:
        connection.exec_driver_sql(
            "UPDATE price_versions SET canonical = CAST(replace(canonical, '0.15', '0.01') AS BLOB)"
        )
    assert refusal(lambda: Plans(desk.accounts.changes).version(version)) == "conflict"


async def test_assigning_opens_the_wallet_and_grants_once(desk):
    desk.billing.plans.apply(
        "t", plan("trial", 'funding = "promo"', '[[grants]]\nname = { en = "Welcome" }\namount = "5"\n'), "toml"
    )
    tenant = desk.accounts.tenants.add("t", NewTenant(name="New"), currency="USD")
    assert desk.billing.subscriptions.current(tenant.id) is None
    first = await desk.billing.assign("t", tenant, "trial")
    again = await desk.billing.assign("t", tenant, "trial")
    assert first == again
    wallet = desk.billing.wallets.balance(tenant.id)
    assert (wallet.funding, wallet.balance_nanos, wallet.credit_limit_nanos) == ("promo", 5 * 10**9, 0)


async def test_a_plan_that_cannot_follow_changes_nothing(desk):
    tenant = await desk.customer()
    desk.billing.plans.apply("t", plan("eur").replace(b"USD", b"EUR"), "toml")
    desk.billing.plans.apply("t", plan("yearly", 'period = "year"'), "toml")
    desk.billing.plans.apply("t", plan("post", 'funding = "postpaid"'), "toml")
    for plan_id, code in (("eur", "conflict"), ("yearly", "conflict"), ("post", "conflict"), ("none", "not_found")):
        with pytest.raises(MintageError) as refused:
            await desk.billing.assign("t", tenant, plan_id)
        assert refused.value.code == code
    assert desk.billing.subscriptions.current(tenant.id).plan == "payg"
    assert len(desk.billing.subscriptions.history(tenant.id)) == 1


@pytest.mark.parametrize("limit_nanos", [1, -1, 2**63])
async def test_a_prepaid_wallet_never_stores_a_credit_limit(desk, limit_nanos):
    """One that the log refuses would keep the next start from opening the wallets."""
    tenant = await desk.customer()
    with pytest.raises(MintageError) as refused:
        await desk.billing.assign("t", tenant, "payg", credit_limit_nanos=limit_nanos)
    assert refused.value.code == "invalid_request"
    await desk.billing.start()
    assert desk.billing.wallets.get(tenant.id).credit_limit_nanos == 0


async def test_a_credit_limit_may_be_the_customers_own(desk, postpaid):
    assert desk.billing.wallets.balance(postpaid.id).credit_limit_nanos == 1000 * 10**9
    await desk.billing.assign("t", postpaid, "post", credit_limit_nanos=7 * 10**9)
    assert desk.billing.wallets.balance(postpaid.id).credit_limit_nanos == 7 * 10**9
    assert desk.billing.wallets.get(postpaid.id).credit_limit_nanos == 7 * 10**9


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"amount_nanos": 0}, "invalid_request"),
        ({"amount_nanos": -1}, "invalid_request"),
        ({"amount_nanos": 2**63}, "invalid_request"),
        ({"amount_nanos": 10**7 + 1}, "invalid_request"),  # a tenth of a cent of cash
        ({"source": ""}, "invalid_request"),
        ({"source": "invoice"}, "invalid_request"),
        ({"source_id": "x" * 201}, "invalid_request"),
        ({"amount_nanos": 2 * 10**9}, "conflict"),  # the same payment with another amount
    ],
)
async def test_bad_top_ups_move_nothing(desk, fields, code):
    tenant = await desk.customer()
    good = {"amount_nanos": 10**9, "source": "bank", "source_id": "1"}
    await desk.billing.wallets.top_up("t", tenant, TopUp(**good))
    with pytest.raises(MintageError) as refused:
        await desk.billing.wallets.top_up("t", tenant, TopUp(**{**good, **fields}))
    assert refused.value.code == code
    assert (await desk.billing.wallets.top_up("t", tenant, TopUp(**good))).balance_nanos == 10**9


async def test_a_snapshot_joins_keys_with_wallets_and_prices(desk, clock):
    acme = await desk.customer("Acme")
    bare = desk.accounts.tenants.add("t", NewTenant(name="No plan"), currency="USD")
    key = desk.accounts.keys.create("t", acme.id, NewKey(models=("small",), tokens_per_minute=5))
    other = desk.accounts.keys.create("t", bare.id, NewKey())
    snapshot = desk.billing.snapshot()
    assert snapshot.version == desk.accounts.version()
    records = {record.digest: record for record in snapshot.keys}
    mine = records[key_digest(key.secret)]
    assert (mine.tenant_id, mine.wallet_id, mine.price_id) == (
        acme.id,
        desk.billing.wallets.get(acme.id).id,
        desk.price(),
    )
    assert (mine.models, mine.tokens_per_minute, mine.currency) == (("small",), 5, "USD")
    assert set(snapshot.price_versions) == {desk.price()}
    assert (records[key_digest(other.secret)].price_id, records[key_digest(other.secret)].wallet_id) == ("", "")
    desk.accounts.tenants.update("t", acme.id, TenantUpdate(status="suspended"))
    assert desk.accounts.version() > snapshot.version
    assert {record.suspended for record in desk.billing.snapshot().keys} == {True, False}


async def test_a_wallet_that_a_crash_kept_from_the_log_is_opened_at_start(desk, clock):
    tenant = desk.accounts.tenants.add("t", NewTenant(name="Crashed"), currency="USD")
    desk.billing.wallets._ensure("t", tenant, "postpaid", 5)
    with pytest.raises(MintageError):
        desk.billing.wallets.balance(tenant.id)
    await desk.billing.start()
    assert desk.billing.wallets.balance(tenant.id).credit_limit_nanos == 5
