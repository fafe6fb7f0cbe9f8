"""`python -m mintage.billing.documents.parquet`: invoice lines as JSON lines on stdin, a Parquet file on stdout."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Final

from mintage.billing.documents.export import COLUMNS

_TYPES: Final = {name: "BIGINT" for name in COLUMNS if name.endswith(("_nanos", "_ns"))} | {"line": "INTEGER"}


def to_parquet(lines: bytes) -> bytes:
    import duckdb

    columns = ", ".join(f"{name} {_TYPES.get(name, 'VARCHAR')}" for name in COLUMNS)
    kinds = ", ".join(f"'{name}': '{_TYPES.get(name, 'VARCHAR')}'" for name in COLUMNS)
    with tempfile.TemporaryDirectory(prefix="mintage-export-") as folder, duckdb.connect(":memory:") as connection:
        source, target = Path(folder, "rows.json"), Path(folder, "rows.parquet")
        connection.execute(f"CREATE TABLE rows ({columns})")
        if lines:
            source.write_bytes(lines)
            select = f"SELECT {', '.join(COLUMNS)} FROM read_json(?, columns = {{{kinds}}}"  # noqa: S608 - names are ours
            connection.execute(f"INSERT INTO rows {select}, format = 'newline_delimited')", [str(source)])
        connection.execute(f"COPY rows TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
        return target.read_bytes()


if __name__ == "__main__":
    sys.stdout.buffer.write(to_parquet(sys.stdin.buffer.read()))
