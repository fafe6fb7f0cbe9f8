"""`mintage subscriptions` and `mintage coupons`: plans now and later, pauses, discounts, and doing what is due."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mintage.cli.client import session
from mintage.cli.options import Cursor, Customer, Home, Json, Limit, OneCustomer
from mintage.cli.output import amount, more, print_json, say, table, when

app = typer.Typer(help="Subscriptions: change, pause and end a customer's plan.", no_args_is_help=True)
coupons = typer.Typer(help="Coupons: percentages or amounts off invoices.", no_args_is_help=True)

When = Annotated[str, typer.Option("--when", help="now, or period_end.")]
Refund = Annotated[
    str, typer.Option("--refund", help="prorate credits the unused part of fees billed ahead; none keeps it.")
]
Code = Annotated[str, typer.Argument(help="The coupon's code.", metavar="CODE")]


@app.command()
def show(customer: Customer, home: Home = None, as_json: Json = False) -> None:
    """A customer's plans, past, present and planned, with what was billed ahead."""
    with session(home, as_json=as_json) as api:
        view = api.get(f"/customers/{customer}/subscriptions")
    if as_json:
        print_json(view)
        return
    rows = [
        (
            item["subscription"]["plan"],
            item["state"],
            when(item["subscription"]["started_ns"]),
            when(item["subscription"].get("ended_ns")),
            f"{item['period_first_day']} to {item['period_end_day']}",
        )
        for item in view["items"]
    ]
    table("Plans", ("plan", "state", "from (UTC)", "until (UTC)", "period"), rows)
    fees = [
        (fee["price_id"], when(fee["start_ns"]), when(fee["end_ns"]), amount(fee["nanos"], fee["currency"]))
        for fee in view["fees"]
    ]
    if fees:
        table("Billed ahead", ("price version", "from (UTC)", "until (UTC)", "amount"), fees, right=("amount",))
    for coupon in view["coupons"]:
        say(f"Coupon {coupon['code']} since {when(coupon['redeemed_ns'])}.")


