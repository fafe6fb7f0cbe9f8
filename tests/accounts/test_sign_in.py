"""Passwords, second factors, brute force, fixation, idle sessions: who gets in, and who does not."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.accounts import SESSION_IDLE_S, Caller, NewUser, SignUp, StaffUpdate, TenantUpdate, UserUpdate
from mintage.accounts.throttle import ENTRIES_MAX, Throttle, network_of
from mintage.accounts.totp import STEP_S, code_at, matching_step, text_of
from mintage.base import ManualClock, MintageError

PASSWORD = "a heron walks on stilts"
HERE = Caller(address="203.0.113.7", agent="test")
THERE = Caller(address="198.51.100.9")


@pytest.fixture
def ada(accounts):
    member = accounts.staff.add("test", name="Ada", email="ada@mint.example", role="finance")
    accounts.credentials.set_password(member, PASSWORD)
    return member


def refusal(action):
    with pytest.raises(MintageError) as refused:
        action()
    return refused.value


def sign_in(accounts, password=PASSWORD, code="", email="ada@mint.example", caller=HERE):
    return accounts.sessions.sign_in(email, password, code, caller)


# RFC 6238, appendix B: the last six digits of the eight that it lists for SHA-1.
RFC_SECRET = b"12345678901234567890"


@pytest.mark.parametrize(
    ("at_s", "code"),
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (2000000000, "279037")],
)
def test_codes_are_those_of_the_rfc(at_s, code):
    assert code_at(RFC_SECRET, at_s // STEP_S) == code
    assert matching_step(RFC_SECRET, code, at_s * 10**9, after=0) == at_s // STEP_S
    assert text_of(RFC_SECRET) == "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"


@given(st.integers(2, 10**8), st.integers(-4, 4), st.integers(0, 29))
def test_a_code_counts_within_a_step_of_now_and_never_again(step, off, second):
    at_ns = (step * STEP_S + second) * 10**9
    found = matching_step(RFC_SECRET, code_at(RFC_SECRET, max(0, step + off)), at_ns, after=-1)
    if abs(off) <= 1:
        assert found in (step - 1, step, step + 1)
        assert code_at(RFC_SECRET, found) == code_at(RFC_SECRET, step + off)
        assert matching_step(RFC_SECRET, code_at(RFC_SECRET, step + off), at_ns, after=step + 1) is None
    else:
        near = {code_at(RFC_SECRET, step + d) for d in (-1, 0, 1)}
        assert found is None or code_at(RFC_SECRET, max(0, step + off)) in near


@pytest.mark.parametrize("text", ["", "12345", "1234567", "abcdef", "１２３４５６", "12 34 5", "-12345"])
def test_what_is_no_code_matches_nothing(text):
    assert matching_step(RFC_SECRET, text, 59 * 10**9, after=-1) is None


def test_a_password_signs_in_and_a_wrong_one_says_nothing(accounts, ada):
    session = sign_in(accounts, email=" ada@MINT.example".strip())
    assert (session.person.id, session.method) == (ada.id, "password")
    wrong = refusal(lambda: sign_in(accounts, "another thing entirely"))
    unknown = refusal(lambda: sign_in(accounts, email="nobody@mint.example"))
    assert (wrong.code, wrong.message, wrong.hint) == (unknown.code, unknown.message, unknown.hint)
    assert wrong.code == "unauthenticated"
    for password in ("", "x" * 10_000, "\ud800"):
        assert refusal(lambda p=password: sign_in(accounts, p)).code == "unauthenticated"


def test_the_second_factor_is_asked_for_and_its_code_works_once(accounts, ada, clock):
    begun = accounts.credentials.begin_totp(ada, "Mint & Co")
    assert begun.uri.startswith("otpauth://totp/Mint%20%26%20Co:ada%40mint.example?secret=" + begun.secret)
    assert sign_in(accounts)  # not confirmed yet
    secret = accounts.vault.unseal(f"totp/{ada.id}", _sealed(accounts, ada))
    now_step = clock.now_ns() // (STEP_S * 10**9)
    assert refusal(lambda: accounts.credentials.confirm_totp(ada, "000000")).code == "permission_denied"
    codes = accounts.credentials.confirm_totp(ada, code_at(secret, now_step)).codes
    assert accounts.credentials.state(ada.id).recovery_codes == len(codes) == 10
    missing = refusal(lambda: sign_in(accounts))
    assert (missing.code, missing.details) == ("unauthenticated", {"needs": "code"})
    assert refusal(lambda: sign_in(accounts, "wrong words entirely")).details == {}  # who guesses learns nothing
    assert refusal(lambda: sign_in(accounts, code=code_at(secret, now_step))).code == "unauthenticated"  # used
    clock.advance(STEP_S)
    assert sign_in(accounts, code=code_at(secret, now_step + 1))
    assert refusal(lambda: sign_in(accounts, code=code_at(secret, now_step + 1))).code == "unauthenticated"
    assert sign_in(accounts, code=codes[3].upper().replace("-", " "))
    clock.advance(60)
    assert refusal(lambda: sign_in(accounts, code=codes[3])).code == "unauthenticated"
    assert accounts.credentials.state(ada.id).recovery_codes == 9
    accounts.credentials.remove_totp(ada, codes[0])
    assert sign_in(accounts)


def _sealed(accounts, person):
    return accounts.credentials._row(person.id)["totp_sealed"]


def test_one_code_at_two_doors_at_once_opens_one(accounts, ada, clock):
    accounts.credentials.begin_totp(ada, "Mint")
    secret = accounts.vault.unseal(f"totp/{ada.id}", _sealed(accounts, ada))
    step = clock.now_ns() // (STEP_S * 10**9)
    accounts.credentials.confirm_totp(ada, code_at(secret, step - 1))
    results = []

    def attempt():
        try:
            results.append(bool(sign_in(accounts, code=code_at(secret, step))))
        except MintageError as error:
            results.append(error.code)

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count(True) == 1
    assert set(results) == {True, "unauthenticated"}


def test_guessing_gets_slower_and_slower_and_a_link_still_works(accounts, ada, clock):
    waits = []
    for _ in range(40):
        error = refusal(lambda: sign_in(accounts, "guess after guess"))
        if error.code == "rate_limited":
            waits.append(error.retry_after_s)
            clock.advance(error.retry_after_s)
    assert waits[0] == pytest.approx(1)
    assert max(waits) == pytest.approx(15 * 60)
    assert waits == sorted(waits)
    locked = refusal(lambda: sign_in(accounts, "guess after guess"))
    assert locked.code in ("rate_limited", "unauthenticated")
    assert refusal(lambda: sign_in(accounts)).code == "rate_limited"  # the right one, too, from there
    assert sign_in(accounts, caller=THERE)  # Ada herself is elsewhere
    assert accounts.sessions.redeem(accounts.staff.issue_link("test", ada.id).token, HERE)


def test_one_address_that_tries_many_people_is_slowed_down_as_one(clock):
    throttle = Throttle(clock)
    for number in range(30):
        throttle.check(f"person{number}@x.example", "2001:db8:1:2::1")
        throttle.failed(f"person{number}@x.example", f"2001:db8:1:2::{number:x}")
    assert refusal(lambda: throttle.check("another@x.example", "2001:db8:1:2:ffff::9")).code == "rate_limited"
    throttle.check("another@x.example", "2001:db8:1:3::1")
    assert network_of("nonsense") == "?"


def test_many_addresses_at_one_account_are_slowed_down_too(clock):
    throttle = Throttle(clock)
    for number in range(50):
        throttle.failed("ada@mint.example", f"198.51.{number}.1")
    assert refusal(lambda: throttle.check("ADA@mint.example ", "203.0.113.1")).code == "rate_limited"
    clock.advance(2)
    throttle.check("ada@mint.example", "203.0.113.1")


def test_the_memory_of_failures_is_bounded():
    clock = ManualClock()
    throttle = Throttle(clock)
    for number in range(ENTRIES_MAX // 3 + 1):
        throttle.failed(f"p{number}@x.example", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert refusal(lambda: throttle.check("new@x.example", "192.0.2.1")).code == "rate_limited"
    clock.advance(3601)
    throttle.check("new@x.example", "192.0.2.1")


def test_signing_in_makes_a_new_token_and_ends_the_one_before(accounts, ada):
    """Fixation: a token that someone planted in the browser is never the one that gets rights."""
    planted = accounts.sessions.redeem(accounts.staff.issue_link("test", ada.id).token, HERE)
    session = sign_in(accounts, caller=Caller(address="203.0.113.7", replaces=planted.token))
    assert session.token != planted.token
    assert session.csrf != planted.csrf
    assert accounts.sessions.find(planted.token) is None
    invented = sign_in(accounts, caller=Caller(replaces="A" * 43))
    assert invented.token != "A" * 43
    assert accounts.sessions.find("A" * 43) is None


def test_idle_sessions_end_and_a_page_by_itself_keeps_none_awake(accounts, ada, clock):
    used, watched = sign_in(accounts), sign_in(accounts)
    for _ in range(3):
        clock.advance(SESSION_IDLE_S * 0.6)
        assert accounts.sessions.find(used.token)
        accounts.sessions.find(watched.token, touch=False)
    assert accounts.sessions.find(watched.token) is None
    clock.advance(SESSION_IDLE_S)
    assert accounts.sessions.find(used.token) is None


def test_a_new_role_counts_at_once_and_disabling_ends_everything(accounts, ada):
    session, link = sign_in(accounts), accounts.staff.issue_link("test", ada.id)
    accounts.staff.update("test", ada.id, StaffUpdate(role="viewer"))
    assert accounts.sessions.find(session.token).role == "viewer"
    accounts.staff.update("test", ada.id, StaffUpdate(disabled=True))
    assert accounts.sessions.find(session.token) is None
    assert refusal(lambda: sign_in(accounts)).code == "unauthenticated"
    accounts.staff.update("test", ada.id, StaffUpdate(disabled=False))
    assert accounts.sessions.find(session.token) is None
    assert refusal(lambda: accounts.sessions.redeem(link.token)).code == "unauthenticated"
    assert sign_in(accounts)


def test_the_last_owner_stays(accounts):
    owner = accounts.staff.ensure_owner("test")
    for update in (StaffUpdate(disabled=True), StaffUpdate(role="viewer")):
        assert refusal(lambda u=update: accounts.staff.update("test", owner.id, u)).code == "conflict"
    second = accounts.staff.add("test", name="Second", email="second@mint.example")
    accounts.staff.update("test", owner.id, StaffUpdate(role="viewer"))
    assert refusal(lambda: accounts.staff.update("test", second.id, StaffUpdate(disabled=True))).code == "conflict"


@pytest.mark.parametrize(
    "password",
    ["short words", "x" * 257, "aaaaaaaaaaaaaaaa", "password password", "qwertyqwerty1", "123456789 123456789"],
)
def test_what_everyone_tries_first_is_no_password(accounts, ada, password):
    error = refusal(lambda: accounts.credentials.set_password(ada, password))
    assert (error.code, error.param) == ("invalid_request", "password")
    assert sign_in(accounts)


def test_nothing_stored_is_a_password_or_a_code(accounts, ada, database):
    accounts.credentials.begin_totp(ada, "Mint")
    secret = accounts.vault.unseal(f"totp/{ada.id}", _sealed(accounts, ada))
    clock_step = accounts.changes.clock.now_ns() // (STEP_S * 10**9)
    codes = accounts.credentials.confirm_totp(ada, code_at(secret, clock_step)).codes
    with database.read() as connection:
        dump = "\n".join(connection.connection.driver_connection.iterdump())
    assert "$argon2id$" in dump
    for hidden in (PASSWORD, secret.hex().upper(), text_of(secret), *codes):
        assert hidden not in dump


def test_a_customers_person_comes_by_invitation_and_sees_one_customer(accounts, acme, rival):
    user, link = accounts.users.invite("test", acme.id, NewUser(name="Bo", email="Bo@acme.example", role="admin"))
    session = accounts.sessions.redeem(link.token, HERE)
    assert (session.tenant_id, session.role, session.actor) == (acme.id, "admin", f"customer:{user.id}")
    assert refusal(lambda: accounts.users.get(rival.id, user.id)).code == "not_found"
    for email in ("bo@acme.example", "BO@ACME.EXAMPLE"):
        again = NewUser(name="Bo", email=email)
        assert refusal(lambda n=again: accounts.users.invite("test", rival.id, n)).code == "conflict"
        assert refusal(lambda e=email: accounts.staff.add("test", name="Bo", email=e)).code == "conflict"
    assert refusal(lambda: session.staff).code == "permission_denied"
    accounts.tenants.update("test", acme.id, TenantUpdate(status="suspended"))
    assert accounts.sessions.find(session.token) is None
    accounts.tenants.update("test", acme.id, TenantUpdate(status="active"))
    assert accounts.sessions.find(session.token)
    last = lambda: accounts.users.update(session.actor, acme.id, user.id, UserUpdate(role="member"))  # noqa: E731
    assert refusal(last).code == "conflict"
    assert accounts.users.update("staff:x", acme.id, user.id, UserUpdate(disabled=True)).disabled_ns


def test_signing_up_is_all_or_nothing(accounts, acme):
    new = SignUp(name="Cy", email="cy@new.example", password=PASSWORD, company="Acme Labs")
    tenant, user = accounts.users.sign_up(new, currency="USD")
    assert tenant.handle.startswith("acme-labs-")
    assert accounts.tenants.get(tenant.id).name == "Acme Labs"
    assert sign_in(accounts, email="cy@new.example").person == user
    assert [project.name for project in accounts.tenants.projects(tenant.id).items] == ["default"]
    before = len(accounts.tenants.page().items)
    for bad in ({"email": "cy@new.example"}, {"password": "short"}, {"email": "nobody"}):
        fields = {"name": "Dy", "email": "dy@new.example", "password": PASSWORD} | bad
        assert refusal(lambda f=fields: accounts.users.sign_up(SignUp(**f), currency="USD")).code in (
            "conflict",
            "invalid_request",
        )
    assert len(accounts.tenants.page().items) == before


def test_the_audit_log_names_who_came_in_and_is_searched(accounts, ada, clock):
    session = sign_in(accounts)
    clock.advance(86_400)
    accounts.staff.update(session.actor, ada.id, StaffUpdate(name="Ada L."))
    log = accounts.changes.log
    assert [entry.action for entry in log(actor=session.actor).items] == [
        "staff.update",
        "session.begin",
        "password.set",
    ]
    assert {entry.action for entry in log(action="staff.").items} == {"staff.update", "staff.add"}
    assert log(action="staff").items == []
    day = clock.now_ns() // (86_400 * 10**9) * 86_400 * 10**9
    assert [entry.action for entry in log(start_ns=day).items] == ["staff.update"]
    assert "staff.update" not in [entry.action for entry in log(end_ns=day).items]
    assert log(actor="x' OR 1=1 --").items == []
    assert accounts.changes.verify().intact
