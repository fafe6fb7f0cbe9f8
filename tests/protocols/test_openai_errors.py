"""Every error of ours as OpenAI's clients know it."""

from __future__ import annotations

import json

import pytest

from mintage.base import STATUS_BY_CODE, MintageError
from mintage.protocols import openai

RETRIED_BY_SDKS = {408, 409, 429, *range(500, 600)}
NEVER_WORTH_A_RETRY = {
    "insufficient_funds",
    "budget_exceeded",
    "conflict",
    "idempotency_conflict",
    "home_locked",
    "not_implemented",
    "unpriceable",
}


@pytest.mark.parametrize("code", STATUS_BY_CODE)
def test_every_code_has_a_body_and_a_word_on_retries(code: str) -> None:
    status, headers, body = openai.encode_error(MintageError(code, "It went wrong.", "Do this."), "req_1")
    assert status == (429 if code in ("insufficient_funds", "budget_exceeded") else STATUS_BY_CODE[code])
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"] == "It went wrong. Do this."
    assert error["type"] in ("invalid_request_error", "server_error", "insufficient_quota", "requests")
    assert (error["type"] == "server_error") == (status >= 500 or code == "engine_busy")
    assert isinstance(error["code"], str)
    named = dict(headers)
    assert named[b"content-type"] == b"application/json"
    assert named[b"x-request-id"] == b"req_1"
    assert (named.get(b"x-should-retry") == b"false") == (code in NEVER_WORTH_A_RETRY)
    assert status in RETRIED_BY_SDKS or b"x-should-retry" not in named


@pytest.mark.parametrize(
    ("code", "status", "kind", "shown"),
    [
        ("insufficient_funds", 429, "insufficient_quota", "insufficient_quota"),
        ("rate_limited", 429, "requests", "rate_limit_exceeded"),
        ("unauthenticated", 401, "invalid_request_error", "invalid_api_key"),
        ("model_not_found", 404, "invalid_request_error", "model_not_found"),
        ("context_length_exceeded", 400, "invalid_request_error", "context_length_exceeded"),
    ],
)
def test_the_codes_that_clients_match_on(code: str, status: int, kind: str, shown: str) -> None:
    found, _, body = openai.encode_error(MintageError(code, "x"))
    error = json.loads(body)["error"]
    assert (found, error["type"], error["code"]) == (status, kind, shown)


@pytest.mark.parametrize(
    ("seconds", "whole", "ms"), [(0.25, b"1", b"250"), (2, b"2", b"2000"), (1.2001, b"2", b"1201"), (0, b"1", b"1")]
)
def test_retry_after_in_seconds_and_milliseconds(seconds: float, whole: bytes, ms: bytes) -> None:
    _, headers, _ = openai.encode_error(MintageError("rate_limited", "x", retry_after_s=seconds), None)
    assert (dict(headers)[b"retry-after"], dict(headers)[b"retry-after-ms"]) == (whole, ms)


def test_the_field_at_fault_and_the_finer_reason() -> None:
    error = MintageError("invalid_request", "x", param="messages[0].content", details={"reason": "invalid_type"})
    assert json.loads(openai.encode_error(error)[2])["error"] == {
        "message": "x",
        "type": "invalid_request_error",
        "param": "messages[0].content",
        "code": "invalid_type",
    }


def test_what_was_refused_before_it_had_an_id_gets_one() -> None:
    ids = {dict(openai.encode_error(MintageError("unauthenticated", "x"))[1])[b"x-request-id"] for _ in range(3)}
    assert len(ids) == 3
    assert all(name.startswith(b"req_") for name in ids)


def test_a_limit_on_tokens_says_so() -> None:
    error = MintageError("rate_limited", "x", details={"limit": "tokens"})
    assert json.loads(openai.encode_error(error)[2])["error"]["type"] == "tokens"


def test_a_lone_surrogate_in_a_message_does_not_break_the_error() -> None:
    assert json.loads(openai.encode_error(MintageError("invalid_request", "a\ud800"))[2])["error"]["message"] == "a?"
