"""What is owed: plans and their versions, subscriptions and periods, wallets, invoices.

In: plan files, top-ups, the ledger's frozen usage. Out: key snapshots for the gateway, finalised invoices, journals.
An invoice is a pure function of frozen usage, price versions and a policy version; closing may always be repeated.
Start with billing.py (the front), then closing.py (how a period ends) and invoice.py (the arithmetic).
"""

from mintage.billing.billing import Billing
from mintage.billing.closing import CatchUp
from mintage.billing.events import EventIntake, EventView, Recorded
from mintage.billing.invoice import InvoiceContent, InvoiceLine, Party
from mintage.billing.invoices import Invoice, InvoiceRow
from mintage.billing.periods import Period, period_at
from mintage.billing.plans import Applied, PlanRow
from mintage.billing.snapshot import KeyRecord, KeySnapshot
from mintage.billing.subscriptions import Subscription
from mintage.billing.wallets import TopUp, WalletRow

__all__ = [
    "Applied",
    "Assignment",
    "Billing",
    "CatchUp",
    "EventIntake",
    "EventView",
    "Invoice",
    "InvoiceContent",
    "InvoiceLine",
    "InvoiceRow",
    "KeyRecord",
    "KeySnapshot",
    "Party",
    "Period",
    "PlanRow",
    "Recorded",
    "Subscription",
    "TopUp",
    "WalletRow",
    "period_at",
]
