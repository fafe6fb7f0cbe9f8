"""Bills of a tariff, by the engine that bills: tiers both ways, packages, long prompts, prepaid credits."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from mintage.base import MintageError, Usage
from mintage.lab.checks import require
from mintage.pricing import Names, Plan, Price, Rate, compile_plan, freeze_plan
from mintage.pricing.calculator import calculate
from mintage.pricing.period import BurnKey, CreditGrant, burn

Number = int | float | str | Decimal
_ORDERS: dict[str, tuple[BurnKey, ...]] = {
    "earliest_expiry": ("priority", "expires", "created"),
    "fifo": ("created",),
    "priority": ("priority", "expires", "created"),
}


def tier_bill(tiers: Sequence[Sequence[Any]], quantity: Number, *, model: str = "graduated") -> float:
    """The bill of a quantity. tiers: [up_to or None, unit price, flat amount if any]; model: graduated or volume."""
    listed = [
        {
            "up_to": None if tier[0] is None else str(tier[0]),
            "unit": str(tier[1]),
            "flat": str(tier[2]) if len(tier) > 2 else "0",
        }
        for tier in tiers
    ]
    require(model in ("graduated", "volume"), "model is graduated or volume", "model")
    return float(calculate(model, {"tiers": listed, "quantity": str(quantity), "zero_usage": "zero"}))


def package_bill(*, price: Number, size: Number, quantity: Number, free: Number = 0) -> float:
    """Every package begun is paid."""
    inputs = {"package_size": str(size), "package_amount": str(price), "quantity": str(quantity)}
    return float(calculate("package", {**inputs, "free_units": str(free)}))


def context_cliff_bill(
    *,
    in_price: Sequence[Number],
    out_price: Sequence[Number],
    threshold: int | Sequence[int],
    input_tokens: int,
    output_tokens: int,
) -> float:
    """One request under prices per million that depend on its prompt: above a threshold all of it moves.

    in_price, out_price: the base price, then one for each threshold.
    """
    starts = [0, *([threshold] if isinstance(threshold, int) else threshold)]
    require(len(starts) == len(in_price) == len(out_price), "one more price than thresholds", "threshold")
    prices = tuple(
        Price(
            model="m",
            above_prompt_tokens=start,
            input_tokens=Rate(per_million=Decimal(str(price_in))),
            output_tokens=Rate(per_million=Decimal(str(price_out))),
        )
        for start, price_in, price_out in sorted(zip(starts, in_price, out_price, strict=True), reverse=True)
    )
    plan = Plan(id="cliff", name=Names(en="Cliff"), currency="USD", prices=prices)
    card = compile_plan(freeze_plan(plan, applied_ns=0))
    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens, requests=1)
    return float(Fraction(card.rate("m", usage).attos, 10**18))


def _expiry(event: Sequence[Any]) -> float | None:
    if len(event) < 4 or event[3] is None:
        return None
    return float(str(event[3]).removeprefix("exp").strip())


def credit_ledger(events: Sequence[Sequence[Any]], *, order: str = "earliest_expiry") -> dict[str, float]:
    """Prepaid credit through time: what lapsed unused (breakage), and what no credit could pay (shortfall).

    events: [when, "buy" or "promo", units, "exp WHEN"], [when, "use", units], [when, "close"]; a lot is usable up to
    but not at its expiry, and "close" lapses what has expired by then. order: earliest_expiry, fifo or priority.
    """
    require(order in _ORDERS, f"order is one of {', '.join(_ORDERS)}", "order")
    lots: list[CreditGrant] = []
    shortfall = used = Fraction(0)
    end = 0.0
    for place, event in enumerate(sorted(events, key=lambda item: float(item[0]))):
        when, kind = float(event[0]), str(event[1])
        end = max(end, when)
        if kind in ("buy", "promo", "grant"):
            expires = _expiry(event)
            lots.append(
                CreditGrant(
                    id=f"{place:09d}",
                    balance=Fraction(str(event[2])),
                    created_ns=round(when * 1e6),
                    expires_ns=None if expires is None else round(expires * 1e6),
                    granted=kind != "buy",
                )
            )
        elif kind == "use":
            burned = burn(lots, Fraction(str(event[2])), at_ns=round(when * 1e6), order=_ORDERS[order])
            taken = dict(burned.taken)
            lots = [_less(lot, taken.get(lot.id, Fraction(0))) for lot in lots]
            used += Fraction(str(event[2])) - burned.overage
            shortfall += burned.overage
        elif kind != "close":
            raise MintageError("invalid_request", f"Event {place} is {kind!r}.", "There are buy, promo, use, close.")
    lapsed = [lot for lot in lots if lot.expires_ns is not None and lot.expires_ns <= round(end * 1e6)]
    breakage = sum((lot.balance for lot in lapsed), Fraction(0))
    left = sum((lot.balance for lot in lots), Fraction(0)) - breakage
    return {"breakage": float(breakage), "shortfall": float(shortfall), "used": float(used), "left": float(left)}


def _less(lot: CreditGrant, units: Fraction) -> CreditGrant:
    import msgspec

    return msgspec.structs.replace(lot, balance=lot.balance - units)
