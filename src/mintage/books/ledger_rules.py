"""What each log entry means in the books, as pure arithmetic: entries in, sums out.

A Tally adds up a batch; the ledger then moves its rows by the sums. Verification runs the same entries through a
Tally of its own and compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from mintage.books.accounts_chart import (
    BREAKAGE,
    CASH,
    COMPUTE,
    DEFERRED,
    PREPAID,
    PROMO,
    RECEIVABLE,
    SHORTFALL,
    UNBILLED,
    UPSTREAM,
    cogs_account,
    usage_account,
)
from mintage.books.entries import CostPosted, Entry, Settled, ToppedUp, WalletOpened
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

#: Products of what billing settles beside requests: what a closed period adds or takes back, and fees billed ahead.
ADJUSTMENT: Final = "rating_adjustment"
AHEAD: Final = "subscription_ahead"
#: The operation of such settlements. They belong to the period that they close, however late they come, and they
#: alone may be below zero.
CLOSING: Final = "closing"

#: (funding, funds) -> event, debit, credit of a top-up. A grant into a promo wallet costs nothing until it is used.
TOP_UP_EVENTS: Final = {
    ("prepaid", "cash"): ("top_up", CASH, PREPAID),
    ("prepaid", "promo"): ("promo_grant", PROMO, PREPAID),
    ("promo", "cash"): ("top_up", CASH, PREPAID),
    ("postpaid", "cash"): ("payment_received", CASH, RECEIVABLE),
}

#: The same for what is taken out again: handed back to the customer, or lapsed (source "expiry").
WITHDRAWAL_EVENTS: Final = {
    ("prepaid", "cash"): ("refund", PREPAID, CASH),
    ("prepaid", "promo"): ("promo_return", PREPAID, PROMO),
    ("promo", "cash"): ("refund", PREPAID, CASH),
    ("postpaid", "cash"): ("refund_of_payment", RECEIVABLE, CASH),
}
EXPIRY: Final = "expiry"
_EXPIRED: Final = ("prepaid_expiry", PREPAID, BREAKAGE)

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


class _Slot:
    """The sums that requests alike in all but their amounts move: found with one key instead of five."""

    __slots__ = ("cost", "lines", "revenue", "shortfall_key")

    def __init__(self, cost: list[int], revenue: list[int], shortfall_key: MoneyKey) -> None:
        self.cost = cost
        self.revenue = revenue
        self.shortfall_key = shortfall_key
        self.lines: dict[tuple[str, int], list[int]] = {}


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
        self._slots: dict[tuple[str, str, str, str, int, str, str], _Slot] = {}

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
        events = TOP_UP_EVENTS if body.amount_nanos > 0 else WITHDRAWAL_EVENTS
        rule = events.get((wallet.funding, body.funds))
        if rule is None or body.source in SILENT_SOURCES:
            return
        if body.source == EXPIRY and wallet.funding == "prepaid" and body.amount_nanos < 0:
            rule = _EXPIRED
        event, debit, credit = rule
        amount = abs(body.amount_nanos)
        self.journals.append(
            Journal(
                event=event,
                source=f"top_up:{body.source}",
                source_id=body.source_id,
                occurred_ns=body.at_ns,
                tenant_id=body.tenant_id,
                memo=body.memo,
                postings=(
                    Posting(account=debit, currency=body.currency, amount_nanos=amount),
                    Posting(account=credit, currency=body.currency, amount_nanos=-amount),
                ),
            )
        )

    def _settled(self, body: Settled) -> None:
        """Runs for every request there is: about 3 us."""
        when = body.occurred_ns
        if self._closed and body.operation != CLOSING:
            when = max(when, self._closed.get(body.tenant_id, 0))
        bucket = when // BUCKET_NS
        costs = body.costs
        if body.replay_of:
            self._costs(body, bucket, costs)
            return
        served_by, paid_in = (costs[-1].provider, costs[-1].currency) if costs else ("", "")
        product = body.product if body.operation != CLOSING else f"{CLOSING} {body.product}"
        key = (body.wallet_id, body.model, product, body.price_id, bucket, served_by, paid_in)
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = self._slot(body, bucket, served_by)
        if costs:
            slot.cost[0] += costs[-1].nanos
            slot.cost[1] += 1
            if len(costs) > 1:
                self._costs(body, bucket, costs[:-1])
        drawn = body.posted_nanos - body.shortfall_nanos
        self.balances[body.wallet_id] = self.balances.get(body.wallet_id, 0) - drawn
        slot.revenue[0] += drawn
        slot.revenue[1] += 1
        if body.shortfall_nanos:  # the same request, counted above
            self._sums(slot.shortfall_key)[0] += body.shortfall_nanos
        rest = body.attos
        for line in body.lines:
            attos = line.attos
            rest -= attos
            sums = slot.lines.get((line.meter, line.rate_attos))
            if sums is None:
                sums = self._line(slot, body, bucket, line.meter, line.rate_attos)
            sums[0] += line.quantity
            sums[1] += attos
            sums[2] += 1
        if rest:
            sums = self._line(slot, body, bucket, REST_METER, 0)
            sums[0] += 1
            sums[1] += rest
            sums[2] += 1

    def _sums(self, key: MoneyKey) -> list[int]:
        return self.money.setdefault(key, [0, 0])

    def _slot(self, body: Settled, bucket: int, served_by: str) -> _Slot:
        day = bucket * BUCKET_NS // DAY_NS
        event, debit = USAGE_EVENTS[self.wallets[body.wallet_id].funding]
        income = usage_account(body.product)
        if body.operation == CLOSING and body.product == ADJUSTMENT:
            event = ADJUSTMENT
        elif body.operation == CLOSING and body.product == AHEAD:
            event, income = "subscription_billed", DEFERRED

        def key(name: str, account: str) -> MoneyKey:
            head = (body.tenant_id, day, name, body.product, body.model, served_by)
            return (*head, body.currency, account, income)

        cost = self._sums(self._cost_key(body, bucket, body.costs[-1])) if body.costs else []
        return _Slot(cost, self._sums(key(event, debit)), key("usage_shortfall", SHORTFALL))

    @staticmethod
    def _cost_key(body: Settled, bucket: int, cost: CostPosted) -> MoneyKey:
        event, credit = ("compute_cost", COMPUTE) if cost.provider == "own" else ("provider_cost", UPSTREAM)
        day = bucket * BUCKET_NS // DAY_NS
        head = (body.tenant_id, day, event, body.product, body.model, cost.provider)
        return (*head, cost.currency, cogs_account(cost.provider), credit)

    def _costs(self, body: Settled, bucket: int, costs: Iterable[CostPosted]) -> None:
        """Costs beside the slot: of attempts that failed, and of a repeated request, which earns nothing."""
        for cost in costs:
            sums = self._sums(self._cost_key(body, bucket, cost))
            sums[0] += cost.nanos
            sums[1] += 1

    def _line(self, slot: _Slot, body: Settled, bucket: int, meter: str, rate_attos: int) -> list[int]:
        head = (body.tenant_id, bucket * BUCKET_NS, body.price_id, body.model, body.product)
        sums = self.usage.setdefault((*head, meter, rate_attos, body.currency), [0, 0, 0])
        slot.lines[meter, rate_attos] = sums
        return sums
