"""The live feed: every watcher sees what ends, a slow one loses the oldest and is told, none slows the log."""

import json

import pytest

from mintage.base import MintageError
from mintage.server.admin import live


async def next_event(events):
    while True:
        text = (await anext(events)).decode()
        if not text.startswith(":"):
            fields = dict(line.split(": ", 1) for line in text.strip().splitlines())
            return fields["event"], json.loads(fields["data"])


async def test_a_watcher_sees_charge_cost_and_margin(desk, admin, acme, use):
    events = desk.live.watch()
    assert await anext(events) == b": live\n\n"
    receipt = await use(acme["id"], 1000)
    kind, data = await next_event(events)
    assert (kind, data["request_id"], data["usage"]) == ("request", receipt.hold_id, {"output_tokens": 1000})
    assert (data["charge_nanos"], data["cost_nanos"], data["margin_nanos"]) == (600_000, 100_000, 500_000)
    await events.aclose()


async def test_a_slow_watcher_is_told_what_it_missed(desk, admin, acme, use, monkeypatch):
    monkeypatch.setattr(live, "WAITING_MAX", 3)
    events = desk.live.watch()
    await anext(events)
    for _ in range(5):
        await use(acme["id"], 1)
    assert await next_event(events) == ("lost", {"requests": 2})
    assert [(await next_event(events))[0] for _ in range(3)] == ["request"] * 3
    await events.aclose()


async def test_watchers_are_limited_and_leave(desk, monkeypatch):
    monkeypatch.setattr(live, "WATCHERS_MAX", 1)
    events = desk.live.watch()
    await anext(events)
    with pytest.raises(MintageError) as refused:
        desk.live.watch()
    assert refused.value.code == "rate_limited"
    await events.aclose()
    again = desk.live.watch()
    await anext(again)
    await again.aclose()
