"""A home that an older Mintage left (books at version 0004, four paid requests) is opened by this one."""

import asyncio
import http.client
import json
import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mintage.app import App, Service
from mintage.base import load_settings
from mintage.cli.main import app

PACKED = Path(__file__).parent / "data" / "home-0004.tar.xz"
KEY = "mk-3sOzq5JHjIEXLJ727PyxC05vuVp0VGglLa9aN9QL"  # of the customer `rich` of that home
CHARGED_NANOS = 2 * (8 * 1_000 + 4 * 250 + 5 * 4_000)  # two requests: 12 prompt tokens, 4 of them cached, 5 written


@pytest.fixture
def home(tmp_path):
    with tarfile.open(PACKED) as packed:
        packed.extractall(tmp_path, filter="data")
    return tmp_path / "home-0004"


def mintage(home, *words):
    result = CliRunner().invoke(app, [*words, "--home", str(home), "--json"])
    assert result.exit_code == 0, (words, result.output, result.exception)
    return json.loads(result.stdout)


def test_the_books_go_on_where_they_were(home):
    report = mintage(home, "books", "verify")
    assert report["balanced"]
    assert report["difference_nanos"] == 0
    balances = {row["handle"]: row["balance_nanos"] for row in mintage(home, "balances")["items"]}
    assert balances["rich"] == 100 * 10**9 - CHARGED_NANOS
    assert balances["hasty"] == 100 * 10**9


def test_what_was_used_before_is_invoiced_after(home):
    mintage(home, "invoices", "close", "rich", "--early")
    (invoice,) = mintage(home, "invoices", "list")["items"]
    lines = mintage(home, "invoices", "show", invoice["id"])["content"]["lines"]
    assert sum(line["quantity"] for line in lines if line["meter"] == "output_tokens") == 10
    assert mintage(home, "books", "verify")["balanced"]


async def test_a_key_made_before_still_opens_the_door(home):
    def models(url):
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
        connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {KEY}"})
        answer = connection.getresponse()
        body = json.loads(answer.read())
        connection.close()
        return answer.status, {model["id"] for model in body["data"]}

    opened = await App.open(load_settings({"MINTAGE_PORT": "0"}, home=str(home)))
    try:
        service = await Service.start(opened)
        try:
            status, names = await asyncio.to_thread(models, service.url)
        finally:
            await service.stop()
    finally:
        await opened.close()
    assert status == 200
    assert "say" in names
