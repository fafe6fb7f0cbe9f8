"""`mintage lab` on a home with books: its own requests as a workload, and a backtest of what it invoiced."""

import json

import pytest

from mintage.base import MintageError
from mintage.cli import exits
from mintage.cli.client import session

pytest.importorskip("numba", reason="the extra `lab` is not installed")


def test_a_home_without_requests_says_so(cli, tmp_path):
    code, error = cli.fails("lab", "import", "--out", str(tmp_path / "w.parquet"))
    assert (code, error["code"]) == (exits.NOT_FOUND, "not_found")


def test_a_backtest_equals_what_was_invoiced(either, tmp_path):
    cli, file = either, tmp_path / "fee.toml"
    file.write_text(
        'id = "fee"\nname = { en = "Fee" }\ncurrency = "USD"\nfunding = "postpaid"\ncredit_limit = "10"\n'
        '[[prices]]\nmodel = "*"\ninput_tokens.per_million = "1"\noutput_tokens.per_million = "2"\n'
    )
    cli.ok("customers", "add", "Acme", "--handle", "acme")
    cli.ok("plan", "apply", str(file))
    cli.ok("plan", "assign", "acme", "fee")
    cli.ok("invoices", "close", "acme", "--early")
    made = cli.ok("lab", "backtest")
    assert all(row["equal"] for row in made["items"])
    assert json.dumps(made)


def test_an_asked_version_of_a_plan_is_shown(cli, plan_file, home):
    first = cli.ok("plan", "apply", str(plan_file))["version"]["version_id"]
    plan_file.write_text(plan_file.read_text().replace("0.15", "0.16"))
    cli.ok("plan", "apply", str(plan_file))
    with session(str(home), as_json=True) as api:
        assert api.get("/plans/payg", version=first)["plan"]["prices"][0]["input_tokens"]["per_million"] == "0.15"
        assert api.get("/plans/payg")["plan"]["prices"][0]["input_tokens"]["per_million"] == "0.16"
        with pytest.raises(MintageError, match="no version"):
            api.get("/plans/payg", version="other@1")
