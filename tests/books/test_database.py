"""The database: durable settings, one writer, migrations that run once and match the tables."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

import mintage.books.ledger_tables  # noqa: F401  (its tables join the metadata)
from mintage.base import MintageError
from mintage.books.database import Database, metadata


@pytest.fixture
def database(tmp_path: Path):
    database = Database.open(tmp_path / "books.db")
    yield database
    database.close()


def test_sqlite_is_durable_and_checks_foreign_keys(database):
    with database.read() as connection:
        pragma = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragma == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_migrate_builds_what_the_tables_say(database):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    database.migrate()
    with database.read() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"include_object": lambda item, name, kind, *_: kind != "table" or name.startswith("ledger_")},
        )
        assert compare_metadata(context, metadata) == []
        assert all(
            constraint["name"]
            for table in sa.inspect(connection).get_table_names()
            if table.startswith("ledger_")
            for constraint in (
                sa.inspect(connection).get_pk_constraint(table),
                *sa.inspect(connection).get_foreign_keys(table),
            )
        )


def test_checks_are_named_as_the_tables_name_them(database):
    database.migrate()
    with database.read() as connection:
        for table in metadata.tables.values():
            if table.name.startswith("ledger_"):
                named = {check["name"] for check in sa.inspect(connection).get_check_constraints(table.name)}
                wanted = {item.name for item in table.constraints if isinstance(item, sa.CheckConstraint)}
                assert named == {str(name) for name in wanted}


def test_migrate_twice_is_once_and_needs_no_alembic(tmp_path: Path):
    path = tmp_path / "books.db"
    first = Database.open(path)
    version = first.migrate()
    first.close()
    program = (
        "import sys; from mintage.books.database import Database; from pathlib import Path\n"
        f"print(Database.open(Path({str(path)!r})).migrate(), 'alembic' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [version, "False"]


def test_a_newer_database_is_refused(database):
    database.migrate()
    with database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(MintageError) as refusal:
        database.migrate()
    assert refusal.value.code == "unavailable"
    assert "9999" in refusal.value.message


def test_a_write_that_raises_leaves_nothing(database):
    database.migrate()
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        connection.execute(sa.text("INSERT INTO ledger_watermarks VALUES ('main', 7)"))
        raise ZeroDivisionError
    with database.read() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM ledger_watermarks")) == 0


def test_a_failed_migration_leaves_the_old_version(database, monkeypatch, tmp_path):
    from shutil import copytree

    from mintage.books import database as module

    folder = tmp_path / "migrations"
    copytree(module.MIGRATIONS, folder)
    database.migrate()
    broken = "revision = '9000'\ndown_revision = {!r}\nbranch_labels = None\ndepends_on = None\n"
    broken += (
        "from alembic import op\n\ndef upgrade():\n    op.execute('CREATE TABLE half (a)')\n    op.execute('NOT SQL')\n"
    )
    head = max(file.name[:4] for file in (folder / "versions").glob("[0-9]*.py"))
    (folder / "versions" / "9000_broken.py").write_text(broken.format(head))
    monkeypatch.setattr(module, "MIGRATIONS", folder)
    with pytest.raises(sa.exc.OperationalError):
        database.migrate()
    with database.read() as connection:
        assert connection.scalar(sa.text("SELECT version_num FROM alembic_version")) == head
        assert not sa.inspect(connection).has_table("half")


def test_a_reader_keeps_its_snapshot_while_another_process_writes(database, tmp_path):
    database.migrate()
    with database.read() as reader:
        before = reader.scalar(sa.text("SELECT count(*) FROM ledger_watermarks"))
        other = sqlite3.connect(tmp_path / "books.db")
        other.execute("INSERT INTO ledger_watermarks VALUES ('main', 7)")
        other.commit()
        other.close()
        assert reader.scalar(sa.text("SELECT count(*) FROM ledger_watermarks")) == before == 0


def test_a_lock_that_is_never_freed_is_a_typed_error(database, tmp_path, monkeypatch):
    from mintage.books import database as module

    monkeypatch.setattr(module, "BUSY_TIMEOUT_MS", 50)
    database.migrate()
    database.close()  # so that the next connection takes the shorter timeout
    other = sqlite3.connect(tmp_path / "books.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(MintageError) as refusal, database.write():
        pass
    assert refusal.value.code == "books_unavailable"
    other.close()


@pytest.mark.parametrize("address", ["mysql://host/name", "not a url://", "postgresql"])
def test_addresses(address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "://" in address:
        with pytest.raises(MintageError) as refusal:
            Database.open(address)
        assert refusal.value.code == "invalid_settings"
    else:
        assert Database.open(address).is_sqlite
