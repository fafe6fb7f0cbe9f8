"""Hostile requests on the endpoints that earn money: a JSON error or a closed connection, and the shop stays well.

A failure names the seed and the number of the case: `Maker(seed, keys).case(number)` is that request again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import psutil
import pytest
from tests.acceptance.conftest import HERE, Provider, Shop, process
from tests.acceptance.hostile import MEGABYTE, Case, Maker

SEED: Final = int(os.environ.get("FUZZ_SEED", "20260801"))
ANSWER_S: Final = 20.0
GROWTH_MEGABYTES: Final = 30
CONNECTIONS: Final = 8
# The only failures of ours that a caller can bring about: what stands behind the model failed.
UPSTREAM: Final = {502: {"upstream_failed"}, 504: {"upstream_timeout"}}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool


class Client:
    """One connection at a time, kept alive as long as the server keeps it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, case: Case) -> Answer | None:
        """What was answered; None when the connection was closed without an answer."""
        if self._writer is None or self._writer.is_closing():
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=MEGABYTE)
        assert self._reader is not None
        answer = None
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            self._writer.write(case.raw)
            if not case.framed:  # more is awaited, perhaps: there will be none
                self._writer.write_eof()
            answer = await self._read(self._reader, head_only=case.head_only)
        if answer is None or not answer.whole or not case.framed or answer.headers.get("connection") == "close":
            self.close()
        return answer

    def close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None

    @staticmethod
    async def _read(reader: asyncio.StreamReader, *, head_only: bool) -> Answer:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        if first.split()[1] == "100":
            return await Client._read(reader, head_only=head_only)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body, whole = b"", True
        if "content-length" in headers and not head_only:
            body = await reader.readexactly(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked" and not head_only:
            body, whole = await _read_chunks(reader)
        return Answer(int(first.split()[1]), headers, body, whole)


async def _read_chunks(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    body = b""
    try:
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):
        return body, False  # cut: the one way to tell a reader of a stream that it failed
    return body, True


def judge(case: Case, answer: Answer | None) -> str:
    """What the answer was, for the count. Fails on whatever a caller must never see."""
    if answer is None:
        assert not case.framed, "a whole request within the limits was not answered"
        return "closed"
    status, headers, body, whole = answer
    if case.head_only:
        assert 200 <= status < 500
        return f"{status} without body"
    if status == 200 and headers["content-type"].startswith("text/event-stream"):
        _judge_stream(body, whole)
        return "200 stream"
    assert whole
    assert headers["content-type"] == "application/json", headers
    content = json.loads(body)
    if status == 200:
        assert content["object"] in {"chat.completion", "text_completion", "list"}, content
        return "200"
    _judge_error(content)
    assert 400 <= status < 500 or content["error"]["code"] in UPSTREAM.get(status, ()), (status, content)
    return f"{status} {content['error']['code']}"


def _judge_error(content: dict[str, Any]) -> None:
    error = content["error"]
    assert {"message", "type", "param", "code"} == set(error), error
    assert isinstance(error["message"], str)
    assert error["message"]
    assert "Traceback" not in error["message"]
    assert 'File "' not in error["message"]


def _judge_stream(body: bytes, whole: bool) -> None:
    """Events of JSON, and then either the end that the protocol has or an error and a cut connection."""
    *events, rest = body.split(b"\n\n")
    assert rest == b""
    data = [event.removeprefix(b"data: ") for event in events if event.startswith(b"data: ")]
    if data[-1] == b"[DONE]":
        assert whole
        del data[-1]
        assert all("choices" in json.loads(one) for one in data)
    else:
        _judge_error(json.loads(data[-1]))
        assert not whole


class Victim:
    """A shop of this test's own: what is in its books in the end is what the hostile requests did."""

    def __init__(self, home: Path, opened: dict[str, Any], provider: Provider) -> None:
        self.home = home
        self.shop = Shop(opened["url"], opened["keys"], provider, home)
        self.port = httpx.URL(opened["url"]).port or 0
        self._process = psutil.Process(json.loads((home / "server.json").read_bytes())["pid"])

    def megabytes(self) -> float:
        return self._process.memory_info().rss / MEGABYTE

    def normal(self) -> None:
        answer = httpx.post(
            f"{self.shop.base_url}/chat/completions",
            json={"model": "say", "messages": [{"role": "user", "content": "Hello!"}]},
            headers={"authorization": f"Bearer {self.shop.keys['rich']}"},
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"][0]["message"]["content"] == "Hello, wörld 你好 😀"
        assert self.shop.receipt(answer.headers["x-request-id"])["charge_nanos"] > 0


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    with process(str(HERE / "upstream.py")) as provider:
        with process(str(HERE / "shop.py"), str(tmp_path), provider["url"]) as opened:
            yield Victim(tmp_path, opened, Provider(provider["url"]))
        script = str(Path(sys.executable).with_name("mintage"))
        verified = subprocess.run(
            [script, "books", "verify", "--home", str(tmp_path), "--json"], capture_output=True, text=True, check=False
        )
        assert verified.returncode == 0, verified.stdout + verified.stderr
        report = json.loads(verified.stdout)
        assert (report["balanced"], report["difference_nanos"], report["holds_open"]) == (True, 0, 0)


async def abuse(victim: Victim, total: int) -> Counter[str]:
    """Send the cases over a few connections at once; count what was answered."""
    keys = victim.shop.keys
    maker = Maker(SEED, [keys["rich"], keys["rich"], keys["shaped"], keys["poor"]])
    numbers = iter(range(total))
    seen: Counter[str] = Counter()

    async def work() -> None:
        client = Client(victim.port)
        for number in numbers:
            case = maker.case(number)
            try:
                async with asyncio.timeout(ANSWER_S):
                    answer = await client.ask(case)
                seen[judge(case, answer)] += 1
            except Exception as error:
                error.add_note(f"seed {SEED}, case {number} ({case.kind}): {case.raw[:2_000]!r}")
                raise
        client.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(work())
    return seen


async def endure(victim: Victim, total: int) -> None:
    await asyncio.to_thread(victim.normal)
    before = victim.megabytes()
    seen = await abuse(victim, total)
    await asyncio.to_thread(victim.normal)
    await asyncio.to_thread(victim.shop.wait_until_idle)
    growth = victim.megabytes() - before
    print(f"{total} hostile requests: {dict(seen.most_common())}; {growth:.1f} MB more than {before:.0f} MB")
    assert growth < GROWTH_MEGABYTES
    assert seen.total() == total
    # The cases reach what they are meant to reach: some pass, some fail behind us, the rest is refused by name.
    for expected in ("200", "200 stream", "400 invalid_json", "404 model_not_found", "413 payload_too_large"):
        assert seen[expected], expected
    for expected in ("429 insufficient_quota", "431 headers_too_large", "401 invalid_api_key", "502 upstream_failed"):
        assert seen[expected], expected


async def test_hostile_requests_get_a_typed_error_and_do_no_harm(victim: Victim) -> None:
    await endure(victim, 1_500)


@pytest.mark.soak
async def test_a_hundred_thousand_hostile_requests(victim: Victim) -> None:
    await endure(victim, 100_000)
