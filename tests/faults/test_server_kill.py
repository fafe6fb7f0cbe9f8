"""A whole server, killed at every failpoint while customers are served: what they were told is in the books."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from mintage.accounts import SYSTEM, NewKey, NewTenant
from mintage.app import App
from mintage.base import NANOS_PER_UNIT, load_settings
from mintage.billing import TopUp
from mintage.books import Settled
from mintage.books.verify import verify
from mintage.server import Exchange, HttpRequest, HttpServer

CHILD = Path(__file__).with_name("server_child.py")
FUNDS_NANOS = 1_000 * NANOS_PER_UNIT
PLAN = b"""
id = "test"
currency = "USD"
funding = "prepaid"
name = { en = "Test" }
[[prices]]
model = "*"
input_tokens = { per_unit = "0.001" }
output_tokens = { per_unit = "0.002" }
[policies.output]
max_tokens = 10
"""
POINTS = ("log.enqueue", "log.write", "log.commit", "log.ack")
PASSAGES = (2, 9, 21, 37, 52)


async def answer(request: HttpRequest, exchange: Exchange) -> None:
    """The provider: seven tokens in, three out."""
    message = {"role": "assistant", "content": "ok"}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    body = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": usage}
    exchange.send(200, [(b"content-type", b"application/json")], json.dumps(body).encode())


@dataclass
class Prepared:
    home: Path
    key: str
    provider_port: int


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """A home with one customer and one upstream, made once and copied for each run."""
    home = tmp_path_factory.mktemp("prepared") / "home"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def prepare() -> str:
        app = await App.open(load_settings({}, home=str(home)))
        try:
            app.accounts.entities.ensure("Faults", "USD")
            url = f"http://127.0.0.1:{port}/v1"
            app.registry.add("m", provider="openai", model="gpt-4o-mini", base_url=url, allow_private=True)
            app.billing.plans.apply(SYSTEM, PLAN, "toml")
            tenant = app.accounts.tenants.add(SYSTEM, NewTenant(name="Acme", handle="acme"), currency="USD")
            await app.billing.assign(SYSTEM, tenant, "test")
            top_up = TopUp(amount_nanos=FUNDS_NANOS, source="test", source_id="1")
            await app.billing.wallets.top_up(SYSTEM, tenant, top_up)
            return app.accounts.keys.create(SYSTEM, tenant.id, NewKey(name="k")).secret
        finally:
            await app.close()

    return Prepared(home, asyncio.run(prepare()), port)


@pytest.fixture
async def home(prepared: Prepared, tmp_path: Path) -> AsyncIterator[Path]:
    """A copy of the prepared home, with its provider running."""
    server = HttpServer(routes={("POST", "/v1/chat/completions"): answer})
    await server.start("127.0.0.1", prepared.provider_port)
    yield await asyncio.to_thread(shutil.copytree, prepared.home, tmp_path / "home")
    await server.close(1)


async def customer(client: httpx.AsyncClient, url: str, key: str, told: dict[str, str]) -> None:
    """Ask until the server dies; remember every answer's id and charge."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    for _ in range(40):
        try:
            reply = await client.post(
                f"{url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}
            )
        except httpx.HTTPError:
            return
        if reply.status_code == 200:
            told[reply.headers["x-request-id"]] = reply.headers["x-mintage-charge"]


async def serve_until_killed(home: Path, key: str, failpoint: str, planted: str = "") -> dict[str, str]:
    """request id -> charge of every answer that a customer received whole."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), str(home), planted,
        stdout=asyncio.subprocess.PIPE, env={**os.environ, "MINTAGE_FAILPOINTS": failpoint},
    )  # fmt: skip
    assert child.stdout is not None
    url = (await asyncio.wait_for(child.stdout.readline(), 60)).decode().strip()
    told: dict[str, str] = {}
    async with httpx.AsyncClient(timeout=30) as client:
        await asyncio.gather(*(customer(client, url, key, told) for _ in range(6)))
    assert await asyncio.wait_for(child.wait(), 30) == -9
    return told


async def problems_after(home: Path, told: dict[str, str]) -> list[str]:
    """Start again, and compare what customers were told with the books. Empty: all is well."""
    app = await App.open(load_settings({}, home=str(home)))
    try:
        wallet = app.log.wallets()[0]
        settled = [e.body for e in app.log.entries(0, 100_000) if isinstance(e.body, Settled)]
        holds = app.log.open_holds()
    finally:
        await app.close()
    problems = []
    charges = {body.hold_id: body.posted_nanos for body in settled}
    if len(charges) != len(settled):
        problems.append("a request was settled twice")
    for request_id, charge in told.items():
        if request_id not in charges:
            problems.append(f"{request_id} was answered and is not in the books")
        elif charge != f"{charges[request_id] / NANOS_PER_UNIT:g} USD":
            problems.append(f"{request_id} was told {charge}")
    if wallet.balance_nanos != FUNDS_NANOS - sum(charges.values()):
        problems.append("the balance is not what was charged")
    if holds or wallet.held_nanos:
        problems.append("a hold was left")
    report = await asyncio.to_thread(verify, home)
    if not report.balanced or report.difference_nanos or report.holds_open:
        problems.append(f"the books do not verify: {report}")
    return problems


@pytest.mark.parametrize("passage", PASSAGES)
@pytest.mark.parametrize("point", POINTS)
async def test_what_customers_were_told_is_in_the_books(
    prepared: Prepared, home: Path, point: str, passage: int
) -> None:
    told = await serve_until_killed(home, prepared.key, f"{point}:kill:{passage}")
    assert await problems_after(home, told) == []


async def test_an_answer_before_its_commit_would_be_caught(prepared: Prepared, home: Path) -> None:
    """The planted bug: settlements are acknowledged before they are durable."""
    told = await serve_until_killed(home, prepared.key, "log.write:kill:20", "ack_before_commit")
    assert any("not in the books" in problem for problem in await problems_after(home, told))
