"""The official openai SDK for JavaScript, unmodified. js/scenarios.mjs runs it once; here is what it must have seen."""

from __future__ import annotations

from typing import Any

import pytest

from .node import run

HELLO = "Hello, wörld 你好 😀"


@pytest.fixture(scope="module")
def seen(shop: Any) -> dict[str, Any]:
    return run("scenarios.mjs", shop.base_url, shop.keys)


both_paths = pytest.mark.parametrize("key", ["rich", "shaped"])


@both_paths
def test_chat(seen: dict[str, Any], key: str) -> None:
    answer = seen[f"chat/{key}"]
    assert (answer["content"], answer["finish"], answer["model"]) == (HELLO, "stop", "say")
    assert answer["usage"] == {
        "prompt_tokens": 12,
        "completion_tokens": 5,
        "total_tokens": 17,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    assert answer["charge"] == "0.000029 USD"
    assert answer["asked"] == ["0"]


@both_paths
def test_stream(seen: dict[str, Any], key: str) -> None:
    assert seen[f"stream/{key}"] == {
        "role": "assistant",
        "content": HELLO,
        "finish": "stop",
        "lastChoices": [],
        "total": 17,
        "earlier": 0,
    }


@both_paths
@pytest.mark.parametrize("kind", ["tools", "tools_streamed"])
def test_the_sdk_runs_tools(seen: dict[str, Any], kind: str, key: str) -> None:
    run = seen[f"{kind}/{key}"]
    assert run["content"] == "It is sunny and windy."
    assert run["cities"] == ["Paris", "Rome"]
    assert run["asked"] == ["0", "0"]


@pytest.mark.parametrize("form", ["whole", "stream"])
@pytest.mark.parametrize(
    ("name", "error", "status", "code", "param"),
    [
        ("bad_key", "AuthenticationError", 401, "invalid_api_key", None),
        ("unknown_model", "NotFoundError", 404, "model_not_found", "model"),
        ("empty_wallet", "RateLimitError", 429, "insufficient_quota", None),
        ("invalid_body", "BadRequestError", 400, "invalid_value", "temperature"),
        ("unknown_field", "BadRequestError", 400, "unknown_parameter", "frobnicate"),
        ("too_long", "BadRequestError", 400, "context_length_exceeded", "messages"),
    ],
)
def test_refusals_are_not_retried(
    seen: dict[str, Any], name: str, error: str, status: int, code: str, param: str | None, form: str
) -> None:
    found = seen[f"{name}/{form}"]
    assert found["error"]["name"] == error
    assert (found["error"]["status"], found["error"]["code"]) == (status, code)
    assert param is None or found["error"]["param"] == param
    assert found["error"]["requestID"]
    assert found["asked"] == ["0"]


@both_paths
@pytest.mark.parametrize(
    ("model", "error", "code"),
    [("broken", "InternalServerError", "upstream_failed"), ("busy", "RateLimitError", "engine_overloaded")],
)
def test_a_failing_provider_is_worth_a_retry(seen: dict[str, Any], model: str, error: str, code: str, key: str) -> None:
    found = seen[f"{model}/{key}"]
    assert (found["error"]["name"], found["error"]["code"]) == (error, code)
    assert found["asked"] == ["0", "1"]
    assert "sk-live" not in found["error"]["message"]


@both_paths
def test_a_cut_stream_is_an_error(seen: dict[str, Any], key: str) -> None:
    found = seen[f"cut/{key}"]
    assert found["error"]["name"] == "APIError"
    assert found["error"]["code"] == "upstream_failed"
    assert found["asked"] == ["0"]


def test_completions_and_models(seen: dict[str, Any]) -> None:
    assert seen["completion"] == " four"
    assert {"say", "tools"} <= set(seen["models"])


def test_responses_vectors_verdicts_sound_and_files(seen: dict[str, Any]) -> None:
    assert seen["rest"] == {
        "response": HELLO,
        "streamed": HELLO,
        "first": "response.created",
        "last": "response.completed",
        "vector": [1, -0.5, 1],
        "flagged": True,
        "sound": "ID3\x00soundalloy",
        "transcript": "Hello, wörld.",
        "file": "{}",
    }
