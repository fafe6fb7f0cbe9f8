"""Over the admin API: a taxed invoice, its documents, credit notes, payment and end."""

import facturx
import pytest

MONTH_S = 31 * 86_400
POST = b"""
id = "payg"
name = { en = "Pay later" }
currency = "USD"
funding = "postpaid"
credit_limit = "100"
[[prices]]
model = "*"
output_tokens.per_million = "0.60"
"""


@pytest.fixture
async def invoice(admin, clock, use):
    await admin.ok("POST", "/plans", content=POST, headers={"content-type": "application/toml"})
    await admin.ok("PATCH", "/entity", json={"country": "DE", "tax_id": "DE136695976"})
    await admin.ok("PUT", "/tax-rates", json=[{"country": "DE", "percent": "19", "from_day": "2021-01-01"}])
    await admin.ok("PUT", "/billing-settings", json={"city": "Berlin", "payment_days": 30})
    tenant = await admin.ok("POST", "/customers", json={"name": "Acme", "country": "DE"})
    await admin.ok("PUT", "/customers/acme/plan", json={"plan": "payg"})
    await admin.ok("PUT", "/customers/acme/billing-profile", json={"language": "zh", "purchase_order": "PO-7"})
    await use(tenant["id"], 5_000_000)
    clock.advance(MONTH_S)
    [made] = (await admin.ok("POST", "/invoices/close", json={"customer": "acme"}))["invoices"]
    return made


async def raw(admin, path):
    answer = await admin.get(f"/admin/v1{path}")
    assert answer.status_code == 200, answer.text
    return answer.content


async def test_an_invoice_and_what_becomes_of_it(admin, invoice):
    number = invoice["number"]
    assert (invoice["content"]["total"], invoice["content"]["tax_nanos"]) == ("3.57", 570_000_000)
    assert (await raw(admin, f"/invoices/{number}/pdf")).startswith(b"%PDF-")
    assert b"urn:cen.eu:en16931:2017" in await raw(admin, f"/invoices/{number}/xml")
    whole = await raw(admin, f"/invoices/{number}/factur-x")
    assert facturx.get_xml_from_pdf(whole)[0] == "factur-x.xml"
    assert number.encode() in await raw(admin, "/invoice-lines?form=csv")
    assert (await admin.refused("GET", "/invoice-lines?form=xls"))["status"] == 400
    assert (await admin.ok("GET", f"/invoices/{number}/verify"))["identical"]
    body = {"reason": "Outage", "key": "k", "lines": [{"line": 0, "amount": "1.00"}]}
    note = await admin.ok("POST", f"/invoices/{number}/credit-notes", json=body)
    assert (note["number"], note["content"]["total"]) == ("CN-000001", "1.19")
    assert await admin.ok("POST", f"/invoices/{number}/credit-notes", json=body) == note
    assert (await raw(admin, "/invoices/CN-000001/pdf")).startswith(b"%PDF-")
    assert [row["number"] for row in (await admin.ok("GET", "/credit-notes?customer=acme"))["items"]] == ["CN-000001"]
    problem = await admin.refused("POST", f"/invoices/{number}/void", json={"reason": "late"})
    assert problem["status"] == 409
    too_much = {"reason": "x", "key": "k2", "lines": [{"line": 0, "amount": "2.01"}]}
    assert (await admin.refused("POST", f"/invoices/{number}/credit-notes", json=too_much))[
        "param"
    ] == "lines[0].amount"
    gone = await admin.ok("POST", f"/invoices/{number}/write-off", json={"reason": "Insolvent"})
    assert (gone["state"], gone["open_nanos"]) == ("uncollectible", 0)
    [row] = (await admin.ok("GET", "/invoices?customer=acme"))["items"]
    assert row["state"] == "uncollectible"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/billing-settings", {"iban": "DE00370400440532013000"}),
        ("/billing-settings", {"reminder_days": [10, 3]}),
        ("/customers/acme/billing-profile", {"language": "fr"}),
        ("/customers/acme/billing-profile", {"fapiao": {"title": "x", "tax_number": "1"}}),
        ("/tax-rates", [{"country": "DE", "percent": "x", "from_day": "2021-01-01"}]),
        ("/currency-rates", [{"base": "EUR", "quote": "EUR", "day": "2021-01-01", "rate": "1"}]),
    ],
)
async def test_what_is_wrong_is_named(admin, invoice, path, body):
    before = await admin.ok("GET", path)
    problem = await admin.refused("PUT", path, json=body)
    assert problem["status"] == 400
    assert problem["param"]
    assert await admin.ok("GET", path) == before
