"""`mintage config`: the settings in force."""

from __future__ import annotations

import typer

from mintage.base import explain_settings
from mintage.cli.client import reporting
from mintage.cli.options import Home, Json
from mintage.cli.output import print_json, table

config = typer.Typer(help="Settings.", no_args_is_help=True)


@config.command("show")
def show_config(home: Home = None, as_json: Json = False) -> None:
    """Every setting with its value, where it came from, and what it means. Needs no server and no lock."""
    with reporting(as_json=as_json):
        rows = explain_settings(home=home)
    if as_json:
        print_json(rows)
    else:
        cells = [(row.name, row.value, row.source, row.explanation) for row in rows]
        table("Settings", ("name", "value", "from", "meaning"), cells)
