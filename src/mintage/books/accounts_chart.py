"""The chart of accounts: one table that says what every event debits and credits.

Names are type:part:part. Assets and expenses grow by debits, liabilities, income and equity by credits. A capital
word stands for a name of the business: PRODUCT, PROVIDER, CREATOR, RUN; `*` for any account (a rounding or a currency
difference may arise anywhere). Source of the rows: docs/decisions/0003-money.md.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from mintage.base import MintageError

TYPES: Final = ("assets", "liabilities", "income", "expenses", "equity")
DEBIT_TYPES: Final = ("assets", "expenses")

CASH: Final = "assets:cash"
COMPUTE: Final = "assets:compute"
RECEIVABLE: Final = "assets:receivable"
UNBILLED: Final = "assets:unbilled_receivable"
PREPAID: Final = "liabilities:customer_prepaid"
UPSTREAM: Final = "liabilities:upstream_payable"
TAX: Final = "liabilities:tax_payable"
DEFERRED: Final = "liabilities:deferred_revenue"
PROMO: Final = "expenses:promo_credits"
SHORTFALL: Final = "expenses:shortfall"
USAGE: Final = "income:usage:PRODUCT"
BREAKAGE: Final = "income:breakage"
SUBSCRIPTION: Final = "income:subscription:PRODUCT"
COGS: Final = "expenses:cogs:PROVIDER"
FEES: Final = "expenses:processor_fees"
ROUNDING: Final = "equity:rounding"
MODELS: Final = "assets:models:RUN"


class Event(msgspec.Struct, frozen=True):
    """What an event may debit and credit. reversible: its lines may also stand on the other side."""

    debits: tuple[str, ...]
    credits: tuple[str, ...]
    reversible: bool = False


EVENTS: Final[dict[str, Event]] = {
    "top_up": Event((CASH, FEES), (PREPAID,)),
    "promo_grant": Event((PROMO,), (PREPAID,)),  # a gift into a wallet of paid money
    "promo_return": Event((PREPAID,), (PROMO,)),
    "promo_usage": Event((PROMO,), (USAGE,)),
    "prepaid_usage": Event((PREPAID,), (USAGE,)),
    "postpaid_usage": Event((UNBILLED,), (USAGE,)),
    "usage_shortfall": Event((SHORTFALL,), (USAGE, DEFERRED)),  # earned, but the prepaid wallet was empty
    "provider_cost": Event((COGS,), (UPSTREAM,)),
    "compute_cost": Event((COGS,), (COMPUTE,)),
    "prepaid_expiry": Event((PREPAID,), (BREAKAGE,)),
    "rating_adjustment": Event((UNBILLED, PREPAID, PROMO), (USAGE,), reversible=True),
    "invoice_finalised": Event((RECEIVABLE, ROUNDING), (UNBILLED, TAX, USAGE, SUBSCRIPTION, ROUNDING), reversible=True),
    "tax_included": Event((USAGE, SUBSCRIPTION), (TAX,), reversible=True),  # the tax within what was paid ahead
    "payment_received": Event((CASH, FEES), (RECEIVABLE,)),
    "processor_fee": Event((FEES,), (CASH,)),
    "subscription_billed": Event((RECEIVABLE, UNBILLED, PREPAID, PROMO), (DEFERRED, TAX), reversible=True),
    "subscription_released": Event((DEFERRED,), (SUBSCRIPTION,), reversible=True),
    "refund": Event((PREPAID, "income:refunds"), (CASH,)),
    "refund_of_payment": Event((RECEIVABLE,), (CASH,)),
    "dispute_lost": Event((PREPAID, "income:refunds", FEES), (CASH,)),
    "write_off": Event(("expenses:bad_debt", TAX), (RECEIVABLE,)),
    "credit_note": Event((USAGE, SUBSCRIPTION, TAX, ROUNDING), (RECEIVABLE, PREPAID, ROUNDING), reversible=True),
    "fx_difference": Event(("expenses:fx", "*"), ("income:fx", "*")),
    "payout_earned": Event(("expenses:payouts",), ("liabilities:payable:CREATOR",)),
    "marketplace_payout": Event(("liabilities:payable:CREATOR",), (CASH,)),
    "upstream_paid": Event((UPSTREAM,), (CASH,)),
    "compute_bought": Event((COMPUTE,), (CASH,)),
    "model_made": Event((MODELS,), (COMPUTE,)),  # what making a model cost, until its tokens are sold
    "model_amortised": Event((COGS,), (MODELS,)),
    "model_written_off": Event(("expenses:models_written_off",), (MODELS,)),
    "capital": Event((CASH,), ("equity:capital",), reversible=True),
    "rounding": Event((ROUNDING, "*"), ("*", ROUNDING)),
}

#: Journals that carry one of these accounts on some line and anything on the others.
_ANCHORS: Final = {"rounding": (ROUNDING,), "fx_difference": ("expenses:fx", "income:fx")}

_PART: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_NAME: Final = re.compile(rf"(?:{'|'.join(TYPES)})(?::[A-Za-z0-9_.-]{{1,64}}){{1,3}}\Z")
_UNFIT: Final = re.compile(r"[^A-Za-z0-9_.-]")


def account_part(name: str) -> str:
    """A product's or provider's name as a part of an account name: what does not fit becomes `-`."""
    return name if _PART.match(name) else _UNFIT.sub("-", name)[:64] or "other"


def usage_account(product: str) -> str:
    return USAGE.replace("PRODUCT", account_part(product))


def cogs_account(provider: str) -> str:
    return COGS.replace("PROVIDER", account_part(provider))


def model_account(run: str) -> str:
    return MODELS.replace("RUN", account_part(run))


def account_type(account: str) -> str:
    return account.split(":", 1)[0]


def _matches(account: str, pattern: str) -> bool:
    if pattern == "*":
        return True
    head, _, last = pattern.rpartition(":")
    return account == pattern or (last.isupper() and account.rpartition(":")[0] == head)


def check_line(event: str, account: str, amount_nanos: int) -> None:
    """Refuse an unknown event, a malformed account, and one that the event may not move this way."""
    rule = EVENTS.get(event)
    if rule is None:
        raise MintageError(
            "invalid_request", f"{event[:40]!r} is no event of the books.", f"One of: {', '.join(EVENTS)}."
        )
    if not _NAME.match(account):
        raise MintageError(
            "invalid_request",
            f"{account[:80]!r} is not an account.",
            f"Write it as type:name, with one of the types {', '.join(TYPES)}.",
        )
    sides = (rule.debits if amount_nanos > 0 else rule.credits) + (
        (rule.credits if amount_nanos > 0 else rule.debits) if rule.reversible else ()
    )
    if not any(_matches(account, pattern) for pattern in sides):
        side = "debit" if amount_nanos > 0 else "credit"
        raise MintageError(
            "invalid_request", f"The event {event} does not {side} {account}.", f"It may {side}: {', '.join(sides)}."
        )


def check_anchor(event: str, accounts: list[str]) -> None:
    """A rounding or currency difference must say so on one of its lines."""
    anchors = _ANCHORS.get(event)
    if anchors and not any(account in anchors for account in accounts):
        raise MintageError("invalid_request", f"A journal of {event} has no line on {' or '.join(anchors)}.", "Add it.")
