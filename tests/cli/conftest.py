import asyncio
import json
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mintage.app import App, Service
from mintage.app.pages import make_pages
from mintage.base import load_settings
from mintage.cli import client
from mintage.cli.main import app

PAYG = """
id = "payg"
name = { en = "Pay as you go" }
currency = "USD"
[[prices]]
model = "*"
input_tokens.per_million = "0.15"
output_tokens.per_million = "0.60"
"""


class Cli:
    """mintage, in this process, on one home. `ok` gives the parsed JSON, `fails` the error and the exit code."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def run(self, *words):
        return CliRunner().invoke(app, [*words, "--home", str(self.home)])

    def ok(self, *words):
        result = self.run(*words, "--json")
        assert result.exit_code == 0, (words, result.output, result.exception)
        return json.loads(result.stdout)

    def text(self, *words):
        result = self.run(*words)
        assert result.exit_code == 0, (words, result.output, result.exception)
        return result.stdout

    def fails(self, *words):
        result = self.run(*words, "--json")
        assert result.exit_code not in (0, None), result.output
        return result.exit_code, json.loads(result.stdout)["error"]


class Running:
    """A real server on a free port, in a thread with an event loop of its own."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        try:
            self._loop.run_until_complete(self._main())
        except BaseException as error:
            self._error = error
            self._ready.set()
        finally:
            self._loop.close()

    async def _main(self) -> None:
        settings = load_settings({"MINTAGE_PORT": "0"}, home=str(self._home))
        opened = await App.open(settings)
        try:
            service = await Service.start(opened, make_pages=make_pages)
            self.url, self.app = service.url, opened
            self._ready.set()
            await self._stop.wait()
            await service.stop()
        finally:
            await opened.close()

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(60)
        if self._error is not None:
            raise self._error
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)
        assert not self._thread.is_alive()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(client, "LOCK_WAIT_S", 0.0)
    monkeypatch.delenv("MINTAGE_HOME", raising=False)
    return tmp_path / "home"


@pytest.fixture
def cli(home):
    return Cli(home)


@pytest.fixture(params=["alone", "served"])
def either(request, home):
    """The same commands, once opening the home themselves and once through a running server."""
    if request.param == "alone":
        yield Cli(home)
        return
    with Running(home):
        yield Cli(home)


@pytest.fixture
def plan_file(tmp_path):
    file = tmp_path / "payg.toml"
    file.write_text(PAYG)
    return file
