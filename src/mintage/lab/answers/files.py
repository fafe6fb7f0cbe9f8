"""A comparison on disk: JSON for scripts, Parquet for notebooks, HTML for people; and read back again."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from mintage.base import MintageError
from mintage.lab.answers.compare import Comparison
from mintage.lab.answers.html import render_html
from mintage.lab.workload.table import connect, quoted

RESULT: Final = "comparison.json"


def write_answers(made: Comparison, folder: Path, language: str = "en") -> dict[str, str]:
    """comparison.json, customers.parquet and report.html in the folder; their paths by kind."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = msgspec.json.format(msgspec.json.encode(made), indent=2)
    (folder / RESULT).write_bytes(raw + b"\n")
    html = folder / "report.html"
    html.write_text(render_html(made, language), "utf-8")
    table = folder / "customers.parquet"
    _write_customers(made, table)
    return {"json": str(folder / RESULT), "parquet": str(table), "html": str(html)}


def _write_customers(made: Comparison, target: Path) -> None:
    """One row per plan and customer; amounts as DECIMAL(38,18), exact."""
    spool = target.with_suffix(".ndjson")
    rows = [
        {"plan": a.plan, "customer": c, "revenue": str(r), "cost": str(k), "margin": str(m)}
        for a in made.answers
        for c, r, k, m in a.by_customer
    ]
    try:
        spool.write_bytes(msgspec.json.Encoder().encode_lines(rows))
        money = "DECIMAL(38,18)"
        columns = f"{{plan: 'VARCHAR', customer: 'VARCHAR', revenue: '{money}', cost: '{money}', margin: '{money}'}}"
        source = f"read_json({quoted(spool)}, columns = {columns}, format = 'newline_delimited')"
        connect().execute(f"COPY (SELECT * FROM {source}) TO {quoted(target)} (FORMAT parquet)")
    finally:
        spool.unlink(missing_ok=True)


def read_answers(path: Path) -> Comparison:
    """From the folder or the JSON file itself. Raises MintageError("not_found"), "invalid_request"."""
    file = path / RESULT if path.is_dir() else path
    try:
        return msgspec.json.decode(file.read_bytes(), type=Comparison)
    except OSError as error:
        raise MintageError(
            "not_found", f"There is no comparison {file}.", "Make one: `mintage lab compare`."
        ) from error
    except msgspec.DecodeError as error:
        raise MintageError("invalid_request", f"{file} is no comparison: {error}.", "Make it again.") from error
