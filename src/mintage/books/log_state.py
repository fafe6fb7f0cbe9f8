"""What the log adds up to at some seq: wallets, carries, open holds, and the keys by which past entries are found.

A database of its own beside the log, derived from it and rebuilt from it when it is missing or does not fit. So it may
be written lazily, in large sorted statements that run in C without the GIL, and its random writes never wait in front
of a customer's commit. The log is replayed from `mark` on at open.
"""

from __future__ import annotations

import array
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from mintage.books import failpoints
from mintage.books.entries import Expired, Held, Released, Settled, ToppedUp
from mintage.books.log_store import GENESIS, connect, upgrade
from mintage.books.wallets import Snapshot

FORMAT: Final = 1
#: Keys of usage events go first to a small table, whose random inserts touch few pages, then in bulk to the large one.
RECENT_KEYS_LIMIT: Final = 1_000_000
_ENDING: Final = frozenset((Settled, Released, Expired))

_SCHEMA: Final = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
CREATE TABLE wallets(id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, currency TEXT NOT NULL, funding TEXT NOT NULL,
  credit_limit_nanos INTEGER NOT NULL, balance_nanos INTEGER NOT NULL, held_nanos INTEGER NOT NULL)
  STRICT, WITHOUT ROWID;
CREATE TABLE carries(side TEXT NOT NULL, owner TEXT NOT NULL, price_id TEXT NOT NULL, attos INTEGER NOT NULL,
  PRIMARY KEY(side, owner, price_id)) STRICT, WITHOUT ROWID;
