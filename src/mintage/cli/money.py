"""`mintage topup`, `usage`, `balances` and `pnl`: what came in, what was used, what is left, what it earned."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mintage.base import new_id
from mintage.cli.client import session
from mintage.cli.options import Cursor, Customer, End, Home, Json, Limit, OneCustomer, Start
from mintage.cli.output import amount, more, per_million, print_json, say, table, units


def topup(
    customer: Customer,
    amount_: Annotated[str, typer.Argument(help="Currency units, such as 25.00.", metavar="AMOUNT")],
    *,
    kind: Annotated[str, typer.Option(help="cash (it came in) or promo (you give it).")] = "cash",
    source: Annotated[str, typer.Option(help="Where it came from, such as bank.")] = "manual",
    source_id: Annotated[str | None, typer.Option(help="The payment's own id: the same again changes nothing.")] = None,
    memo: Annotated[str, typer.Option(help="A note for the books.")] = "",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Add money to a customer's wallet; a postpaid customer pays what it owes."""
    # the id is made here, so that the same payment is not booked twice if the answer is lost
    new = {"amount": amount_, "kind": kind, "source": source, "source_id": source_id or new_id("top"), "memo": memo}
    with session(home, as_json=as_json) as api:
        wallet = api.call("POST", f"/customers/{customer}/top-ups", json=new)
    if as_json:
        print_json(wallet)
    else:
        say(f"{wallet['name']} has {amount(wallet['balance_nanos'], wallet['currency'])}.")


def usage(
    *,
    customer: OneCustomer = None,
    start: Start = None,
    end: End = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """What was used, by customer, model, meter and rate."""
    with session(home, as_json=as_json) as api:
        page = api.get("/usage", customer=customer, start=start, end=end, limit=limit, cursor=cursor)
    if as_json:
        print_json(page)
        return
    rows = [
        (
            line["handle"],
            line["model"] or line["product"],
            line["meter"].replace("_", " "),
            f"{line['quantity']:,}",
            per_million(line["rate_attos"]),
            amount(line["charge_nanos"], line["currency"]),
            f"{line['requests']:,}",
        )
        for line in page["items"]
    ]
    columns = ("customer", "model", "meter", "quantity", "per million", "charge", "requests")
    table("Usage", columns, rows, right=("quantity", "per million", "charge", "requests"))
    more(page)


def balances(limit: Limit = 50, cursor: Cursor = None, home: Home = None, as_json: Json = False) -> None:
    """What every customer has, holds and may still use."""
    with session(home, as_json=as_json) as api:
        page = api.get("/wallets", limit=limit, cursor=cursor)
    if as_json:
        print_json(page)
        return
    names = ("balance_nanos", "held_nanos", "credit_limit_nanos", "available_nanos")
    rows = [(w["handle"], w["funding"], w["currency"], *(units(w[name]) for name in names)) for w in page["items"]]
    right = ("balance", "held", "credit limit", "available")
    table("Balances", ("customer", "funding", "currency", *right), rows, right=right)
    more(page)


def pnl(
    *,
    by: Annotated[
        str | None,
        typer.Option(help="Group by tenant_id, product, model, provider or day; several with commas.", metavar="NAMES"),
    ] = None,
    customer: OneCustomer = None,
    start: Start = None,
    end: End = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Profit and loss: revenue, cost, margin, and what is left."""
    with session(home, as_json=as_json) as api:
        rows: list[dict[str, Any]] = api.get("/pnl", by=by, customer=customer, start=start, end=end)
    if as_json:
        print_json(rows)
        return
    groups = tuple(rows[0]["group"]) if rows else ()
    money = ("revenue", "cost", "margin", "promo", "shortfall", "result")
    cells = [
        (
            *(row["group"][name] for name in groups),
            row["currency"],
            *(units(row[f"{name}_nanos"]) for name in money),
            f"{row['requests']:,}",
        )
        for row in rows
    ]
    table("Profit and loss", (*groups, "currency", *money, "charges"), cells, right=(*money, "charges"))
