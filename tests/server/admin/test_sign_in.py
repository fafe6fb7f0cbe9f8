"""Signing in over HTTP: cookies, the second factor, sign-up, and what attackers try at the door."""

import base64
import dataclasses

import msgspec
import pytest
from tests.server.admin.conftest import connect

from mintage.accounts import COOKIE, NewUser
from mintage.accounts.totp import STEP_S, code_at
from mintage.base.addresses import TrustedProxies, parse_networks
from mintage.server.admin import create_admin_app

PASSWORD = "a heron walks on stilts"
SIGN_UP = {"name": "Cy", "email": "cy@new.example", "password": PASSWORD, "company": "New & Co"}


@pytest.fixture
async def ada(admin, app, desk):
    """A member of staff with a password, signed in; her client sends cookie and CSRF token as a page does."""
    link = (await admin.ok("POST", "/staff/invitations", json={"name": "Ada", "email": "ada@mint.example"}))["link"]
    async with connect(app) as client:
        await sign_in(client, token=link["url"].rpartition("/")[2])
        await client.ok("PUT", "/session/password", json={"password": PASSWORD})
        yield client


async def sign_in(client, **given):
    answer = await client.post("/admin/v1/session", json=given)
    if answer.status_code == 201:
        client.headers["x-csrf-token"] = answer.json()["csrf"]
    return answer


def code_of(secret, clock, steps=0):
    raw = base64.b32decode(secret + "=" * (-len(secret) % 8))
    return code_at(raw, clock.now_ns() // (STEP_S * 10**9) + steps)


async def test_a_password_and_a_second_factor(ada, app, clock):
    begun = await ada.ok("POST", "/session/totp")
    codes = (await ada.ok("POST", "/session/totp/confirm", json={"code": code_of(begun["secret"], clock)}))["codes"]
    assert (await ada.ok("GET", "/session"))["credentials"] == {"password": True, "totp": True, "recovery_codes": 10}
    clock.advance(60)
    async with connect(app) as client:
        named = {"email": "ada@mint.example", "password": PASSWORD}
        assert (await sign_in(client, **named)).json()["details"] == {"needs": "code"}
        done = await sign_in(client, **named, code=code_of(begun["secret"], clock))
        assert done.json()["person"]["role"] == "owner"
        assert "HttpOnly; SameSite=Lax" in done.headers["set-cookie"]
        assert done.headers["cache-control"] == "no-store"
        assert (await sign_in(client, **named, code=codes[0])).status_code == 201
        assert (await client.ok("DELETE", "/session/totp", json={"code": codes[1]}))["totp"] is False


async def test_a_new_password_needs_the_old_one_and_ends_the_other_sessions(ada, app, clock):
    async with connect(app) as other:
        await sign_in(other, email="ada@mint.example", password=PASSWORD)
        new = {"password": "six herons dance at dusk"}
        assert (await other.refused("PUT", "/session/password", json=new))["param"] == "current"
        assert (await other.refused("PUT", "/session/password", json=new | {"current": "x"}))["status"] == 403
        await other.ok("PUT", "/session/password", json=new | {"current": PASSWORD})
        assert (await ada.refused("GET", "/session"))["code"] == "unauthenticated"
        rows = (await other.ok("GET", "/session/all"))["items"]
        assert [row["ended_ns"] is None for row in rows] == [True, False]
        assert (await other.ok("DELETE", f"/session/all/{rows[0]['id']}")) == {"sessions": 1}
        assert (await other.refused("GET", "/session"))["code"] == "unauthenticated"


async def test_guessing_at_the_door_is_answered_slower(ada, app):
    async with connect(app) as client:
        statuses = [(await sign_in(client, email="ada@mint.example", password="x" * n)).status_code for n in range(9)]
        assert statuses[:5] == [401] * 5
        assert 429 in statuses
        last = await sign_in(client, email="ada@mint.example", password=PASSWORD)
        assert last.status_code == 429
        assert int(last.headers["retry-after"]) >= 1


async def test_guessing_six_digits_is_answered_slower(ada, clock):
    await ada.ok("POST", "/session/totp")
    codes = [(await ada.refused("POST", "/session/totp/confirm", json={"code": "000000"}))["status"] for _ in range(9)]
    assert codes[:5] == [403] * 5
    assert 429 in codes


async def test_a_forged_address_of_a_stranger_does_not_count(app, desk):
    """Only a proxy that the operator trusts may say whose request it is; else each guess would have a new address."""
    for proxies, limited in ((TrustedProxies(), True), (TrustedProxies(parse_networks("127.0.0.0/8")), False)):
        own = create_admin_app(dataclasses.replace(desk, proxies=proxies))
        statuses = set()
        for number in range(8):
            async with connect(own, **{"x-forwarded-for": f"203.0.{number}.1"}) as client:
                statuses.add((await sign_in(client, email="nobody@x.example", password="guess")).status_code)
        assert (429 in statuses) == limited


async def test_a_planted_cookie_never_gets_rights(ada, app):
    async with connect(app, cookie=f"{COOKIE}=planted-by-someone-else-planted-planted") as victim:
        answer = await sign_in(victim, email="ada@mint.example", password=PASSWORD)
    assert "planted" not in answer.headers["set-cookie"]
    async with connect(app, cookie=f"{COOKIE}=planted-by-someone-else-planted-planted") as attacker:
        assert (await attacker.refused("GET", "/session"))["code"] == "unauthenticated"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"token": ""},
        {"email": "a@b.example"},
        {"email": "a@b.example", "password": "\ud800"},
        {"token": "x" * 5000},
    ],
)
async def test_nonsense_at_the_door_is_refused(app, given):
    async with connect(app) as client:
        raw = msgspec.json.encode({k: v for k, v in given.items() if v != "\ud800"})
        answer = await client.post("/admin/v1/session", content=raw)
    assert answer.status_code in (400, 401)


