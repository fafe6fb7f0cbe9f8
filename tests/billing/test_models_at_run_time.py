"""All 24 profit models, applied and billed: what closing invoices is what pricing quotes, to the atto."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from tests.billing.conftest import DAY_S
from tests.billing.lake_desk import LakeDesk

from mintage.accounts import NewTenant
from mintage.base import ManualClock
from mintage.pricing import PeriodUsage, load_plan, quote

MODELS = sorted((Path(__file__).parents[2] / "examples/plans/models").glob("*.toml"))
SMALL = "smollm2-135m"
#: plan -> events of the month: (day, kind, numbers and words)
EVENTS = {
    "per-seat": [(0, "seat", {"seats": 4}), (10, "seat", {"seats": 3}), (20, "seat", {"seats": -2})],
    "reserved-throughput": [(0, "reservation", {"units": 2}), (12, "reservation", {"units": 1})],
    "outcome": [
        *((day, "resolution", {"conversation": f"c{day}"}) for day in range(1, 29)),
        *((day, "resolution", {"conversation": f"d{day}"}) for day in range(1, 29)),
        (29, "reopened", {"conversation": "c20"}),
    ],
    "per-workflow": [(1, "run", {"workflow": "report"}), (2, "run", {"workflow": "invoice-eu"}), (3, "run", {})],
    "revenue-share": [(5, "revenue", {"amount": "25000.50"})],
    "advertising": [*((d, "impression", {}) for d in range(1, 25)), (3, "click", {}), (4, "click", {})],
    "affiliate": [(1, "order", {"amount": "19.99"}), (2, "order", {"amount": "1"}), (3, "order", {"amount": "2000"})],
    "licence-maintenance": [(0, "licence", {"licences": 2}), (100, "licence", {"licences": 1})],
    "fine-tuning": [(1, "training", {"token_epochs": 3_000_000}), (2, "reservation", {"units": 1})],
    "marketplace": [(1, "order", {"amount": "49.90"}), (2, "order", {"amount": "5"})],
    "white-label": [(1, "report", {"units": 777})],
    "professional-services": [(3, "timesheet", {"hours": "12.5"}), (0, "contract", {"arr": 120_000})],
}
REQUESTS = [(1, 400_000, 100_000), (9, 800_000, 0), (20, 3_000_000, 900_000)]


@pytest.fixture
async def lake_desk(tmp_path):
    desk = LakeDesk(tmp_path, ManualClock())
    yield desk
    await desk.close()


def asks_models(plan):
    return bool(plan.prices) or any(getattr(c, "metric", None) and c.metric.kind == "usage" for c in plan.charges)


def moment(at_ns):
    return datetime.fromtimestamp(at_ns // 10**9, UTC)


@pytest.mark.parametrize("file", MODELS, ids=lambda file: file.stem)
async def test_what_is_invoiced_is_what_is_quoted(lake_desk, file):
    desk, clock = lake_desk, lake_desk.clock
    raw = file.read_bytes()
    plan = load_plan(raw)
    desk.billing.plans.apply("t", (MODELS[0]).read_bytes(), "toml")  # what a trial goes on with
    desk.billing.plans.apply("t", raw, "toml")
    tenant = desk.accounts.tenants.add("t", NewTenant(name="Acme", currency=plan.currency), currency="USD")
    await desk.billing.assign("t", tenant, plan.id)
    wallet = desk.billing.wallets.get(tenant.id)
    with desk.database.write() as connection:  # no other currency than the seller's: its rates are not the point here
        connection.exec_driver_sql(f"UPDATE legal_entities SET currency = '{plan.currency}'")
    if plan.funding != "postpaid":
        kind = "cash" if plan.funding == "prepaid" else "promo"
        await desk.log.top_up(wallet.id, 1000 * 10**9, source="bank", source_id="1", kind=kind)
    if plan.id == "creator-pool":
        desk.billing.closing.rated.set_pool("t", plan.id, "pool", "2026-01-01", 1000 * 10**9)
    start_ns, rows = clock.now_ns(), []
    model = "ft:mine" if plan.id == "fine-tuning" else SMALL
    if asks_models(plan):
        requests = REQUESTS[:1] if plan.id == "freemium" else REQUESTS
        for day, read, written in requests:
            at_ns = start_ns + (day * DAY_S + 3600) * 10**9
            clock.jump_wall((at_ns - clock.now_ns()) / 1e9)
            if day < 14 or plan.trial is None:
                await desk.ask(tenant, model, input_tokens=read, output_tokens=written)
                row = {"model": model, "input_tokens": Decimal(read), "output_tokens": Decimal(written)}
                rows.append({**row, "requests": Decimal(1), "at": moment(at_ns)})
    for day, event, numbers in [*EVENTS.get(plan.id, []), *pool_events(plan)]:
        at_ns = start_ns + (day * DAY_S + 7200) * 10**9
        await desk.report(tenant, event, at_ns=at_ns, **numbers)
        exact = {name: Decimal(value) if _number(value) else value for name, value in numbers.items()}
        rows.append({"kind": event, "at": moment(at_ns), **exact})
    clock.jump_wall((start_ns - clock.now_ns()) / 1e9 + (365 if plan.period == "year" else 31) * DAY_S + 1)
    invoices = await desk.billing.closing.close("t", tenant)
    rated = desk.billing.closing.rated.of(tenant.id)[0]
    end_ns = rated.end_ns
    expected = quote(
        plan,
        PeriodUsage(
            usage=tuple(rows), start=moment(start_ns), end=moment(end_ns), first_period=True, pools=pools(plan)
        ),
        start_ns,
    )
    wanted = sum(line.amount_attos for line in expected.lines if line.kind != "fee")
    assert rated.rated_attos - sum(rated.payouts.values()) == wanted
    fees = sum(line.amount_attos for line in expected.lines if line.kind == "fee")
    ahead = sum(row.nanos for row in desk.billing.closing.ahead.rows(tenant.id) if row.period_start_ns == start_ns)
    assert ahead * 10**9 == (fees if plan.trial is None else 0)
    # the books hold what was rated: live settlements and adjustment together
    await desk.catch_up()
    booked = desk.ledger.usage_lines(tenant.id, 0, end_ns)
    usage = sum(row.attos for row in booked if row.product not in ("subscription", "subscription_ahead"))
    assert usage == rated.rated_attos
    assert sum(desk.ledger.balances().values()) == 0
    for invoice in invoices:
        assert await desk.billing.closing.recompute(invoice) == desk.billing.invoices.raw(invoice.id)
    assert await desk.billing.closing.close("t", tenant) == []


def pool_events(plan):
    return [(3, "app_usage", {"minutes": 90}), (5, "app_usage", {"minutes": 30})] if plan.id == "creator-pool" else []


def pools(plan):
    if plan.id != "creator-pool":
        return {}
    from mintage.pricing.usage_file import PoolTotals

    return {"pool": PoolTotals(amount=Decimal(1000), units=Decimal(120))}


def _number(value):
    return not isinstance(value, str) or value.replace(".", "", 1).isdigit()
