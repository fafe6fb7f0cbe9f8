"""Entity tags keep two people from overwriting each other; a call sent twice under one key changes one thing."""

import asyncio

import pytest
from tests.server.admin.conftest import connect

from mintage.accounts import COOKIE


async def read(client, path):
    answer = await client.get(f"/admin/v1{path}")
    assert answer.status_code == 200
    return answer.headers["etag"], answer.json()


async def test_a_reader_who_has_it_is_told_so(admin, acme):
    tag, _ = await read(admin, "/customers/acme-labs")
    for asked in (tag, f'"other", W/{tag}', "*"):
        again = await admin.get("/admin/v1/customers/acme-labs", headers={"if-none-match": asked})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    await admin.ok("PATCH", "/customers/acme-labs", json={"country": "DE"})
    changed = await admin.get("/admin/v1/customers/acme-labs", headers={"if-none-match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag
    assert changed.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize(
    ("path", "first", "second"),
    [
        ("/customers/acme-labs", {"country": "DE"}, {"country": "FR"}),
        ("/customers/acme-labs/projects/default", {"budget_nanos": 5}, {"budget_nanos": None}),
        ("/customers/acme-labs/keys/KEY", {"name": "one"}, {"name": "two"}),
        ("/customers/acme-labs/users/ada@acme.example", {"role": "admin"}, {"role": "member"}),
        ("/staff/bob@mint.example", {"role": "viewer"}, {"role": "support"}),
        ("/entity", {"country": "DE"}, {"country": "FR"}),
    ],
)
async def test_the_second_of_two_who_change_the_same_thing_is_refused(admin, acme, desk, path, first, second):
    key = await admin.ok("POST", "/customers/acme-labs/keys", json={"name": "web"})
    await admin.ok("POST", "/customers/acme-labs/users", json={"name": "Ada", "email": "ada@acme.example"})
    await admin.ok("POST", "/staff", json={"name": "Bob", "email": "bob@mint.example", "role": "finance"})
    path = path.replace("KEY", key["key"]["id"])
    tag, _ = await read(admin, path)
    desk.clock.advance(1)
    done = await admin.ok("PATCH", path, json=first, headers={"if-match": tag})
    before = desk.accounts.version()
    late = await admin.refused("PATCH", path, json=second, headers={"if-match": tag})
    assert (late["status"], late["code"]) == (412, "precondition_failed")
    assert desk.accounts.version() == before
    new_tag, now = await read(admin, path)
    assert now == done
    await admin.ok("PATCH", path, json=second, headers={"if-match": f'"other", {new_tag}'})
    await admin.ok("PATCH", path, json=first, headers={"if-match": "*"})
    await admin.ok("PATCH", path, json=second)


async def test_the_answer_to_a_change_has_the_tag_of_what_it_left(admin, acme):
    changed = await admin.patch("/admin/v1/customers/acme-labs", json={"country": "DE"})
    assert (await read(admin, "/customers/acme-labs"))[0] == changed.headers["etag"]


async def test_a_call_sent_twice_makes_one_key_and_shows_it_again_to_the_same_caller_only(
    admin, acme, app, desk, tmp_path
):
    path, new, once = "/admin/v1/customers/acme-labs/keys", {"name": "web"}, {"idempotency-key": "k-1"}
    first = await admin.post(path, json=new, headers=once)
    again = await admin.post(path, json=new, headers=once)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["etag"] == first.headers["etag"]
    assert len((await admin.ok("GET", "/customers/acme-labs/keys"))["items"]) == 1
    session = desk.accounts.sessions.begin(desk.accounts.staff.ensure_owner("test"))
    async with connect(app, cookie=f"{COOKIE}={session.token}", **{"x-csrf-token": session.csrf}) as other:
        theirs = await other.post(path, json=new, headers=once)
    assert theirs.json()["secret"] != first.json()["secret"]
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert first.json()["secret"].encode() not in file.read_bytes()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/customers", {"name": "Other"}),
        ("PATCH", "/customers/acme-labs", {"name": "New"}),
        ("POST", "/customers/acme-labs/projects", {"name": "New"}),
    ],
)
async def test_a_used_key_with_other_words_is_a_conflict(admin, acme, method, path, body):
    await admin.ok("POST", "/customers", json={"name": "New"}, headers={"idempotency-key": "k"})
    problem = await admin.refused(method, path, json=body, headers={"idempotency-key": "k"})
    assert (problem["code"], problem["status"]) == ("idempotency_conflict", 409)


async def test_a_failed_call_may_be_mended_under_its_key(admin, acme):
    once = {"idempotency-key": "k"}
    assert (await admin.refused("POST", "/customers", json={"name": ""}, headers=once))["code"] == "invalid_request"
    await admin.ok("POST", "/customers", json={"name": "Now right"}, headers=once)


async def test_two_calls_at_once_are_one(admin, acme):
    calls = [
        admin.post("/admin/v1/customers", json={"name": "Twin", "handle": "twin"}, headers={"idempotency-key": "k"})
        for _ in range(8)
    ]
    statuses = [answer.status_code for answer in await asyncio.gather(*calls)]
    assert 201 in statuses
    assert set(statuses) <= {201, 409}
    assert [t["handle"] for t in (await admin.ok("GET", "/customers", params={"search": "twin"}))["items"]] == ["twin"]


async def test_an_answer_is_kept_for_a_day(admin, acme, desk):
    once = {"idempotency-key": "k"}
    await admin.ok("POST", "/customers/acme-labs/keys", json={}, headers=once)
    desk.clock.advance(24 * 3600)
    await admin.ok("POST", "/customers/acme-labs/keys", json={}, headers=once)
    assert len((await admin.ok("GET", "/customers/acme-labs/keys"))["items"]) == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
async def test_a_key_that_is_none_is_refused(admin, acme, key):
    problem = await admin.refused("POST", "/customers", json={"name": "x"}, headers={"idempotency-key": key})
    assert (problem["code"], problem["param"]) == ("invalid_request", "Idempotency-Key")
