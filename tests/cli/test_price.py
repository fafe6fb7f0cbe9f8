"""`mintage price`: quotes, findings, models, worked examples, price books and provider bills, through the command."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from mintage.cli import exits
from mintage.pricing import PROFIT_MODELS

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "examples" / "plans" / "models"
CASES = json.loads((ROOT / "tests" / "pricing" / "cases" / "rating.json").read_text("utf-8"))
USAGE = """
start = 2026-11-01T00:00:00Z
end = 2026-12-01T00:00:00Z
usage = [{ model = "m", input_tokens = 11_000_000, output_tokens = 1_000_000 }]
"""


@pytest.fixture
def usage(tmp_path):
    file = tmp_path / "usage.toml"
    file.write_text(USAGE)
    return str(file)


def test_a_quote_shows_every_tier_to_people_and_scripts(cli, usage):
    plan = str(MODELS / "02-graduated-tiers.toml")
    made = cli.ok("price", "quote", "--plan", plan, "--usage", usage)
    assert (made["total"], made["currency"]) == ("17.50", "USD")
    (line,) = made["lines"]
    assert [(step["quantity"], step["rate"], step["amount"]) for step in line["steps"]] == [
        ("1000000", "0.000002", "2"),
        ("9000000", "0.0000015", "13.5"),
        ("2000000", "0.000001", "2"),
    ]
    assert sum(Decimal(step["amount"]) for step in line["steps"]) == Decimal(line["amount"])
    shown = cli.text("price", "quote", "--plan", plan, "--usage", usage)
    assert "tier 2 (1,000,000 to 10,000,000)" in shown
    assert "17.50 USD" in shown
    assert "第 2 档" in cli.text("price", "quote", "--plan", plan, "--usage", usage, "--language", "zh")


def test_at_picks_the_period_and_the_plan_must_be_in_effect(cli, tmp_path):
    plan, rows = tmp_path / "p.json", tmp_path / "u.json"
    text = {"id": "p", "name": {"en": "P"}, "currency": "USD", "effective": "2026-06-01T00:00:00Z"}
    plan.write_text(json.dumps({**text, "fees": [{"name": {"en": "Fee"}, "amount": "10"}]}))
    rows.write_text("{}")
    made = cli.ok("price", "quote", "--plan", str(plan), "--usage", str(rows), "--at", "2026-07-15")
    assert datetime.fromtimestamp(made["start_ns"] / 1e9, UTC).isoformat() == "2026-07-01T00:00:00+00:00"
    code, error = cli.fails("price", "quote", "--plan", str(plan), "--usage", str(rows), "--at", "2026-05-15")
    assert (code, error["code"]) == (exits.REFUSED, "conflict")
    code, error = cli.fails("price", "quote", "--plan", str(plan), "--usage", str(rows), "--at", "soon")
    assert (code, error["param"]) == (exits.USAGE, "at")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_every_published_example_comes_out_of_the_command(cli, case):
    made = cli.ok("price", "calculate", case["model"], "--inputs", json.dumps(case["inputs"]))["result"]
    if case["model"] == "split_invoice_2d":
        assert sum(int(cell) for cell in made["charges"]) == case["inputs"]["charge"]
    else:
        assert made == case["expected"]


def test_the_linter_names_the_usage_at_which_a_cliff_bites(cli):
    made = cli.ok("price", "lint", "--plan", str(MODELS / "03-volume-tiers.toml"))
    cliffs = [(f["code"], f["at"]) for f in made["findings"] if f["code"] == "volume_cliff"]
    assert cliffs == [("volume_cliff", "1000000"), ("volume_cliff", "10000000")] or len(cliffs) == 2
    assert "more usage costs less" in cli.text("price", "lint", "--plan", str(MODELS / "03-volume-tiers.toml"))


def test_a_plan_with_a_hole_fails_the_linter_and_is_not_applied(cli, tmp_path):
    file = tmp_path / "shadow.toml"
    file.write_text(
        'id = "s"\nname = { en = "S" }\ncurrency = "USD"\n'
        '[[prices]]\nmodel = "*"\ninput_tokens.per_million = "1"\noutput_tokens.per_million = "1"\n'
        '[[prices]]\nmodel = "*"\ninput_tokens.per_million = "2"\noutput_tokens.per_million = "2"\n'
    )
    result = cli.run("price", "lint", "--plan", str(file), "--json")
    assert result.exit_code == exits.FAILURE
    assert json.loads(result.stdout)["findings"][0]["code"] == "shadowed"
    code, error = cli.fails("plan", "apply", str(file))
    assert (code, error["code"], error["param"]) == (exits.USAGE, "invalid_request", "prices[1]")


def test_costs_of_the_price_book_show_what_loses_money(cli, plan_file):
    made = cli.ok("price", "lint", "--plan", str(plan_file), "--cost", "openai/gpt-4o")
    assert {f["code"] for f in made["findings"]} == {"below_cost"}
    code, error = cli.fails("price", "lint", "--plan", str(plan_file), "--cost", "openai/no-such-model")
    assert error["code"] == "unpriceable"
    assert code == exits.UNAVAILABLE


def test_all_24_profit_models_in_both_languages(cli):
    listed = cli.ok("price", "models")["items"]
    assert [model["number"] for model in listed] == list(range(1, 25))
    assert all(model["name"]["zh"] and model["states"] for model in listed)
    assert all((ROOT / model["example"]).exists() for model in listed)
    shown = cli.text("price", "models")
    assert all(model.name.zh in shown for model in PROFIT_MODELS)


def test_a_new_price_book_is_shown_before_it_is_kept(cli, tmp_path, home):
    from mintage.pricing.costs.data import DATA_FILE

    raw = (ROOT / "src" / "mintage" / "pricing" / "data" / DATA_FILE).read_text("utf-8")
    line = next(line for line in raw.splitlines() if '"id":"gpt-4o"' in line and '"input_tokens":"2.5"' in line)
    changed = line.replace('"input_tokens":"2.5"', '"input_tokens":"2.25"')
    assert changed != line
    file = tmp_path / "new.json"
    file.write_text(raw.replace(line, changed).replace('"date":"2026-', '"date":"2027-', 1))
    first = cli.ok("price", "book", "update", "--from", str(file))
    assert first["kept"] is False
    assert any("input_tokens 2.25" in change and "openai/gpt-4o" in change for change in first["changes"])
    assert len(cli.ok("price", "book", "list")["items"]) == 1
    kept = cli.ok("price", "book", "update", "--from", str(file), "--yes")["book"]
    assert [entry["id"] for entry in cli.ok("price", "book", "list")["items"]][-1] == kept["id"]
    (model,) = cli.ok("price", "book", "show", "openai", "gpt-4o")["models"]
    assert model["per_million"]["input_tokens"] == "2.25"
    stored = home / "prices" / "books" / f"{kept['id']}.json"
    stored.chmod(0o600)
    stored.write_text(stored.read_text().replace("2.25", "0.25"))
    _, error = cli.fails("price", "book", "show", "openai", "gpt-4o")
    assert error["code"] == "conflict"


def test_an_override_replaces_the_books_price(cli, tmp_path):
    file = tmp_path / "ours.toml"
    file.write_text(
        'id = "ours"\nname = { en = "Ours" }\ncurrency = "USD"\n[[prices]]\nmodel = "gpt-4o"\n'
        'input_tokens.per_million = "2"\noutput_tokens.per_million = "8"\n'
    )
    assert cli.ok("price", "book", "override", "openai", str(file))["price_id"].startswith("ours@")
    bill, ours = tmp_path / "bill.csv", tmp_path / "ours.csv"
    bill.write_text("request_id,model,input_tokens,output_tokens,cost\nr1,gpt-4o,1000000,0,2.00\n")
    ours.write_text("request_id,model,input_tokens,output_tokens\nr1,gpt-4o,1000000,0\n")
    made = cli.ok("price", "reconcile", "--provider", "openai", "--bill", str(bill), "--usage", str(ours))
    assert (made["equal"], made["different"], made["difference"]) == (1, 0, "0.00")
    code, _ = cli.fails("price", "book", "override", "../x", str(file))
    assert code == exits.USAGE


OURS = """request_id,model,timestamp,input_tokens,cached_tokens,output_tokens
r1,gpt-4o,2026-11-01T10:00:00Z,1000,0,100
r2,gpt-4o,2026-11-01T11:00:00Z,2000,1000,200
r3,gpt-4o,2026-11-01T12:00:00Z,10,0,1
r4,gpt-4o,2026-11-02T12:00:00Z,500,0,50
"""


def test_a_bill_is_compared_request_by_request(cli, tmp_path):
    bill, ours = tmp_path / "bill.csv", tmp_path / "ours.csv"
    ours.write_text(OURS)
    bill.write_text(
        "RequestID,model,prompt_tokens,cached_tokens,completion_tokens,cost\n"
        "r1,gpt-4o,1000,0,100,0.0035\n"  # 1000 x 2.5 + 100 x 10 per million
        "r2,gpt-4o,2000,0,200,0.007\n"  # they forgot the cache
        "r3,gpt-4o,10,0,1,0.000036\n"  # a millionth dearer
        "r9,gpt-4o,1,0,1,0.0000125\n"
    )
    words = ("price", "reconcile", "--provider", "openai", "--bill", str(bill), "--usage", str(ours))
    result = cli.run(*words, "--column", "request_id=RequestID", "--json")
    assert result.exit_code == exits.FAILURE
    made = json.loads(result.stdout)
    assert {row["key"]: row["verdict"] for row in made["rows"]} == {
        "r1": "equal",
        "r2": "usage_differs",
        "r3": "amount_differs",
        "r4": "only_recorded",
        "r9": "only_billed",
    }
    (second,) = (row for row in made["rows"] if row["key"] == "r2")
    assert second["notes"] == [
        "input_tokens: billed 2000, recorded 1000",
        "cached_read_tokens: billed 0, recorded 1000",
    ]
    assert Decimal(made["difference"]) == Decimal(made["billed"]) - Decimal(made["recorded"])


def _seconds(text):
    return int(datetime.fromisoformat(text).timestamp())


def test_openais_and_anthropics_own_shapes_are_read(cli, tmp_path):
    ours = tmp_path / "ours.csv"
    ours.write_text(OURS)
    days = [
        ("2026-11-01T00:00:00+00:00", "2026-11-02T00:00:00+00:00"),
        ("2026-11-02T00:00:00+00:00", "2026-11-03T00:00:00+00:00"),
    ]
    counted = [{"input_tokens": 3010, "input_cached_tokens": 1000, "output_tokens": 301, "num_model_requests": 3},
               {"input_tokens": 500, "input_cached_tokens": 0, "output_tokens": 50}]  # fmt: skip
    page = {
        "object": "page",
        "data": [
            {"object": "bucket", "start_time": _seconds(a), "end_time": _seconds(b), "results": [
                {"object": "organization.usage.completions.result", "model": "gpt-4o-2024-08-06", **counts}]}
            for (a, b), counts in zip(days, counted, strict=True)
        ],
    }  # fmt: skip
    bill = tmp_path / "openai.json"
    bill.write_text(json.dumps(page))
    made = cli.ok("price", "reconcile", "--provider", "openai", "--bill", str(bill), "--usage", str(ours))
    assert (made["equal"], made["different"]) == (2, 0)
    report = {"data": [{"starting_at": days[0][0], "ending_at": days[0][1], "results": [
        {"currency": "USD", "amount": "123.45", "cost_type": "tokens", "model": "claude-sonnet-4"}]}]}  # fmt: skip
    bill.write_text(json.dumps(report))
    ours.write_text("model,timestamp,cost\nclaude-sonnet-4,2026-11-01T10:00:00Z,1.2345\n")
    made = cli.ok("price", "reconcile", "--provider", "anthropic", "--bill", str(bill), "--usage", str(ours))
    assert (made["equal"], made["billed"]) == (1, "1.2345")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model,input_tokens\nm,-5\n", "input_tokens is -5"),
        ("model,input_tokens\nm,many\n", "Row 1: input_tokens is 'many'"),
        ("model\nm\n", "neither tokens nor an amount"),
        ("model,input_tokens,cached_tokens\nm,5,9\n", "more cached"),
        ("model,start_time,cost\nm,yesterday,1\n", "'yesterday', no time"),
        ("", "no rows"),
    ],
)
def test_a_bill_that_cannot_be_read_names_row_and_field(cli, tmp_path, text, words):
    bill = tmp_path / "bill.csv"
    bill.write_text(text)
    code, error = cli.fails("price", "reconcile", "--provider", "openai", "--bill", str(bill), "--usage", str(bill))
    assert code == exits.USAGE
    assert words in error["detail"]
