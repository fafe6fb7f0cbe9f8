import pytest
from tests.billing.conftest import DAY_S, PAYG, Desk, plan

from mintage.accounts import EntityUpdate, TenantUpdate
from mintage.base import ManualClock
from mintage.billing.profiles import BillingProfile, BillingSettings, Fapiao
from mintage.billing.tax import RateRow

SETTINGS = BillingSettings(
    street="Unter den Linden 1", postal_code="10117", city="Berlin", email="billing@mint.example",
    iban="DE89 3704 0044 0532 0130 00", bank_name="Bank", footer="Thank you.",
)  # fmt: skip


class Office:
    """A desk that sells in Germany, with one finalised invoice for each customer asked for."""

    def __init__(self, folder):
        self.clock = ManualClock()
        self.desk = Desk(folder, self.clock)
        desk = self.desk
        for raw in (PAYG, plan("post", 'funding = "postpaid"\ncredit_limit = "1000"')):
            desk.billing.plans.apply("t", raw, "toml")
        desk.accounts.entities.update("t", EntityUpdate(country="DE", tax_id="DE136695976"))
        rows = [RateRow(country=c, percent=p, from_day="2021-01-01") for c, p in (("DE", "19"), ("FR", "20"))]
        desk.billing.invoicing.taxes.put("t", rows)
        desk.billing.invoicing.profiles.put_settings("t", desk.accounts.entities.get().id, SETTINGS)

    async def invoice(self, name="Borealis GmbH", country="DE", plan="post", tax_id="", language="en", attos=None):
        desk = self.desk
        cash = 10**11 if plan == "payg" else 0
        tenant = await desk.customer(name, plan, cash_nanos=cash, tax_id=tax_id)
        tenant = desk.accounts.tenants.update("t", tenant.id, TenantUpdate(country=country, address="Hauptstr. 5"))
        fapiao = Fapiao(title=name, tax_number="91110000600037341L") if language == "zh" else None
        profile = BillingProfile(language=language, purchase_order="PO-1", email="pay@b.example", fapiao=fapiao)
        desk.billing.invoicing.profiles.put_profile("t", tenant.id, profile)
        for number, amount in enumerate(attos or (123_456 * 10**14, 5 * 10**15, 99 * 10**16)):
            await desk.use(tenant, amount, model=f"m-{number}", hold_nanos=10**10 if cash else 0)
        self.clock.advance(31 * DAY_S)
        [invoice] = await desk.billing.closing.close("t", tenant)
        return invoice


@pytest.fixture
async def office(tmp_path):
    office = Office(tmp_path)
    yield office
    await office.desk.close()
