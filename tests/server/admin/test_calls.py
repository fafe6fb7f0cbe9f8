"""The calls, end to end in one process: customers to invoices, and every failure as a problem with code and hint."""

import dataclasses
import json
from decimal import Decimal

import pytest
from tests.server.admin.conftest import TOKEN, connect

from mintage.base import ManualClock, MintageError
from mintage.server.admin import create_admin_app

TOML = {"content-type": "application/toml"}


async def test_a_customers_life(admin, acme, use, desk, clock):
    created = await admin.ok("POST", "/customers/acme-labs/keys", json={"name": "web", "requests_per_minute": 60})
    assert created["secret"].startswith("mk-")
    listing = (await admin.get("/admin/v1/customers/acme-labs/keys")).text
    assert created["secret"] not in listing
    assert json.loads(listing)["items"] == [created["key"]]
    await use(acme["id"], 1_000_000)
    wallet = await admin.ok("GET", "/customers/acme-labs/wallet")
    assert (wallet["balance_nanos"], wallet["funding"]) == (24_400_000_000, "prepaid")
    assert (await admin.ok("GET", "/wallets"))["items"] == [wallet]
    [line] = (await admin.ok("GET", "/usage", params={"customer": "acme-labs"}))["items"]
    assert (line["meter"], line["quantity"], line["charge_nanos"]) == ("output_tokens", 1_000_000, 600_000_000)
    [result] = await admin.ok("GET", "/pnl")
    assert (result["revenue_nanos"], result["cost_nanos"], result["margin_nanos"]) == (6 * 10**8, 10**8, 5 * 10**8)
    [by_model] = await admin.ok("GET", "/pnl", params={"by": "model,tenant_id", "start": "2026-01-01"})
    assert by_model["group"] == {"model": "small", "tenant_id": acme["id"]}
    books = await admin.ok("GET", "/ledger/trial-balance")
    assert books["balanced"]
    assert {row["account"]: row["balance_nanos"] for row in books["accounts"]}["assets:cash"] == 25 * 10**9
    journals = await admin.ok("GET", "/ledger/journals", params={"customer": "acme-labs"})
    assert {journal["event"] for journal in journals["items"]} == {"top_up", "prepaid_usage", "compute_cost"}
    clock.advance(31 * 86_400)
    closed = await admin.ok("POST", "/invoices/close", json={})
    assert closed["failures"] == []
    [invoice] = closed["invoices"]
    assert (invoice["number"], invoice["content"]["total"], invoice["content"]["due_nanos"]) == (
        "INV-000001",
        "0.60",
        0,
    )
    assert await admin.ok("GET", "/invoices/INV-000001") == invoice
    assert (await admin.ok("GET", "/invoices/INV-000001/verify"))["identical"]
    content = await admin.get("/admin/v1/invoices/INV-000001/content")
    assert content.headers["etag"] == f'"{invoice["content_hash"]}"'
    assert content.json() == invoice["content"]
    [row] = (await admin.ok("GET", "/invoices", params={"customer": "acme-labs"}))["items"]
    assert row["number"] == "INV-000001"
    revoked = await admin.ok("DELETE", f"/customers/acme-labs/keys/{created['key']['id']}")
    assert revoked["revoked_ns"] == clock.now_ns()
    assert (await admin.ok("GET", "/audit/verify"))["intact"]


async def test_closing_everyone_goes_on_after_a_failure(admin, acme, desk, use, clock):
    await admin.ok("POST", "/customers", json={"name": "No plan"})
    await admin.ok("POST", "/plans", content=FLOOR, headers=TOML)
    await admin.ok("POST", "/customers", json={"name": "Busy"})
    await admin.ok("PUT", "/customers/busy/plan", json={"plan": "floor"})
    busy = desk.accounts.tenants.get("busy")
    await hold(desk, busy)
    await use(acme["id"], 100_000)
    clock.advance(31 * 86_400)
    closed = await admin.ok("POST", "/invoices/close", json={})
    assert [invoice["tenant_id"] for invoice in closed["invoices"]] == [acme["id"]]
    assert [(failure["customer"], failure["problem"]["code"]) for failure in closed["failures"]] == [
        ("busy", "conflict")
    ]


FLOOR = b"""
id = "floor"
name = { en = "Floor" }
currency = "USD"
minimum = "3"
[[prices]]
model = "*"
output_tokens.per_million = "1"
"""


async def hold(desk, tenant):
    from mintage.base import Hold

    now = desk.clock.now_ns()
    await desk.log.hold(
        Hold(
            id="req_open",
            tenant_id=tenant.id,
            wallet_id=desk.billing.wallets.get(tenant.id).id,
            currency="USD",
            amount_nanos=0,
            created_ns=now,
            lease_until_ns=now + 10**18,
        )
    )


