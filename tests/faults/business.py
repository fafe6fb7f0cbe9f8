"""A made-up business for the fault tests: its wallets, requests and prices, the same in parent and child processes."""

from mintage.base import Charge, Cost, Hold, RatedLine, Settlement, Usage

TENANT, WALLET = "ten_1", "wal_1"
NOW_NS = 1_767_225_600_000_000_000
LEASE_NS = 900 * 10**9


def hold(hold_id, nanos=1000, *, wallet=WALLET, tenant=TENANT, created_ns=NOW_NS, lease_ns=LEASE_NS):
    return Hold(
        id=hold_id,
        tenant_id=tenant,
        wallet_id=wallet,
        currency="USD",
        amount_nanos=nanos,
        created_ns=created_ns,
        lease_until_ns=created_ns + lease_ns,
        key_id="key_1",
        model="smollm2-135m",
    )


def settlement(hold_id, attos=7_500_000_000, *, wallet=WALLET, tenant=TENANT, cost_attos=3_333_333_333, **fields):
    """attos: the charge. 7.5 nanos by default, and a cost of 3.333333333."""
    return Settlement(
        hold_id=hold_id,
        tenant_id=tenant,
        project_id="prj_1",
        wallet_id=wallet,
        key_id="key_1",
        model="smollm2-135m",
        product="api",
        occurred_ns=NOW_NS,
        usage=Usage(input_tokens=1),
        charge=Charge(
            price_id=fields.pop("price_id", "plan@1"),
            currency="USD",
            attos=attos,
            lines=(RatedLine(meter="input_tokens", quantity=1, rate_attos=attos, attos=attos),),
        ),
        costs=(Cost(provider="own", price_id="own@1", currency="USD", attos=cost_attos),) if cost_attos else (),
        **fields,
    )


async def prepaid(log, nanos, *, wallet=WALLET, tenant=TENANT):
    await log.open_wallet(tenant, wallet, "USD", "prepaid")
    if nanos:
        await log.top_up(wallet, nanos, source="bank", source_id=f"first-{wallet}", kind="cash")
