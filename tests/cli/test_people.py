"""Staff, customers' people, projects, scoped keys, secrets and the audit log from the command line."""

from typer.testing import CliRunner

from mintage.cli import exits
from mintage.cli.main import app


def test_staff_come_change_and_go(either):
    cli = either
    cli.ok("staff", "link")  # makes the first owner
    invited = cli.ok("staff", "invite", "Ada", "ada@mint.example", "--role", "finance")
    assert "/console/sign-in/" in invited["link"]["url"]
    assert cli.ok("staff", "update", "ada@mint.example", "--role", "support")["role"] == "support"
    assert [m["email"] for m in cli.ok("staff", "list", "--role", "support")["items"]] == ["ada@mint.example"]
    assert cli.ok("staff", "disable", "ada@mint.example")["disabled_ns"]
    assert cli.fails("staff", "link", "ada@mint.example") == (exits.NOT_FOUND, {**_problem(cli), "code": "not_found"})
    assert cli.ok("staff", "enable", "ada@mint.example")["disabled_ns"] is None
    assert cli.fails("staff", "disable", "owner@localhost")[1]["code"] == "conflict"
    assert cli.ok("staff", "sessions", "ada@mint.example")["items"] == []
    assert cli.ok("staff", "sign-out", "ada@mint.example") == {"sessions": 0}
    assert cli.ok("staff", "reset", "ada@mint.example") == {"password": False, "totp": False, "recovery_codes": 0}
    assert "keys.write" in cli.text("staff", "roles")
    assert "ada@mint.example" in cli.text("staff", "list")


def _problem(cli):
    return cli.fails("staff", "link", "ada@mint.example")[1]


def test_a_customers_people_projects_and_keys(either):
    cli = either
    cli.ok("customers", "add", "Acme", "--handle", "acme")
    assert "/console/sign-in/" in cli.ok("users", "invite", "acme", "Bo", "bo@acme.example")["link"]["url"]
    assert cli.ok("users", "update", "acme", "bo@acme.example", "--role", "admin")["role"] == "admin"
    assert "/console/sign-in/" in cli.text("users", "link", "acme", "bo@acme.example")
    assert [user["role"] for user in cli.ok("users", "list", "acme")["items"]] == ["admin"]
    project = cli.ok("projects", "add", "acme", "bot", "--budget", "12.50", "--period", "week")
    assert (project["budget_nanos"], project["budget_period"]) == (12_500_000_000, "week")
    assert "12.50 / week" in cli.text("projects", "list", "acme")
    assert cli.ok("projects", "update", "acme", "bot", "--budget", "none")["budget_nanos"] is None
    scopes = ("--endpoint", "/v1/chat/*", "--ip", "203.0.113.0/24", "--budget", "5", "--period", "day")
    first = cli.ok("keys", "create", "acme", "--project", "bot", *scopes)
    second = cli.ok("keys", "rotate", "acme", first["key"]["id"], "--overlap-hours", "1")
    assert second["secret"] != first["secret"]
    same = ("endpoints", "ip_ranges", "budget_nanos", "budget_period", "project_id")
    assert {name: second["key"][name] for name in same} == {name: first["key"][name] for name in same}
    assert cli.ok("keys", "update", "acme", second["key"]["id"], "--budget", "none")["budget_nanos"] is None
    assert cli.fails("keys", "create", "acme", "--ip", "everywhere")[1]["param"] == "ip_ranges"
    assert cli.fails("keys", "create", "acme", "--budget", "much")[0] == exits.USAGE
    actions = {entry["action"] for entry in cli.ok("audit", "list", "--action", "key.")["items"]}
    assert actions == {"key.create", "key.rotate", "key.update"}
    assert cli.ok("audit", "list", "--actor", "staff:nobody")["items"] == []


def test_secrets_come_in_by_standard_input_and_rotate(either, home):
    cli = either
    put = CliRunner().invoke(app, ["secrets", "put", "upstream/x", "--home", str(cli.home)], input="sk-very-secret\n")
    assert put.exit_code == 0, put.output
    assert [row["name"] for row in cli.ok("secrets", "list")["items"]] == ["upstream/x"]
    before = cli.ok("secrets", "keys")
    done = cli.ok("secrets", "rotate")
    assert (done["master_changed"], done["resealed"]) == (True, 1)
    assert cli.ok("secrets", "keys")["master_key"] != before["master_key"]
    assert cli.ok("secrets", "delete", "upstream/x")["deleted"]
    assert cli.fails("secrets", "delete", "upstream/x")[0] == exits.NOT_FOUND
    assert len(CliRunner().invoke(app, ["secrets", "new-key"]).stdout.strip()) == 44
    assert all(b"sk-very-secret" not in file.read_bytes() for file in home.rglob("*") if file.is_file())
