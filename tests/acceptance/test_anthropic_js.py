"""The official @anthropic-ai/sdk, unmodified. js/anthropic.mjs runs it once; here is what it must have seen."""

from __future__ import annotations

from typing import Any

import pytest

from .node import run

HELLO = "Hello, wörld 你好 😀"
both_plans = pytest.mark.parametrize("key", ["rich", "shaped"])


@pytest.fixture(scope="module")
def seen(shop: Any) -> dict[str, Any]:
    return run("anthropic.mjs", shop.url, shop.keys)


@both_plans
def test_message(seen: dict[str, Any], key: str) -> None:
    expected = {"text": HELLO, "stop": "end_turn", "usage": [8, 4, 5], "charge": "0.000029 USD"}
    assert seen[f"message/{key}"] == expected


@both_plans
def test_stream(seen: dict[str, Any], key: str) -> None:
    found = seen[f"stream/{key}"]
    assert found["texts"] == found["text"] == HELLO
    assert (found["stop"], found["usage"]) == ("end_turn", [8, 4, 5])


@both_plans
def test_tools(seen: dict[str, Any], key: str) -> None:
    found = seen[f"tools/{key}"]
    assert (found["stop"], found["inputs"]) == ("tool_use", [{"city": "Paris"}, {"city": "Rome"}])


@both_plans
def test_thinking(seen: dict[str, Any], key: str) -> None:
    assert seen[f"think/{key}"]["kinds"] == ["thinking", "text"]


@pytest.mark.parametrize("form", ["whole", "stream"])
@pytest.mark.parametrize(
    ("name", "error", "status", "kind"),
    [
        ("bad_key", "AuthenticationError", 401, "authentication_error"),
        ("unknown_model", "NotFoundError", 404, "not_found_error"),
        ("empty_wallet", None, 402, "billing_error"),
        ("invalid_body", "BadRequestError", 400, "invalid_request_error"),
        ("unknown_field", "BadRequestError", 400, "invalid_request_error"),
        ("too_long", "BadRequestError", 400, "invalid_request_error"),
        ("broken", "InternalServerError", 502, "api_error"),
    ],
)
def test_refusals(seen: dict[str, Any], name: str, error: str | None, status: int, kind: str, form: str) -> None:
    found = seen[f"{name}/{form}"]
    assert (found["status"], found["type"]) == (status, kind)
    assert error is None or found["name"] == error
    assert found["requestID"]


def test_a_cut_stream_is_an_error(seen: dict[str, Any]) -> None:
    assert seen["cut"]["type"] == "api_error"


def test_models_and_counting(seen: dict[str, Any]) -> None:
    assert {"say", "tools"} <= set(seen["models"])
    assert seen["count"] > 0
