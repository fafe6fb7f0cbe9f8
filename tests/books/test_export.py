"""The export: real bean-check, in an environment of its own, accepts it and finds our balances."""

import fcntl
import json
import os
import subprocess
import sys
import venv
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.base import MintageError
from mintage.books import Database, Journal, Ledger, Posting, export_in_child
from mintage.books.export_beancount import Names, amount, export_beancount

ROOT = Path(__file__).parents[2]
START_NS = 1_767_225_600_000_000_000
DAY_NS = 86_400 * 10**9

SUMS = """
import sys, json
from beancount import loader
from beancount.core import realization
entries, errors, options = loader.load_file(sys.argv[1])
assert not errors, errors
names = {e.account: e.meta["account"] for e in entries if type(e).__name__ == "Open"}
sums = {}
for entry in entries:
    if type(entry).__name__ == "Transaction":
        for p in entry.postings:
            key = names[p.account] + " " + p.units.currency
            sums[key] = sums.get(key, 0) + p.units.number
print(json.dumps({key: str(value) for key, value in sums.items()}))
"""


@pytest.fixture(scope="session")
def beancount() -> Path:
    """The Python of an environment that holds beancount alone: it is GPL, so it never shares one with Mintage."""
    cache = Path(os.environ.get("MINTAGE_TEST_CACHE", "~/.cache/mintage-tests")).expanduser()
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"beancount-{sys.version_info[0]}.{sys.version_info[1]}"
    python = folder / "bin" / "python"
    with (cache / "beancount.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            venv.create(folder, with_pip=True, clear=True)
            install = [python, "-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:"]
            subprocess.run([*install, "-r", ROOT / "requirements" / "beancount.lock"], check=True)
            (folder / "ready").touch()
    return python


@pytest.fixture
def ledger(tmp_path):
    database = Database.open(tmp_path / "books.db")
    database.migrate()
    yield Ledger(database)
    database.close()


def check(python, file):
    return subprocess.run([python.parent / "bean-check", file], capture_output=True, text=True, check=False)


def fill(ledger, scribe):
    scribe.step_ns = DAY_NS // 7
    scribe.business(150)
    wallet = scribe.open("erin", cash=10**9)
    for provider in ("open ai", "open-ai", "open_ai", "Ünïcode provider"):
        scribe.request(wallet, providers=(provider,), product="a product")
    ledger.apply(scribe.entries)
    lines = (
        Posting(account="assets:receivable", currency="EUR", amount_nanos=120_000_000_001),
        Posting(account="assets:unbilled_receivable", currency="EUR", amount_nanos=-120_000_000_001),
    )
    ledger.post(
        Journal(
            event="invoice_finalised",
            source="invoice",
            source_id="INV-1",
            occurred_ns=START_NS,
            memo='quotes " and \\ back\nslashes; *',
            postings=lines,
        )
    )


def test_bean_check_accepts_it_and_finds_our_balances(tmp_path, ledger, scribe, beancount):
    fill(ledger, scribe)
    file = export_beancount(tmp_path / "books.db", tmp_path / "books.beancount", title='The "Company"')
    accepted = check(beancount, file)
    assert (accepted.returncode, accepted.stdout, accepted.stderr) == (0, "", "")

    run = subprocess.run([beancount, "-c", SUMS, file], capture_output=True, text=True, check=True)
    sums = {tuple(key.split()): int(Decimal(text).scaleb(9)) for key, text in json.loads(run.stdout).items()}
    assert sums == ledger.balances()
    assert len(sums) == 15


def test_bean_check_refuses_a_spoilt_export(tmp_path, ledger, scribe, beancount):
    """One nano off in one posting: the check can fail."""
    fill(ledger, scribe)
    file = export_beancount(tmp_path / "books.db", tmp_path / "books.beancount")
    text = file.read_text()
    assert text.count("120.000000001 EUR") > 1
    file.write_text(text.replace("  120.000000001 EUR", "  120.000000002 EUR", 1))
    assert check(beancount, file).returncode != 0
    file.write_text(text.replace("-120.000000001 ~ 0 EUR", "-120.000000002 ~ 0 EUR"))
    assert check(beancount, file).returncode != 0


def test_an_empty_ledger_exports(tmp_path, ledger, beancount):
    file = export_beancount(tmp_path / "books.db", tmp_path / "books.beancount")
    assert check(beancount, file).returncode == 0


async def test_the_child_exports_the_same(tmp_path, ledger, scribe):
    fill(ledger, scribe)
    file = export_beancount(tmp_path / "books.db", tmp_path / "books.beancount", title="T")
    assert await export_in_child(tmp_path / "books.db", title="T") == file.read_bytes()


def test_a_place_that_cannot_be_written(tmp_path, ledger):
    with pytest.raises(MintageError) as refusal:
        export_beancount(tmp_path / "books.db", tmp_path / "no" / "such" / "folder.beancount")
    assert refusal.value.code == "unavailable"


@given(st.integers(-(2**70), 2**70))
def test_amounts_are_exact(nanos):
    assert Decimal(amount(nanos)).scaleb(9) == nanos


@given(st.sets(st.from_regex(r"(assets|income)(:[A-Za-z0-9_.-]{1,8}){1,2}", fullmatch=True), max_size=30))
def test_no_two_accounts_become_one(accounts):
    names = Names(accounts)
    assert len({names[account] for account in accounts}) == len(accounts)
