"""Record one real answer of each call of the admin API, from a server on a throwaway home: the examples in its OpenAPI
description (src/mintage/server/admin/examples.json). Run it when an answer has changed.

Calls are made in the order of a first day: a plan, a customer, money, keys, an invoice. Lists are cut to their first
rows, and whatever opens a door is masked.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import httpx

TARGET: Final = Path(__file__).resolve().parents[1] / "src/mintage/server/admin/examples.json"
PREFIX: Final = "/admin/v1"
ROWS: Final = 2
PLAN: Final = b"""
id = "payg"
currency = "USD"
name = { en = "Pay as you go", zh = "\xe6\x8c\x89\xe9\x87\x8f\xe4\xbb\x98\xe8\xb4\xb9" }
[[prices]]
model = "*"
input_tokens = { per_million = "0.15" }
output_tokens = { per_million = "0.60" }
"""
TEAM: Final = b"""
id = "team"
currency = "USD"
name = { en = "Team", zh = "\xe5\x9b\xa2\xe9\x98\x9f" }
[[prices]]
model = "*"
input_tokens = { per_million = "0.10" }
output_tokens = { per_million = "0.40" }
[[fees]]
name = { en = "Platform fee", zh = "\xe5\xb9\xb3\xe5\x8f\xb0\xe8\xb4\xb9" }
amount = "20"
timing = "advance"
"""
#: Before the rest: what the rest is about. Bodies are the handlers' own examples unless one is given here.
FIRST: Final[list[tuple[str, str, Any]]] = [
    ("POST", "/plans", PLAN),
    ("POST", "/customers", None),
    ("POST", "/customers/{customer}/projects", None),
    ("PUT", "/customers/{customer}/plan", {"plan": "payg"}),
    ("POST", "/customers/{customer}/top-ups", None),
    ("POST", "/customers/{customer}/keys", {"name": "till"}),
    ("POST", "/customers/{customer}/users", None),
    ("POST", "/coupons", None),
    ("POST", "/staff", None),
    ("POST", "/providers", None),
    ("POST", "/models", None),
    ("POST", "/models", {"name": "a", "provider": "openai", "model": "gpt-5-mini"}),
    ("POST", "/models", {"name": "b", "provider": "openai", "model": "gpt-5"}),
    ("POST", "/models/routes", None),
    ("POST", "/plans", TEAM),
    ("POST", "/customers/{customer}/subscriptions", {"plan": "team"}),
    ("POST", "/jobs", None),
    ("PUT", "/schedules/{name}", None),
    ("POST", "/webhooks", None),
    ("POST", "/secrets", None),
    ("PUT", "/tax-rates", None),
    ("PUT", "/currency-rates", None),
    ("POST", "/invoices/close", {"customer": "acme", "early": True}),
]  # fmt: skip
#: What `{name}` stands for in each collection.
NAMES: Final = {"providers": "openai", "models": "b", "schedules": "nightly", "secrets": "stripe"}
#: Not called: they end the session or the home, fetch from elsewhere, or answer without an end.
LEFT_OUT: Final = re.compile(
    r"/session|/sign-up|/requests/live|/follow$|/models/pull|/books/(verify|export)|/secrets/rotate|/openapi"
)
_OPENS: Final = re.compile(r"secret|token$|^link$|^url$|password|totp|credential", re.IGNORECASE)
_KEY: Final = re.compile(r"\b(mk|whsec)[-_][A-Za-z0-9+/=_-]{6,}")


class Recorder:
    def __init__(self, http: httpx.Client, document: dict[str, Any]) -> None:
        self.http = http
        self.paths: dict[str, dict[str, Any]] = document["paths"]
        self.known: dict[str, str] = {"customer": "acme", "plan": "payg"}
        self.answers: dict[str, dict[str, Any]] = {}
        self.refused: dict[str, str] = {}

    def call(self, method: str, path: str, body: Any = None) -> None:
        line = f"{method} {path}"
        operation = self.paths.get(PREFIX + path, {}).get(method.lower())
        if operation is None or LEFT_OUT.search(path) or (body is None and line in self.answers):
            return
        known = self.known | {"name": NAMES.get(path.split("/")[1], "unknown")}
        address = re.sub(r"{(\w+)}", lambda match: known.get(match[1], "unknown"), path)
        answer = self.http.request(method, PREFIX + address, **self._content(operation, body))
        if not answer.is_success:
            self.refused[line] = f"{answer.status_code} {answer.text[:160]}"
        elif answer.headers.get("content-type", "").startswith("application/json"):
            said = answer.json()
            self._learn(path, said)
            self.answers.setdefault(line, {"status": str(answer.status_code), "value": _shown(said)})

    def _content(self, operation: dict[str, Any], body: Any) -> dict[str, Any]:
        if isinstance(body, bytes):
            return {"content": body, "headers": {"content-type": "application/toml"}}
        if body is None and "requestBody" in operation:
            content = operation["requestBody"]["content"]["application/json"]
            body = content["examples"]["typical"]["value"] if "examples" in content else {}
        return {} if body is None else {"json": body}

    def _learn(self, path: str, said: Any) -> None:
        """Names of what an answer shows, for the parameters of later paths."""
        row = said.get("items", said) if isinstance(said, dict) else said
        row = row[0] if isinstance(row, list) and row else row
        if not isinstance(row, dict):
            return
        collection = path.rstrip("/").rsplit("/", 1)[-1]
        for parameter, (source, field) in {
            "project": ("projects", "id"), "key_id": ("keys", "id"), "user": ("users", "id"), "person": ("staff", "id"),
            "number": ("invoices", "id"), "job": ("jobs", "id"), "endpoint": ("webhooks", "id"),
            "code": ("coupons", "code"), "request_id": ("requests", "id"),
        }.items():  # fmt: skip
            if collection == source and isinstance(row.get(field), str):
                self.known.setdefault(parameter, row[field])


def _shown(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _shown(member, key) for key, member in value.items()}
    if isinstance(value, list):
        return [_shown(member, name) for member in value[:ROWS]]
    if isinstance(value, str):
        if _OPENS.search(name):
            return "..."
        return _KEY.sub(r"\1-...", value)
    return value


def record(home: Path) -> Recorder:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MINTAGE_")}
    environment |= {"MINTAGE_HOME": str(home), "MINTAGE_PORT": "0"}
    server = subprocess.Popen(
        [Path(sys.executable).with_name("mintage"), "serve"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not (home / "server.json").exists():
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("The server did not start.")
            time.sleep(0.1)
        said = json.loads((home / "server.json").read_bytes())
        headers = {"authorization": f"Bearer {said['admin_token']}"}
        with httpx.Client(base_url=said["url"], headers=headers, timeout=60) as http:
            recorder = Recorder(http, http.get(f"{PREFIX}/openapi.json").json())
            for method, path, body in FIRST:
                recorder.call(method, path, body)
            for wanted in ("get", "put", "post", "patch", "delete"):
                lines = [path for path, item in recorder.paths.items() if wanted in item]
                for path in sorted(lines, key=len):
                    recorder.call(wanted.upper(), path.removeprefix(PREFIX))
            return recorder
    finally:
        server.terminate()
        server.wait(60)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        recorder = record(Path(folder) / "home")
    TARGET.write_text(json.dumps(dict(sorted(recorder.answers.items())), ensure_ascii=False, indent=1) + "\n")
    for line, why in sorted(recorder.refused.items()):
        print(f"no example: {line}: {why}")
    print(f"{len(recorder.answers)} examples, {len(recorder.refused)} calls refused")


if __name__ == "__main__":
    main()