async def test_lists_go_page_by_page(admin):
    for number in range(5):
        await admin.ok("POST", "/customers", json={"name": f"Customer {number}"})
    seen, cursor = [], None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = await admin.ok("GET", "/customers", params=params)
        seen += [tenant["handle"] for tenant in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(seen) == [f"customer-{number}" for number in range(5)]
    assert [t["handle"] for t in (await admin.ok("GET", "/customers", params={"search": "er 3"}))["items"]] == [
        "customer-3"
    ]


async def test_a_plan_is_shown_as_it_was_applied(admin, acme):
    view = await admin.ok("GET", "/plans/payg")
    assert view["plan"]["name"]["zh"] == "按量付费"
    assert [row["version_id"] for row in view["versions"]] == [
        row["version_id"] for row in (await admin.ok("GET", "/plans"))["items"]
    ]
    as_json = json.dumps(view["plan"]).encode()
    again = await admin.ok(
        "POST", "/plans", content=as_json, headers={"content-type": "application/json; charset=utf-8"}
    )
    assert again["changed"] is False


@pytest.mark.parametrize(
    ("method", "path", "options", "code", "param"),
    [
        ("GET", "/customers/nobody", {}, "not_found", None),
        ("GET", "/customers?limit=0", {}, "invalid_request", "limit"),
        ("GET", "/customers?limit=many", {}, "invalid_request", "limit"),
        ("GET", "/customers?cursor=%25", {}, "invalid_request", "cursor"),
        ("GET", "/nothing/here", {}, "not_found", None),
        ("PUT", "/customers", {}, "method_not_allowed", None),
        ("POST", "/customers", {"content": b"{"}, "invalid_json", None),
        ("POST", "/customers", {"content": b'{"name": "\xff"}'}, "invalid_json", None),
        ("POST", "/customers", {"content": b"[" * 100_000}, "invalid_request", None),
        ("POST", "/customers", {"content": b""}, "invalid_request", None),
        ("POST", "/customers", {"json": {"name": 5}}, "invalid_request", "name"),
        ("POST", "/customers", {"json": {"name": "x", "surprise": 1}}, "invalid_request", None),
        ("POST", "/customers", {"json": {"name": "Acme Labs"}}, "conflict", "handle"),
        ("POST", "/customers", {"content": b'"' + b"x" * 3_000_000 + b'"'}, "payload_too_large", None),
        ("POST", "/customers/acme-labs/keys", {"json": {"models": "small"}}, "invalid_request", "models"),
        ("POST", "/customers/acme-labs/keys", {"json": {"project": "none"}}, "not_found", "project"),
        ("DELETE", "/customers/acme-labs/keys/key_none", {}, "not_found", None),
        ("PUT", "/customers/acme-labs/plan", {"json": {"plan": "none"}}, "not_found", None),
        (
            "PUT",
            "/customers/acme-labs/plan",
            {"json": {"plan": "payg", "credit_limit": "1e3x"}},
            "invalid_request",
            "credit_limit",
        ),
        (
            "PUT",
            "/customers/acme-labs/plan",
            {"json": {"plan": "payg", "credit_limit": "5"}},
            "invalid_request",
            "credit_limit",
        ),
        ("POST", "/plans", {"content": b"id = 1", "headers": TOML}, "invalid_request", "id"),
        ("POST", "/plans", {"content": b"id = 1"}, "unsupported_media_type", None),
        ("GET", "/plans/none", {}, "not_found", None),
        ("GET", "/pnl?start=yesterday", {}, "invalid_request", "start"),
        ("GET", "/pnl?by=colour", {}, "invalid_request", "by"),
        ("GET", "/books/export?format=ledger", {}, "unsupported", "format"),
        ("GET", "/invoices/INV-9", {}, "not_found", None),
        ("POST", "/invoices/close", {"json": {"customer": "nobody"}}, "not_found", None),
        ("POST", "/staff", {"json": {"name": "x", "email": "x@y.example", "role": "root"}}, "invalid_request", "role"),
        ("POST", "/staff/nobody/links", {}, "not_found", None),
        ("DELETE", "/models/none", {}, "model_not_found", None),
        (
            "POST",
            "/models",
            {"json": {"name": "m", "provider": "p", "model": "x", "base_url": "ftp://x"}},
            "invalid_request",
            None,
        ),
    ],
)
async def test_failures_are_problems_with_a_hint(admin, acme, desk, method, path, options, code, param):
    before = desk.accounts.version()
    problem = await admin.refused(method, path, **options)
    assert problem["code"] == code
    assert problem.get("param") == param or param is None
    assert problem["hint"]
    assert "Traceback" not in str(problem)
    assert desk.accounts.version() == before


@pytest.mark.parametrize(
    ("amount", "nanos"),
    [
        ("0.01", 10**7),
        ("9200000000.00", 9_200_000_000 * 10**9),
        ("0.12345678901234567890123", None),  # 23 digits are refused, not rounded
        ("12345678901234567890123", None),
        ("1e2", 100 * 10**9),
        ("1e400000", None),
        ("1" * 5000, None),
        ("NaN", None),
        ("-1", None),
        ("", None),
        (0.1, None),  # money is text: a JSON number would pass through a float in most programs
        (5, None),
    ],
)
async def test_amounts_are_exact_or_refused(admin, acme, amount, nanos):
    raw = {"amount": amount, "source_id": "second"}
    if nanos is None:
        assert (await admin.refused("POST", "/customers/acme-labs/top-ups", json=raw))["param"] == "amount"
        nanos = 0
    else:
        await admin.ok("POST", "/customers/acme-labs/top-ups", json=raw)
    wallet = await admin.ok("GET", "/customers/acme-labs/wallet")
    assert wallet["balance_nanos"] == 25 * 10**9 + nanos
    assert Decimal(nanos) == nanos


async def test_a_repeated_payment_counts_once(admin, acme):
    first = await admin.ok("POST", "/customers/acme-labs/top-ups", json={"amount": "1", "source_id": "p1"})
    assert await admin.ok("POST", "/customers/acme-labs/top-ups", json={"amount": "1.00", "source_id": "p1"}) == first
    other = await admin.refused("POST", "/customers/acme-labs/top-ups", json={"amount": "2", "source_id": "p1"})
    assert other["code"] == "conflict"
    await admin.ok("POST", "/customers", json={"name": "Rival"})
    await admin.ok("PUT", "/customers/rival/plan", json={"plan": "payg"})
    stolen = await admin.refused("POST", "/customers/rival/top-ups", json={"amount": "1", "source_id": "p1"})
    assert stolen["code"] == "conflict"


async def test_an_unexpected_failure_says_nothing_of_the_inside(admin, desk, caplog):
    with desk.database.write() as connection:
        connection.exec_driver_sql("DROP TABLE tenants")
    answer = await admin.get("/admin/v1/customers")
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert "tenants" not in answer.text
    assert "no such table" in caplog.text


async def test_models_come_in_with_progress_and_keys_stay_sealed(admin, acme, desk, tmp_path):
    upstream = {
        "name": "big",
        "provider": "openai",
        "model": "gpt-x",
        "base_url": "https://api.openai.com/v1",
        "api_key": "sk-secret-upstream-key",
    }
    added = await admin.ok("POST", "/models", json=upstream)
    assert (added["name"], added["has_key"]) == ("big", True)
    assert "sk-secret" not in (await admin.get("/admin/v1/models")).text
    assert desk.registry.api_key("big") == "sk-secret-upstream-key"
    lines = (await admin.post("/admin/v1/models/pull", json={"source": "file:/nowhere.gguf"})).text.splitlines()
    assert json.loads(lines[-1])["problem"]["code"] == "not_found"
    assert (await admin.ok("DELETE", "/models/big"))["removed"]
    assert await admin.ok("GET", "/models") == []
    actions = [entry["action"] for entry in (await admin.ok("GET", "/audit"))["items"]]
    assert actions[:2] == ["model.remove", "model.add"]


async def test_a_model_that_cannot_be_sold_says_why(admin, desk):
    upstream = {"name": "odd", "provider": "nobody", "model": "x", "base_url": "https://api.openai.com/v1"}
    await admin.ok("POST", "/models", json=upstream)
    assert (await admin.ok("GET", "/models"))[0]["problem"] == ""
    reason = MintageError("unpriceable", "There is no cost for nobody/x.", "Add an override.")
    selling = dataclasses.replace(desk, unsellable=lambda: {"odd": reason})
    async with connect(create_admin_app(selling), authorization=f"Bearer {TOKEN}") as client:
        assert (await client.ok("GET", "/models"))[0]["problem"] == str(reason)


async def test_the_operators_own_affairs(admin, desk):
    health = await admin.ok("GET", "/health")
    assert (health["open_holds"], health["models"]) == (0, 0)
    settings = {row["name"]: row for row in await admin.ok("GET", "/config")}
    assert settings["port"]["explanation"]
    entity = await admin.ok("PATCH", "/entity", json={"country": "DE"})
    assert (await admin.ok("GET", "/entity")) == entity
    person = await admin.ok("POST", "/staff", json={"name": "Ada", "email": "Ada@mint.example"})
    assert person in (await admin.ok("GET", "/staff"))["items"]
    assert "/console/sign-in/" in (await admin.ok("POST", "/staff/ada@mint.example/links"))["url"]
    assert isinstance(desk.clock, ManualClock)


async def test_books_are_verified_and_exported(admin):
    assert (await admin.ok("POST", "/books/verify"))["balanced"]
    export = await admin.get("/admin/v1/books/export")
    assert export.headers["content-type"].startswith("text/plain")
