"""Connecting providers, testing them, models through them and routes over those, from the command line."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mintage.base import Usage
from mintage.protocols import anthropic, google, openai
from mintage.registry import providers

SCRIPT = Path(__file__).parents[1] / "gateway" / "moody_provider.py"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with subprocess.Popen([sys.executable, str(SCRIPT)], stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            yield json.loads(running.stdout.readline())["url"]
        finally:
            running.kill()


def test_a_provider_is_connected_tested_used_and_removed(cli, url, monkeypatch):
    monkeypatch.setenv("GOOD_KEY", "good-key")
    added = cli.ok(
        "providers", "add", "openai", "--name", "mine", "--base-url", f"{url}/say/v1", "--api-key-env", "GOOD_KEY",
        "--allow-private",
    )  # fmt: skip
    assert added["has_key"]
    assert "good-key" not in cli.text("providers", "list")
    sealed = (cli.home / "providers" / "mine.json").read_text()
    assert "good-key" not in sealed
    tested = cli.ok("providers", "test", "mine")
    assert {model["model"]: model["priced"] for model in tested["models"]} == {
        "gpt-4o-mini": True, "nobody-prices-this": False,
    }  # fmt: skip
    model = cli.ok("models", "add", "small", "--provider", "mine", "--model", "gpt-4o-mini")
    assert (model["provider"], model["base_url"], model["has_key"]) == ("openai", f"{url}/say/v1", False)
    assert cli.ok("providers", "list")["items"][0]["models"] == ["small"]
    _, error = cli.fails("providers", "remove", "mine")
    assert error["code"] == "conflict"
    cli.ok("models", "remove", "small")
    cli.ok("providers", "remove", "mine")
    assert cli.ok("providers", "list") == {"items": []}


def test_a_key_that_is_not_accepted_and_an_address_that_is_private_say_so(cli, url, monkeypatch):
    monkeypatch.setenv("BAD_KEY", "bad-key")
    _, error = cli.fails("providers", "add", "openai", "--base-url", f"{url}/say/v1")
    assert error["code"] in ("permission_denied", "invalid_request")
    cli.ok("providers", "add", "openai", "--base-url", f"{url}/say/v1", "--api-key-env", "BAD_KEY", "--allow-private")
    _, error = cli.fails("providers", "test", "openai")
    assert error["code"] == "permission_denied"
    _, error = cli.fails("providers", "add", "openai", "--base-url", f"{url}/say/v1", "--allow-private")
    assert error["code"] == "conflict"
    monkeypatch.setenv("BAD_KEY", "good-key")
    cli.ok(
        "providers", "add", "openai", "--base-url", f"{url}/say/v1", "--api-key-env", "BAD_KEY", "--allow-private",
        "--replace",
    )  # fmt: skip
    assert cli.ok("providers", "test", "openai")["models"]


def test_a_route_names_models_that_there_are(cli, url):
    for name in ("first", "second"):
        cli.ok("models", "add", name, "--provider", "openai", "--model", "gpt-4o-mini", "--base-url", f"{url}/say/v1",
               "--allow-private")  # fmt: skip
    route = cli.ok("models", "route", "chat", "--to", "first:3", "--to", "second", "--strategy", "weighted")
    assert route["engine"] == "route"
    for words in (("--to", "nothing"), ("--to", "chat"), ("--to", "first", "--to", "first"), ("--to", "first:x")):
        assert cli.fails("models", "route", "other", *words)[1]["code"] in ("model_not_found", "invalid_request")


@pytest.mark.parametrize("name", list(providers()))
def test_what_the_data_says_of_a_providers_usage_is_what_the_codec_reads(name):
    kind = providers()[name]
    if not kind.cached:
        return
    expected = Usage(input_tokens=70, cached_read_tokens=30, output_tokens=5)
    if kind.dialect == "google":
        chunk = {
            "candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 5},
        }
        put(chunk, kind.cached, 30)
        events = google.decode_events(json.dumps(chunk).encode())
        assert events[-1].usage == expected
    elif kind.dialect == "anthropic":
        usage = {"input_tokens": 70, "output_tokens": 5}
        put(usage, kind.cached, 30)
        body = {"id": "m", "type": "message", "role": "assistant", "model": "c", "stop_reason": "end_turn",
                "content": [{"type": "text", "text": "x"}], "usage": usage}  # fmt: skip
        assert anthropic.decode_answer(json.dumps(body).encode()).usage == expected
    else:
        usage = {"prompt_tokens": 100, "completion_tokens": 5}
        put(usage, kind.cached, 30)
        body = {"id": "c", "model": "m", "usage": usage,
                "choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]}  # fmt: skip
        assert openai.decode_answer(json.dumps(body).encode()).usage == expected


def put(body, path, value):
    *parents, last = path.split(".")
    for parent in parents:
        body = body.setdefault(parent, {})
    body[last] = value
