"""The official @google/genai, unmodified. js/google.mjs runs it once; here is what it must have seen."""

from __future__ import annotations

from typing import Any

import pytest

from .node import run

HELLO = "Hello, wörld 你好 😀"
both_plans = pytest.mark.parametrize("key", ["rich", "shaped"])


@pytest.fixture(scope="module")
def seen(shop: Any) -> dict[str, Any]:
    return run("google.mjs", shop.url, shop.keys)


@both_plans
@pytest.mark.parametrize("form", ["generate", "stream"])
def test_generate(seen: dict[str, Any], form: str, key: str) -> None:
    assert seen[f"{form}/{key}"] == {"text": HELLO, "finish": "STOP", "usage": [12, 4, 5]}


@both_plans
def test_tools(seen: dict[str, Any], key: str) -> None:
    assert seen[f"tools/{key}"] == {"cities": ["Paris", "Rome"], "text": "It is sunny and windy."}


@pytest.mark.parametrize("form", ["whole", "stream"])
@pytest.mark.parametrize(
    ("name", "status", "word"),
    [
        ("bad_key", 401, "UNAUTHENTICATED"),
        ("unknown_model", 404, "NOT_FOUND"),
        ("empty_wallet", 429, "RESOURCE_EXHAUSTED"),
        ("invalid_body", 400, "INVALID_ARGUMENT"),
        ("too_long", 400, "INVALID_ARGUMENT"),
        ("broken", 500, "INTERNAL"),
    ],
)
def test_refusals(seen: dict[str, Any], name: str, status: int, word: str, form: str) -> None:
    found = seen[f"{name}/{form}"]
    assert (found["name"], found["status"]) == ("ApiError", status)
    assert word in found["message"]


def test_a_cut_stream_is_an_error(seen: dict[str, Any]) -> None:
    assert seen["cut"] is not None


def test_models_and_counting(seen: dict[str, Any]) -> None:
    assert {"models/say", "models/tools"} <= set(seen["models"])
    assert seen["count"] > 0
