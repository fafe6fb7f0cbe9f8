"""Prepaid credit: grants that are burned in a stated order, expire, and are bought at a rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Final, Literal

import msgspec

from mintage.base import MintageError
from mintage.pricing.match import Dimensions, dimensions_match
from mintage.pricing.period.rounding import round_places

BurnKey = Literal["priority", "expires", "granted_first", "created"]
DEFAULT_ORDER: Final[tuple[BurnKey, ...]] = ("priority", "expires", "created")
_CREDIT_PLACES: Final = 5


class CreditGrant(msgspec.Struct, frozen=True, kw_only=True):
    """A lot of credit. Lower priority burns first. scope: only usage with these dimensions may burn it."""

    id: str
    balance: Fraction
    priority: int = 0
    created_ns: int = 0
    expires_ns: int | None = None
    granted: bool = False  # given, not bought
    scope: dict[str, str] = {}

    def usable(self, at_ns: int, dimensions: Dimensions) -> bool:
        expired = self.expires_ns is not None and at_ns >= self.expires_ns
        return self.balance > 0 and not expired and dimensions_match(self.scope, dimensions)


class Burn(msgspec.Struct, frozen=True):
    """taken: (grant id, units) in the order of burning. overage: what no grant could pay."""

    taken: tuple[tuple[str, Fraction], ...]
    overage: Fraction


_KEYS: Final[dict[BurnKey, Callable[[CreditGrant], object]]] = {
    "priority": lambda grant: grant.priority,
    "expires": lambda grant: (grant.expires_ns is None, grant.expires_ns or 0),
    "granted_first": lambda grant: not grant.granted,
    "created": lambda grant: grant.created_ns,
}


def burn(
    grants: Sequence[CreditGrant],
    usage: Fraction,
    *,
    at_ns: int = 0,
    dimensions: Dimensions | None = None,
    order: Sequence[BurnKey] = DEFAULT_ORDER,
) -> Burn:
    """Pay usage from the grants that may pay it, in order; ties burn by id, so the result never depends on chance.

    Never burns more than a grant holds. Raises MintageError("invalid_request") for negative usage.
    """
    if usage < 0:
        raise MintageError("invalid_request", "Usage to burn is negative.", "Return credit with a grant.")
    usable = [grant for grant in grants if grant.usable(at_ns, dimensions or {})]
    usable.sort(key=lambda grant: (*(_KEYS[key](grant) for key in order), grant.id))
    taken, left = [], usage
    for grant in usable:
        if not left:
            break
        part = min(grant.balance, left)
        taken.append((grant.id, part))
        left -= part
    return Burn(tuple(taken), left)


def buy_credits(units: Fraction, price: Fraction, places: int) -> tuple[Fraction, Fraction]:
    """(amount to pay, credits granted): the amount is rounded to money first, and buys what it buys, to 5 places."""
    amount = round_places(units * price, places)
    return amount, round_places(amount / price, _CREDIT_PLACES)
