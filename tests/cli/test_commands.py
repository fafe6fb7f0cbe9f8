"""Each command does the same with and without a server, and tells failures by exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mintage.base import MintageError
from mintage.cli import exits
from mintage.registry import Progress, Registry


def test_a_customers_life(either, plan_file, home):
    cli = either
    acme = cli.ok("customers", "add", "Acme [bold]Labs", "--handle", "acme")
    assert cli.ok("plan", "apply", str(plan_file))["changed"] is True
    assert cli.ok("plan", "apply", str(plan_file))["changed"] is False
    assert cli.ok("plan", "assign", "acme", "payg")["wallet"]["funding"] == "prepaid"
    assert cli.ok("topup", "acme", "25.00", "--source-id", "r1")["balance_nanos"] == 25 * 10**9
    assert cli.ok("topup", "acme", "25.00", "--source-id", "r1")["balance_nanos"] == 25 * 10**9
    created = cli.ok("keys", "create", "acme", "--name", "till", "--rpm", "60", "--model", "small*")
    assert created["key"]["models"] == ["small*"]
    secret = created["secret"]
    for shown in (
        cli.text("keys", "list", "acme"),
        json.dumps(cli.ok("keys", "list", "acme")),
        json.dumps(cli.ok("audit", "list")),
        cli.text("keys", "revoke", "acme", created["key"]["id"]),
    ):
        assert secret not in shown
        assert secret[:8] in shown
    assert cli.ok("customers", "show", "acme")["wallet"]["balance_nanos"] == 25 * 10**9
    assert "Acme [bold]Labs" in cli.text("customers", "list")
    assert [tenant["id"] for tenant in cli.ok("customers", "list")["items"]] == [acme["id"]]
    assert "25.00" in cli.text("balances")
    assert cli.ok("usage") == {"items": [], "next_cursor": None}
    assert cli.ok("pnl") == {"items": []}
    assert cli.ok("ledger", "balance")["balanced"]
    assert {journal["event"] for journal in cli.ok("ledger", "journals")["items"]} == {"top_up"}
    assert cli.ok("invoices", "close") == {"invoices": [], "failures": []}
    assert cli.ok("models", "list") == {"items": []}
    assert cli.ok("audit", "verify")["intact"]
    assert "/console/sign-in/" in cli.ok("staff", "link")["url"]
    assert cli.ok("books", "verify")["balanced"]
    assert cli.ok("books", "export", "--out", str(home / "b.beancount"))["bytes"] > 0
    assert "assets:cash" in (home / "b.beancount").read_text()
    for path in home.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (("customers", "show", "nobody"), exits.NOT_FOUND, "not_found"),
        (("keys", "create", "nobody"), exits.NOT_FOUND, "not_found"),
        (("plan", "show", "none"), exits.NOT_FOUND, "not_found"),
        (("plan", "apply", "/nowhere/plan.toml"), exits.NOT_FOUND, "not_found"),
        (("plan", "apply", "/nowhere/plan.txt"), exits.USAGE, "invalid_request"),
        (("customers", "add", ""), exits.USAGE, "invalid_request"),
        (("customers", "add", "x", "--time-zone", "Mars"), exits.USAGE, "invalid_request"),
        (("usage", "--start", "yesterday"), exits.USAGE, "invalid_request"),
        (("pnl", "--by", "colour"), exits.USAGE, "invalid_request"),
        (("books", "export", "--format", "paper"), exits.USAGE, "unsupported"),
        (("models", "remove", "none"), exits.NOT_FOUND, "model_not_found"),
        (("models", "pull", "file:/nowhere.gguf"), exits.NOT_FOUND, "not_found"),
        (("models", "add", "m", "--provider", "p", "--model", "x", "--base-url", "http://127.0.0.1:1/v1",
          "--api-key-env", "NOT_SET_ANYWHERE"), exits.USAGE, "invalid_request"),
    ],
)  # fmt: skip
def test_failures_have_exit_codes_and_hints(cli, words, code, error):
    exit_code, problem = cli.fails(*words)
    assert (exit_code, problem["code"]) == (code, error)
    assert problem["hint"]
    told = cli.run(*words)
    assert told.exit_code == code
    assert problem["detail"] in " ".join(told.stderr.split())
    assert told.stdout == ""


def test_a_used_handle_is_a_conflict(cli):
    cli.ok("customers", "add", "Acme")
    assert cli.fails("customers", "add", "acme")[0] == exits.REFUSED


def test_wrong_words_are_usage_errors(cli):
    for words in (("customers", "fly"), ("topup", "acme"), ("customers", "list", "--limit", "0")):
        assert cli.run(*words).exit_code == exits.USAGE


def test_bad_settings_are_told(cli, home):
    home.mkdir()
    (home / "mintage.toml").write_text("prot = 1\n")
    exit_code, problem = cli.fails("config", "show")
    assert (exit_code, problem["code"]) == (exits.USAGE, "invalid_settings")
    assert "prot" in problem["detail"]


def test_config_show_opens_nothing(cli, home):
    rows = cli.ok("config", "show")["items"]
    assert {row["name"] for row in rows} >= {"home", "port", "currency"}
    assert not home.exists()


def test_an_upstreams_key_comes_from_the_environment_and_is_sealed(cli, home, monkeypatch):
    monkeypatch.setenv("SHOP_KEY", "sk-upstream-secret")
    words = ("models", "add", "mini", "--provider", "openai", "--model", "gpt-4o-mini")
    added = cli.ok(*words, "--base-url", "https://api.openai.com/v1", "--api-key-env", "SHOP_KEY")
    assert added["has_key"]
    assert "sk-upstream" not in cli.text("models", "list")
    assert all(b"sk-upstream" not in path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert cli.ok("models", "remove", "mini")["removed"]


def test_a_pull_that_fails_midway_is_told_after_its_progress(cli, monkeypatch):
    def pull(self, source, name=None, *, sha256=None, progress=None, **_):
        for done in (0, 50, 100):
            progress(Progress(stage="download", done_bytes=done, total_bytes=100, rate=1.0))
        raise MintageError("upstream_failed", "The source broke off.", "Pull again: it goes on.")

    monkeypatch.setattr(Registry, "pull", pull)
    exit_code, problem = cli.fails("models", "pull", "smollm2-135m")
    assert (exit_code, problem["detail"]) == (exits.UNAVAILABLE, "The source broke off.")


def test_the_script_starts_and_fails_without_a_trace(cli, home):
    mintage = str(Path(sys.executable).parent / "mintage")
    version = subprocess.run([mintage, "--version"], capture_output=True, text=True, check=False)
    assert (version.returncode, version.stdout.split()[0]) == (0, "mintage")
    missing = subprocess.run(
        [mintage, "customers", "show", "nobody", "--home", str(home)], capture_output=True, text=True, check=False
    )
    assert missing.returncode == exits.NOT_FOUND
    assert missing.stderr.startswith("error: There is no customer")
    assert "Traceback" not in missing.stderr
