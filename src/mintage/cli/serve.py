"""`mintage run`, `serve` and `demo`: the commands that serve."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Annotated

import typer

from mintage.base import Settings, load_settings
from mintage.cli import exits
from mintage.cli.client import reporting
from mintage.cli.options import Home, Json


def _settings(home: str | None) -> Settings:
    settings = load_settings(home=home)
    level = logging.getLevelNamesMapping().get(settings.log_level.upper(), logging.INFO)
    logging.basicConfig(
        level=max(level, logging.WARNING), stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )
    return settings


def run(home: Home = None) -> None:
    """Set up a first run, serve, make one real paid request, and keep serving until Ctrl-C."""
    with reporting(as_json=False):
        from mintage.cli import first_dollar

        asyncio.run(first_dollar.run(_settings(home)))


def serve(home: Home = None) -> None:
    """Serve what is there until Ctrl-C, without the first run's customers and request."""
    with reporting(as_json=False):
        from mintage.cli import first_dollar

        asyncio.run(first_dollar.run(_settings(home), demo_customers=False))


def demo(
    requests: Annotated[int, typer.Option(help="Paid requests to make.")] = 6,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """The whole loop without a person: chats, a cut one, a refused one, an invoice, verified books."""
    with reporting(as_json=as_json):
        from mintage.cli import demo as loop

        result = asyncio.run(loop.demo(_settings(home), requests=requests, as_json=as_json))
    if not result.books.balanced:
        raise typer.Exit(exits.FAILURE)
