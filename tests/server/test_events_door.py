"""POST /v1/events over real sockets: durable when answered, once however often it is sent, whole or not at all."""

import hashlib
import json

import httpx
import pytest

from mintage.base import MintageError, SystemClock
from mintage.billing import EventIntake
from mintage.books import CommitLog
from mintage.gateway import Caller, Gateway, KeyLimits, Snapshot
from mintage.pricing import compile_plan, freeze_plan, load_plan
from mintage.server import HttpServer
from mintage.server.events_door import EventsDoor

PLAN = b'id = "p"\nname = { en = "P" }\ncurrency = "USD"\n[[prices]]\nmodel = "*"\nrequests.per_unit = "1"\n'
TIME = "2026-11-01T12:00:00Z"


@pytest.fixture
async def log(tmp_path):
    log = CommitLog.open(tmp_path / "log.db", clock=SystemClock())
    yield log
    await log.close()


@pytest.fixture
async def client(log):
    card = compile_plan(freeze_plan(load_plan(PLAN), applied_ns=0))
    gateway = Gateway(log, SystemClock(), hold_lease_s=900)
    callers = {
        hashlib.sha256(name.encode()).digest(): Caller(
            key_id=name,
            tenant_id=f"cus_{name}",
            project_id="prj",
            wallet_id="",
            currency="USD",
            card=card,
            policies=card.policies,
            limits=KeyLimits(None, None),
        )
        for name in ("one", "two")
    }
    blocked = {hashlib.sha256(b"off").digest(): MintageError("permission_denied", "Suspended.", "Pay.")}
    gateway.snapshot = Snapshot(1, callers, {}, blocked)
    server = HttpServer(routes=EventsDoor(gateway, EventIntake(log, SystemClock())).routes())
    port = await server.start("127.0.0.1", 0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        yield client
    await server.close(1)


def event(name="e1", **more):
    return {"id": name, "time": TIME, "values": {"requests": 1}, **more}


async def send(client, body, key="one", media="application/json"):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await client.post(
        "/v1/events", content=raw, headers={"authorization": f"Bearer {key}", "content-type": media}
    )


def kept(log):
    return [(entry.body.event.tenant_id, entry.body.event.id) for entry in log.entries(0, 1000)]


async def test_events_are_durable_when_answered_and_counted_once(client, log):
    first = await send(client, [event("e1"), event("e2")])
    assert (first.status_code, first.json()) == (200, {"accepted": 2, "duplicates": 0})
    assert kept(log) == [("cus_one", "e1"), ("cus_one", "e2")]
    again = await send(client, b"\n".join(json.dumps(event(n)).encode() for n in ("e2", "e3")), "one", "text/csv")
    assert again.status_code == 400
    again = await send(
        client, b"\n".join(json.dumps(event(n)).encode() for n in ("e2", "e3")), media="application/x-ndjson"
    )
    assert again.json() == {"accepted": 1, "duplicates": 1}
    other = await send(client, event("e1"), "two")
    assert other.json() == {"accepted": 1, "duplicates": 0}
    assert len(kept(log)) == 4


async def test_the_same_id_with_another_payload_refuses_the_whole_body(client, log):
    await send(client, event("e1"))
    answer = await send(client, [event("e0"), event("e1", model="other"), event("e2")])
    assert answer.status_code == 409
    error = answer.json()["error"]
    assert (error["code"], error["details"]) == ("conflict", {"ids": ["e1"]})
    assert "supersedes" in error["hint"]
    assert kept(log) == [("cus_one", "e1")]
    whole = await send(client, [event("e0"), event("e1"), event("e2")])
    assert whole.json() == {"accepted": 2, "duplicates": 1}


async def test_two_payloads_of_one_id_in_one_body_conflict(client, log):
    answer = await send(client, [event("e1"), event("e1", model="m")])
    assert answer.status_code == 409
    assert kept(log) == []


@pytest.mark.parametrize(
    ("body", "media", "status", "param"),
    [
        ([event("a"), {"id": "b", "time": "now"}], "application/json", 400, "[1].time"),
        (b"{", "application/json", 400, None),
        (b"id,time\nx,2026-11-01T12:00:00Z\ny,\n", "text/csv", 400, "line 3"),
        (b"<e/>", "application/xml", 415, None),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_kept(client, log, body, media, status, param):
    answer = await send(client, body, media=media)
    assert answer.status_code == status
    assert answer.json()["error"]["param"] == param
    assert kept(log) == []


async def test_only_good_keys_report(client, log):
    assert (await send(client, event(), "wrong")).status_code == 401
    assert (await client.post("/v1/events", json=event())).status_code == 401
    assert (await send(client, event(), "off")).status_code == 403
    assert kept(log) == []
