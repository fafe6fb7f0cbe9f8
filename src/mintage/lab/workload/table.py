"""A workload: what happened, as one Parquet table. A row is an event of one customer; a request is one of kind usage.

Columns: at_ns (BIGINT, nanoseconds UTC), customer, id, kind (VARCHAR); every other number is a value (the twelve meters
as BIGINT, others as DECIMAL), every other text a dimension (model, class, region, conversation, user).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mintage.base import METERS, MintageError
from mintage.pricing import Event

if TYPE_CHECKING:
    import duckdb
    from numpy.typing import NDArray

MEMORY_LIMIT: Final = "1GB"
OWN: Final = ("at_ns", "customer", "id", "kind")
_BATCH: Final = 65_536


def quoted(path: Path | str) -> str:
    """A path or text as an SQL string."""
    return "'" + str(path).replace("'", "''") + "'"


def named(name: str) -> str:
    """A column as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def connect(threads: int = 2) -> duckdb.DuckDBPyConnection:
    import duckdb

    connection = duckdb.connect(":memory:", config={"threads": threads, "memory_limit": MEMORY_LIMIT})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET preserve_insertion_order = false")
    return connection


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """top_share: of requests, that the busiest customer has; top10_share: the ten busiest."""

    rows: int
    customers: int
    models: tuple[str, ...]
    start_ns: int
    end_ns: int
    totals: dict[str, int]
    top_share: float
    top10_share: float
    cached_share: float


