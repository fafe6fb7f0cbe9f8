"""`mintage tax` and `mintage currency`: dated rates. `mintage billing`: how invoices are made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mintage.base import MintageError
from mintage.cli.client import reporting, session
from mintage.cli.options import Home, Json
from mintage.cli.output import facts, print_json, say, table

tax = typer.Typer(help="Tax rates, with the days from which they hold.", no_args_is_help=True)
currency = typer.Typer(help="Rates between currencies, with dates.", no_args_is_help=True)
billing = typer.Typer(help="How invoices are made, and what each customer wants on its own.", no_args_is_help=True)

Day = Annotated[str, typer.Option("--from", help="First day, as 2026-01-31.", metavar="DAY")]
File = Annotated[Path, typer.Argument(help="A JSON file.", metavar="FILE")]


@tax.command("list")
def list_taxes(
    country: Annotated[str | None, typer.Option(help="Only this country.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List tax rates."""
    with session(home, as_json=as_json) as api:
        rows = api.get("/tax-rates", country=country)
    if as_json:
        print_json(rows)
        return
    names = ("country", "region", "name", "percent", "from_day", "source")
    table("Tax rates", names, [tuple(row[name] for name in names) for row in rows], right=("percent",))


@tax.command("set")
def set_tax(
    country: Annotated[str, typer.Argument(help="Two capital letters.")],
    percent: Annotated[str, typer.Argument(help="Such as 19 or 8.875; 0 ends a rate.")],
    from_day: Day,
    *,
    region: Annotated[str, typer.Option(help="State or province; empty for the whole country.")] = "",
    name: Annotated[str, typer.Option(help="What the invoice says.")] = "VAT",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Add or replace one rate."""
    row = {"country": country, "region": region, "name": name, "percent": percent, "from_day": from_day}
    with session(home, as_json=as_json) as api:
        done = api.call("PUT", "/tax-rates", json=[row])
    print_json(done) if as_json else say(f"{name} of {country} {region} is {percent} % from {from_day}.")


@tax.command("import-eu")
def import_eu(from_day: Day, home: Home = None, as_json: Json = False) -> None:
    """Take Europe's standard rates from the installed data (extra `billing`)."""
    with session(home, as_json=as_json) as api:
        done = api.call("POST", "/tax-rates/eu", json={"from_day": from_day})
    print_json(done) if as_json else say(f"Changed {done['changed']} rates.")


@currency.command("list")
def list_currencies(home: Home = None, as_json: Json = False) -> None:
    """List rates, newest day first."""
    with session(home, as_json=as_json) as api:
        rows = api.get("/currency-rates")
    if as_json:
        print_json(rows)
        return
    names = ("base", "quote", "day", "rate", "source")
    table("Currency rates", names, [tuple(row[name] for name in names) for row in rows], right=("rate",))


@currency.command("set")
def set_currency(
    base: Annotated[str, typer.Argument(help="Such as EUR.")],
    quote: Annotated[str, typer.Argument(help="Such as USD.")],
    rate: Annotated[str, typer.Argument(help="What one unit of the first costs in the second.")],
    *,
    day: Annotated[str, typer.Option(help="First day, as 2026-01-31.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Add or replace one rate."""
    row = {"base": base, "quote": quote, "rate": rate, "day": day, "source": "entered by hand"}
    with session(home, as_json=as_json) as api:
        done = api.call("PUT", "/currency-rates", json=[row])
    print_json(done) if as_json else say(f"1 {base} is {rate} {quote} from {day}.")


def _path(customer: str | None) -> str:
    return f"/customers/{customer}/billing-profile" if customer else "/billing-settings"


Whose = Annotated[
    str | None, typer.Option("--customer", help="A customer's profile; else the seller's settings.", metavar="CUSTOMER")
]


@billing.command()
def show(customer: Whose = None, home: Home = None, as_json: Json = False) -> None:
    """Show the seller's settings, or a customer's billing profile."""
    with session(home, as_json=as_json) as api:
        found = api.get(_path(customer))
    print_json(found) if as_json else facts("Billing", found.items())


@billing.command("set")
def set_billing(file: File, customer: Whose = None, home: Home = None, as_json: Json = False) -> None:
    """Replace the seller's settings, or a customer's billing profile, by a JSON file."""
    with reporting(as_json=as_json):
        try:
            raw = file.read_bytes()
        except OSError as error:
            raise MintageError("not_found", f"{file} cannot be read: {error.strerror}.", "Check the path.") from error
    with session(home, as_json=as_json) as api:
        found = api.call("PUT", _path(customer), content=raw, headers={"content-type": "application/json"})
    print_json(found) if as_json else facts("Billing", found.items())
