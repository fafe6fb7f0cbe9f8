"""Backup and restore: consistent while books are written, whole or not at all, and the restored books verify."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mintage.app.backup import MANIFEST, back_up, check_backup, restore
from mintage.base import MintageError
from mintage.cli.main import app

PROGRAM = "import sys; from mintage.app.backup import {0}; from pathlib import Path; {0}(*map(Path, sys.argv[1:]))"
PLAN = """
id = "payg"
name = { en = "Pay as you go" }
currency = "USD"
[[prices]]
model = "*"
input_tokens.per_million = "0.15"
output_tokens.per_million = "0.60"
"""


def mintage(home, *words, code=0):
    result = CliRunner().invoke(app, [*words, "--home", str(home), "--json"])
    assert result.exit_code == code, (words, result.output, result.exception)
    return json.loads(result.stdout)


def tree(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    home = tmp_path_factory.mktemp("prepared") / "home"
    (home.parent / "payg.toml").write_text(PLAN)
    mintage(home, "plan", "apply", str(home.parent / "payg.toml"))
    mintage(home, "customers", "add", "Acme")
    mintage(home, "plan", "assign", "acme", "payg")
    mintage(home, "topup", "acme", "25.00")
    return home


@pytest.fixture
def home(prepared, tmp_path):
    return Path(shutil.copytree(prepared, tmp_path / "home"))


def test_a_restored_home_verifies_and_has_everything(home, tmp_path):
    made = mintage(home, "backup", str(tmp_path / "backups"), "--secrets")
    restored = mintage(tmp_path / "new", "restore", made["folder"])
    assert restored["balanced"]
    assert restored["log_seq"] == made["log_seq"] > 0
    for words in (("customers", "list"), ("ledger", "balance"), ("plan", "list"), ("books", "verify")):
        assert mintage(tmp_path / "new", *words) == mintage(home, *words)
    assert (tmp_path / "new" / "secret.key").read_bytes() == (home / "secret.key").read_bytes()


def test_the_master_key_is_left_out_unless_asked_for(home, tmp_path):
    made = back_up(home, tmp_path / "backups")
    assert not list(Path(made.folder).rglob("secret*"))
    assert all(path.stat().st_mode & 0o077 == 0 for path in [Path(made.folder), *Path(made.folder).rglob("*")])


@pytest.mark.parametrize("point", ["backup.lake", "backup.books.db", "backup.log.db", "backup.sealed"])
def test_a_killed_backup_leaves_the_old_one_good_and_nothing_that_restores(home, tmp_path, point):
    out = tmp_path / "backups"
    old = Path(back_up(home, out).folder)
    before = tree(old)
    environment = os.environ | {"MINTAGE_FAILPOINTS": f"{point}:kill"}
    process = subprocess.run([sys.executable, "-c", PROGRAM.format("back_up"), home, out], env=environment, check=False)
    assert process.returncode == -signal.SIGKILL
    left = [path for path in out.iterdir() if path != old]
    assert [path.name.startswith(".partial-") for path in left] == [True]
    with pytest.raises(MintageError) as refusal:
        restore(left[0], tmp_path / "new")
    assert refusal.value.hint
    assert not (tmp_path / "new").exists()
    assert tree(old) == before
    check_backup(old)
    assert mintage(tmp_path / "new", "restore", str(old))["balanced"]


def test_a_killed_restore_opens_for_nobody_and_can_be_repeated(home, tmp_path):
    made = back_up(home, tmp_path / "backups")
    environment = os.environ | {"MINTAGE_FAILPOINTS": "restore.file:kill:2"}
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM.format("restore"), made.folder, tmp_path / "new"], env=environment, check=False
    )
    assert process.returncode == -signal.SIGKILL
    assert mintage(tmp_path / "new", "customers", "list", code=5)["error"]["code"] == "unavailable"
    assert mintage(tmp_path / "new", "doctor", "--quick", code=1)["healthy"] is False
    assert mintage(tmp_path / "new", "restore", made.folder)["balanced"]


@pytest.mark.parametrize("damage", ["change", "remove", "manifest", "outside"])
def test_a_damaged_backup_is_refused(home, tmp_path, damage):
    folder = Path(back_up(home, tmp_path / "backups").folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    match damage:
        case "change":
            raw = bytearray((folder / "log.db").read_bytes())
            raw[5000] ^= 1
            (folder / "log.db").write_bytes(raw)
        case "remove":
            (folder / "books.db").unlink()
        case "manifest":
            (folder / MANIFEST).write_text("{}")
        case "outside":
            manifest["files"][0]["path"] = "../../evil"
            (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(MintageError) as refusal:
        restore(folder, tmp_path / "new")
    assert refusal.value.code == "invalid_request"
    assert not (tmp_path / "new").exists()


def test_a_home_that_is_not_empty_is_left_alone(home, tmp_path):
    folder = Path(back_up(home, tmp_path / "backups").folder)
    before = tree(home)
    with pytest.raises(MintageError) as refusal:
        restore(folder, home)
    assert refusal.value.code == "conflict"
    assert tree(home) == before


def test_backups_made_while_the_log_is_written_each_verify(home, tmp_path):
    """A writer tops up as fast as it can; every copy of the home is one that could have been."""
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(home)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    before = 2  # the wallet and the first top-up
    folders = []
    for number in range(3):
        assert writer.stdout.readline() == "written\n"  # each line says that there is more than before
        folders.append(back_up(home, tmp_path / f"backups{number}").folder)
    writer.stdin.close()
    writer.stdout.read()
    assert writer.wait(60) == 0
    seqs = []
    for number, folder in enumerate(folders):
        restored = mintage(tmp_path / f"new{number}", "restore", folder)
        assert restored["balanced"]
        seqs.append(restored["log_seq"])
    assert back_up(home, tmp_path / "last").log_seq >= seqs[2] >= seqs[1] >= seqs[0] > before


_WRITER = """
import asyncio, sys, threading
from mintage.app import App
from mintage.accounts import SYSTEM
from mintage.base import load_settings
from mintage.billing import TopUp

