"""Customers, projects and keys: who sees what, what is refused, how lists are paged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.accounts import EntityUpdate, NewKey, NewTenant, TenantUpdate, key_digest
from mintage.accounts.checks import check_handle, check_text, handle_from
from mintage.base import MintageError


def test_a_customer_starts_with_a_handle_and_a_project(accounts):
    tenant = accounts.tenants.add("test", NewTenant(name=" Ünïted Widgets, Inc. "), currency="EUR")
    assert (tenant.name, tenant.handle, tenant.currency) == ("Ünïted Widgets, Inc.", "united-widgets-inc", "EUR")
    assert [project.name for project in accounts.tenants.projects(tenant.id).items] == ["default"]
    assert accounts.tenants.get(tenant.handle) == accounts.tenants.get(tenant.id) == tenant


def test_a_name_without_latin_letters_still_gets_a_handle(accounts):
    tenant = accounts.tenants.add("test", NewTenant(name="深圳示例公司"), currency="CNY")
    assert accounts.tenants.get(tenant.handle).name == "深圳示例公司"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"name": "  "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a\x1b[2Jb"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "ok", "handle": "Not OK"}, "handle"),
        ({"name": "ok", "handle": "cus_123"}, "handle"),
        ({"name": "ok", "email": "nobody"}, "email"),
        ({"name": "ok", "currency": "dollars"}, "currency"),
        ({"name": "ok", "time_zone": "Mars/Olympus"}, "time_zone"),
        ({"name": "ok", "time_zone": "../../etc/passwd"}, "time_zone"),
        ({"name": "ok", "time_zone": "Europe"}, "time_zone"),
        ({"name": "ok", "country": "de"}, "country"),
        ({"name": "ok", "address": "x" * 1001}, "address"),
    ],
)
def test_bad_fields_are_named(accounts, fields, param):
    with pytest.raises(MintageError) as refused:
        accounts.tenants.add("test", NewTenant(**fields), currency="USD")
    assert (refused.value.code, refused.value.param) == ("invalid_request", param)
    assert refused.value.hint
    assert accounts.tenants.page().items == []


def test_a_handle_is_used_once(accounts, acme):
    with pytest.raises(MintageError) as refused:
        accounts.tenants.add("test", NewTenant(name="Acme labs!"), currency="USD")
    assert refused.value.code == "conflict"


@given(st.text(max_size=80))
def test_a_handle_made_from_any_name_is_valid(name):
    if handle := handle_from(name):
        assert check_handle(handle) == handle


@given(st.text(max_size=50))
def test_checked_text_is_stable_and_prints_safely(text):
    try:
        clean = check_text(text, "name")
    except MintageError:
        return
    assert check_text(clean, "name") == clean
    assert clean.encode().decode() == clean
    assert "\x1b" not in clean


def test_lists_page_through_everything_once(accounts):
    made = [accounts.tenants.add("t", NewTenant(name=f"c{n}"), currency="USD").id for n in range(7)]
    seen, cursor = [], None
    for _ in range(4):
        page = accounts.tenants.page(limit=2, cursor=cursor)
        seen += [tenant.id for tenant in page.items]
        cursor = page.next_cursor
    assert cursor is None
    assert sorted(seen) == sorted(made)
    assert len(accounts.tenants.page(limit=7).items) == 7
    assert accounts.tenants.page(limit=7).next_cursor is None


@pytest.mark.parametrize("arguments", [{"limit": 0}, {"limit": 501}, {"cursor": "%%%"}, {"cursor": "é"}])
def test_pages_have_limits(accounts, arguments):
    with pytest.raises(MintageError) as refused:
        accounts.tenants.page(**arguments)
    assert refused.value.code == "invalid_request"


def test_search_takes_wildcards_literally(accounts):
    for name in ("100% Wool", "Woolworth"):
        accounts.tenants.add("t", NewTenant(name=name), currency="USD")
    assert [tenant.name for tenant in accounts.tenants.page(search="wool").items] == ["100% Wool", "Woolworth"]
    assert [tenant.name for tenant in accounts.tenants.page(search="100%").items] == ["100% Wool"]
    assert accounts.tenants.page(search="_").items == []


def test_updates_touch_only_what_is_given(accounts, acme, clock):
    clock.advance(5)
    after = accounts.tenants.update("t", acme.id, TenantUpdate(email="a@b.example"))
    assert (after.email, after.name, after.status) == ("a@b.example", acme.name, "active")
    assert after.updated_ns == acme.created_ns + 5_000_000_000


def test_a_key_is_shown_once_and_found_by_digest(accounts, acme):
    created = accounts.keys.create("t", acme.id, NewKey(name="web", models=("smollm2-*",), requests_per_minute=60))
    assert created.secret.startswith("mk-")
    assert len(created.secret) == 43
    [grant] = accounts.keys.grants()
    assert grant.digest == key_digest(created.secret)
    assert (grant.tenant_id, grant.models, grant.requests_per_minute) == (acme.id, ("smollm2-*",), 60)
    listed = accounts.keys.page(acme.id).items[0]
    assert listed == created.key == accounts.keys.get(acme.id, created.key.id)
    assert created.secret not in repr(listed)


def test_revoked_expired_and_suspended_keys_leave_the_grants(accounts, acme, clock):
    revoked = accounts.keys.create("t", acme.id, NewKey()).key
    brief = accounts.keys.create("t", acme.id, NewKey(expires_ns=clock.now_ns() + 10_000_000_000)).key
    assert len(accounts.keys.grants()) == 2
    first = accounts.keys.revoke("t", acme.id, revoked.id)
    clock.advance(3)
    assert accounts.keys.revoke("t", acme.id, revoked.id) == first
    assert [grant.key_id for grant in accounts.keys.grants()] == [brief.id]
    accounts.tenants.update("t", acme.id, TenantUpdate(status="suspended"))
    assert [grant.suspended for grant in accounts.keys.grants()] == [True]
    clock.advance(7)
    assert accounts.keys.grants() == []


@pytest.mark.parametrize(
    "new",
    [
        NewKey(models=("a b",)),
        NewKey(models=("*-chat",)),
        NewKey(models=tuple(f"m{n}" for n in range(101))),
        NewKey(requests_per_minute=0),
        NewKey(tokens_per_minute=-1),
        NewKey(expires_ns=1),
        NewKey(name=""),
    ],
)
def test_bad_keys_are_refused(accounts, acme, new):
    with pytest.raises(MintageError) as refused:
        accounts.keys.create("t", acme.id, new)
    assert refused.value.code == "invalid_request"
    assert accounts.keys.page(acme.id).items == []


def test_nothing_reaches_across_tenants(accounts, acme, rival):
    key = accounts.keys.create("t", acme.id, NewKey()).key
    project = accounts.tenants.add_project("t", acme.id, "secret-plans")
    attempts = (
        lambda: accounts.keys.get(rival.id, key.id),
        lambda: accounts.keys.revoke("t", rival.id, key.id),
        lambda: accounts.tenants.project(rival.id, project.id),
        lambda: accounts.tenants.project(rival.id, "secret-plans"),
        lambda: accounts.keys.create("t", rival.id, NewKey(project=project.id)),
        lambda: accounts.keys.create("t", rival.id, NewKey(project="secret-plans")),
    )
    for attempt in attempts:
        with pytest.raises(MintageError) as refused:
            attempt()
        assert refused.value.code == "not_found"
    assert accounts.keys.page(rival.id).items == []
    assert len(accounts.keys.grants()) == 1


def test_a_project_named_like_an_id_does_not_hide_another(accounts, acme):
    other = accounts.tenants.add_project("t", acme.id, "real")
    accounts.tenants.add_project("t", acme.id, other.id)
    assert accounts.tenants.project(acme.id, other.id) == other


def test_the_legal_entity_is_made_once_and_updated(accounts):
    assert accounts.entities.ensure("Other", "EUR").name == "Mint & Co"
    entity = accounts.entities.update("t", EntityUpdate(country="DE", time_zone="Europe/Berlin"))
    assert (entity.country, entity.time_zone, entity.currency) == ("DE", "Europe/Berlin", "USD")
