"""Import: a CSV, JSON lines or Parquet file becomes a workload, with a report of every row that is not as it should.

DuckDB reads all cells as text, so that nothing is guessed; each rule is one SQL expression that names rows at fault.
Rejected rows are written beside the workload with their reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from mintage.base import METERS, MintageError
from mintage.lab.workload.presets import PRESETS, Preset
from mintage.lab.workload.report import Code, ImportReport, Problem
from mintage.lab.workload.table import connect, named, quoted, write_query

EXAMPLES: Final = 5
ZONED: Final = r"(Z|[+-]\d\d(:?\d\d)?)$"
_UNITS: Final = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_TOKENS: Final = ("input_tokens", "cached_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
_TEXTS: Final = ("customer", "id", "kind", "model", "class", "region", "end_user")
_HUGE: Final = 10  # times a high percentile of its column: an outlier
_MANY: Final = 200  # rows from which on the 99th percentile is not the outlier itself


def import_workload(
    source: Path,
    target: Path,
    *,
    preset: str = "generic",
    columns: Mapping[str, str] | None = None,
    zone: str = "UTC",
    start: str = "2026-01-01T00:00:00Z",
    allow_rejects: bool = False,
) -> ImportReport:
    """Read `source` into the workload `target`.

    columns: our field -> their column, over the preset's. zone: of times that name none. start: of relative times.
    Raises MintageError("invalid_request") for a missing column, and for rejected rows unless they are allowed; the
    error's details hold the report, and no workload is written.
    """
    if preset not in PRESETS:
        raise MintageError("not_found", f"There is no preset {preset!r}.", f"There are {', '.join(PRESETS)}.")
    return _Import(source, PRESETS[preset], dict(columns or {}), zone, start).run(target, allow_rejects=allow_rejects)


class _Import:
    def __init__(self, source: Path, preset: Preset, columns: dict[str, str], zone: str, start: str) -> None:
        self.source, self.preset, self.zone, self.start = source, preset, zone, start
        self.connection = connect()
        self.columns = self._load()
        self.mapping = self._map(columns)
        self.problems: list[Problem] = []

    def _load(self) -> list[str]:
        """The file as the table `raw`: a row number and every column as text."""
        import duckdb

        if not self.source.is_file():
            raise MintageError("not_found", f"There is no file {self.source}.", "Check the path.")
        suffix = self.source.name.lower().removesuffix(".gz").rpartition(".")[2]
        path = quoted(self.source)
        readers = {
            "csv": f"read_csv({path}, all_varchar = true, header = true, null_padding = false)",
            "parquet": f"read_parquet({path})",
            "json": f"read_json_auto({path}, maximum_object_size = 16777216)",
        }
        readers["jsonl"] = readers["ndjson"] = readers["json"]
        if suffix not in readers:
            raise MintageError(
                "invalid_request", f"{self.source.name} is no table.", "Give CSV, JSON lines or Parquet."
            )
        try:
            self.connection.execute("SET preserve_insertion_order = true")
            described = self.connection.execute(f"DESCRIBE SELECT * FROM {readers[suffix]}").fetchall()
            listed = ", ".join(f"CAST({named(row[0])} AS VARCHAR) AS {named(row[0])}" for row in described)
            self.connection.execute(
                f"CREATE TABLE raw AS SELECT row_number() OVER () AS _row, {listed} FROM {readers[suffix]}"
            )
        except duckdb.Error as error:
            message = str(error).splitlines()[0][:300]
            raise MintageError("invalid_request", f"{self.source.name}: {message}.", "Mend the file there.") from error
        return [str(row[0]) for row in described]

    def _map(self, given: dict[str, str]) -> dict[str, str]:
        lowered = {name.lower(): name for name in reversed(self.columns)}
        found: dict[str, str] = {}
        for field, name in given.items():
            if name.lower() not in lowered:
                raise self._missing(field, (name,))
            found[field] = lowered[name.lower()]
        for field, names in self.preset.fields.items():
            if field not in found and (hit := next((lowered[n] for n in names if n in lowered), None)):
                found[field] = hit
        for field in self.preset.required:
            if field not in found:
                raise self._missing(field, self.preset.fields.get(field, ()))
        return found

    def _missing(self, field: str, names: tuple[str, ...]) -> MintageError:
        return MintageError(
            "invalid_request",
            f"{self.source.name} has no column for {field} (looked for {', '.join(names)}).",
            f"It has {', '.join(self.columns)[:400]}. Map one: --column {field}=NAME.",
            param=field,
            details={"missing": field, "columns": self.columns},
        )

    # -- expressions ---------------------------------------------------------------------------------------------------

    def _cell(self, field: str) -> str | None:
        return f"nullif(trim({named(self.mapping[field])}), '')" if field in self.mapping else None

    def _time(self) -> str:
        cell, unit = self._cell("at"), self.preset.time_unit
        number = f"try_cast({cell} AS DOUBLE)"
        exact = f"try_cast({cell} AS DECIMAL(38,9))"
        if unit == "auto":  # seconds, milliseconds, microseconds or nanoseconds of the epoch, by their size
            scale = (f"CASE WHEN abs({number}) < 1e11 THEN 1000000000 WHEN abs({number}) < 1e14 THEN 1000000 "
                     f"WHEN abs({number}) < 1e17 THEN 1000 ELSE 1 END")  # fmt: skip
        else:
            scale = str(_UNITS[unit])
        base = f"epoch_ns(TIMESTAMPTZ {quoted(self.start)})" if self.preset.relative else "0"
        zoned = f"epoch_ns(try_cast({cell} AS TIMESTAMPTZ))"
        local = f"epoch_ns(timezone({quoted(self.zone)}, try_cast({cell} AS TIMESTAMP)))"
        return (f"CASE WHEN {number} IS NOT NULL THEN {base} + CAST(round({exact} * {scale}) AS BIGINT) "
                f"WHEN regexp_matches({cell}, {quoted(ZONED)}) THEN {zoned} ELSE {local} END")  # fmt: skip

    def _columns_sql(self) -> dict[str, str]:
        """Our column -> SQL over `raw`; _at and _n_* are read values that may be NULL where unreadable."""
        found = {"at_ns": self._time()}
        for name in _TEXTS:
            cell = self._cell(name)
            default = {"customer": self.preset.customer or "unknown", "kind": "usage"}.get(name, "")
            found[name] = quoted(default) if cell is None else f"coalesce({cell}, {quoted(default)})"
        for meter in METERS:
            cell = self._cell(meter)
            whole = f"try_cast({cell} AS DECIMAL(38,6))"
            found[meter] = (
                "0::BIGINT"
                if cell is None
                else (
                    f"CASE WHEN {cell} IS NULL THEN 0 "
                    f"WHEN {whole} = round({whole}) THEN try_cast({whole} AS BIGINT) END"
                )
            )
        if "requests" not in self.mapping:
            found["requests"] = f"CASE WHEN {found['kind']} = 'usage' THEN 1 ELSE 0 END::BIGINT"
        for name in self._others():
            found[name] = f"try_cast(nullif(trim({named(name)}), '') AS DECIMAL(38,9))"
        return found

    def _others(self) -> list[str]:
        """Columns that no field takes and that hold only numbers: values of their own, such as an order's amount."""
        taken = {name.lower() for name in self.mapping.values()} | {name.lower() for name in (*METERS, *_TEXTS)}
        if self.preset.blocks:
            taken.add(self.preset.blocks[0])
        found = []
        for name in self.columns:
            if name.lower() in taken or not name.isidentifier():
                continue
            cell = f"nullif(trim({named(name)}), '')"
            number = f"try_cast({cell} AS DECIMAL(38,9))"
            bad, any_ = self._one(
                f"SELECT count(*) FILTER ({number} IS NULL AND {cell} IS NOT NULL), count({cell}) FROM raw"
            )
            if any_ and not bad:
                found.append(name.lower())
        return found

    def _one(self, sql: str) -> tuple[Any, ...]:
        row = self.connection.execute(sql).fetchone()
        assert row is not None
        return row

    # -- the steps -----------------------------------------------------------------------------------------------------

    def run(self, target: Path, *, allow_rejects: bool) -> ImportReport:
        listed = ", ".join(f"{sql} AS {named(name)}" for name, sql in self._columns_sql().items())
        self.connection.execute(f"CREATE TABLE read AS SELECT _row, {listed}, ''::VARCHAR AS _reason FROM raw")
        if self.preset.blocks:
            self._prefix_cache(*self.preset.blocks)
        self._reject_bad_cells()
        self._reject_repeated_ids()
        self._split_cached()
        self._warn()
        total = self._one("SELECT count(*) FROM raw")[0]
        rejected = self._one("SELECT count(*) FROM read WHERE _reason <> ''")[0]
        report = ImportReport(
            source=str(self.source.name),
            preset=self.preset.name,
            mapping=self.mapping,
            read=total,
            taken=total - rejected,
            rejected=rejected,
            problems=tuple(self.problems),
        )
        if not total or rejected == total or (rejected and not allow_rejects):
            raise _refusal(report)
        return self._write(target, report)

    def _write(self, target: Path, report: ImportReport) -> ImportReport:
        import msgspec

        order = "ORDER BY customer, at_ns, id, _row"
        fill = "CASE WHEN id = '' THEN 'row-' || lpad(_row::VARCHAR, 12, '0') ELSE id END AS id"
        query = f"SELECT * EXCLUDE (_row, _reason) REPLACE ({fill}) FROM read WHERE _reason = '' {order}"
        write_query(target, self.connection, query)
        rejects = ""
        if report.rejected:
            path = target.with_suffix(".rejected.csv")
            self.connection.execute(
                f"COPY (SELECT read._reason AS reason, raw.* FROM raw JOIN read USING (_row) WHERE read._reason <> '' "
                f"ORDER BY _row) TO {quoted(path)} (HEADER)"
            )
            rejects = str(path)
        return msgspec.structs.replace(report, workload=str(target), rejects=rejects)

    def _reject(self, code: Code, field: str, where: str, message: str, shown: str) -> None:
        rows = self.connection.execute(
            f"SELECT _row, {shown} FROM read JOIN raw USING (_row) WHERE _reason = '' AND ({where}) ORDER BY _row"
        ).fetchmany(EXAMPLES)
        if not rows:
            return
        count = self._one(f"SELECT count(*) FROM read JOIN raw USING (_row) WHERE _reason = '' AND ({where})")[0]
        self.connection.execute(
            f"UPDATE read SET _reason = {quoted(code)} WHERE _row IN (SELECT _row FROM read JOIN raw USING (_row) "
            f"WHERE _reason = '' AND ({where}))"
        )
        self._add(code, "rejected", field, count, message, rows)

    def _add(  # noqa: PLR0917 - the fields of a Problem, in their order
        self, code: Code, severity: Any, field: str, rows: int, message: str, examples: list[Any]
    ) -> None:
        shown = tuple((int(row[0]), str(row[1])[:80]) for row in examples)
        self.problems.append(
            Problem(code=code, severity=severity, field=field, rows=rows, message=message, examples=shown)
        )

    def _raw(self, field: str) -> str:
        return f"raw.{named(self.mapping[field])}" if field in self.mapping else "''"

    def _reject_bad_cells(self) -> None:
        self._reject("time_unreadable", "at", "read.at_ns IS NULL", "The time cannot be read.", self._raw("at"))
        for meter in METERS:
            if meter in self.mapping:
                column, shown = f"read.{meter}", self._raw(meter)
                self._reject("number_unreadable", meter, f"{column} IS NULL", f"{meter} is no whole number.", shown)
                self._reject("negative", meter, f"{column} < 0", f"{meter} is negative.", shown)

    def _reject_repeated_ids(self) -> None:
        if "id" not in self.mapping:
            return
        cells = ", ".join(["at_ns", "customer", "model", "kind", *METERS])
        first = f"SELECT min(_row) FROM read WHERE id <> '' GROUP BY id, {cells}"
        again = f"read.id <> '' AND read._row NOT IN ({first})"
        self._reject("duplicate_id", "id", again, "The row repeats an earlier one, id and all.", "read.id")
        held = "SELECT min(_row) FROM read WHERE id <> '' AND _reason = '' GROUP BY id"
        other = f"read.id <> '' AND read._row NOT IN ({held})"
        self._reject("conflicting_id", "id", other, "The id was used before, with another content.", "read.id")

    def _split_cached(self) -> None:
        """Prompt tokens that include cached ones become the disjoint classes that we count."""
        if self.preset.cached_within:
            parts = "read.cached_read_tokens + read.cache_write_tokens"
            more = f"{parts} > read.input_tokens OR read.reasoning_tokens > read.output_tokens"
            self._reject("cached_above_input", "cached_read_tokens", more,
                         "More cached or reasoning tokens than tokens.", self._raw("cached_read_tokens"))  # fmt: skip
            self.connection.execute(
                "UPDATE read SET input_tokens = input_tokens - cached_read_tokens - cache_write_tokens, "
                "output_tokens = output_tokens - reasoning_tokens WHERE _reason = ''"
            )

    def _prefix_cache(self, column: str, block_tokens: int) -> None:
        """Tokens of a prompt whose leading blocks were asked before, with a cache that never forgets."""
        if column not in self.columns:
            return
        rows = self.connection.execute(f"SELECT _row, {named(column)} FROM raw ORDER BY _row").fetchall()
        seen: set[str] = set()
        hits: list[tuple[int, int]] = []
        for row, text in rows:
            blocks = [part.strip() for part in (text or "").strip("[]").split(",") if part.strip()]
            leading = next((place for place, block in enumerate(blocks) if block not in seen), len(blocks))
            seen.update(blocks)
            hits.append((row, leading * block_tokens))
        import numpy as np

        self.connection.register(
            "hits", {"_row": np.array([h[0] for h in hits]), "hit": np.array([h[1] for h in hits])}
        )
        self.connection.execute(
            "UPDATE read SET cached_read_tokens = least(hits.hit, read.input_tokens) FROM hits "
            "WHERE read._row = hits._row"
        )
        self.mapping["cached_read_tokens"] = column

    def _warn(self) -> None:
        if self.preset.time_unit == "auto" and not self.preset.relative:
            cell = self._raw("at")
            where = f"try_cast({cell} AS DOUBLE) IS NULL AND NOT regexp_matches(trim({cell}), {quoted(ZONED)})"
            self._warning("time_without_zone", "at", where, f"Times without a zone are taken as {self.zone}.", cell)
        if "customer" not in self.mapping:
            name = self.preset.customer or "unknown"
            self._add("no_customer", "warning", "customer", self._one("SELECT count(*) FROM read")[0],
                      f"The file names no customer: all rows are taken as {name}'s.", [])  # fmt: skip
        for meter in _TOKENS:
            sql = f"FROM read WHERE _reason = '' AND {meter} > 0"
            many = self._one(f"SELECT count(*) {sql}")[0] >= _MANY
            top = self._one(f"SELECT quantile_disc({meter}, {0.99 if many else 0.9}) {sql}")[0]
            if top:
                where = f"read.{meter} >= {_HUGE} * {top}"
                share = "99th" if many else "90th"
                words = f"{meter} is at least {_HUGE} times the {share} percentile ({top:,}). Taken as it is."
                self._warning("outlier", meter, where, words, f"read.{meter}")

    def _warning(self, code: Code, field: str, where: str, message: str, shown: str) -> None:
        sql = f"FROM read JOIN raw USING (_row) WHERE _reason = '' AND ({where})"
        count = self._one(f"SELECT count(*) {sql}")[0]
        if count:
            rows = self.connection.execute(f"SELECT _row, {shown} {sql} ORDER BY _row").fetchmany(EXAMPLES)
            self._add(code, "warning", field, count, message, rows)


def _refusal(report: ImportReport) -> MintageError:
    import msgspec

    first = next((p for p in report.problems if p.severity == "rejected"), None)
    where = f" First: row {first.examples[0][0]}, {first.message}" if first and first.examples else ""
    return MintageError(
        "invalid_request",
        f"{report.rejected} of {report.read} rows of {report.source} cannot be taken.{where}",
        "Mend them, or take the others with --allow-rejects; rejected rows are then written beside the workload.",
        details={"report": msgspec.to_builtins(report)},
    )
