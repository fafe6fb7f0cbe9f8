"""The reference path: one wallet, one event at a time, with burn() as wallets burn. Plain, slow, exact."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import msgspec

from mintage.base import ATTOS_PER_NANO
from mintage.pricing.paths.rules import NEVER_NS, WalletPath, WalletRules
from mintage.pricing.period import BurnKey, CreditGrant, burn

_ORDER: Final[tuple[BurnKey, ...]] = ("expires", "granted_first", "created")
_MINUTE_NS: Final = 60 * 10**9

#: (at_ns, attos, tokens, calendar month) of a request.
WalletEvent = tuple[int, int, int, int]


class _Wallet:
    def __init__(self, rules: WalletRules) -> None:
        self.rules = rules
        self.lots: list[CreditGrant] = []
        self.made = self.cash = self.top_ups = self.breakage = self.lapsed = 0
        self.month, self.spent = -1, 0

    def add(self, nanos: int, life_ns: int, at_ns: int, *, given: bool) -> None:
        if not nanos:
            return
        ends = NEVER_NS if life_ns == NEVER_NS else min(at_ns + life_ns, NEVER_NS)
        lot = CreditGrant(
            id=f"{self.made:09d}", balance=Fraction(nanos), created_ns=self.made, expires_ns=ends, granted=given
        )
        self.lots.append(lot)
        self.made += 1

    def lapse(self, at_ns: int) -> None:
        for lot in self.lots:
            if lot.expires_ns is not None and lot.expires_ns <= at_ns:
                if lot.granted:
                    self.lapsed += int(lot.balance)
                else:
                    self.breakage += int(lot.balance)
        self.lots = [lot for lot in self.lots if lot.expires_ns is None or lot.expires_ns > at_ns]

    @property
    def balance(self) -> int:
        return sum(int(lot.balance) for lot in self.lots)

    def top_up(self, at_ns: int, month: int) -> bool:
        rules = self.rules
        if month != self.month:
            self.month, self.spent = month, 0
        if self.spent + rules.top_up_price_nanos > rules.month_limit_nanos:
            return False
        self.spent += rules.top_up_price_nanos
        self.cash += rules.top_up_price_nanos
        self.top_ups += 1
        self.add(rules.top_up_credit_nanos, rules.top_up_life_ns, at_ns, given=False)
        self.add(rules.top_up_bonus_nanos, rules.top_up_life_ns, at_ns, given=True)
        return True

    def pay(self, nanos: int, at_ns: int) -> tuple[int, int, int]:
        """(of bought credit, of given credit, what nothing paid)."""
        done = burn(self.lots, Fraction(nanos), at_ns=at_ns, order=_ORDER)
        taken = dict(done.taken)
        given = sum(int(taken.get(lot.id, 0)) for lot in self.lots if lot.granted)
        bought = sum(int(taken.get(lot.id, 0)) for lot in self.lots if not lot.granted)
        self.lots = [
            msgspec.structs.replace(lot, balance=lot.balance - taken.get(lot.id, Fraction(0))) for lot in self.lots
        ]
        self.lots = [lot for lot in self.lots if lot.balance]
        return bought, given, int(done.overage)


def walk_wallet(events: Sequence[WalletEvent], rules: WalletRules, *, end_ns: int | None = None) -> WalletPath:
    """One wallet through its events, which come in order of time. end_ns: until when lots may still lapse."""
    wallet = _Wallet(rules)
    charged = bought = given = short = refused = rest = 0
    minute, used = -1, 0
    for place, (at_ns, attos, tokens, month) in enumerate(events):
        if not place:
            wallet.add(rules.grant_nanos, rules.grant_life_ns, at_ns, given=True)
        wallet.lapse(at_ns)
        if rules.tokens_per_minute:
            if at_ns // _MINUTE_NS != minute:
                minute, used = at_ns // _MINUTE_NS, 0
            if used + tokens > rules.tokens_per_minute:
                refused += 1
                continue
            used += tokens
        nanos, rest = divmod(attos + rest, ATTOS_PER_NANO)
        while rules.on_demand and wallet.balance < nanos and wallet.top_up(at_ns, month):
            pass
        parts = wallet.pay(nanos, at_ns)
        charged, bought, given, short = charged + nanos, bought + parts[0], given + parts[1], short + parts[2]
        if rules.automatic and wallet.balance < rules.top_up_below_nanos:
            wallet.top_up(at_ns, month)
    if events:
        wallet.lapse(events[-1][0] if end_ns is None else end_ns)
    return WalletPath(
        charged=charged,
        burned_bought=bought,
        burned_given=given,
        shortfall=short,
        breakage=wallet.breakage,
        lapsed_given=wallet.lapsed,
        cash=wallet.cash,
        top_ups=wallet.top_ups,
        left=wallet.balance,
        refused=refused,
    )
