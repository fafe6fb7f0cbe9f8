"""`mintage events`: report usage from elsewhere, and see what was accepted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from mintage.base import MintageError
from mintage.cli.client import reporting, session
from mintage.cli.options import Cursor, Customer, Home, Json, Limit
from mintage.cli.output import more, print_json, say, table, when

app = typer.Typer(help="Usage that others report, so that anything can be sold.", no_args_is_help=True)

_TYPES: Final = {
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".csv": "text/csv",
}


@app.command()
def send(
    customer: Customer,
    file: Annotated[str, typer.Argument(help="A .json, .jsonl or .csv file; - reads JSON lines.", metavar="FILE")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Record a file of usage events, all of it or nothing. The same file again changes nothing."""
    with reporting(as_json=as_json):
        raw, media = _read(file)
    with session(home, as_json=as_json) as api:
        recorded = api.call("POST", f"/customers/{customer}/events", content=raw, headers={"content-type": media})
    if as_json:
        print_json(recorded)
    else:
        say(f"Recorded {recorded['accepted']:,} events; {recorded['duplicates']:,} were known.")


def _read(file: str) -> tuple[bytes, str]:
    if file == "-":
        return sys.stdin.buffer.read(), "application/x-ndjson"
    media = _TYPES.get(Path(file).suffix.lower())
    if media is None:
        raise MintageError("invalid_request", f"{file} is no file of events.", f"Name it {', '.join(_TYPES)}.")
    try:
        return Path(file).read_bytes(), media
    except OSError as error:
        code = "not_found" if isinstance(error, FileNotFoundError) else "invalid_request"
        raise MintageError(code, f"{file} cannot be read: {error.strerror}.", "Check the path.") from error


@app.command("list")
def list_(
    customer: Customer, limit: Limit = 50, cursor: Cursor = None, home: Home = None, as_json: Json = False
) -> None:
    """List accepted events, in the order in which they were accepted."""
    with session(home, as_json=as_json) as api:
        page = api.get(f"/customers/{customer}/events", limit=limit, cursor=cursor)
    if as_json:
        print_json(page)
        return
    rows = [
        (
            row["source"],
            row["id"],
            row["kind"],
            when(row["at_ns"]),
            " ".join(f"{name}={value}" for name, value in {**row["meters"], **row["properties"]}.items()),
            row["supersedes"],
            "superseded" if row["superseded"] else "counts",
        )
        for row in page["items"]
    ]
    table("Events", ("source", "id", "kind", "time (UTC)", "what", "supersedes", "state"), rows)
    more(page)