class Workload:
    """A Parquet file read by DuckDB. Immutable; opening reads only its header."""

    def __init__(self, path: Path, *, threads: int = 2) -> None:
        self.path = path
        self.threads = threads
        if not path.is_file():
            raise MintageError("not_found", f"There is no workload {path}.", "Import one: `mintage lab import`.")
        self.columns = self._columns()

    def _columns(self) -> dict[str, str]:
        import duckdb

        try:
            rows = connect().execute(f"DESCRIBE SELECT * FROM {self.source}").fetchall()
        except duckdb.Error as error:
            raise MintageError(
                "invalid_request", f"{self.path} is no Parquet file.", "Import it with `mintage lab import`."
            ) from error
        found = {str(row[0]): str(row[1]) for row in rows}
        if missing := [name for name in OWN if name not in found]:
            raise MintageError(
                "invalid_request",
                f"{self.path} is no workload: it has no column {missing[0]}.",
                "Import it with `mintage lab import`.",
            )
        return found

    @property
    def source(self) -> str:
        """The table as SQL reads it."""
        return f"read_parquet({quoted(self.path)})"

    @property
    def values(self) -> tuple[str, ...]:
        """Columns of numbers."""
        return tuple(n for n, kind in self.columns.items() if n not in OWN and not kind.startswith("VARCHAR"))

    @property
    def meters(self) -> tuple[str, ...]:
        return tuple(name for name in METERS if name in self.columns)

    @property
    def dimensions(self) -> tuple[str, ...]:
        return tuple(n for n, kind in self.columns.items() if n not in OWN and kind.startswith("VARCHAR"))

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows of one SELECT; {w} stands for the table."""
        return connect(self.threads).execute(sql.replace("{w}", self.source), list(parameters)).fetchall()

    def arrays(self, sql: str, parameters: Sequence[object] = ()) -> dict[str, NDArray[Any]]:
        """The same as one numpy array a column."""
        done = connect(self.threads).execute(sql.replace("{w}", self.source), list(parameters))
        return dict(done.fetchnumpy())

    def customers(self) -> list[str]:
        return [row[0] for row in self.query("SELECT DISTINCT customer FROM {w} ORDER BY ALL")]

    def events(self, customer: str, kinds: Sequence[str] = ()) -> list[Event]:
        """One customer's events in order of time, then id."""
        where = f" AND kind IN ({', '.join(quoted(kind) for kind in kinds)})" if kinds else ""
        return list(self._events(f"WHERE customer = ?{where} ORDER BY at_ns, id", [customer]))

    def by_customer(self, kinds: Sequence[str] = ()) -> Iterator[tuple[str, list[Event]]]:
        """Every customer that has such events, in order of name, each with its events in order. One pass."""
        where = f"WHERE kind IN ({', '.join(quoted(kind) for kind in kinds)})" if kinds else ""
        rows = self._rows(f"{where} ORDER BY customer, at_ns, id", [])
        for customer, group in itertools.groupby(rows, key=lambda row: row[0]):
            yield customer, [event for _, event in group]

    def _events(self, rest: str, parameters: Sequence[object]) -> Iterator[Event]:
        return (event for _, event in self._rows(rest, parameters))

    def _rows(self, rest: str, parameters: Sequence[object]) -> Iterator[tuple[str, Event]]:
        """Numbers of 0 are left out: an event does not carry them."""
        values, dimensions = self.values, self.dimensions
        names = ", ".join(map(named, (*values, *dimensions)))
        sql = f"SELECT customer, at_ns, kind, id{', ' if names else ''}{names} FROM {self.source} {rest}"
        cursor = connect(self.threads).execute(sql, list(parameters))
        split = len(values)
        while rows := cursor.fetchmany(_BATCH):
            for customer, at_ns, kind, id_, *cells in rows:
                yield (
                    customer,
                    Event(
                        at_ns=at_ns,
                        kind=kind,
                        id=id_,
                        values={name: cell for name, cell in zip(values, cells[:split], strict=True) if cell},
                        dimensions={name: cell for name, cell in zip(dimensions, cells[split:], strict=True) if cell},
                    ),
                )

    def summary(self) -> Summary:
        sums = ", ".join(f"coalesce(sum({name}), 0)::HUGEINT" for name in self.meters)
        sql = (
            f"SELECT count(*), count(DISTINCT customer), min(at_ns), max(at_ns){', ' if sums else ''}{sums} FROM {{w}}"
        )
        rows, customers, start, end, *totals = self.query(sql)[0]
        if not rows:
            raise MintageError("invalid_request", "The workload has no rows.", "Import another.")
        counts = [n for (n,) in self.query("SELECT count(*) AS n FROM {w} GROUP BY customer ORDER BY n DESC LIMIT 10")]
        models = self.query("SELECT DISTINCT model FROM {w} WHERE model <> '' ORDER BY ALL LIMIT 1000") if (
            "model" in self.columns) else []  # fmt: skip
        found = dict(zip(self.meters, (int(total) for total in totals), strict=True))
        prompt = sum(found.get(name, 0) for name in ("input_tokens", "cached_read_tokens", "cache_write_tokens"))
        return Summary(
            rows=rows,
            customers=customers,
            models=tuple(row[0] for row in models),
            start_ns=start,
            end_ns=end + 1,
            totals={name: count for name, count in found.items() if count},
            top_share=counts[0] / rows,
            top10_share=sum(counts) / rows,
            cached_share=found.get("cached_read_tokens", 0) / prompt if prompt else 0.0,
        )


def write_arrays(path: Path, columns: dict[str, NDArray[Any]]) -> Workload:
    """A workload from one array a column; meters that are missing are 0. The file appears whole or not at all."""
    connection = connect()
    connection.register("given", columns)
    missing = [f"0::BIGINT AS {meter}" for meter in METERS if meter not in columns]
    texts = [f"''::VARCHAR AS {name}" for name in ("id", "model") if name not in columns]
    kind = [] if "kind" in columns else ["'usage'::VARCHAR AS kind"]
    listed = ", ".join([*map(named, columns), *kind, *texts, *missing])
    return write_query(path, connection, f"SELECT {listed} FROM given ORDER BY customer, at_ns, id")


def write_query(path: Path, connection: duckdb.DuckDBPyConnection, query: str) -> Workload:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".new-{path.name}")
    try:
        connection.execute("SET preserve_insertion_order = true")
        connection.execute(f"COPY ({query}) TO {quoted(temporary)} (FORMAT parquet, COMPRESSION zstd)")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return Workload(path)
