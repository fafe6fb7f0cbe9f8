"""`mintage finance`: statements, ageing, deferred revenue, prepaid by age, period lock, metrics, margins."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mintage.cli.client import session
from mintage.cli.ledger import trial_balance
from mintage.cli.money import pnl
from mintage.cli.options import End, Home, Json, OneCustomer, Start
from mintage.cli.output import print_json, say, table, units

app = typer.Typer(help="The finance desk: statements, ageing, deferred revenue, metrics.", no_args_is_help=True)
app.command("trial-balance")(trial_balance)

At = Annotated[str | None, typer.Option(help="Before this day (UTC); now when left out.", metavar="DAY")]


def _rows(part: str, rows: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(part, row["account"], units(row["nanos"])) for row in rows]


@app.command("balance-sheet")
def balance_sheet(at: At = None, home: Home = None, as_json: Json = False) -> None:
    """Assets, liabilities and equity."""
    with session(home, as_json=as_json) as api:
        sheets = api.get("/finance/balance-sheet", at=at)
    if as_json:
        print_json(sheets)
        return
    for sheet in sheets:
        rows = [row for part in ("assets", "liabilities", "equity") for row in _rows(part, sheet[part])]
        rows.append(("equity", "result so far", units(sheet["result_nanos"])))
        rows += [("total", part, units(sheet[f"{part}_nanos"])) for part in ("assets", "liabilities", "equity")]
        table(
            f"Balance sheet of {sheet['at']}, {sheet['currency']}",
            ("part", "account", "amount"),
            rows,
            right=("amount",),
        )
        say("It balances." if sheet["balanced"] else "It does NOT balance.")


@app.command()
def income(start: Start = None, end: End = None, home: Home = None, as_json: Json = False) -> None:
    """Income and expenses by account: profit and loss."""
    with session(home, as_json=as_json) as api:
        found = api.get("/finance/income-statement", start=start, end=end)
    if as_json:
        print_json(found)
        return
    for one in found:
        rows = [*_rows("income", one["income"]), *_rows("expenses", one["expenses"])]
        rows.append(("result", "", units(one["result_nanos"])))
        title = f"Income statement {one['start']} to {one['end']}, {one['currency']}"
        table(title, ("part", "account", "amount"), rows, right=("amount",))


@app.command()
def margin(
    by: Annotated[
        str, typer.Option(help="customer, model, product, provider or day; several with commas.")
    ] = "customer",
    *,
    customer: OneCustomer = None,
    start: Start = None,
    end: End = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Revenue, cost and margin per customer, model or product."""
    names = ",".join("tenant_id" if name == "customer" else name for name in by.split(","))
    pnl(by=names, customer=customer, start=start, end=end, home=home, as_json=as_json)


def _ages(title: str, path: str, home: str | None, as_json: bool) -> None:
    with session(home, as_json=as_json) as api:
        rows: list[dict[str, Any]] = api.get(path)
    if as_json:
        print_json(rows)
        return
    names = tuple(rows[0]["buckets"]) if rows else ()
    cells = [
        (row["handle"], row["currency"], *(units(row["buckets"][name]) for name in names), units(row["total_nanos"]))
        for row in rows
    ]
    table(title, ("customer", "currency", *names, "total"), cells, right=(*names, "total"))


@app.command()
def ageing(home: Home = None, as_json: Json = False) -> None:
    """Open invoices by days past due."""
    _ages("Receivable by days past due", "/finance/ageing", home, as_json)


@app.command()
def prepaid(home: Home = None, as_json: Json = False) -> None:
    """What customers have paid ahead, by age in days."""
    _ages("Prepaid by age in days", "/finance/prepaid", home, as_json)


@app.command()
def deferred(home: Home = None, as_json: Json = False) -> None:
    """Fees billed ahead, by the month in which they will be earned."""
    with session(home, as_json=as_json) as api:
        found = api.get("/finance/deferred")
    if as_json:
        print_json(found)
        return
    rows = [(row["month"], row["currency"], units(row["nanos"])) for row in found["months"]]
    table("Deferred revenue", ("month", "currency", "amount"), rows, right=("amount",))


@app.command()
def lock(
    until: Annotated[str | None, typer.Argument(help="First day (UTC) that stays open.", metavar="DAY")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Lock the books before a day, for good; or see until when they are locked."""
    with session(home, as_json=as_json) as api:
        if until is None:
            found = api.get("/finance/lock")
        else:
            found = api.call("POST", "/finance/lock", json={"until": until})
    if as_json:
        print_json(found)
    else:
        say(f"The books are locked before {found['until']}." if found["until"] else "Nothing is locked.")


@app.command()
def metrics(
    month: Annotated[str | None, typer.Option(help="As 2026-01; this month when left out.", metavar="MONTH")] = None,
    definitions: Annotated[bool, typer.Option("--definitions", help="Show what each one means.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """MRR, ARR, retention, churn, ARPA, LTV and gross margin of a month."""
    with session(home, as_json=as_json) as api:
        found = api.get("/finance/metrics", month=month)
    if as_json:
        print_json(found)
        return
    for one in found:
        rows = [
            (row["name"], "" if row["value"] is None else row["value"], row["unit"], row["definition"]["en"])
            for row in one["metrics"]
        ]
        columns = ("metric", "value", "unit", "definition")
        if not definitions:
            rows, columns = [row[:3] for row in rows], columns[:3]  # type: ignore[misc,assignment]
        table(f"Metrics of {one['month']}, {one['currency']}", columns, rows, right=("value",))