async def test_strangers_sign_up_where_the_operator_lets_them(app, desk, acme):
    async with connect(app) as client:
        assert (await client.refused("POST", "/sign-up", json=SIGN_UP))["code"] == "permission_denied"
    settings = msgspec.structs.replace(desk.settings, sign_up=True, sign_up_plan="payg")
    open_app = create_admin_app(dataclasses.replace(desk, settings=settings))
    async with connect(open_app) as client:
        answer = await client.post("/admin/v1/sign-up", json=SIGN_UP)
        assert answer.status_code == 201
        client.headers["x-csrf-token"] = answer.json()["csrf"]
        own = answer.json()["person"]["tenant_id"]
        assert answer.json()["person"]["role"] == "admin"
        key = await client.ok("POST", f"/customers/{own}/keys", json={"name": "first"})
        assert key["secret"].startswith("mk-")
        assert (await client.ok("GET", f"/customers/{own}/wallet"))["currency"] == "USD"
        assert (await client.refused("GET", f"/customers/{acme['id']}/wallet"))["code"] == "not_found"
        assert (await client.refused("GET", "/customers/acme-labs/keys"))["code"] == "not_found"
        assert (await client.refused("GET", "/customers"))["code"] == "permission_denied"
        codes = []
        for number in range(9):
            new = SIGN_UP | {"email": f"more{number}@new.example"}
            codes.append((await client.post("/admin/v1/sign-up", json=new)).status_code)
    assert 429 in codes


async def test_a_member_sees_and_an_admin_changes(app, desk, acme):
    user, _ = desk.accounts.users.invite("t", acme["id"], NewUser(name="Bo", email="bo@acme.example", role="member"))
    session = desk.accounts.sessions.begin(user)
    async with connect(app, cookie=f"{COOKIE}={session.token}", **{"x-csrf-token": session.csrf}) as bo:
        assert (await bo.ok("GET", "/customers/acme-labs"))["id"] == acme["id"]
        assert (await bo.refused("POST", "/customers/acme-labs/keys", json={}))["code"] == "permission_denied"
        assert (await bo.refused("POST", "/customers/acme-labs/users", json={}))["code"] == "permission_denied"


async def test_header_values_cannot_be_smuggled_in(admin, app, desk):
    """Names with line breaks are refused, and what a browser says of itself is stored without them."""
    for name in ("Acme\r\nset-cookie: x=1", "Acme\x00", "a\x1b[2J"):
        assert (await admin.refused("POST", "/customers", json={"name": name}))["param"] == "name"
    owner = desk.accounts.staff.ensure_owner("test")
    link = desk.accounts.staff.issue_link("test", owner.id)
    async with connect(app, **{"user-agent": "evil\x1b[2J agent"}) as client:
        await sign_in(client, token=link.token)
    [row] = desk.accounts.sessions.page(owner.id).items
    assert row.agent == "evil[2J agent"
