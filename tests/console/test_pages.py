"""The pages: what they show, in which language, with which headers, and that nobody's words become markup."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

import httpx
import pytest

from mintage.console.assets import asset_url, assets
from mintage.console.door import LINK_COMMAND

from .world import World

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


async def test_the_overview_shows_what_the_books_say(world: World, owner: httpx.AsyncClient) -> None:
    ada = await world.customer("Ada Ltd")
    await world.customer("Empty Ltd", funds=0)
    request_id = await world.chat(ada)
    page = (await owner.get("/console")).text
    assert "Ada Ltd" in page and f'id="{request_id}"' in page
    settled = world.services.log.entries(0, 100)[-1].body
    balance = world.services.log.wallet(ada.wallet_id).balance_nanos
    for nanos in (settled.posted_nanos, balance):  # type: ignore[union-attr]
        assert f'value="{nanos}"' in page
    assert "Empty: requests are refused until a top-up" in page
    assert f"log entry {world.services.log.last_seq()}" in page
    assert "The books balance" in page


async def test_an_empty_home_says_what_to_do(owner: httpx.AsyncClient) -> None:
    page = (await owner.get("/console")).text
    for phrase in ("No request yet", "No customer yet", "There is no customer to charge yet", "Nothing was sold"):
        assert phrase in page


async def test_names_and_models_are_text_and_never_markup(world: World, owner: httpx.AsyncClient) -> None:
    await world.chat(await world.customer(HOSTILE))
    page = (await owner.get("/console")).text
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "<img" not in page and "<script>alert" not in page
    for block in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL):
        json.loads(block)  # still whole: nothing ended it early


async def test_a_period_is_a_link_and_htmx_gets_its_figures_alone(owner: httpx.AsyncClient) -> None:
    page = (await owner.get("/console?period=month")).text
    assert 'data-period="month" hx-get="/console?period=month" hx-target="#figures" ' in page
    piece = await owner.get("/console?period=month", headers={"hx-request": "true"})
    assert piece.text.lstrip().startswith("<nav") and "<html" not in piece.text
    wrong = await owner.get("/console?period=yesterday")
    assert wrong.status_code == 400 and "<h1>" in wrong.text


async def test_the_reader_chooses_the_language(visitor: httpx.AsyncClient) -> None:
    chinese = await visitor.get("/console/sign-in", headers={"accept-language": "zh-CN"})
    assert '<html lang="zh-Hans"' in chinese.text and "一次性链接" in chinese.text
    assert 'href="?language=en" lang="en"' in chinese.text
    english = await visitor.get("/console/sign-in?language=en", headers={"accept-language": "zh-CN"})
    assert '<html lang="en"' in english.text and "mintage_language=en" in english.headers["set-cookie"]
    kept = await visitor.get("/console/sign-in", headers={"accept-language": "zh-CN"})
    assert '<html lang="en"' in kept.text
    assert "set-cookie" not in (await visitor.get("/console/sign-in?language=<x>")).headers


async def test_the_theme_is_there_from_the_first_byte(visitor: httpx.AsyncClient) -> None:
    assert "data-theme" not in (await visitor.get("/console/sign-in")).text.partition("<body")[0]
    dark = await visitor.get("/console/sign-in", headers={"cookie": "mintage_theme=dark"})
    assert '<html lang="en" data-theme="dark">' in dark.text
    odd = await visitor.get("/console/sign-in", headers={"cookie": 'mintage_theme="><script>'})
    assert "data-theme" not in odd.text.partition("<body")[0]


async def test_every_answer_is_guarded(world: World, owner: httpx.AsyncClient) -> None:
    paths = [
        "/console",
        "/console/sign-in",
        "/console/session",
        "/console/nowhere",
        "/console/sign-in/short",
        asset_url("console.css"),
    ]
    for path in paths:
        answer = await owner.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
    assert (await owner.get("/console")).headers["cache-control"] == "no-store"


async def test_no_page_has_inline_code_or_style(world: World, owner: httpx.AsyncClient) -> None:
    await world.chat(await world.customer("Ada"))
    for path in ("/console", "/console/sign-in", "/console/nowhere"):
        text = (await owner.get(path)).text
        assert not re.search(r"<script(?![^>]*(?:src=|application/json))", text)
        assert not re.search(r"""\son\w+\s*=|\sstyle\s*=|<style|javascript:""", text.replace("<style>g", ""))


async def test_static_files_are_kept_for_ever_and_only_by_their_own_address(visitor: httpx.AsyncClient) -> None:
    for name, asset in assets().items():
        answer = await visitor.get(asset_url(name))
        assert answer.content == asset.body and answer.headers["content-encoding"] == "gzip"
        assert "immutable" in answer.headers["cache-control"]
        plain = await visitor.get(asset_url(name), headers={"accept-encoding": "identity"})
        assert plain.content == asset.body and "content-encoding" not in plain.headers
    for wrong in ("/console/static/0000000000000000/console.css", "/console/static/x/..%2f..%2fpages.py"):
        assert (await visitor.get(wrong)).status_code == 404


@pytest.mark.parametrize("path", ["/console/nowhere", "/console/a/b/c", "/console/static/x/y/z"])
async def test_a_missing_page_says_so(visitor: httpx.AsyncClient, path: str) -> None:
    answer = await visitor.get(path)
    assert answer.status_code == 404 and "This page does not exist" in answer.text
    told = await visitor.get(path, headers={"accept": "application/json"})
    assert told.json()["code"] == "not_found"


async def test_a_failure_is_told_without_its_inside(world: World, owner: httpx.AsyncClient) -> None:
    world.services.gateway.snapshot = None  # type: ignore[assignment]
    answer = await owner.get("/console")
    assert answer.status_code == 500
    assert "err_" in answer.text and "Traceback" not in answer.text and "NoneType" not in answer.text
    told = await owner.get("/console", headers={"accept": "application/json"})
    assert told.json() == {"code": "internal", "message": "Something failed inside the server. See its log."}


async def test_the_servers_address_alone_leads_to_the_console(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console")


def test_the_commands_that_pages_name_exist() -> None:
    """docs/reference/cli.md is made from the command line itself."""
    reference = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text("utf-8")
    templates = resources.files("mintage.console") / "templates"
    named = {LINK_COMMAND}
    for file in templates.iterdir():
        named |= set(re.findall(r"(mintage [a-z]+(?: [a-z]+)?)(?= )", file.read_text("utf-8")))
    assert "mintage keys create" in named
    for command in named:
        words = [command, command.rpartition(" ")[0]]
        assert any(f"### {known}\n" in reference for known in words if known != "mintage"), command
