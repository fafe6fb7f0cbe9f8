"""Sign-in: links work once and briefly, sessions are digests, CSRF tokens belong to one session."""

import pytest

from mintage.accounts import PERMISSIONS, allows, session_cookie
from mintage.accounts.links import LINKS_OPEN_MAX
from mintage.base import MintageError


@pytest.fixture
def owner(accounts):
    return accounts.staff.ensure_owner("test")


def refusal(action):
    with pytest.raises(MintageError) as refused:
        action()
    return refused.value.code


def test_a_link_signs_in_once(accounts, owner):
    link = accounts.staff.issue_link("test", owner.id)
    session = accounts.sessions.redeem(link.token)
    assert session.staff == owner
    found = accounts.sessions.find(session.token)
    assert found == session
    assert refusal(lambda: accounts.sessions.redeem(link.token)) == "unauthenticated"


def test_a_link_dies_after_15_minutes(accounts, owner, clock):
    link = accounts.staff.issue_link("test", owner.id)
    late = accounts.staff.issue_link("test", owner.id)
    clock.advance(15 * 60 - 1)
    assert accounts.sessions.redeem(link.token)
    clock.advance(1)
    assert refusal(lambda: accounts.sessions.redeem(late.token)) == "unauthenticated"


def test_guesses_are_refused_without_a_trace(accounts, owner):
    before = accounts.version()
    for guess in ("", "x", "x" * 10_000, "é\x00"):
        assert refusal(lambda guess=guess: accounts.sessions.redeem(guess)) == "unauthenticated"
        assert accounts.sessions.find(guess) is None
    assert accounts.version() == before


def test_sessions_end_and_expire(accounts, owner, clock):
    first = accounts.sessions.redeem(accounts.staff.issue_link("t", owner.id).token)
    second = accounts.sessions.redeem(accounts.staff.issue_link("t", owner.id).token)
    accounts.sessions.end(first)
    assert accounts.sessions.find(first.token) is None
    assert accounts.sessions.find(second.token)
    clock.advance(12 * 3600)
    assert accounts.sessions.find(second.token) is None


def test_a_csrf_token_is_of_one_session(accounts, owner):
    first = accounts.sessions.redeem(accounts.staff.issue_link("t", owner.id).token)
    second = accounts.sessions.redeem(accounts.staff.issue_link("t", owner.id).token)
    accounts.sessions.check_csrf(first, first.csrf)
    for given in (None, "", second.csrf, first.token, "é"):
        assert refusal(lambda given=given: accounts.sessions.check_csrf(first, given)) == "permission_denied"


def test_open_links_are_limited(accounts, owner, clock):
    for _ in range(LINKS_OPEN_MAX):
        accounts.staff.issue_link("t", owner.id)
    assert refusal(lambda: accounts.staff.issue_link("t", owner.id)) == "conflict"
    clock.advance(15 * 60)
    assert accounts.staff.issue_link("t", owner.id)


def test_nothing_stored_signs_in(accounts, owner, database):
    link = accounts.staff.issue_link("t", owner.id)
    unused = accounts.staff.issue_link("t", owner.id)
    session = accounts.sessions.redeem(link.token)
    with database.read() as connection:
        dump = "\n".join(connection.connection.driver_connection.iterdump())
    for token in (link.token, unused.token, session.token, session.csrf):
        assert token not in dump


def test_the_cookie_is_http_only_lax_and_secure_over_tls():
    assert session_cookie("t", secure=True).endswith("; Path=/; HttpOnly; SameSite=Lax; Max-Age=43200; Secure")
    assert "Secure" not in session_cookie("t", secure=False)


def test_the_owner_may_do_everything_and_an_unknown_role_nothing(accounts, owner):
    assert owner == accounts.staff.ensure_owner("test")
    assert all(allows("owner", permission) for permission in PERMISSIONS if not permission.startswith("portal."))
    assert not any(allows("owner", permission) for permission in PERMISSIONS if permission.startswith("portal."))
    assert not any(allows("intern", permission) for permission in PERMISSIONS)
    assert not allows("owner", "everything")
    assert refusal(lambda: accounts.staff.add("t", name="x", email="x@y.example", role="root")) == "invalid_request"
    assert refusal(lambda: accounts.staff.add("t", name="x", email="OWNER@localhost")) == "conflict"
