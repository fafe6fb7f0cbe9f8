"""A wallet's rules as integers, and what a path through them adds up to."""

from __future__ import annotations

from typing import Final

import msgspec

from mintage.base import ATTOS_PER_UNIT, NANOS_PER_UNIT, MintageError
from mintage.pricing.plan import Plan
from mintage.pricing.rates import to_attos

_DAY_NS: Final = 86_400 * 10**9
NEVER_NS: Final = 2**62
_SAFE_NANOS: Final = 2**60


class WalletRules(msgspec.Struct, frozen=True, kw_only=True):
    """Amounts in nanos, lives in nanoseconds (NEVER_NS: for ever).

    grant: given with the first event. Lots burn by expiry, then given before bought, then by age. When
    the balance falls below top_up_below after a request, a top-up is bought for top_up_price: it gives top_up_credit
    and top_up_bonus, at most month_limit of price in a calendar month. on_demand: a request that the balance does not
    cover buys one first. What nothing pays is shortfall. tokens_per_minute: requests beyond it are refused; 0: none.
    """

    grant_nanos: int = 0
    grant_life_ns: int = NEVER_NS
    top_up_below_nanos: int = 0
    top_up_price_nanos: int = 0
    top_up_credit_nanos: int = 0
    top_up_bonus_nanos: int = 0
    top_up_life_ns: int = NEVER_NS
    month_limit_nanos: int = _SAFE_NANOS
    automatic: bool = False
    on_demand: bool = False
    tokens_per_minute: int = 0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            limit = NEVER_NS if name.endswith("_ns") else _SAFE_NANOS
            if not 0 <= value <= limit:
                raise MintageError(
                    "invalid_request", f"{name} is {value}.", f"It lies between 0 and {limit}.", param=name
                )
        if (self.automatic or self.on_demand) and not self.top_up_credit_nanos:
            raise MintageError("invalid_request", "A top-up gives no credit.", "Set top_up_credit_nanos.")


class WalletPath(msgspec.Struct, frozen=True, kw_only=True):
    """Nanos. charged = burned_bought + burned_given + shortfall. breakage is of bought credit: it is income too.

    left: bought and given credit that was still usable at the end. refused: requests beyond the limit.
    """

    charged: int = 0
    burned_bought: int = 0
    burned_given: int = 0
    shortfall: int = 0
    breakage: int = 0
    lapsed_given: int = 0
    cash: int = 0
    top_ups: int = 0
    left: int = 0
    refused: int = 0

    @property
    def recognised_nanos(self) -> int:
        """Income: bought credit that was burned, or lapsed."""
        return self.burned_bought + self.breakage


FIELDS: Final[tuple[str, ...]] = WalletPath.__struct_fields__


def _nanos(amount: object) -> int:
    from fractions import Fraction

    attos = to_attos(Fraction(str(amount)))
    return attos * NANOS_PER_UNIT // ATTOS_PER_UNIT


def rules_of(plan: Plan) -> WalletRules:
    """A plan's grants, packs and automatic top-up. Only grants that are given once, and the first pack, count."""
    once = [grant for grant in plan.grants if grant.every == "once"]
    life = min((grant.expires_days * _DAY_NS for grant in once if grant.expires_days), default=NEVER_NS)
    pack = plan.packs[0] if plan.packs else None
    auto = plan.auto_top_up
    credit = _nanos(auto.amount) if auto else _nanos(pack.credit) if pack else 0
    return WalletRules(
        grant_nanos=sum(_nanos(grant.amount) for grant in once),
        grant_life_ns=life,
        top_up_below_nanos=_nanos(auto.below) if auto else 0,
        top_up_price_nanos=credit if auto or pack is None else _nanos(pack.price),
        top_up_credit_nanos=credit,
        top_up_bonus_nanos=0 if auto or pack is None else _nanos(pack.bonus),
        top_up_life_ns=pack.expires_days * _DAY_NS if pack and pack.expires_days else NEVER_NS,
        month_limit_nanos=_nanos(auto.monthly_limit) if auto and auto.monthly_limit is not None else _SAFE_NANOS,
        automatic=auto is not None,
        on_demand=auto is not None or pack is not None,
    )
