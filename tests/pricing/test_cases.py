"""Worked examples that other billing systems publish, each with its source, against our arithmetic."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from mintage.base import MintageError
from mintage.pricing.calculator import RULES, calculate

CASES = json.loads((Path(__file__).parent / "cases" / "rating.json").read_text("utf-8"))
HELD_BY_THE_LOG = {"two_phase", "hold_then_settle"}
RATED = [case for case in CASES if case["model"] not in HELD_BY_THE_LOG]
Case = dict[str, Any]


@pytest.mark.parametrize("case", RATED, ids=lambda case: case["id"])
def test_a_published_example(case: Case) -> None:
    result = calculate(case["model"], case["inputs"])
    if case["model"] == "split_invoice_2d":  # which row gets the odd cent is the vendor's choice
        check_split(case["inputs"], result)
    else:
        assert result == case["expected"]


def check_split(inputs: Case, result: Case) -> None:
    charges, taxes = [int(cell) for cell in result["charges"]], [int(cell) for cell in result["taxes"]]
    assert (sum(charges), sum(taxes)) == (inputs["charge"], inputs["tax"])
    assert [sum(row) for row in zip(charges, taxes, strict=True)] == inputs["splits"]
    for cell, row in zip(charges, inputs["splits"], strict=True):
        assert abs(cell - Fraction(inputs["charge"] * row, sum(inputs["splits"]))) < 1


def test_every_example_names_its_source_and_has_a_rule() -> None:
    assert all(case["source"] for case in CASES)
    assert {case["model"] for case in CASES} == RULES.keys() | HELD_BY_THE_LOG


@pytest.mark.parametrize(
    ("rule", "inputs", "code", "words"),
    [
        ("gradated", {}, "not_found", "graduated"),
        ("graduated", {"quantity": "1"}, "invalid_request", "tiers"),
        ("graduated", {"tiers": [{"up_to": "5", "unit": "1"}], "quantity": "6"}, "unpriceable", "up_to"),
        ("package", {"package_size": "0", "package_amount": "1", "quantity": "1"}, "invalid_request", "size is 0"),
        ("round_half_away", {"amount": "many"}, "invalid_request", "many"),
        ("round_currency", {"amount": "1", "currency": "USD", "mode": "half_even"}, "invalid_request", "half_up"),
        ("proration_days", {"amount_minor": 1, "days": 1, "period_days": 0}, "invalid_request", "0"),
    ],
)
def test_what_cannot_be_worked_out_says_why(rule: str, inputs: Case, code: str, words: str) -> None:
    with pytest.raises(MintageError) as caught:
        calculate(rule, inputs)
    assert caught.value.code == code
    assert words in str(caught.value)
