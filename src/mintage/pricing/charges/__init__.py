"""The charges of a period: one file per model, each a data type that prices a quantity and shows its working.

In: events of a period. Out: steps (quantity x rate = amount), exact fractions. quote.py puts them together.
base.py is what they share; graduated.py is the plainest example to start with.
"""

from mintage.pricing.charges.allowance import Allowance, Carry
from mintage.pricing.charges.base import ChargeFields, QuantityCharge, State, Step, amount_between, total
from mintage.pricing.charges.blocks import Block, TieredBlocks
from mintage.pricing.charges.commission import Commission, Markup, Pool
from mintage.pricing.charges.graduated import Graduated
from mintage.pricing.charges.interval import Licence, Reservation, Seats
from mintage.pricing.charges.matrix import Cell, Matrix
from mintage.pricing.charges.outcome import Outcome
from mintage.pricing.charges.package import Package
from mintage.pricing.charges.per_unit import PerUnit
from mintage.pricing.charges.percentage import GraduatedPercentage, Percentage, RevenueShare
from mintage.pricing.charges.tiers import PercentTier, Tier
from mintage.pricing.charges.volume import Volume

PeriodCharge = (
    PerUnit
    | Graduated
    | Volume
    | Package
    | TieredBlocks
    | Percentage
    | GraduatedPercentage
    | RevenueShare
    | Matrix
    | Allowance
    | Seats
    | Reservation
    | Licence
    | Outcome
    | Commission
    | Markup
    | Pool
)

__all__ = [
    "Allowance",
    "Block",
    "Carry",
    "Cell",
    "ChargeFields",
    "Commission",
    "Graduated",
    "GraduatedPercentage",
    "Licence",
    "Markup",
    "Matrix",
    "Outcome",
    "Package",
    "PerUnit",
    "PercentTier",
    "Percentage",
    "PeriodCharge",
    "Pool",
    "QuantityCharge",
    "Reservation",
    "RevenueShare",
    "Seats",
    "State",
    "Step",
    "Tier",
    "TieredBlocks",
    "Volume",
    "amount_between",
    "total",
]
