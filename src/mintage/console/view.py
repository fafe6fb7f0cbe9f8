"""View models: what the templates show, as plain data, made by pure functions from what the books recorded.

Nothing here reads a clock, a file or a database: overview.py and follower.py fetch, this module says how it looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from mintage.books import Expired, Released, Settled, Wallet
from mintage.console import figures as text
from mintage.console.figures import MoneyText, money
from mintage.console.follower import RequestRecord, Sums
from mintage.console.overview import Figures, Period

State = Literal["held", "ok", "cut", "failed", "released", "expired"]
#: Rows of customers on one page; the totals below them are of all.
CUSTOMER_LIMIT: Final = 50


class Profit(msgspec.Struct, frozen=True):
    """One line of the statement: revenue - cost = margin, in one currency. The last two are per request."""

    currency: str
    revenue: MoneyText
    cost: MoneyText
    margin: MoneyText
    share: str | None
    revenue_each: MoneyText | None
    margin_each: MoneyText | None


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    period: Period
    lines: list[Profit]
    requests: str
    holds: str
    held: list[MoneyText]
    as_of: str
    as_of_iso: str
    seq: str
    differences: list[MoneyText]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One request of the live table. Amounts are None until it is settled."""

    id: str
    iso: str
    time: str
    customer: str
    model: str
    state: State
    settled: bool = False
    read: str = ""
    written: str = ""
    duration: str = ""
    first: str = ""
    held: MoneyText | None = None
    charge: MoneyText | None = None
    cost: MoneyText | None = None
    margin: MoneyText | None = None
    estimated: bool = False


class CustomerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One customer in one currency, all wallets together. limit is the sum of credit limits, None without any."""

    tenant_id: str
    name: str
    fundings: list[str]
    limit: MoneyText | None
    balance: MoneyText
    held: MoneyText
    empty: bool
    requests: str
    revenue: MoneyText
    margin: MoneyText


class CustomerTotal(msgspec.Struct, frozen=True):
    currency: str
    balance: MoneyText
    held: MoneyText
    requests: str
    revenue: MoneyText
    margin: MoneyText


def profit(currency: str, sums: Sums) -> Profit:
    margin = sums.revenue_nanos - sums.cost_nanos
    each = [_half_up(nanos, sums.requests) for nanos in (sums.revenue_nanos, margin)] if sums.requests else None
    return Profit(
        currency,
        money(sums.revenue_nanos, currency),
        money(sums.cost_nanos, currency),
        money(margin, currency),
        text.share(margin, sums.revenue_nanos),
        money(each[0], currency) if each else None,
        money(each[1], currency) if each else None,
    )


def _half_up(nanos: int, parts: int) -> int:
    """A mean in whole nanos, half away from zero."""
    quotient, rest = divmod(abs(nanos), parts)
    quotient += 2 * rest >= parts
    return -quotient if nanos < 0 else quotient


def statement(
    figures: Figures, wallets: Iterable[Wallet], holds: int, main_currency: str, differences: Mapping[str, int]
) -> Statement:
    """The operator's own currency is always there, first, so that a new home shows zeros and not nothing."""
    totals = figures.by_currency()
    currencies = [main_currency, *sorted(currency for currency in totals if currency != main_currency)]
    held: dict[str, int] = {}
    for wallet in wallets:
        held[wallet.currency] = held.get(wallet.currency, 0) + wallet.held_nanos
    return Statement(
        period=figures.period,
        lines=[profit(currency, totals.get(currency, Sums())) for currency in currencies],
        requests=text.count(sum(sums.requests for sums in totals.values())),
        holds=text.count(holds),
        held=[money(nanos, currency) for currency, nanos in sorted(held.items()) if nanos],
        as_of=text.clock_time(figures.at_ns),
        as_of_iso=text.iso_time(figures.at_ns),
        seq=text.count(figures.seq),
        differences=[money(nanos, currency) for currency, nanos in sorted(differences.items()) if nanos],
    )


def row(record: RequestRecord, names: Mapping[str, str]) -> Row:
    end, held = record.end, record.held
    state: State = "held"
    if isinstance(end, Settled):
        state = end.outcome
    elif isinstance(end, Released):
        state = "released"
    elif isinstance(end, Expired):
        state = "expired"
    shown = Row(
        id=record.id,
        iso=text.iso_time(record.at_ns),
        time=text.clock_time(record.at_ns),
        customer=names.get(record.tenant_id, record.tenant_id),
        model=record.model,
        state=state,
        held=money(held.amount_nanos, held.currency) if held is not None and end is None else None,
    )
    return _with_settlement(shown, end) if isinstance(end, Settled) else shown


def _with_settlement(shown: Row, end: Settled) -> Row:
    cost_nanos = cost_nanos_of(end)
    return msgspec.structs.replace(
        shown,
        settled=True,
        read=text.count(end.usage.prompt_tokens),
        written=text.count(end.usage.completion_tokens),
        duration=text.duration(end.latency_ms),
        first="" if end.first_token_ms is None else text.duration(end.first_token_ms),
        charge=money(end.posted_nanos, end.currency),
        cost=money(cost_nanos, end.currency),
        margin=money(end.posted_nanos - cost_nanos, end.currency),
        estimated=end.estimated,
    )


def cost_nanos_of(settled: Settled) -> int:
    """Costs in the currency of the charge. Others are in the statement, where each currency has its line."""
    return sum(cost.nanos for cost in settled.costs if cost.currency == settled.currency)


def customers(
    figures: Figures, wallets: Iterable[Wallet], names: Mapping[str, str]
) -> tuple[list[CustomerRow], list[CustomerTotal]]:
    """The customers that brought the most revenue, and the totals of all, per currency."""
    grouped: dict[tuple[str, str], list[Wallet]] = {}
    for wallet in wallets:
        grouped.setdefault((wallet.tenant_id, wallet.currency), []).append(wallet)
    empty = Sums()
    order = sorted(
        grouped, key=lambda key: (-figures.by_tenant.get(key, empty).revenue_nanos, names.get(key[0], key[0]))
    )
    rows = [_customer(key, grouped[key], figures.by_tenant.get(key, empty), names) for key in order[:CUSTOMER_LIMIT]]
    totals = []
    for currency in sorted({currency for _, currency in grouped}):
        mine = [wallet for key, group in grouped.items() if key[1] == currency for wallet in group]
        sums = figures.by_currency().get(currency, empty)
        totals.append(
            CustomerTotal(
                currency,
                money(sum(wallet.balance_nanos for wallet in mine), currency),
                money(sum(wallet.held_nanos for wallet in mine), currency),
                text.count(sums.requests),
                money(sums.revenue_nanos, currency),
                money(sums.revenue_nanos - sums.cost_nanos, currency),
            )
        )
    return rows, totals


def _customer(key: tuple[str, str], wallets: Sequence[Wallet], sums: Sums, names: Mapping[str, str]) -> CustomerRow:
    tenant_id, currency = key
    limit = sum(wallet.credit_limit_nanos for wallet in wallets)
    return CustomerRow(
        tenant_id=tenant_id,
        name=names.get(tenant_id, tenant_id),
        fundings=sorted({wallet.funding for wallet in wallets}),
        limit=money(limit, currency) if limit else None,
        balance=money(sum(wallet.balance_nanos for wallet in wallets), currency),
        held=money(sum(wallet.held_nanos for wallet in wallets), currency),
        empty=sum(wallet.balance_nanos for wallet in wallets) + limit <= 0,
        requests=text.count(sums.requests),
        revenue=money(sums.revenue_nanos, currency),
        margin=money(sums.revenue_nanos - sums.cost_nanos, currency),
    )
