"""One relational database for the control plane and the ledger: SQLite in the home folder, PostgreSQL by url.

SQLAlchemy Core only, synchronous: a query takes tens of microseconds, and what is hot keeps snapshots in memory.
SQLite runs in WAL mode with synchronous=FULL, so a committed transaction survives a power cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import ConnectionPoolEntry

from mintage.base import MintageError

if TYPE_CHECKING:
    from alembic.config import Config

#: Constraints need names, or a later migration cannot drop them.
metadata: Final = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: A key that counts itself up: SQLite does so only for INTEGER, and BIGINT is what PostgreSQL needs.
BigKey: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

BUSY_TIMEOUT_MS: Final = 15_000
MIGRATIONS: Final = Path(__file__).parent / "migrations"


def _address(where: str | Path) -> sa.URL:
    text = str(where)
    if "://" not in text:
        return sa.URL.create("sqlite", database=str(Path(text).expanduser()))
    try:
        url = sa.make_url(text)
    except sa.exc.ArgumentError as error:
        raise MintageError(
            "invalid_settings", "The database address cannot be read.", "Give a file's path or postgresql://host/name."
        ) from error
    if url.drivername in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise MintageError(
            "invalid_settings",
            f"{url.get_backend_name()!r} is not a database that the books can live in.",
            "Give a file's path (SQLite) or postgresql://host/name.",
        )
    return url


def _set_pragmas(connection: Any, _record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # BEGIN is ours: the driver's own starts too late to see one snapshot
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin(connection: sa.Connection) -> None:
    """A writer takes the lock at once: upgrading a read snapshot later fails without waiting (SQLITE_BUSY)."""
    writes = connection.get_execution_options().get("mintage_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


class Database:
    """A pool of connections. read() and write() are transactions; a write that raises leaves nothing behind.

    >>> with database.write() as connection:
    ...     connection.execute(table.insert(), rows)
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._writer = engine.execution_options(mintage_write=True)
        self._reader = engine if self.is_sqlite else engine.execution_options(isolation_level="REPEATABLE READ")

    @classmethod
    def open(cls, where: str | Path) -> Database:
        """A file's path (SQLite, made when missing) or a postgresql:// address. Raises MintageError."""
        url = _address(where)
        if url.get_backend_name() != "sqlite":
            return cls(sa.create_engine(url, pool_size=4, max_overflow=4, pool_pre_ping=True))
        if url.database and url.database != ":memory:":
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(url)
        event.listen(engine, "connect", _set_pragmas)
        event.listen(engine, "begin", _begin)
        return cls(engine)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One consistent snapshot; for statements that change nothing."""
        with self._reader.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One transaction with the write lock (SQLite) or row locks (PostgreSQL). Raises MintageError when it waits
        longer than BUSY_TIMEOUT_MS for another process's write to end."""
        with self._writer.connect() as connection, self._transaction(connection):
            yield connection

    @contextmanager
    def _transaction(self, connection: sa.Connection) -> Iterator[None]:
        try:
            transaction = connection.begin()
        except sa.exc.OperationalError as error:
            raise MintageError(
                "books_unavailable", "Another process keeps the books' database locked.", "Try again shortly."
            ) from error
        with transaction:
            yield

    def migrate(self) -> str:
        """Bring the tables to this program's version, in one transaction; returns the version.

        Raises MintageError("unavailable") if a newer program wrote the database.
        """
        versions = sorted(file.name[:4] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))
        current = self._version()
        if current == versions[-1]:
            return current  # without importing Alembic: every start passes here
        if current is not None and current not in versions:
            raise MintageError(
                "unavailable",
                f"The books are at version {current}, which this program does not know (it knows {versions[-1]}).",
                "Install the Mintage that wrote them, or a newer one.",
            )
        from alembic import command

        with self._exclusive() as connection:
            config = self.alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        return versions[-1]

    def alembic_config(self) -> Config:
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        return config

    def versions(self) -> tuple[str | None, list[str]]:
        """The version that the tables are at (None: there are none), and all that this program knows, in order."""
        return self._version(), sorted(file.name[:4] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))

    def _version(self) -> str | None:
        with self.read() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            version: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
            return version

    @contextmanager
    def _exclusive(self) -> Iterator[sa.Connection]:
        """Two programs that start together must not both migrate."""
        with self._writer.connect() as connection:
            driver = connection.connection.cursor()
            if self.is_sqlite:  # it alters a table by copy and drop, which foreign keys would forbid
                driver.execute("PRAGMA foreign_keys=OFF")
            try:
                with self._transaction(connection):
                    if not self.is_sqlite:
                        connection.execute(sa.text("SELECT pg_advisory_xact_lock(7210433001)"))
                    yield connection
                    self._check_references(connection)
            finally:
                if self.is_sqlite:
                    driver.execute("PRAGMA foreign_keys=ON")
                driver.close()

    def _check_references(self, connection: sa.Connection) -> None:
        if self.is_sqlite and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").first()):
            raise MintageError("internal", f"The migration leaves rows of {broken[0]!r} that refer to nothing.")

    def close(self) -> None:
        self.engine.dispose()
