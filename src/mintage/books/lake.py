"""The lake: every request and event as a row, in Parquet segments read by an in-memory DuckDB.

It is disposable: anything missing is shipped again from the log. What is not yet a whole segment stays in memory (the
tail), so a row can be asked for as soon as it is shipped, and no small files arise.

Only processes apart from the server import DuckDB: see shipper.py.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mintage.base import MintageError
from mintage.books import failpoints
from mintage.books.delivery import following
from mintage.books.entries import Entry
from mintage.books.lake_rows import FORMAT, JSON_COLUMNS, SELECT_LIST, TABLE_COLUMNS, LakeRow, lake_row
from mintage.books.lake_segments import (
    Segment,
    contained_segments,
    covered_from,
    gaps,
    list_segments,
    mergeable,
    publish,
    segment_of,
    sweep,
)

if TYPE_CHECKING:
    import duckdb

MEMORY_LIMIT: Final = "1GB"
ROWS_LIMIT: Final = 100_000  # most rows that one question may return
_PARQUET: Final = "(FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION V2)"
_ENCODER: Final = msgspec.json.Encoder()


def _quoted(path: Path) -> str:
    """A path as an SQL string."""
    return "'" + str(path).replace("'", "''") + "'"


def _unreadable() -> MintageError:
    return MintageError("unavailable", "The lake's files cannot be read.", "`mintage books verify` names the cause.")


class Lake:
    """One lake. One process ships; others may open it read-only beside it. Not for two threads at once.

    >>> lake = Lake(home / "lake")
    >>> lake.ship(log.entries(lake.watermark, 10_000))
    >>> lake.query("SELECT model, sum(charge_nanos) FROM usage GROUP BY ALL")
    """

    def __init__(self, folder: Path, *, read_only: bool = False, threads: int = 2) -> None:
        self.folder = folder.expanduser().resolve() / f"v{FORMAT}"
        self._threads = threads
        self._read_only = read_only
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._tail: list[LakeRow] = []  # rows after the last segment, in order
        self._loaded = 0  # how many of them DuckDB has
        self._viewed: list[Segment] | None = None  # the segments that the view `usage` reads
        self.folder.mkdir(parents=True, exist_ok=True)
        if not read_only:
            sweep(self.folder)
            for file in contained_segments(self.folder):
                file.unlink(missing_ok=True)
        self._segments = list_segments(self.folder)
        self.watermark = covered_from(self._segments, 0)

    @property
    def sealed_seq(self) -> int:
        """The last entry that files hold, with everything before it."""
        return covered_from(self._segments, 0)

    def segments(self) -> list[Segment]:
        return list(self._segments)

    def missing(self) -> list[tuple[int, int]]:
        """Ranges of entries that a file should hold and none does."""
        return gaps(self._segments)

    # -- writing -----------------------------------------------------------------------------------------------------

    def ship(self, entries: Sequence[Entry]) -> int:
        """Take what follows the watermark, write every segment that is full, and return the new watermark.

        Deliveries may be repeated, reordered or cut anywhere. Raises MintageError("unavailable") when the disk
        refuses; what came before is taken, and the next call tries again.
        """
        seal_at = segment_of(self.watermark + 1).last
        for entry in following(entries, self.watermark):
            seq = entry.seq
            if seq <= self.watermark:
                continue  # the last seal found the next segments already there
            row = lake_row(entry)
            if seq == seal_at:
                self._seal(segment_of(seq), self._tail if row is None else [*self._tail, row])
                seal_at = segment_of(self.watermark + 1).last
            else:
                if row is not None:
                    self._tail.append(row)
                self.watermark = seq
        return self.watermark

    def _seal(self, segment: Segment, rows: Sequence[LakeRow]) -> None:
        """Write the segment and begin a new tail; when the disk refuses, nothing has changed."""
        if self._read_only:
            raise MintageError("permission_denied", "This lake was opened to be read.", "Open it for writing.")
        file = self.folder / segment.name
        if not file.exists():
            try:
                self._write(file, f"SELECT {SELECT_LIST} FROM {self._spool(rows)}")
            except OSError as error:
                raise MintageError("unavailable", f"The lake cannot be written: {error}.", "Free the disk.") from error
            finally:
                self._unspool()
        self._tail.clear()
        if self._loaded:
            self._connect().execute("DELETE FROM tail")
            self._loaded = 0
        self._segments = list_segments(self.folder)
        self.watermark = covered_from(self._segments, segment.last)

    def _write(self, file: Path, query: str) -> None:
        """Run `query` into a new segment, whole or not at all."""
        import duckdb

        temporary = file.with_name(f".new-{file.name}")
        try:
            self._connect().execute(f"COPY ({query}) TO {_quoted(temporary)} {_PARQUET}")
            if failpoints.armed is not None:
                failpoints.hit("lake.publish")
            publish(temporary, file)
        except duckdb.Error as error:
            raise OSError(0, str(error).splitlines()[0]) from error
        finally:
            temporary.unlink(missing_ok=True)

    def _spool(self, rows: Sequence[LakeRow]) -> str:
        """Rows as a file that DuckDB reads: its row-wise inserts are a hundred times slower."""
        spool = self.folder / f".new-{os.getpid()}.ndjson"
        spool.write_bytes(_ENCODER.encode_lines(rows))
        return f"read_json({_quoted(spool)}, columns = {JSON_COLUMNS}, format = 'newline_delimited')"

    def _unspool(self) -> None:
        (self.folder / f".new-{os.getpid()}.ndjson").unlink(missing_ok=True)

    def merge(self) -> int:
        """Make one file of every MERGE full neighbours; returns how many were made."""
        groups = mergeable(self._segments)
        for whole, parts in groups:
            self._write(self.folder / whole.name, f"SELECT * FROM {self._read_files(parts)}")
            for part in parts:
                if failpoints.armed is not None:
                    failpoints.hit("lake.merged")
                (self.folder / part.name).unlink()  # a reader that listed it before lists again
        if groups:
            self._segments = list_segments(self.folder)
        return len(groups)

    # -- reading -----------------------------------------------------------------------------------------------------

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows of one SELECT over the table `usage` (columns: lake_rows.LakeRow, with `accepted` and `occurred`, UTC).

        Raises MintageError("payload_too_large") above ROWS_LIMIT rows, invalid_request for SQL that fails.
        """
        import duckdb

        try:
            self._refresh()
            rows = self._connect().execute(sql, list(parameters)).fetchmany(ROWS_LIMIT + 1)
        except duckdb.IOException:  # a merge in another process replaced a file: list them again
            rows = self._query_again(sql, parameters)
        except duckdb.Error as error:
            raise MintageError("invalid_request", str(error).splitlines()[0], "Correct the query.") from error
        if len(rows) > ROWS_LIMIT:
            raise MintageError("payload_too_large", f"More than {ROWS_LIMIT} rows.", "Group or filter further.")
        return rows

    def _query_again(self, sql: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        import duckdb

        self._segments = list_segments(self.folder)
        self._viewed = None
        try:
            self._refresh()
            return self._connect().execute(sql, list(parameters)).fetchmany(ROWS_LIMIT + 1)
        except duckdb.Error as error:
            raise _unreadable() from error

    def _connect(self) -> duckdb.DuckDBPyConnection:
        """In memory, and allowed to touch this folder only."""
        if self._connection is None:
            import duckdb

            connection = duckdb.connect(
                ":memory:",
                config={
                    "threads": self._threads,
                    "memory_limit": MEMORY_LIMIT,
                    "temp_directory": str(self.folder / ".spill"),
                },
            )
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"SET allowed_directories = [{_quoted(self.folder)}]")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            connection.execute(f"CREATE TABLE tail ({TABLE_COLUMNS})")
            self._connection = connection
        return self._connection

    def _refresh(self) -> None:
        """Give DuckDB the rows and the segments that it does not know yet."""
        import duckdb

        connection = self._connect()
        if self._loaded < len(self._tail):
            try:
                source = self._spool(self._tail[self._loaded :])
                connection.execute(f"INSERT INTO tail SELECT {SELECT_LIST} FROM {source}")
            finally:
                self._unspool()
            self._loaded = len(self._tail)
        if self._viewed != self._segments:
            files = f"SELECT * FROM {self._read_files(self._segments)} UNION ALL " if self._segments else ""
            try:
                connection.execute(f"CREATE OR REPLACE VIEW usage AS {files}SELECT * FROM tail")
            except duckdb.InvalidInputException as error:
                raise _unreadable() from error
            self._viewed = list(self._segments)

    def _read_files(self, segments: Sequence[Segment]) -> str:
        return f"read_parquet([{', '.join(_quoted(self.folder / segment.name) for segment in segments)}])"

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._loaded = 0
            self._viewed = None
