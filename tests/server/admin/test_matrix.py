"""Every endpoint with every role, a stranger, a customer's own people and another customer's: as the tables say.

Nothing here is written by hand per endpoint: what the application routes is compared with access.py and roles.py, and a
route that no line opens fails here by name.
"""

import re

import pytest
from tests.server.admin.conftest import TOKEN, connect

from mintage.accounts import COOKIE, CUSTOMER_ROLES, STAFF_ROLES, TABLE, NewKey, NewTenant, NewUser
from mintage.server.admin import PREFIX, live
from mintage.server.admin.access import ENDPOINTS, check_table

OWN, FOREIGN = "own", "foreign"
SECRETS = ("Acme Labs", "ops@acme.example", "acme-key", "acme-project", "ada@acme.example")


def routes(app):
    """(method, path template) of everything that is routed."""
    return sorted(
        (method, route.path_format.removeprefix(PREFIX))
        for route in app.routes
        if route.path.startswith(PREFIX)
        for method in route.methods
        if method != "OPTIONS"
    )


def test_the_table_is_sound_and_whole(app):
    check_table()
    routed = {f"{method} {path}" for method, path in routes(app)}
    assert routed - ENDPOINTS.keys() == set(), "routes without a line in server/admin/access.py"
    assert ENDPOINTS.keys() - routed == set(), "lines of server/admin/access.py without a route"


def may(line, role, whose):
    """What the two tables say of a role: for customers' people, on their own customer's path or another's."""
    access = ENDPOINTS[line]
    if access.signed_in or (access.staff is None and access.portal is None):
        return True
    wanted = access.staff if role in STAFF_ROLES else access.portal
    if wanted is None or role not in TABLE[wanted].roles:
        return False
    return role in STAFF_ROLES or whose == OWN


@pytest.fixture
def world(desk, acme, monkeypatch):
    """Acme with a key, a project, a person; a member of staff; and the values of paths that name them."""
    monkeypatch.setattr(live, "WATCHERS_MAX", 0)  # an open feed has no end: being told to wait is being let in
    accounts = desk.accounts
    rival = accounts.tenants.add("test", NewTenant(name="Rival"), currency="USD")
    accounts.tenants.add_project("test", acme["id"], "acme-project")
    key = accounts.keys.create("test", acme["id"], NewKey(name="acme-key")).key
    user, _ = accounts.users.invite("test", acme["id"], NewUser(name="Ada", email="ada@acme.example", role="admin"))
    person = accounts.staff.add("test", name="Someone", email="someone@mint.example", role="viewer")
    values = {"customer": "acme-labs", "key_id": key.id, "plan": "payg", "person": person.id, "user": user.id}
    values |= {"project": "acme-project"}
    return {"values": values, "acme": acme["id"], "rival": rival.id}


def signer(desk, world, role, whose):
    """A function that makes a fresh session of a person with this role."""
    accounts = desk.accounts
    if role in STAFF_ROLES:
        person = accounts.staff.add("test", name=f"The {role}", email=f"{role}@mint.example", role=role)
    else:
        tenant_id = world["acme" if whose == OWN else "rival"]
        email = f"{role}.{whose}@customer.example"
        person, _ = accounts.users.invite("test", tenant_id, NewUser(name=f"The {role}", email=email, role=role))
    return lambda: accounts.sessions.begin(person)


async def call(app, method, path, values, **headers):
    filled = re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: values.get(found[1], "x"), path)
    body = {} if method == "GET" else {"content": b"{}"}
    async with connect(app, **headers) as client:
        return await client.request(method, PREFIX + filled, **body)


WHO = [(role, OWN) for role in STAFF_ROLES] + [(role, whose) for role in CUSTOMER_ROLES for whose in (OWN, FOREIGN)]


@pytest.mark.parametrize(("role", "whose"), WHO, ids=lambda part: part)
async def test_each_role_is_let_in_or_not_as_the_tables_say(app, desk, world, role, whose):
    begin = signer(desk, world, role, whose)
    wrong = []
    for method, path in routes(app):
        line = f"{method} {path}"
        session = begin()
        headers = {"cookie": f"{COOKIE}={session.token}", "x-csrf-token": session.csrf}
        before = desk.accounts.version()
        answer = await call(app, method, path, world["values"], **headers)
        code = answer.json().get("code") if answer.status_code >= 400 else ""
        let_in = answer.status_code not in (401, 403)
        if not may(line, role, whose):
            refused = code in ("permission_denied", "not_found") and (code != "not_found" or whose == FOREIGN)
            leaked = [secret for secret in SECRETS if secret in answer.text]
            if not refused or leaked or desk.accounts.version() != before:
                wrong.append((line, "let in", answer.status_code, answer.text[:200], leaked))
        elif not let_in and line != "POST /sign-up":  # which says itself that signing up is off
            wrong.append((line, "kept out", answer.status_code, answer.text[:200]))
    assert wrong == []


async def test_strangers_are_let_in_nowhere_but_at_the_door(app, world):
    for method, path in routes(app):
        access = ENDPOINTS[f"{method} {path}"]
        open_to_all = not (access.staff or access.portal or access.signed_in)
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": TOKEN}, {"cookie": f"{COOKIE}=x"}):
            answer = await call(app, method, path, world["values"], **headers)
            if open_to_all:
                assert answer.status_code != 401
            else:
                assert answer.status_code == 401, (method, path, answer.text)
                assert answer.json()["code"] == "unauthenticated"
                assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_no_change_comes_through_without_the_sessions_own_csrf_token(app, desk, world):
    """A form of another site has the cookie and no token; a token of another session is as good as none."""
    begin = signer(desk, world, "owner", OWN)
    other = begin().csrf
    for method, path in routes(app):
        access = ENDPOINTS[f"{method} {path}"]
        if method == "GET" or not (access.staff or access.portal or access.signed_in):
            continue
        session, before = begin(), desk.accounts.version()
        for token in ({}, {"x-csrf-token": other}, {"x-csrf-token": "é".encode()}):
            answer = await call(app, method, path, world["values"], cookie=f"{COOKIE}={session.token}", **token)
            assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied"), (method, path)
        assert desk.accounts.version() == before


async def test_a_query_cannot_name_another_customer(app, desk, world):
    """Whatever a customer's person adds to the address of an own page, nothing of Acme comes out."""
    begin = signer(desk, world, "admin", FOREIGN)
    headers = {"cookie": f"{COOKIE}={begin().token}"}
    own = world["values"] | {"customer": "rival", "project": "default"}  # a refusal repeats the name that was asked for
    for method, path in routes(app):
        if method == "GET" and ENDPOINTS[f"GET {path}"].portal:
            extra = f"?customer=acme-labs&tenant_id={world['acme']}"
            answer = await call(app, method, path + extra, own, **headers)
            assert not [secret for secret in SECRETS if secret in answer.text], path
