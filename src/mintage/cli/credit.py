"""`mintage credit`: lots of a wallet, grants, packs, automatic top-ups, spending caps, entitlements."""

from __future__ import annotations

from typing import Annotated

import typer

from mintage.base import new_id
from mintage.cli.client import session
from mintage.cli.options import Customer, Home, Json
from mintage.cli.output import amount, print_json, say, table, units, when

app = typer.Typer(help="Credit: grants, packs, automatic top-ups, caps.", no_args_is_help=True)

Amount = Annotated[str, typer.Argument(help="Currency units, such as 25.00.", metavar="AMOUNT")]


@app.command()
def show(customer: Customer, home: Home = None, as_json: Json = False) -> None:
    """The lots of a customer's credit, in the order in which they came."""
    with session(home, as_json=as_json) as api:
        view = api.get(f"/customers/{customer}/credit")
    if as_json:
        print_json(view)
        return
    rows = [
        (
            lot["name"],
            lot["kind"],
            lot["state"],
            lot["priority"],
            when(lot["expires_ns"]),
            " ".join(lot["models"]),
            units(lot["amount_nanos"]),
            units(lot["remaining_nanos"]),
        )
        for lot in view["lots"]
    ]
    right = ("amount", "left")
    table("Credit", ("name", "kind", "state", "priority", "expires (UTC)", "models", *right), rows, right=right)


@app.command()
def grant(
    customer: Customer,
    amount_: Amount,
    *,
    name: Annotated[str, typer.Option(help="What the wallet shows.")] = "Credit",
    priority: Annotated[int, typer.Option(help="Lower burns first.")] = 50,
    expires: Annotated[str | None, typer.Option(help="Day (UTC) on which the rest lapses.", metavar="DAY")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Pays for this model only; `*` is any text.")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="The same id again changes nothing.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Give a customer credit."""
    new = {
        "amount": amount_,
        "name": name,
        "priority": priority,
        "expires": expires,
        "models": model or [],
        "id": id_ or new_id("crd"),
    }
    with session(home, as_json=as_json) as api:
        lot = api.call("POST", f"/customers/{customer}/credit", json=new)
    if as_json:
        print_json(lot)
    else:
        say(f"{customer} has {units(lot['amount_nanos'])} more.")


@app.command()
def pack(
    customer: Customer,
    number: Annotated[int, typer.Argument(help="The pack's place in the plan, from 0.")],
    *,
    source: Annotated[str, typer.Option(help="Where the payment came from.")] = "manual",
    source_id: Annotated[str | None, typer.Option(help="The payment's own id: the same again changes nothing.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Credit a pack that was paid for."""
    body = {"pack": number, "source": source, "source_id": source_id or new_id("pck")}
    with session(home, as_json=as_json) as api:
        lots = api.call("POST", f"/customers/{customer}/packs", json=body)
    if as_json:
        print_json(lots)
    else:
        say(f"{customer} has {units(sum(lot['amount_nanos'] for lot in lots))} more.")


@app.command()
def auto(
    customer: Customer,
    below: Annotated[str, typer.Option(help="Buy when less is available.")],
    amount_: Annotated[str, typer.Option("--amount", help="What to buy.")],
    *,
    monthly_limit: Annotated[str | None, typer.Option(help="Most in a calendar month.")] = None,
    off: Annotated[bool, typer.Option("--off", help="Do not buy.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Buy credit automatically when a wallet runs low; needs a payment provider."""
    body = {"below": below, "amount": amount_, "monthly_limit": monthly_limit, "enabled": not off}
    with session(home, as_json=as_json) as api:
        rule = api.call("PUT", f"/customers/{customer}/auto-top-up", json=body)
    if as_json:
        print_json(rule)
    else:
        say(f"{customer} {'buys nothing by itself' if off else f'buys {amount_} below {below}'}.")


@app.command()
def cap(
    customer: Customer,
    amount_: Annotated[
        str | None, typer.Argument(help="What it may spend; leave out to see.", metavar="AMOUNT")
    ] = None,
    *,
    every: Annotated[str, typer.Option(help="day, week, month (UTC) or ever.")] = "month",
    hard: Annotated[bool, typer.Option("--hard", help="Refuse what would pass it; else only tell.")] = False,
    alerts: Annotated[str, typer.Option(help="Percents at which to tell, with commas.")] = "80,100",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Cap what a customer spends, or see how much of its cap is spent."""
    with session(home, as_json=as_json) as api:
        if amount_ is not None:
            percents = [int(one) for one in alerts.split(",") if one.strip().isdecimal()]
            body = {"amount": amount_, "every": every, "hard": hard, "alerts": percents}
            api.call("PUT", f"/customers/{customer}/cap", json=body)
        view = api.get(f"/customers/{customer}/cap")
        tenant = api.get(f"/customers/{customer}")
    if as_json:
        print_json(view)
    elif view["cap"] is None:
        say(f"{customer} has no cap.")
    else:
        limit = amount(view["cap"]["amount_nanos"], tenant["currency"])
        say(f"{customer} has spent {units(view['spent_nanos'])} of {limit} ({view['cap']['every']}).")


@app.command()
def entitle(
    customer: Customer,
    *,
    model: Annotated[list[str] | None, typer.Option(help="A model that it may use; `*` is any text.")] = None,
    feature: Annotated[list[str] | None, typer.Option(help="tools, json, logprobs, images, audio or answers.")] = None,
    requests_per_minute: Annotated[int | None, typer.Option(help="Per key.")] = None,
    tokens_per_minute: Annotated[int | None, typer.Option(help="Per key.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Give a customer models, features and limits of its own, over its plan's."""
    body = {
        "models": model,
        "features": feature,
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
    }
    with session(home, as_json=as_json) as api:
        own = api.call("PUT", f"/customers/{customer}/entitlements", json=body)
    if as_json:
        print_json(own)
    else:
        say(f"{customer} has entitlements of its own.")
