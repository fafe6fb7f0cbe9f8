"""The arithmetic of a billing period: dates, parts of periods, commitments, credits, rounding, what is due.

In: exact amounts, dates, policies. Out: exact amounts or minor units; pure functions, nothing is stored here.
statement.py is the order in which a bill is made; start there.
"""

from mintage.pricing.period.calendar import (
    first_cycle_date,
    local_day,
    midnight_ns,
    period_of,
    period_start,
    span_of,
)
from mintage.pricing.period.commitment import Commitment, commitment_steps, maximum_discounts, minimum_true_up
from mintage.pricing.period.credits import Burn, BurnKey, CreditGrant, burn, buy_credits
from mintage.pricing.period.progressive import Thresholds, billable_after_discount, progressive_invoices
from mintage.pricing.period.proration import Switch, days_share, fixed_share, seconds_share, switch
from mintage.pricing.period.rounding import (
    allocate_discount,
    largest_remainder,
    round_lines,
    round_places,
    split_two_ways,
    to_minor,
)
from mintage.pricing.period.statement import Statement, StatementLine, Terms, compute_statement

__all__ = [
    "Burn",
    "BurnKey",
    "Commitment",
    "CreditGrant",
    "Statement",
    "StatementLine",
    "Switch",
    "Terms",
    "Thresholds",
    "allocate_discount",
    "billable_after_discount",
    "burn",
    "buy_credits",
    "commitment_steps",
    "compute_statement",
    "days_share",
    "first_cycle_date",
    "fixed_share",
    "largest_remainder",
    "local_day",
    "maximum_discounts",
    "midnight_ns",
    "minimum_true_up",
    "period_of",
    "period_start",
    "progressive_invoices",
    "round_lines",
    "round_places",
    "seconds_share",
    "span_of",
    "split_two_ways",
    "switch",
    "to_minor",
]
