"""`mintage secrets`: what is sealed, and the master key."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mintage.base import MintageError
from mintage.cli.client import session
from mintage.cli.options import Cursor, Home, Json, Limit
from mintage.cli.output import facts, more, print_json, say, table, when

app = typer.Typer(help="Sealed secrets and the master key.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Such as upstream/openai.", metavar="NAME")]


@app.command("list")
def list_(limit: Limit = 50, cursor: Cursor = None, home: Home = None, as_json: Json = False) -> None:
    """List secrets by name; never one itself."""
    with session(home, as_json=as_json) as api:
        page = api.get("/secrets", limit=limit, cursor=cursor)
    if as_json:
        print_json(page)
        return
    table("Secrets", ("name", "stored (UTC)"), [(row["name"], when(row["updated_ns"])) for row in page["items"]])
    more(page)


@app.command()
def put(name: Name, home: Home = None, as_json: Json = False) -> None:
    """Store or replace a secret, read from standard input: never from the command line, where others may see it."""
    with session(home, as_json=as_json) as api:
        value = sys.stdin.read(65_537).rstrip("\r\n")
        if not value:
            raise MintageError("invalid_request", "Nothing came in.", f"Write: mintage secrets put {name} < FILE")
        row = api.call("POST", "/secrets", json={"name": name, "value": value})
    if as_json:
        print_json(row)
    else:
        say(f"Stored {row['name']}.")


@app.command()
def delete(name: Name, home: Home = None, as_json: Json = False) -> None:
    """Delete a secret for good."""
    with session(home, as_json=as_json) as api:
        gone = api.call("DELETE", f"/secrets/{name}")
    if as_json:
        print_json(gone)
    else:
        say(f"Deleted {gone['name']}.")


@app.command()
def keys(home: Home = None, as_json: Json = False) -> None:
    """Show where the master key comes from, and which keys there are."""
    with session(home, as_json=as_json) as api:
        state = api.get("/secrets/keys")
    if as_json:
        print_json(state)
    else:
        pairs = [("source", state["source"]), ("master key", state["master_key"])]
        facts("Keys", [*pairs, ("data keys", ", ".join(state["data_keys"]))])


@app.command()
def rotate(home: Home = None, as_json: Json = False) -> None:
    """Seal everything anew. A master key of the environment or a command: put the new one in front of the old first."""
    with session(home, as_json=as_json) as api:
        done = api.call("POST", "/secrets/rotate")
    if as_json:
        print_json(done)
        return
    changed = "is new" if done["master_changed"] else "is the same as before: no newer one comes first"
    say(f"Master key {done['master_key']} {changed}.")
    say(f"{done['data_keys']} data keys; {done['resealed']} secrets sealed anew.")


@app.command("new-key")
def new_key(home: Home = None, as_json: Json = False) -> None:
    """Print a new master key, for env: and command: sources. Nothing is changed."""
    from mintage.accounts import new_key_text

    del home  # taken as by every command; a key belongs to none yet
    text = new_key_text()
    if as_json:
        print_json({"master_key": text})
    else:
        say(text)
