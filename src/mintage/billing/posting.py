"""Settling what no request settles: fees, adjustments, discounts. Through the log, like a request, once per key."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from mintage.base import ATTOS_PER_NANO, Charge, Clock, Hold, MintageError, RatedLine, Settlement, Usage, new_id
from mintage.billing.wallets import WalletRow
from mintage.books import CLOSING, CommitLog, UsageLine

#: The meter of what closing adds to or takes back from what requests settled.
RATING: Final = "rating"
PAYOUT: Final = "payout_earned"
_LEASE_NS: Final = 60 * 10**9


class Poster:
    """On the event loop. The line break in the keys keeps them out of reach of any header that a customer sends."""

    def __init__(self, log: CommitLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock

    async def settle(  # noqa: PLR0917 - one step of the closing, in its parts
        self, wallet: WalletRow, price_id: str, meter: str, attos: int, product: str, occurred_ns: int, key: str
    ) -> None:
        """One amount, charged (above 0) or credited. The same key again changes nothing."""
        line = RatedLine(meter=meter, quantity=1, rate_attos=abs(attos), attos=attos)
        await self.settle_lines(wallet, price_id, (line,), product, occurred_ns, key)

    async def settle_lines(  # noqa: PLR0917 - one step of the closing, in its parts
        self,
        wallet: WalletRow,
        price_id: str,
        lines: Sequence[RatedLine],
        product: str,
        occurred_ns: int,
        key: str,
    ) -> None:
        name = key if "\n" in key else f"closing\n{key}"
        if self._log.idempotent(wallet.tenant_id, name) is not None:
            return
        now = self._clock.now_ns()
        hold = Hold(
            id=new_id("fee"),
            tenant_id=wallet.tenant_id,
            wallet_id=wallet.id,
            currency=wallet.currency,
            amount_nanos=0,
            created_ns=now,
            lease_until_ns=now + _LEASE_NS,
        )
        charge = Charge(
            price_id=price_id, currency=wallet.currency, attos=sum(line.attos for line in lines), lines=tuple(lines)
        )
        settlement = Settlement(
            hold_id=hold.id,
            tenant_id=wallet.tenant_id,
            project_id="",
            wallet_id=wallet.id,
            key_id="",
            model="",
            product=product,
            occurred_ns=occurred_ns,
            usage=Usage(),
            charge=charge,
            operation=CLOSING,
            idempotency_key=name,
            payload_hash="closing",
        )
        try:
            held = self._log.hold(hold)
        except MintageError as error:
            if error.code != "insufficient_funds":
                raise
            held = self._hold_beyond_limit(wallet, hold)
        await asyncio.gather(held, self._log.settle(settlement))

    def _hold_beyond_limit(self, wallet: WalletRow, hold: Hold) -> asyncio.Future[None]:
        """A fee is owed whether or not the credit limit is used up: lift it for the one step of this hold."""
        view = self._log.wallet(wallet.id)
        terms = (wallet.tenant_id, wallet.id, wallet.currency, wallet.funding)
        self._log.open_wallet(*terms, view.credit_limit_nanos - view.available_nanos)
        held = self._log.hold(hold)
        self._log.open_wallet(*terms, view.credit_limit_nanos)
        return held


def posted_nanos(before: list[UsageLine], usage: list[UsageLine]) -> int:
    """What the usage posted in whole nanos, given all usage before it: per price, the floor's step of the exact sum.

    Like the log's own carry, so that the invoices of a tenant add up to its settlements, to the nano, for ever.
    """
    sums: dict[str, list[int]] = {}
    for place, rows in enumerate((before, usage)):
        for row in rows:
            sums.setdefault(row.price_id, [0, 0])[place] += row.attos
    return sum((first + more) // ATTOS_PER_NANO - first // ATTOS_PER_NANO for first, more in sums.values())
