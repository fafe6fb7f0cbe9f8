"""The provider and the shop as processes of their own, as SDKs meet them: over real sockets, from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

HERE = Path(__file__).parent
_STOP_S = 20
_IDLE_S = 20


@contextmanager
def process(*arguments: str, cwd: Path | None = None) -> Iterator[dict[str, Any]]:
    """A Python script that prints one line of JSON when it is ready; ended by SIGTERM."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MINTAGE_")}
    with subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, text=True, env=environment, cwd=cwd
    ) as running:
        try:
            assert running.stdout is not None
            line = running.stdout.readline()
            assert line, f"{arguments[0]} ended before it was ready"
            yield json.loads(line)
        finally:
            running.terminate()
            try:
                running.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                running.kill()
                raise


class Provider:
    """What the scripted provider received."""

    def __init__(self, url: str) -> None:
        self.url = url

    def received(self, behaviour: str) -> list[dict[str, Any]]:
        return httpx.get(f"{self.url}/log").json().get(behaviour, [])


class Shop:
    """Where SDKs are pointed at, and the keys they use."""

    def __init__(self, url: str, keys: dict[str, str], provider: Provider, home: Path) -> None:
        self.home = home
        self.url = url
        self.base_url = f"{url}/v1"
        self.keys = keys
        self.provider = provider

    def receipt(self, request_id: str, key: str = "rich") -> dict[str, Any]:
        answer = httpx.get(
            f"{self.base_url}/receipts/{request_id}", headers={"authorization": f"Bearer {self.keys[key]}"}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def wait_until_idle(self) -> None:
        """Until no request holds money."""
        deadline = time.monotonic() + _IDLE_S
        while "\nmintage_open_requests 0.0\n" not in httpx.get(f"{self.url}/metrics").text:
            assert time.monotonic() < deadline, "a request never ended"


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    home = tmp_path_factory.mktemp("shop")
    with (
        process(str(HERE / "upstream.py")) as provider,
        process(str(HERE / "shop.py"), str(home), provider["url"]) as opened,
    ):
        yield Shop(opened["url"], opened["keys"], Provider(provider["url"]), home)
