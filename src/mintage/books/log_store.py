"""The commit log's file: one SQLite database in WAL mode, synchronous=FULL.

The truth is the table `frames`: one row per commit, a JSON array of entries, chained by SHA-256. Everything
else (wallets, carries, open holds, settled ids, keys) is a snapshot derived from frames up to `snapshot_seq`, written
in one transaction with its seq, so that opening replays only what came after it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from mintage.base import MintageError
from mintage.books.entries import Body, Entry, Held, decode_frame, number
from mintage.books.wallets import Snapshot

FORMAT: Final = 1
GENESIS: Final = b"\0" * 32
WAL_PAGES: Final = 4000  # 16 MB: a full checkpoint lets SQLite overwrite the same bytes, a cheaper fsync than growing

_SCHEMA: Final = """
CREATE TABLE frames(last_seq INTEGER PRIMARY KEY, entries INTEGER NOT NULL, body BLOB NOT NULL, chain BLOB NOT NULL);
CREATE TABLE meta(name TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
CREATE TABLE wallets(id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, currency TEXT NOT NULL, funding TEXT NOT NULL,
  credit_limit INTEGER NOT NULL, balance INTEGER NOT NULL, held INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE carries(side TEXT NOT NULL, owner TEXT NOT NULL, price_id TEXT NOT NULL, attos INTEGER NOT NULL,
  PRIMARY KEY(side, owner, price_id)) STRICT, WITHOUT ROWID;
CREATE TABLE ended(hold_id TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE sources(key TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE event_keys(hash INTEGER PRIMARY KEY, digest INTEGER NOT NULL, seq INTEGER NOT NULL) STRICT;
"""


def chain_hash(previous: bytes, body: bytes) -> bytes:
    return hashlib.sha256(previous + body).digest()


def connect(path: Path, *, read_only: bool = False, vfs: str | None = None) -> apsw.Connection:
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    connection = apsw.Connection(str(path), flags=flags, vfs=vfs)
    connection.set_busy_timeout(5000)
    return connection


class FrameReader:
    """Reads entries through a connection of its own; works beside a running writer, in this process or another."""

    def __init__(self, path: Path, vfs: str | None = None) -> None:
        try:
            self._connection = connect(path, read_only=True, vfs=vfs)
        except apsw.CantOpenError as error:
            raise MintageError(
                "not_found", f"There is no commit log at {path}.", "Open it for writing once."
            ) from error

    def entries(self, after_seq: int, limit: int) -> list[Entry]:
        """At most `limit` entries with seq > after_seq, in order."""
        found: list[Entry] = []
        rows = self._connection.execute(
            "SELECT last_seq, entries, body FROM frames WHERE last_seq > ? ORDER BY last_seq", (after_seq,)
        )
        for last_seq, count, raw in rows:
            first = last_seq - count + 1
            skip = max(0, after_seq + 1 - first)
            bodies = decode_frame(raw)[skip : skip + limit - len(found)]
            found.extend(number(bodies, first + skip))
            if len(found) >= limit:
                break
        rows.close()
        return found

    def last_seq(self) -> int:
        return int(self._connection.execute("SELECT ifnull(max(last_seq), 0) FROM frames").get)

    def entry(self, seq: int) -> Entry | None:
        return next(iter(self.entries(seq - 1, 1)), None)

    def ended(self, hold_id: str) -> int | None:
        """The seq of the entry that ended this hold, as far as the last snapshot knows."""
        return self._one("SELECT seq FROM ended WHERE hold_id = ?", hold_id)

    def source(self, key: str) -> int | None:
        return self._one("SELECT seq FROM sources WHERE key = ?", key)

    def _one(self, query: str, key: str) -> int | None:
        row = self._connection.execute(query, (key,)).fetchone()
        return None if row is None else int(row[0])

    def close(self) -> None:
        self._connection.close()


class Index:
    """Keys of entries written since the last snapshot, to be indexed by the next one."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, int]] = []
        self.sources: list[tuple[str, int]] = []
        self.events: list[tuple[int, int, int]] = []  # hash, digest, seq

    def clear(self) -> None:
        self.ended.clear()
        self.sources.clear()
        self.events.clear()


class Store:
    """The one writing connection. Used by one thread at a time."""

    def __init__(self, path: Path, vfs: str | None = None) -> None:
        self._connection = connect(path, vfs=vfs)
        execute = self._connection.execute
        execute("PRAGMA journal_mode=WAL").fetchall()
        execute("PRAGMA synchronous=FULL")
        execute("PRAGMA locking_mode=NORMAL").fetchall()
        execute("PRAGMA wal_autocheckpoint=0").fetchall()
        version = execute("PRAGMA user_version").get
        if version == 0:
            execute(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version={FORMAT}; COMMIT").fetchall()
        elif version != FORMAT:
            raise MintageError(
                "unsupported", f"{path} has log format {version}; this Mintage reads {FORMAT}.", "Upgrade Mintage."
            )
        row = execute("SELECT last_seq, chain FROM frames ORDER BY last_seq DESC LIMIT 1").fetchone()
        self.last_seq: int = row[0] if row else 0
        self.chain: bytes = row[1] if row else GENESIS

    # -- reading back at open ----------------------------------------------------------------------------------------

    def meta(self, name: str, default: Any = None) -> Any:
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return default if row is None else row[0]

    def snapshot_seq(self) -> int:
        return int(self.meta("snapshot_seq", 0))

    def _rows(self, query: str) -> list[Any]:
        return self._connection.execute(query).fetchall()

    def snapshot(self) -> Snapshot:
        return Snapshot(
            wallets=self._rows("SELECT id, tenant_id, currency, funding, credit_limit, balance, held FROM wallets"),
            carries=self._rows("SELECT side, owner, price_id, attos FROM carries"),
            holds=msgspec.json.decode(self.meta("holds", b"[]"), type=list[Held]),
        )

    def frames_after(self, seq: int) -> Iterator[tuple[int, list[Body]]]:
        """(first_seq, bodies) of each frame after `seq`, which must be a frame's last."""
        rows = self._connection.execute(
            "SELECT last_seq, entries, body FROM frames WHERE last_seq > ? ORDER BY last_seq", (seq,)
        )
        for last_seq, count, raw in rows:
            yield last_seq - count + 1, decode_frame(raw)

    # -- writing -----------------------------------------------------------------------------------------------------

    def write(self, count: int, body: bytes) -> int:
        """Append one frame and make it durable, in one statement: begin, insert, fsync. Returns its first seq."""
        chain = chain_hash(self.chain, body)
        last_seq = self.last_seq + count
        self._connection.execute("INSERT INTO frames VALUES(?,?,?,?)", (last_seq, count, body, chain))
        first_seq = self.last_seq + 1
        self.last_seq, self.chain = last_seq, chain
        return first_seq

    def write_snapshot(self, snapshot: Snapshot, index: Index) -> None:
        """Write the derived tables as of last_seq, in one transaction."""
        encode = msgspec.json.encode
        with self._connection:
            self._each("INSERT OR REPLACE INTO wallets", 7, snapshot.wallets)
            self._connection.execute("DELETE FROM carries")
            self._each("INSERT OR REPLACE INTO carries", 4, snapshot.carries)
            self._each("INSERT OR IGNORE INTO ended", 2, index.ended)
            self._each("INSERT OR IGNORE INTO sources", 2, index.sources)
            self._each("INSERT OR IGNORE INTO event_keys", 3, index.events)
            self._connection.execute(
                "INSERT OR REPLACE INTO meta VALUES('snapshot_seq', ?), ('holds', ?)",
                (self.last_seq, encode(snapshot.holds)),
            )

    def _each(self, insert: str, width: int, rows: Sequence[tuple[object, ...]]) -> None:
        """Insert all rows with one statement: it runs in C, without the GIL, however many rows there are."""
        if rows:
            columns = ", ".join(f"value->>{i}" for i in range(width))
            self._connection.execute(f"{insert} SELECT {columns} FROM json_each(?)", (msgspec.json.encode(rows),))  # noqa: S608

    def checkpoint(self) -> None:
        """Move the WAL into the database file, so that the WAL is overwritten from its start instead of growing."""
        self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def close(self) -> None:
        self._connection.close()
