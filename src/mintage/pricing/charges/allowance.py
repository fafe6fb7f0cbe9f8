"""An allowance with overage (订阅+额度+超额): units that the fee includes, then a rate, or an end."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from mintage.base import MintageError
from mintage.pricing.charges.base import QuantityCharge, State, Step, number, per_unit_step
from mintage.pricing.rates import Rate


class Allowance(
    QuantityCharge, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="allowance"
):
    """included units cost nothing; what is over costs `overage`, or is refused if there is none.

    rollover_periods: unused units stay usable for so many periods; which ones is a matter of their order, so the
    model then depends on the path. The caller says how many units were carried over.
    """

    states: ClassVar[frozenset[State]] = frozenset({"period_total"})

    included: Annotated[Decimal, Meta(description="Units of each period that the plan includes.")]
    overage: Annotated[Rate | None, Meta(description="Price of a unit over; none: usage over it is refused.")] = None
    rollover_periods: Annotated[int, Meta(ge=0, le=120, description="Periods that unused units stay usable.")] = 0
    proration: Annotated[
        Literal["none", "days"], Meta(description="A period begun late includes all units, or its share of them.")
    ] = "none"

    def check(self) -> None:
        if self.overage is not None:
            self.check_rate(self.overage)

    def price_quantity(self, quantity: Fraction, carried: Fraction = Fraction(0)) -> list[Step]:
        """carried: units of earlier periods that are still usable; they are used before this period's own."""
        available = Fraction(self.included) + carried
        used, over = min(quantity, available), max(quantity - available, Fraction(0))
        steps = []
        if used:
            steps.append(per_unit_step("included units", "套餐内用量", used, Fraction(0)))
        if over:
            if self.overage is None:
                raise MintageError(
                    "budget_exceeded",
                    f"Charge {self.id} includes {number(available)} units; the period has {number(quantity)}.",
                    "Upgrade the plan or wait for the next period.",
                    details={"charge": self.id, "included": str(available), "quantity": str(quantity)},
                )
            steps.append(per_unit_step("units over the allowance", "超额用量", over, self.overage.exact))
        return steps

    def marginal_rates(self) -> tuple[Fraction, ...]:
        return (Fraction(0), Fraction(0) if self.overage is None else self.overage.exact)


class Carry:
    """Allowance carried from period to period: first in, first used; each period's rest lapses after its time."""

    def __init__(self, charge: Allowance) -> None:
        self.charge = charge
        self._rests: list[tuple[int, Fraction]] = []  # (last period in which it is usable, units), oldest first

    def carried(self, period: int) -> Fraction:
        """Units of earlier periods that are usable in this one."""
        return sum((rest for last, rest in self._rests if last >= period), Fraction(0))

    def close(self, period: int, quantity: Fraction) -> list[Step]:
        """Price one period and carry what is left. Periods are closed in their order."""
        steps = self.charge.price_quantity(quantity, self.carried(period))
        rests: list[tuple[int, Fraction]] = []
        for last, rest in self._rests:
            if last >= period:
                used = min(rest, quantity)
                quantity -= used
                rests.append((last, rest - used))
        own = max(Fraction(self.charge.included) - quantity, Fraction(0))
        rests.append((period + self.charge.rollover_periods, own))
        self._rests = [(last, rest) for last, rest in rests if rest and last > period]
        return steps