async def main():
    app = await App.open(load_settings(home=sys.argv[1]))
    tenant = app.accounts.tenants.get("acme")
    await app.shipping.start()
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    number = 0
    while not stop.is_set():
        number += 1
        top_up = TopUp(amount_nanos=10**7, source="test", source_id=str(number))
        await app.billing.wallets.top_up(SYSTEM, tenant, top_up)
        print("written", flush=True)
        if number % 5 == 0:
            await app.shipping.sync()
    await app.close()

asyncio.run(main())
"""


def test_the_doctor_finds_what_is_wrong_and_says_the_mend(home):
    found = mintage(home, "doctor")
    assert found["healthy"]
    assert {one["check"] for one in found["findings"]} >= {
        "python",
        "home",
        "disk",
        "log",
        "clock",
        "migrations",
        "books",
    }
    (home / "secret.key").unlink(missing_ok=True)
    home.chmod(0o755)
    sick = {one["check"]: one for one in mintage(home, "doctor", "--quick")["findings"]}
    assert sick["home"]["level"] == "warning"
    assert "chmod 700" in sick["home"]["mend"]
    for one in sick.values():
        assert one["level"] == "ok" or one["mend"], one


def test_the_doctor_finds_altered_books(home):
    import sqlite3

    assert mintage(home, "ledger", "balance")["balanced"]
    with sqlite3.connect(home / "books.db") as connection:
        changed = connection.execute(
            "UPDATE ledger_postings SET amount_nanos = amount_nanos + 1 WHERE amount_nanos > 0"
        )
        assert changed.rowcount
    found = mintage(home, "doctor", code=1)
    faults = {one["check"] for one in found["findings"] if one["level"] == "fault"}
    assert faults >= {"ledger", "books"}
