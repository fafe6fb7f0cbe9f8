"""Payments: money that comes in from outside, goes back, is disputed, or does not come when it is due.

In: a customer's wish to pay, a provider's signed messages, bank statements. Out: credit, once, bound to what was asked.
A payment is on record before the wallet moves; the wallet's move names the payment, so that repeating changes nothing.
Start with provider.py (what a provider does), then desk.py (what a payment does), then dunning.py and bank.py.
"""

from mintage.billing.payments.bank import BankLine, read_statement
from mintage.billing.payments.desk import Payments
from mintage.billing.payments.dunning import Dunning, Step
from mintage.billing.payments.matching import BankDesk, BankRow, Imported
from mintage.billing.payments.provider import Notice, Provider
from mintage.billing.payments.records import Order, PaymentRow
from mintage.billing.payments.setup import ProviderRow, ProviderSetup
from mintage.billing.payments.stripe_provider import StripeProvider

__all__ = [
    "BankDesk",
    "BankLine",
    "BankRow",
    "Dunning",
    "Imported",
    "Notice",
    "Order",
    "PaymentRow",
    "Payments",
    "Provider",
    "ProviderRow",
    "ProviderSetup",
    "Step",
    "StripeProvider",
    "read_statement",
]