CREATE TABLE holds(hold_id TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE ended(hold_id TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE sources(key TEXT PRIMARY KEY, payload TEXT NOT NULL, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE recent_keys(hash INTEGER PRIMARY KEY, digest INTEGER NOT NULL) STRICT;
CREATE TABLE event_keys(hash INTEGER PRIMARY KEY, digest INTEGER NOT NULL) STRICT;
"""
_TABLES: Final = ("meta", "wallets", "carries", "holds", "ended", "sources", "recent_keys", "event_keys")


def state_path(log: Path) -> Path:
    return log.with_name(f"{log.stem}-state{log.suffix}")


def top_up_key(source: str, source_id: str) -> str:
    return f"top_up\x1f{source}\x1f{source_id}"


def top_up_payload(body: ToppedUp) -> str:
    """What must be the same when a top-up is delivered again."""
    return f"{body.wallet_id}\x1f{body.amount_nanos}\x1f{body.funds}"


def idempotency_source(tenant_id: str, key: str) -> str:
    return f"settle\x1f{tenant_id}\x1f{key}"


class Index:
    """Keys of entries committed since the last snapshot."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, int]] = []
        self.sources: list[tuple[str, str, int]] = []

    def add(self, bodies: Iterable[Any], first_seq: int) -> None:
        """Note the keys by which these entries must be found once they have left memory."""
        for seq, body in enumerate(bodies, first_seq):
            kind = type(body)
            if kind in _ENDING:
                self.ended.append((body.hold_id, seq))
                if kind is Settled and body.idempotency_key is not None and not body.replay_of:
                    key = idempotency_source(body.tenant_id, body.idempotency_key)
                    self.sources.append((key, body.payload_hash, seq))
            elif kind is ToppedUp:
                self.sources.append((top_up_key(body.source, body.source_id), top_up_payload(body), seq))


def drop_state(log: Path) -> None:
    """Delete the stored state: it is made again from the log."""
    for suffix in ("", "-wal", "-shm"):
        state_path(log).with_name(state_path(log).name + suffix).unlink(missing_ok=True)


class StateStore:
    """The one writing connection to the state. synchronous=NORMAL: a power cut may take it back, never apart."""

    def __init__(self, log: Path, vfs: str | None = None) -> None:
        path = state_path(log)
        self._connection = connect(path, vfs=vfs)
        self._connection.pragma("journal_mode", "wal")
        self._connection.pragma("synchronous", "normal")
        self._connection.pragma("journal_size_limit", 64 << 20)
        upgrade(self._connection, path, _SCHEMA, FORMAT)

    def _meta(self, name: str, default: Any) -> Any:
        found = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).get
        return default if found is None else found

    @property
    def mark(self) -> tuple[int, bytes]:
        """(seq, chain) of the log up to which this state is whole."""
        return int(self._meta("seq", 0)), bytes(self._meta("chain", GENESIS))

    @property
    def events_seq(self) -> int:
        """The seq up to which the keys of usage events are indexed."""
        return int(self._meta("events_seq", 0))

    def reset(self) -> None:
        """Forget everything: the log will be replayed from its start."""
        self._connection.execute("BEGIN;" + ";".join(f"DELETE FROM {table}" for table in _TABLES) + ";COMMIT")  # noqa: S608

    def load(self) -> Snapshot:
        rows: Callable[[str], list[Any]] = lambda query: self._connection.execute(query).fetchall()  # noqa: E731
        return Snapshot(
            wallets=rows(
                "SELECT id, tenant_id, currency, funding, credit_limit_nanos, balance_nanos, held_nanos FROM wallets"
            ),
            carries=rows("SELECT side, owner, price_id, attos FROM carries"),
            opened=[msgspec.json.decode(body, type=Held) for _, body in rows("SELECT hold_id, body FROM holds")],
            closed=[],
        )

    def save(self, snapshot: Snapshot, index: Index, seq: int, chain: bytes, *, events_indexed: bool) -> None:
        """Bring the state to `seq`, in one transaction. events_indexed: no key of an event up to it is missing."""
        with self._connection:
            self._each("INSERT OR REPLACE INTO wallets", 7, snapshot.wallets)
            self._each("INSERT OR REPLACE INTO carries", 4, snapshot.carries)
            self._execute_json("DELETE FROM holds WHERE hold_id IN (SELECT value FROM json_each(?))", snapshot.closed)
            self._execute_json(
                "INSERT OR REPLACE INTO holds SELECT value->>2, json(value) FROM json_each(?)", snapshot.opened
            )
            self._each("INSERT OR IGNORE INTO ended", 2, index.ended)
            self._each("INSERT OR IGNORE INTO sources", 3, index.sources)
            if failpoints.armed is not None:
                failpoints.hit("log.snapshot")
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES('seq', ?), ('chain', ?)", (seq, chain))
            if events_indexed:
                self._connection.execute("INSERT OR REPLACE INTO meta VALUES('events_seq', ?)", (seq,))

    def save_event_keys(self, keys: Sequence[tuple[int, int]], seq: int) -> None:
        """Index the keys (hash, digest) of all events up to `seq`; merge the small table when it is full."""
        with self._connection:
            self._each("INSERT OR IGNORE INTO recent_keys", 2, sorted(keys))
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES('events_seq', ?)", (seq,))
        if self._connection.execute("SELECT count(*) FROM recent_keys").get >= RECENT_KEYS_LIMIT:
            with self._connection:
                self._connection.execute("INSERT OR IGNORE INTO event_keys SELECT * FROM recent_keys ORDER BY hash")
                self._connection.execute("DELETE FROM recent_keys")

    def forget_before(self, seq: int) -> None:
        """Drop the keys of archived holds and idempotency keys. Top-ups stay unique for ever."""
        with self._connection:
            self._connection.execute("DELETE FROM ended WHERE seq < ?", (seq,))
            self._connection.execute("DELETE FROM sources WHERE seq < ? AND key LIKE 'settle%'", (seq,))

    def _each(self, insert: str, width: int, rows: Sequence[tuple[object, ...]]) -> None:
        """Insert all rows with one statement, however many there are."""
        columns = ", ".join(f"value->>{i}" for i in range(width))
        self._execute_json(f"{insert} SELECT {columns} FROM json_each(?)", rows)  # noqa: S608

    def _execute_json(self, statement: str, rows: Sequence[object]) -> None:
        if rows:
            self._connection.execute(statement, (msgspec.json.encode(rows).decode(),))

    def close(self) -> None:
        self._connection.close()


class StateReader:
    """Finds past keys, beside the running writer. Not for two threads at once."""

    def __init__(self, log: Path, vfs: str | None = None) -> None:
        self._connection = connect(state_path(log), read_only=True, vfs=vfs)

    def seq(self) -> int:
        """The seq up to which the stored state is whole."""
        return int(self._connection.execute("SELECT ifnull(max(value), 0) FROM meta WHERE name = 'seq'").get)

    def ended(self, hold_id: str) -> int | None:
        """The seq of the entry that ended this hold, as far as the last snapshot knows."""
        found: int | None = self._connection.execute("SELECT seq FROM ended WHERE hold_id = ?", (hold_id,)).get
        return found

    def source(self, key: str) -> tuple[str, int] | None:
        """(payload, seq) of the entry that used this key."""
        return self._connection.execute("SELECT payload, seq FROM sources WHERE key = ?", (key,)).fetchone()

    def event_keys(self, hashes: Sequence[int]) -> dict[int, int]:
        """hash -> digest of those that are indexed."""
        if not hashes:
            return {}
        keys = array.array("q", hashes)
        found: dict[int, int] = {}
        for table in ("recent_keys", "event_keys"):
            query = f"SELECT hash, digest FROM carray(?) JOIN {table} ON hash = value"  # noqa: S608
            found.update(self._connection.execute(query, (apsw.carray(keys),)))
        return found

    def close(self) -> None:
        self._connection.close()
