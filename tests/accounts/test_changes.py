"""Every change is audited in its own transaction; a chain that was touched shows."""

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from mintage.accounts import NewKey, TenantUpdate
from mintage.base import MintageError
from mintage.books import metadata


def test_the_migration_builds_what_the_tables_say(database):
    mine = {"control", "audit", "legal_entities", "staff", "sign_in_links", "sessions", "tenants", "projects"}
    mine |= {"api_keys", "secrets"}
    with database.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": lambda _, name, kind, *__: kind != "table" or name in mine}
        )
        assert compare_metadata(context, metadata) == []
        assert mine <= set(sa.inspect(connection).get_table_names())


def test_a_change_moves_the_version_and_a_refused_one_does_not(accounts, acme):
    before = accounts.version()
    accounts.tenants.update("staff:x", acme.id, TenantUpdate(status="suspended"))
    assert accounts.version() == before + 1
    with pytest.raises(MintageError) as refused:
        accounts.tenants.add_project("staff:x", acme.id, "default")
    assert refused.value.code == "conflict"
    assert accounts.version() == before + 1
    newest = accounts.changes.log(limit=1).items[0]
    assert (newest.action, newest.actor, newest.tenant_id) == ("customer.update", "staff:x", acme.id)
    assert newest.details == {"status": "suspended"}


def test_listeners_hear_committed_changes_only(accounts, acme):
    heard = []
    accounts.changes.on_change(lambda: heard.append(accounts.version()))
    accounts.tenants.add_project("test", acme.id, "one")
    with pytest.raises(MintageError):
        accounts.tenants.add_project("test", acme.id, "one")
    assert heard == [accounts.version()]


@pytest.mark.parametrize(
    ("harm", "broken"),
    [
        ("UPDATE audit SET details = '{}' WHERE seq = 2", 2),
        ("UPDATE audit SET actor = 'someone' WHERE seq = 3", 3),
        ("DELETE FROM audit WHERE seq = 2", 3),
        ("DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)", None),
    ],
)
def test_a_touched_audit_log_shows(accounts, acme, rival, database, harm, broken):
    accounts.keys.create("test", acme.id, NewKey())
    report = accounts.changes.verify()
    assert report.intact
    assert report.entries == 4
    with database.write() as connection:
        connection.exec_driver_sql(harm)
    report = accounts.changes.verify()
    assert not report.intact
    assert report.broken_seq == (broken or 4)


def test_the_audit_log_reads_in_pages_by_tenant(accounts, acme, rival):
    for number in range(5):
        accounts.tenants.add_project("test", acme.id, f"p{number}")
        accounts.tenants.add_project("test", rival.id, f"p{number}")
    seen, cursor = [], None
    while True:
        page = accounts.changes.log(tenant_id=acme.id, limit=2, cursor=cursor)
        seen += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    assert len(seen) == 6
    assert {entry.tenant_id for entry in seen} == {acme.id}
    assert [entry.seq for entry in seen] == sorted((entry.seq for entry in seen), reverse=True)
