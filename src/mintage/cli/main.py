"""`mintage`: every command, gathered."""

from __future__ import annotations

from typing import Annotated

import typer

from mintage import __version__
from mintage.cli import (
    audit,
    content,
    credit,
    customers,
    evaluate,
    events,
    factory,
    finance,
    invoices,
    jobs,
    keeping,
    keys,
    lab,
    ledger,
    models,
    money,
    operator,
    payments,
    plans,
    price,
    price_book,
    projects,
    providers,
    secrets,
    serve,
    staff,
    subscriptions,
    taxes,
    users,
    webhooks,
)

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


price.app.command()(price_book.reconcile)
price.app.add_typer(price_book.app, name="book")
for command in (
    serve.run,
    serve.serve,
    serve.demo,
    money.topup,
    money.usage,
    money.balances,
    money.pnl,
    keeping.backup,
    keeping.restore,
    keeping.doctor,
):
    app.command()(command)
for group, name in (
    (customers.app, "customers"),
    (projects.app, "projects"),
    (keys.app, "keys"),
    (users.app, "users"),
    (plans.app, "plan"),
    (subscriptions.app, "subscriptions"),
    (subscriptions.coupons, "coupons"),
    (credit.app, "credit"),
    (finance.app, "finance"),
    (price.app, "price"),
    (lab.app, "lab"),
    (evaluate.app, "evaluate"),
    (factory.app, "factory"),
    (invoices.app, "invoices"),
    (payments.app, "payments"),
    (payments.bank, "bank"),
    (payments.notes, "credit-notes"),
    (webhooks.app, "webhooks"),
    (events.app, "events"),
    (taxes.tax, "tax"),
    (taxes.currency, "currency"),
    (taxes.billing, "billing"),
    (ledger.ledger, "ledger"),
    (ledger.books, "books"),
    (models.app, "models"),
    (providers.app, "providers"),
    (content.app, "content"),
    (jobs.app, "jobs"),
    (staff.app, "staff"),
    (audit.app, "audit"),
    (secrets.app, "secrets"),
    (operator.config, "config"),
):
    app.add_typer(group, name=name)


def main() -> None:
    """The entry point of the `mintage` script."""
    app()
