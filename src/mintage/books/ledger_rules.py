"""What each log entry means in the books, as pure arithmetic: entries in, sums out.

A Tally adds up a batch; the ledger then moves its rows by the sums. Verification runs the same entries through a
Tally of its own and compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from mintage.base import ATTOS_PER_NANO
from mintage.books.accounts_chart import (
    CASH,
    COMPUTE,
    PREPAID,
    PROMO,
    RECEIVABLE,
    SHORTFALL,
    UNBILLED,
    UPSTREAM,
    cogs_account,
    usage_account,
)
from mintage.books.entries import Entry, Settled, ToppedUp, WalletOpened
from mintage.books.journal import Journal, Posting

DAY_NS: Final = 86_400 * 10**9
BUCKET_NS: Final = 900 * 10**9  # a quarter of an hour: all time zones are whole quarters apart

#: tenant_id, day, event, product, model, provider, currency, debit, credit
MoneyKey = tuple[str, int, str, str, str, str, str, str, str]
#: tenant_id, bucket_ns, price_id, model, product, meter, rate_attos, currency
UsageKey = tuple[str, int, str, str, str, str, int, str]

#: funding of the wallet -> event and account that a charge debits
USAGE_EVENTS: Final = {
    "prepaid": ("prepaid_usage", PREPAID),
    "promo": ("promo_usage", PROMO),
    "postpaid": ("postpaid_usage", UNBILLED),
}

#: (funding, funds) -> event, debit, credit of a top-up. A grant into a promo wallet costs nothing until it is used.
TOP_UP_EVENTS: Final = {
    ("prepaid", "cash"): ("top_up", CASH, PREPAID),
    ("prepaid", "promo"): ("promo_grant", PROMO, PREPAID),
    ("promo", "cash"): ("top_up", CASH, PREPAID),
    ("postpaid", "cash"): ("payment_received", CASH, RECEIVABLE),
}

#: Sources of top-ups that move no money into the business: an invoice's or credit note's own journal says what
#: happened, and the top-up only restores what may be spent; a lease moves funds that were booked when they came in.
SILENT_SOURCES: Final = frozenset(("invoice", "credit_note", "lease"))

#: What a charge leaves over beside its lines (a fixed part that no meter carries).
REST_METER: Final = "other"


class WalletFacts(msgspec.Struct, frozen=True):
    """What the rules must know of a wallet."""

    tenant_id: str
    currency: str
    funding: str


class Tally:
    """Sums of a batch of entries.

    wallets: every wallet opened so far, to which the tally adds. closed_until: tenant -> end of its last closed
    period; what occurred before counts there. money: [nanos, entries]; usage: [quantity, attos, entries];
    balances: by how many nanos each wallet moved.
    """

    def __init__(self, wallets: dict[str, WalletFacts], closed_until: Mapping[str, int] | None = None) -> None:
        self.wallets = wallets
        self.money: dict[MoneyKey, list[int]] = {}
        self.usage: dict[UsageKey, list[int]] = {}
        self.journals: list[Journal] = []
        self.balances: dict[str, int] = {}
        self._closed = closed_until or {}
        self._usage_accounts: dict[str, str] = {}
        self._cogs_accounts: dict[str, str] = {}

    def add(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            body = entry.body
            kind = type(body)
            if kind is Settled:
                self._settled(body)  # type: ignore[arg-type]
            elif kind is ToppedUp:
                self._topped_up(body)  # type: ignore[arg-type]
            elif kind is WalletOpened:
                self._opened(body)  # type: ignore[arg-type]

    def _opened(self, body: WalletOpened) -> None:
        if body.wallet_id not in self.wallets:
            self.wallets[body.wallet_id] = WalletFacts(body.tenant_id, body.currency, body.funding)
        self.balances.setdefault(body.wallet_id, 0)

    def _topped_up(self, body: ToppedUp) -> None:
        wallet = self.wallets[body.wallet_id]
        self.balances[body.wallet_id] = self.balances.get(body.wallet_id, 0) + body.amount_nanos
        rule = TOP_UP_EVENTS.get((wallet.funding, body.funds))
        if rule is None or body.source in SILENT_SOURCES:
            return
        event, debit, credit = rule
        self.journals.append(
            Journal(
                event=event,
                source=f"top_up:{body.source}",
                source_id=body.source_id,
                occurred_ns=body.at_ns,
                tenant_id=body.tenant_id,
                memo=body.memo,
                postings=(
                    Posting(account=debit, currency=body.currency, amount_nanos=body.amount_nanos),
                    Posting(account=credit, currency=body.currency, amount_nanos=-body.amount_nanos),
                ),
            )
        )

    def _settled(self, body: Settled) -> None:
        tenant, product, model, currency = body.tenant_id, body.product, body.model, body.currency
        costs = body.costs
        when = body.occurred_ns
        closed = self._closed.get(tenant)
        if closed is not None and when < closed:
            when = closed
        day = when // DAY_NS
        for cost in costs:
            provider = cost.provider
            account = self._cogs_accounts.get(provider)
            if account is None:
                account = self._cogs_accounts[provider] = cogs_account(provider)
            event, credit = ("compute_cost", COMPUTE) if provider == "own" else ("provider_cost", UPSTREAM)
            self._move((tenant, day, event, product, model, provider, cost.currency, account, credit), cost.nanos)
        if body.replay_of:
            return
        wallet = self.wallets[body.wallet_id]
        posted, shortfall = body.posted_nanos, body.shortfall_nanos
        self.balances[body.wallet_id] = self.balances.get(body.wallet_id, 0) - posted + shortfall
        income = self._usage_accounts.get(product)
        if income is None:
            income = self._usage_accounts[product] = usage_account(product)
        served_by = costs[-1].provider if costs else ""
        event, debit = USAGE_EVENTS[wallet.funding]
        self._move((tenant, day, event, product, model, served_by, currency, debit, income), posted - shortfall)
        if shortfall:
            key = (tenant, day, "usage_shortfall", product, model, served_by, currency, SHORTFALL, income)
            self._move(key, shortfall, 0)  # the same request, counted above
        self._lines(body, when - when % BUCKET_NS)

    def _move(self, key: MoneyKey, nanos: int, count: int = 1) -> None:
        sums = self.money.get(key)
        if sums is None:
            self.money[key] = [nanos, count]
        else:
            sums[0] += nanos
            sums[1] += count

    def _lines(self, body: Settled, bucket_ns: int) -> None:
        tenant, price, model, product = body.tenant_id, body.price_id, body.model, body.product
        currency, usage = body.currency, self.usage
        rest = body.attos
        for line in body.lines:
            rest -= line.attos
            key = (tenant, bucket_ns, price, model, product, line.meter, line.rate_attos, currency)
            sums = usage.get(key)
            if sums is None:
                usage[key] = [line.quantity, line.attos, 1]
            else:
                sums[0] += line.quantity
                sums[1] += line.attos
                sums[2] += 1
        if rest:
            sums = usage.setdefault((tenant, bucket_ns, price, model, product, REST_METER, 0, currency), [0, 0, 0])
            sums[0] += 1
            sums[1] += rest
            sums[2] += 1


def split_attos(attos: int) -> tuple[int, int]:
    """(nanos, rest) with 0 <= rest < 1e9: what two int64 columns hold of an exact amount."""
    return divmod(attos, ATTOS_PER_NANO)
