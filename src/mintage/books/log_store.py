"""The commit log's file: one SQLite database in WAL mode, synchronous=FULL, that holds frames and nothing else.

A frame is one commit: a JSON array of entries, chained to the frame before it by SHA-256. One autocommitted INSERT
writes it, so that a commit is one call into SQLite: one release of the GIL, one fsync. The WAL file is kept at its
working size and overwritten from its start after each checkpoint: overwriting costs a cheaper fsync than growing.
"""

from __future__ import annotations

import ctypes
import hashlib
from pathlib import Path
from typing import Final

import apsw

from mintage.base import MintageError

FORMAT: Final = 1
GENESIS: Final = b"\0" * 32
PAGE_BYTES: Final = 4096
PRIMED_WAL_BYTES: Final = 4 << 20
_PERSIST: Final = ctypes.c_int(1)

_SCHEMA: Final = """
CREATE TABLE frames(last_seq INTEGER PRIMARY KEY, entries INTEGER NOT NULL, body BLOB NOT NULL, chain BLOB NOT NULL);
CREATE TABLE archived(last_seq INTEGER PRIMARY KEY, entries INTEGER NOT NULL, file TEXT NOT NULL, chain BLOB NOT NULL);
"""


def chain_hash(previous: bytes, body: bytes) -> bytes:
    """The chain value of a frame: SHA-256 over the previous one's and this body."""
    return hashlib.sha256(previous + body).digest()


def connect(path: Path, *, read_only: bool = False, vfs: str | None = None) -> apsw.Connection:
    """A connection that waits up to 5 s for another's lock. Raises MintageError("not_found") when reading nothing."""
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    try:
        connection = apsw.Connection(str(path), flags=flags, vfs=vfs)
    except apsw.CantOpenError as error:
        raise MintageError("not_found", f"{path} cannot be opened.", "Start a server on this home once.") from error
    connection.set_busy_timeout(5000)
    return connection


def upgrade(connection: apsw.Connection, path: Path, schema: str, version: int) -> bool:
    """Create the tables of a new file; True if it was new. Raises MintageError("unsupported") for another version."""
    found = connection.pragma("user_version")
    if found == version:
        return False
    if found:
        raise MintageError(
            "unsupported", f"{path} has format {found}; this Mintage reads {version}.", "Use the Mintage that wrote it."
        )
    connection.execute(f"BEGIN IMMEDIATE; {schema} PRAGMA user_version={version}; COMMIT")
    return True


def check_format(connection: apsw.Connection, path: Path) -> None:
    """Raises MintageError: not_found for a file whose making was cut off, unsupported for another version."""
    found = connection.pragma("user_version")
    if found == 0:
        raise MintageError("not_found", f"{path} holds no log yet.", "Start a server on this home once.")
    if found != FORMAT:
        raise MintageError(
            "unsupported", f"{path} has format {found}; this Mintage reads {FORMAT}.", "Use the Mintage that wrote it."
        )


class Store:
    """The one writing connection to the log. Used by one thread at a time."""

    def __init__(self, path: Path, vfs: str | None = None) -> None:
        self._connection = connect(path, vfs=vfs)
        self._connection.pragma("journal_mode", "wal")
        self._connection.pragma("synchronous", "full")
        self._connection.pragma("wal_autocheckpoint", 0)
        self._connection.file_control("main", apsw.SQLITE_FCNTL_PERSIST_WAL, ctypes.addressof(_PERSIST))
        if upgrade(self._connection, path, _SCHEMA, FORMAT):
            self._prime()
        self.last_seq, self.chain = self._tail()
        self.wal_pages = 0  # written since the last checkpoint, about

    def _tail(self) -> tuple[int, bytes]:
        row = self._connection.execute(
            "SELECT last_seq, chain FROM frames UNION ALL SELECT last_seq, chain FROM archived ORDER BY 1 DESC LIMIT 1"
        ).fetchone()
        return (0, GENESIS) if row is None else (int(row[0]), bytes(row[1]))

    def _prime(self) -> None:
        """Grow the WAL to its working size before the first customer waits for it."""
        self._connection.execute(
            f"CREATE TABLE prime(x); INSERT INTO prime VALUES(zeroblob({PRIMED_WAL_BYTES})); DROP TABLE prime"
        )
        self.checkpoint()

    def write(self, count: int, body: bytes) -> int:
        """Append one frame of `count` entries and make it durable. Returns its first seq."""
        chain = chain_hash(self.chain, body)
        first_seq = self.last_seq + 1
        last_seq = self.last_seq + count
        self._connection.execute("INSERT INTO frames VALUES(?,?,?,?)", (last_seq, count, body, chain))
        self.last_seq, self.chain = last_seq, chain
        self.wal_pages += 2 + len(body) // PAGE_BYTES
        return first_seq

    def checkpoint(self) -> None:
        """Copy the WAL into the database; if all of it got there, the next frame overwrites the WAL's start."""
        self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        self.wal_pages = 0

    def close(self) -> None:
        self._connection.close()
