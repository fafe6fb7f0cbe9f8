"""Signing in: a link works once, strangers see nothing, other sites can do nothing."""

from __future__ import annotations

import httpx
import pytest

from .world import World

PAGES = ["/console", "/console?period=week", "/console/live", "/console/session"]


async def test_a_link_signs_in_once(world: World, visitor: httpx.AsyncClient) -> None:
    link = world.link()
    fetched_ahead = await visitor.get(link)  # a mail scanner, a browser that guesses: uses nothing up
    assert fetched_ahead.status_code == 200 and link.rpartition("/")[2] in fetched_ahead.text
    first = await visitor.post("/console/sign-in", data={"token": link, "next": "/console?period=week"})
    assert (first.status_code, first.headers["location"]) == (303, "/console?period=week")
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie and "samesite=lax" in cookie.lower()
    assert (await visitor.get("/console")).status_code == 200
    async with httpx.AsyncClient(base_url=world.url, headers={"accept": "text/html"}) as second:
        again = await second.post("/console/sign-in", data={"token": link})
        assert again.status_code == 401
        assert 'data-reason="refused"' in again.text and "This link no longer works" in again.text
        assert "set-cookie" not in again.headers
        assert (await second.get("/console")).status_code == 303


@pytest.mark.parametrize(
    "pasted", ["", "x", "https://evil.example/console/sign-in/", "é" * 40, "a" * 3000, "../../etc"]
)
async def test_what_is_no_link_is_refused_clearly(visitor: httpx.AsyncClient, pasted: str) -> None:
    answer = await visitor.post("/console/sign-in", data={"token": pasted})
    assert answer.status_code in (401, 413)
    assert "set-cookie" not in answer.headers


async def test_a_stranger_is_sent_to_the_door(visitor: httpx.AsyncClient) -> None:
    for path in PAGES:
        answer = await visitor.get(path)
        assert answer.status_code == 303 and answer.headers["location"].startswith("/console/sign-in?next=/console")
        told = await visitor.get(path, headers={"accept": "application/json"})
        assert told.status_code == 401 and told.json()["code"] == "unauthenticated"
    piece = await visitor.get("/console", headers={"hx-request": "true"})
    assert (piece.status_code, piece.headers["hx-redirect"]) == (401, "/console/sign-in?reason=expired")
    for path in ("/console/playground", "/console/playground/req_1/stop"):
        assert (await visitor.post(path, json={})).status_code == 303
        assert (await visitor.post(path, json={}, headers={"accept": "*/*"})).status_code == 401


async def test_an_ended_session_is_told_as_ended(owner: httpx.AsyncClient, world: World) -> None:
    token = owner.cookies["mintage_session"]
    session = world.services.accounts.sessions.find(token)
    assert session is not None
    world.services.accounts.sessions.end(session)
    answer = await owner.get("/console?period=month")
    assert answer.headers["location"] == "/console/sign-in?reason=expired&next=/console%3Fperiod%3Dmonth"
    door = await owner.get(answer.headers["location"])
    assert "Your session has ended" in door.text and 'value="/console?period=month"' in door.text


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example",
        "/console/../v1",
        "/console?period=week\r\nx: y",
        "/\\evil",
        "/console/../x",
    ],
)
async def test_signing_in_leads_nowhere_else(world: World, visitor: httpx.AsyncClient, target: str) -> None:
    answer = await visitor.post("/console/sign-in", data={"token": world.link(), "next": target})
    assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    page = await visitor.get("/console/sign-in", params={"next": target})
    assert "evil" not in page.text


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
async def test_another_site_cannot_post(world: World, owner: httpx.AsyncClient, headers: dict[str, str]) -> None:
    for path in ("/console/sign-in", "/console/sign-out", "/console/playground"):
        answer = await owner.post(path, data={"token": "t"}, headers=headers)
        assert answer.status_code == 403
    assert (await owner.get("/console")).status_code == 200  # still signed in


async def test_signing_out_needs_the_pages_own_token_and_ends_the_session(
    owner: httpx.AsyncClient, world: World
) -> None:
    assert (await owner.post("/console/sign-out", data={"csrf": "wrong"})).status_code == 403
    token = owner.cookies["mintage_session"]
    session = world.services.accounts.sessions.find(token)
    assert session is not None
    answer = await owner.post("/console/sign-out", data={"csrf": session.csrf})
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/sign-in?reason=signed_out")
    assert world.services.accounts.sessions.find(token) is None
    assert (await owner.get("/console", headers={"cookie": f"mintage_session={token}"})).status_code == 303
