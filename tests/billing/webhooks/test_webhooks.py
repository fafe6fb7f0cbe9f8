"""Webhooks out: signed as receivers check it, tried again, dead in the end, replayed, and never sent inwards."""

import json

import pytest
from standardwebhooks import Webhook
from tests.billing.conftest import DAY_S

from mintage.base import MintageError
from mintage.billing.webhooks import BACKOFF_S, TYPES
from mintage.server import HttpServer

CENT = 10**16


class Receiver:
    def __init__(self):
        self.got, self.status = [], 200

    def take(self, request, exchange):
        self.got.append(({name.decode(): value.decode() for name, value in request.headers}, request.body))
        exchange.send(self.status, [(b"location", b"http://127.0.0.1:1/")])


@pytest.fixture
async def receiver():
    receiver = Receiver()
    server = HttpServer(routes={("POST", "/hook"): receiver.take})
    receiver.url = f"http://127.0.0.1:{await server.start('127.0.0.1', 0)}/hook"
    yield receiver
    await server.close(1)


@pytest.fixture
def hooks(desk):
    hooks = desk.billing.invoicing.webhooks
    hooks.allow_private = True
    return hooks


async def bill(desk, clock, tenant):
    await desk.use(tenant, 100 * CENT)
    clock.advance(31 * DAY_S)
    [invoice] = await desk.billing.closing.close("t", tenant)
    return invoice


async def test_a_receiver_checks_the_signature(desk, clock, hooks, receiver, postpaid):
    new = hooks.add("t", postpaid.id, receiver.url, ("invoice.finalised",))
    other = hooks.add("t", "cus_of_someone_else", receiver.url)
    invoice = await bill(desk, clock, postpaid)
    sender = desk.billing.invoicing.sender
    assert (await sender.run(), await sender.run()) == (1, 0)
    [(headers, body)] = receiver.got
    digest = Webhook(new.secret).sign(headers["webhook-id"], _at(headers), body.decode())
    assert headers["webhook-signature"] == digest
    told = json.loads(body)
    assert (told["type"], told["data"]["number"], told["tenant_id"]) == (
        "invoice.finalised",
        invoice.number,
        postpaid.id,
    )
    assert new.secret not in json.dumps(desk.accounts.changes.log().items, default=str)
    assert other.secret != new.secret


def _at(headers):
    from datetime import UTC, datetime

    return datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)


async def test_what_is_refused_is_tried_again_then_dead_then_replayed(desk, clock, hooks, receiver, postpaid):
    hooks.add("t", "", receiver.url)
    await bill(desk, clock, postpaid)
    sender = desk.billing.invoicing.sender
    receiver.status = 307
    for wait_s in (*BACKOFF_S, 0):
        assert await sender.run() == 0
        assert await sender.run() == 0
        clock.advance(wait_s)
    assert len(receiver.got) == len(BACKOFF_S) + 1
    [dead] = hooks.deliveries("dead")
    assert (dead.status, dead.problem) == (307, "answered 307")
    clock.advance(DAY_S)
    assert await sender.run() == 0
    receiver.status = 200
    assert hooks.replay("t", dead.message_id) == 1
    assert await sender.run() == 1
    assert {headers["webhook-id"] for headers, _ in receiver.got} == {dead.message_id}


INSIDE = ("http://example.com/x", "https://127.0.0.1/x", "https://[::1]/x", "ftp://x", "https://169.254.169.254/")


@pytest.mark.parametrize("url", INSIDE)
def test_no_endpoint_inside_the_house(desk, url):
    with pytest.raises(MintageError):
        desk.billing.invoicing.webhooks.add("t", "", url)


async def test_a_name_that_turns_inwards_later_is_not_called(desk, clock, hooks, receiver, postpaid):
    hooks.add("t", "", receiver.url.replace("127.0.0.1", "localhost"))
    hooks.allow_private = False
    await bill(desk, clock, postpaid)
    assert await desk.billing.invoicing.sender.run() == 0
    assert receiver.got == []
    [row] = hooks.deliveries("waiting")
    assert "private" in row.problem


def test_only_known_events_can_be_asked_for(desk):
    with pytest.raises(MintageError) as caught:
        desk.billing.invoicing.webhooks.add("t", "", "https://example.com/x", ("invoice.eaten",))
    assert caught.value.param == "types"
    assert all(text.endswith(".") for text in TYPES.values())
