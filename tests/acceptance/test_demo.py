"""`mintage demo` as a newcomer runs it: the installed script, the real default model, a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from mintage.base import METERS

SCRIPT: Final = str(Path(sys.executable).with_name("mintage"))
REQUESTS: Final = 6
_PATIENCE_S: Final = 300
pytestmark = pytest.mark.model


def mintage(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MINTAGE_")}
    return subprocess.run(
        [SCRIPT, *words], env=environment, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
    )


def ok(*words: str) -> dict[str, Any]:
    """The one JSON object that a command printed."""
    done = mintage(*words, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "home"


@pytest.fixture(scope="module")
def first(home: Path) -> dict[str, Any]:
    return ok("demo", "--home", str(home), "--requests", str(REQUESTS))


def judge(result: dict[str, Any]) -> None:
    """What must be true of every demo, the first one in a home or a later one."""
    assert result["requests"] == REQUESTS
    _judge_usage(result["usage"])
    _judge_money(result)
    assert (result["refused"], result["cut"]) == (1, 1)
    for invoice in result["invoices"]:
        _judge_invoice(invoice)
    assert result["books"] == {"balanced": True, "difference_nanos": 0, "holds_open": 0}


def _judge_usage(usage: dict[str, int]) -> None:
    assert set(usage) <= set(METERS)
    assert all(type(count) is int and count > 0 for count in usage.values())
    assert usage["requests"] == REQUESTS
    assert usage["input_tokens"] > 0
    assert usage["output_tokens"] > REQUESTS


def _judge_money(result: dict[str, Any]) -> None:
    amounts = [result[name] for name in ("revenue_nanos", "cost_nanos", "margin_nanos")]
    assert [type(amount) for amount in amounts] == [int, int, int]
    revenue, cost, margin = amounts
    assert revenue > 0
    assert cost > 0  # our own compute is not free
    assert margin == revenue - cost
    assert result["currency"] == "USD"


def _judge_invoice(invoice: dict[str, Any]) -> None:
    assert invoice["number"]
    assert invoice["currency"] == "USD"
    assert invoice["lines"]
    assert all(line["description"] and line["quantity"] > 0 for line in invoice["lines"])
    assert all(type(line["amount"]) is str for line in invoice["lines"])  # exact, as printed on the invoice
    assert sum(Decimal(line["amount"]) for line in invoice["lines"]) == Decimal(invoice["total"])


def test_the_whole_loop_without_a_person(first: dict[str, Any]) -> None:
    judge(first)
    assert len(first["invoices"]) == 3  # every demo customer bought something
    assert len({invoice["number"] for invoice in first["invoices"]}) == 3
    assert any(Decimal(invoice["total"]) > 0 for invoice in first["invoices"])


def test_the_books_verify_afterwards(home: Path, first: dict[str, Any]) -> None:
    report = ok("books", "verify", "--home", str(home))
    assert (report["balanced"], report["difference_nanos"], report["holds_open"]) == (True, 0, 0)
    assert report["checks"]
    assert all(check["ok"] for check in report["checks"])
    assert any(check["compared"] > 0 for check in report["checks"])


def test_the_demo_is_in_the_books(home: Path, first: dict[str, Any]) -> None:
    """What it printed is what any other command shows."""
    listed = ok("invoices", "list", "--home", str(home))["items"]
    assert {row["number"] for row in listed} == {invoice["number"] for invoice in first["invoices"]}


def test_a_second_demo_in_the_same_home(home: Path, first: dict[str, Any]) -> None:
    second = ok("demo", "--home", str(home), "--requests", str(REQUESTS))
    judge(second)
    before = {invoice["number"]: invoice for invoice in first["invoices"]}
    after = {invoice["number"]: invoice for invoice in second["invoices"]}
    assert {number: after[number] for number in before} == before  # a closed invoice never changes


@pytest.mark.parametrize("requests", ["2", "1001"])
def test_a_demo_of_a_size_that_makes_no_sense_is_refused_at_once(tmp_path: Path, requests: str) -> None:
    done = mintage("demo", "--home", str(tmp_path / "home"), "--requests", requests, "--json")
    assert done.returncode == 2, done.stdout + done.stderr
    error = json.loads(done.stdout)["error"]
    assert error["detail"]
    assert error["hint"]
    assert not (tmp_path / "home").exists()  # before a model is pulled and books are opened
