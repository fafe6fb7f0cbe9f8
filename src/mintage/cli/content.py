"""`mintage content`: what is kept of a customer's prompts and answers."""

from __future__ import annotations

from typing import Annotated

import typer

from mintage.base import MintageError
from mintage.cli.client import session
from mintage.cli.options import Customer, Home, Json
from mintage.cli.output import print_json, say

app = typer.Typer(help="What is kept of prompts and answers.", no_args_is_help=True)


@app.command()
def policy(
    customer: Customer,
    *,
    keep: Annotated[str | None, typer.Option(help="nothing, metadata or full; shown when left out.")] = None,
    days: Annotated[int, typer.Option(help="Days that it is kept.")] = 30,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show or choose what is kept of a customer's requests."""
    with session(home, as_json=as_json) as api:
        path = f"/customers/{customer}/content-policy"
        found = api.get(path) if keep is None else api.call("PUT", path, json={"keep": keep, "days": days})
    if as_json:
        print_json(found)
    else:
        say(f"Kept: {found['keep']}" + (f", for {found['days']} days." if found["keep"] != "nothing" else "."))


@app.command()
def show(
    customer: Customer,
    request: Annotated[str, typer.Argument(help="Id of a request.", metavar="REQUEST")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show what was kept of one request. Looking is in the audit log."""
    with session(home, as_json=as_json) as api:
        found = api.get(f"/customers/{customer}/content/{request}")
    print_json(found if as_json else found["content"])


@app.command()
def erase(
    customer: Customer,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Really.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Destroy a customer's key: its files, prompts and answers cannot be read any more. The books stay whole."""
    with session(home, as_json=as_json) as api:
        if not yes:
            raise MintageError("invalid_request", "Erasing cannot be undone.", "Say --yes if you mean it.")
        gone = api.call("DELETE", f"/customers/{customer}/content")
    if as_json:
        print_json(gone)
    else:
        say(f"Everything kept of {customer} is erased. The books are whole.")
