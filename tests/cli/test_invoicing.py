"""By command: usage from elsewhere is reported and corrected; how invoices are made is set."""

import json
from datetime import UTC, datetime, timedelta

import pytest

PLAN = """
id = "storage"
name = { en = "Storage", zh = "存储" }
currency = "USD"
funding = "postpaid"
credit_limit = "1000"
[[prices]]
model = "*"
requests.per_unit = "0.01"
[[charges]]
kind = "per_unit"
id = "gb"
name = { en = "Stored gigabytes", zh = "存储空间" }
metric = { values = ["gb"], kind = "stored" }
rate = { per_unit = "0.50" }
"""


@pytest.fixture
def shop(either, tmp_path):
    plan = tmp_path / "storage.toml"
    plan.write_text(PLAN)
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"city": "Berlin", "iban": "DE89370400440532013000", "payment_days": 30}))
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps({"language": "zh", "purchase_order": "PO-7"}))
    either.ok("customers", "add", "Acme", "--handle", "acme", "--country", "DE")
    either.ok("plan", "apply", str(plan))
    either.ok("plan", "assign", "acme", "storage")
    either.ok("config", "show")
    either.ok("tax", "set", "DE", "19", "--from", "2021-01-01")
    either.ok("billing", "set", str(settings))
    either.ok("billing", "set", str(profile), "--customer", "acme")
    return either


def send(shop, tmp_path, rows, name="usage.csv"):
    file = tmp_path / name
    file.write_text("\n".join(["id,time,source,kind,values.gb,dimensions.region,supersedes", *rows]) + "\n")
    return file


def test_events_are_recorded_once_and_corrected(shop, tmp_path):
    now = datetime.now(UTC) - timedelta(minutes=1)
    at = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    rows = [f"e{n},{at},crm,stored,{n}.5,eu," for n in range(4)] + [f"fix,{at},crm,stored,1,eu,e3"]
    file = send(shop, tmp_path, rows)
    assert shop.ok("events", "send", "acme", str(file)) == {"accepted": 5, "duplicates": 0}
    assert shop.ok("events", "send", "acme", str(file)) == {"accepted": 0, "duplicates": 5}
    code, error = shop.fails("events", "send", "acme", str(send(shop, tmp_path, [rows[0].replace("0.5", "9")])))
    assert (code, error["code"], error["details"]) == (4, "conflict", {"ids": ["e0"]})
    code, error = shop.fails("events", "send", "acme", str(send(shop, tmp_path, [f"x,{at},crm,stored,many,,"])))
    assert (code, error["param"]) == (2, "line 2.values[...]")
    listed = shop.ok("events", "list", "acme")["items"]
    assert [(row["id"], row["superseded"]) for row in listed] == [
        ("e0", False), ("e1", False), ("e2", False), ("e3", True), ("fix", False),
    ]  # fmt: skip


def test_rates_settings_and_invoices_that_are_not_there(shop, tmp_path):
    assert [row["percent"] for row in shop.ok("tax", "list")["items"]] == ["19"]
    assert shop.ok("tax", "import-eu", "--from", "2026-01-01")["changed"] >= 27
    assert shop.ok("currency", "set", "EUR", "USD", "1.08", "--day", "2026-11-02") == {"changed": 1}
    assert shop.ok("currency", "list")["items"][0]["rate"] == "1.08"
    assert shop.ok("billing", "show")["payment_days"] == 30
    assert shop.ok("billing", "show", "--customer", "acme")["purchase_order"] == "PO-7"
    assert shop.fails("tax", "set", "DE", "190", "--from", "2021-01-01")[1]["param"] == "rates[0]"
    assert shop.fails("invoices", "document", "INV-000009", str(tmp_path / "x.pdf"))[0] == 3
    assert shop.fails("invoices", "void", "INV-000009", "--reason", "x")[0] == 3
    assert shop.fails("invoices", "credit", "INV-000009", "--reason", "x", "--line", "one")[0] == 2
    shop.ok("invoices", "export", str(tmp_path / "lines.parquet"))
    assert (tmp_path / "lines.parquet").read_bytes()[:4] == b"PAR1"