@app.command()
def change(
    customer: Customer,
    plan: Annotated[str, typer.Argument(help="Id of a plan.", metavar="PLAN")],
    *,
    when_: When = "now",
    refund: Refund = "prorate",
    credit_limit: Annotated[
        str | None, typer.Option(help="What a postpaid customer may owe.", metavar="AMOUNT")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Upgrade or downgrade, now or when the running period ends."""
    body = {"plan": plan, "when": when_, "refund": refund, "credit_limit": credit_limit}
    with session(home, as_json=as_json) as api:
        assigned = api.call("POST", f"/customers/{customer}/subscriptions", json=body)
    if as_json:
        print_json(assigned)
    else:
        say(f"{customer} has {plan} from {when(assigned['subscription']['started_ns'])} UTC.")


@app.command()
def cancel(
    customer: Customer,
    when_: When = "period_end",
    refund: Refund = "prorate",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """End a customer's plan, now or with its period."""
    with session(home, as_json=as_json) as api:
        ended = api.call("POST", f"/customers/{customer}/subscriptions/cancel", json={"when": when_, "refund": refund})
    if as_json:
        print_json(ended)
    else:
        say(f"{customer} has {ended['plan']} until {when(ended['ended_ns'])} UTC.")


@app.command()
def keep(customer: Customer, home: Home = None, as_json: Json = False) -> None:
    """Take back a planned end or change."""
    with session(home, as_json=as_json) as api:
        kept = api.call("POST", f"/customers/{customer}/subscriptions/keep")
    if as_json:
        print_json(kept)
    else:
        say(f"{customer} keeps {kept['plan']}.")


@app.command()
def pause(
    customer: Customer,
    until: Annotated[str | None, typer.Option(help="Day (UTC) on which it resumes by itself.", metavar="DAY")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Stop a customer's keys and fees."""
    with session(home, as_json=as_json) as api:
        paused = api.call("POST", f"/customers/{customer}/subscriptions/pause", json={"until": until})
    if as_json:
        print_json(paused)
    else:
        say(f"{customer} is paused.")


@app.command()
def resume(customer: Customer, home: Home = None, as_json: Json = False) -> None:
    """Let a paused customer go on."""
    with session(home, as_json=as_json) as api:
        resumed = api.call("POST", f"/customers/{customer}/subscriptions/resume")
    if as_json:
        print_json(resumed)
    else:
        say(f"{customer} goes on.")


@app.command()
def rated(customer: Customer, home: Home = None, as_json: Json = False) -> None:
    """Closed periods, line by line: what requests settled, what the whole came to, and the adjustment."""
    with session(home, as_json=as_json) as api:
        periods: list[dict[str, Any]] = api.get(f"/customers/{customer}/rated-periods")
    if as_json:
        print_json(periods)
        return
    for one in periods:
        rows = [
            (line["kind"], line.get("model") or line["id"], line["quantity"], _units(line["attos"]))
            for line in one["lines"]
        ]
        title = f"{one['plan']} from {when(one['start_ns'])} UTC"
        table(title, ("kind", "what", "quantity", "amount"), rows, right=("quantity", "amount"))


def _units(attos: int) -> str:
    sign = "-" if attos < 0 else ""
    whole, rest = divmod(abs(attos), 10**18)
    return f"{sign}{whole}.{rest:018d}".rstrip("0").rstrip(".")


@app.command()
def run(customer: OneCustomer = None, home: Home = None, as_json: Json = False) -> None:
    """Do what is due now: fees ahead, grants, credit that lapses or is bought. A server does it by itself."""
    with session(home, as_json=as_json) as api:
        done = api.call("POST", "/billing/run", json={"customer": customer})
    if as_json:
        print_json(done)
        return
    say(
        f"{done['customers']} customers: {done['fees']} fees, {done['lapsed']} credits lapsed, "
        f"{done['bought']} bought, "
        f"{done['released']} days of revenue earned, {done['invoices']} invoices."
    )
    for handle, problem in done["problems"].items():
        say(f"{handle}: {problem}")


@coupons.command()
def add(
    code: Code,
    name: Annotated[str, typer.Argument(help="What the invoice line says.")],
    *,
    percent: Annotated[str, typer.Option(help="Percent off.")] = "0",
    amount_: Annotated[str | None, typer.Option("--amount", help="Amount off each period.")] = None,
    currency: Annotated[str, typer.Option(help="Currency of the amount.")] = "",
    periods: Annotated[int | None, typer.Option(help="For how many periods; for good when left out.")] = None,
    most: Annotated[int | None, typer.Option(help="How many customers may redeem it.")] = None,
    valid_until: Annotated[str | None, typer.Option(help="Last day before which it may be redeemed (UTC).")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Add a coupon."""
    new = {
        "code": code,
        "name": {"en": name},
        "percent": percent,
        "amount": amount_,
        "currency": currency,
        "periods": periods,
        "redemptions_max": most,
        "valid_until": valid_until,
    }
    with session(home, as_json=as_json) as api:
        coupon = api.call("POST", "/coupons", json=new)
    if as_json:
        print_json(coupon)
    else:
        say(f"Added the coupon {coupon['code']}.")


@coupons.command("list")
def list_(limit: Limit = 50, cursor: Cursor = None, home: Home = None, as_json: Json = False) -> None:
    """List coupons."""
    with session(home, as_json=as_json) as api:
        page = api.get("/coupons", limit=limit, cursor=cursor)
    if as_json:
        print_json(page)
        return
    rows = [
        (
            one["code"],
            one["name"]["en"],
            f"{one['percent']} %" if one["percent"] != "0" else amount(one["amount_nanos"], one["currency"]),
            one["periods"] or "for good",
        )
        for one in page["items"]
    ]
    table("Coupons", ("code", "name", "off", "periods"), rows)
    more(page)


@coupons.command()
def redeem(customer: Customer, code: Code, home: Home = None, as_json: Json = False) -> None:
    """Give a customer a coupon from its running period on."""
    with session(home, as_json=as_json) as api:
        redeemed = api.call("POST", f"/customers/{customer}/coupons", json={"code": code})
    if as_json:
        print_json(redeemed)
    else:
        say(f"{customer} has the coupon {code}.")


@coupons.command()
def end(customer: Customer, code: Code, home: Home = None, as_json: Json = False) -> None:
    """End a customer's coupon from its running period on."""
    with session(home, as_json=as_json) as api:
        left = api.call("DELETE", f"/customers/{customer}/coupons/{code}")
    if as_json:
        print_json(left)
    else:
        say(f"{customer} no longer has the coupon {code}.")
