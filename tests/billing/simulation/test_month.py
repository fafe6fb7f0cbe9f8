"""A simulated company's books equal an independent re-computation, to the nano."""

import pytest
from tests.billing.simulation.recompute import expected, midnight
from tests.billing.simulation.world import World

from mintage.base import ManualClock

ATTOS = 10**18
OWN = ("rating_adjustment", "subscription", "subscription_ahead")


async def check(world):
    desk, now = world.desk, world.now
    await desk.billing.lifecycle.tick()
    for tenant_id in sorted(world.customers):
        await desk.billing.closing.close("t", world.tenant(tenant_id))
        assert await desk.billing.closing.close("t", world.tenant(tenant_id)) == []
    await desk.catch_up()
    for tenant_id, facts in sorted(world.customers.items()):
        closed = desk.billing.invoices.closed_until_ns(tenant_id) or 0
        index = 0
        while midnight(facts.period(index)[1], facts.zone) <= min(closed, now):
            index += 1
        left = facts.plans[-1][1] is not None and closed >= facts.plans[-1][1]  # its last period ended with it
        closed = midnight(facts.period(index + left)[0], facts.zone)
        booked = {}
        for row in desk.ledger.usage_lines(tenant_id, 0, (now // (900 * 10**9) + 1) * 900 * 10**9):
            plan = row.price_id.partition("@")[0]
            booked[plan] = booked.get(plan, 0) + row.attos
        wanted = {plan: round(amount * ATTOS) for plan, amount in expected(facts, closed, now).items() if amount}
        assert {plan: attos for plan, attos in booked.items() if attos} == wanted, (tenant_id, facts.zone, facts.plans)
        await check_wallet(desk, tenant_id, facts, wanted)
    assert sum(desk.ledger.balances().values()) == 0
    schedule = desk.billing.finance.deferred_schedule()
    assert schedule.deferred_nanos.get("USD", 0) == schedule.ledger_nanos.get("USD", 0)
    assert all(sheet.balanced for sheet in desk.billing.finance.balance_sheet())


async def check_wallet(desk, tenant_id, facts, wanted):
    """Balance = what came in, less what lapsed, less what was posted; lots add up to it; nothing burned twice."""
    posted = sum(attos // 10**9 for attos in wanted.values())
    balance = desk.billing.wallets.balance(tenant_id).balance_nanos
    lapsed = sum(
        posting.amount_nanos
        for journal in desk.ledger.journals(tenant_id=tenant_id, event="prepaid_expiry", limit=1000).journals
        for posting in journal.postings
        if posting.account == "liabilities:customer_prepaid"
    )
    assert balance == facts.top_ups - lapsed - posted
    if facts.plans[0][2] == "payg":
        lots = await desk.billing.credit.view(desk.billing.wallets.get(tenant_id))
        assert sum(lot.remaining_nanos for lot in lots if lot.state == "open") == balance
        assert all(0 <= lot.remaining_nanos <= lot.amount_nanos for lot in lots)
    else:
        found = {name: nanos for (name, _), nanos in desk.ledger.balances(tenant_id=tenant_id).items()}
        owed = found.get("assets:unbilled_receivable", 0) + found.get("assets:receivable", 0)
        assert owed + found.get("equity:rounding", 0) == -balance


async def test_a_month_of_fifty_customers(tmp_path):
    world = World(tmp_path, ManualClock(), seed=1, customers=50)
    try:
        await world.live(hours=45 * 24, actions_an_hour=1)
        await check(world)
        assert len(world.customers) == 50
        assert world.kills > 5
    finally:
        await world.desk.close()


@pytest.mark.soak
async def test_a_year_of_a_thousand_customers(tmp_path):
    world = World(tmp_path, ManualClock(), 3, customers=1000)
    try:
        for _ in range(12):
            await world.live(hours=30 * 24, actions_an_hour=12)
            await check(world)
    finally:
        await world.desk.close()
