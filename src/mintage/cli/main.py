"""`mintage`: every command, gathered."""

from __future__ import annotations

from typing import Annotated

import typer

from mintage import __version__
from mintage.cli import customers, invoices, keys, ledger, models, money, operator, plans, serve

app = typer.Typer(
    name="mintage",
    help="Turn a language model into a business: serve, meter, charge, settle, invoice, and see the margin.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mintage {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of every command: --home and --json come after it."""


for command in (serve.run, serve.serve, serve.demo, money.topup, money.usage, money.balances, money.pnl):
    app.command()(command)
for group, name in (
    (customers.app, "customers"),
    (keys.app, "keys"),
    (plans.app, "plan"),
    (invoices.app, "invoices"),
    (ledger.ledger, "ledger"),
    (ledger.books, "books"),
    (models.app, "models"),
    (operator.staff, "staff"),
    (operator.audit, "audit"),
    (operator.config, "config"),
):
    app.add_typer(group, name=name)


def main() -> None:
    """The entry point of the `mintage` script."""
    app()
