"""Who may call: nobody without a token or session, no form of another site, no role without the permission."""

import msgspec

from mintage.server.admin.api import MODULES

ROUTES = [
    (method, handler)
    for module in MODULES
    for handler in module.HANDLERS
    for method in sorted(str(method) for method in handler.http_methods if str(method) != "OPTIONS")
]


def test_every_call_says_what_it_does():
    for _, handler in ROUTES:
        assert handler.fn.__doc__, handler


async def signed_in(app, admin, stranger):
    link = await admin.ok("POST", "/staff/owner/links")
    assert link["url"].startswith("http://mint.example/console/sign-in/")
    token = link["url"].rpartition("/")[2]
    answer = await stranger.post("/admin/v1/session", json={"token": token})
    assert answer.status_code == 201
    assert "HttpOnly; SameSite=Lax" in answer.headers["set-cookie"]
    assert "Secure" not in answer.headers["set-cookie"]  # this desk is served over plain HTTP
    assert (await stranger.refused("POST", "/session", json={"token": token}))["code"] == "unauthenticated"
    return answer.json()


async def test_a_session_reads_freely_and_writes_with_its_csrf_token(app, admin, stranger):
    session = await signed_in(app, admin, stranger)
    assert await stranger.ok("GET", "/session") == session
    assert (await stranger.ok("GET", "/customers"))["items"] == []
    new = {"name": "Via page"}
    for headers in ({}, {"x-csrf-token": "guess"}):
        problem = await stranger.refused("POST", "/customers", json=new, headers=headers)
        assert problem["code"] == "permission_denied"
    await stranger.ok("POST", "/customers", json=new, headers={"x-csrf-token": session["csrf"]})
    newest = (await admin.ok("GET", "/audit", params={"limit": 1}))["items"][0]
    assert newest["actor"] == f"staff:{session['person']['id']}"
    await stranger.ok("DELETE", "/session", headers={"x-csrf-token": session["csrf"]})
    assert (await stranger.refused("GET", "/customers"))["code"] == "unauthenticated"


async def test_a_role_without_the_permission_is_denied(app, admin, stranger, desk):
    session = await signed_in(app, admin, stranger)
    with desk.database.write() as connection:
        connection.exec_driver_sql("UPDATE staff SET role = 'intern'")
    assert (await stranger.refused("GET", "/customers"))["code"] == "permission_denied"
    assert await stranger.ok("DELETE", "/session", headers={"x-csrf-token": session["csrf"]})  # anyone may leave


async def test_the_token_has_no_session(admin):
    assert (await admin.refused("GET", "/session"))["code"] == "not_found"


async def test_the_description_is_open_and_complete(stranger):
    document = await stranger.ok("GET", "/openapi.json")
    assert document["openapi"].startswith("3.1")
    operations = {
        (path, method): operation for path, item in document["paths"].items() for method, operation in item.items()
    }
    assert len(operations) == len(ROUTES)
    for (path, method), operation in operations.items():
        assert operation["description"], path
        assert operation["responses"]["default"]["content"]["application/problem+json"], (path, method)
    body = operations["/admin/v1/customers", "post"]["requestBody"]["content"]["application/json"]["schema"]
    name = body["$ref"].rpartition("/")[2]
    assert set(document["components"]["schemas"][name]["properties"]) >= {"name", "currency", "time_zone"}
    references = {
        part.split('"')[0] for part in msgspec.json.encode(document).decode().split("#/components/schemas/")[1:]
    }
    assert references <= set(document["components"]["schemas"])
