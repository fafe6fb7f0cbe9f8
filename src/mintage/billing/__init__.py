"""What is owed: plans and their versions, subscriptions and periods, wallets, invoices.

In: plan files, top-ups, the ledger's frozen usage. Out: key snapshots for the gateway, finalised invoices, journals.
An invoice is a pure function of frozen usage, price versions and a policy version; closing may always be repeated.
Start with billing.py (the front), then closing.py (how a period ends) and invoice.py (the arithmetic).
"""

from mintage.billing.ahead import AheadFee
from mintage.billing.billing import Billing
from mintage.billing.caps import Entitlements, SpendAlert, SpendCap
from mintage.billing.closing import CatchUp
from mintage.billing.coupons import Coupon, Redemption
from mintage.billing.credit import Lot, NewLot
from mintage.billing.credit_notes import CreditNote, Part
from mintage.billing.currencies import CurrencyRate
from mintage.billing.documents.mail import MailServer
from mintage.billing.events import EventIntake, EventView, Recorded
from mintage.billing.finance import AgeRow, BalanceSheet, DeferredSchedule, IncomeStatement
from mintage.billing.invoice import InvoiceContent, InvoiceLine, Party
from mintage.billing.invoices import Invoice, InvoiceRow
from mintage.billing.lifecycle import Assignment, Ticked, When
from mintage.billing.lines import PeriodLine, RatedPeriod
from mintage.billing.mailing import Mailed
from mintage.billing.metrics import Metrics, recurring
from mintage.billing.periods import Period, period_at
from mintage.billing.plans import Applied, PlanRow
from mintage.billing.profiles import BillingProfile, BillingSettings
from mintage.billing.snapshot import KeyRecord, KeySnapshot
from mintage.billing.subscriptions import Pause, Refund, Subscription
from mintage.billing.tax import RateRow
from mintage.billing.topping import AutoTopUpRule, Collect, Payment, Purchase
from mintage.billing.wallets import TopUp, WalletRow

__all__ = [
    "AgeRow",
    "AheadFee",
    "Applied",
    "Assignment",
    "AutoTopUpRule",
    "BalanceSheet",
    "Billing",
    "BillingProfile",
    "BillingSettings",
    "CatchUp",
    "Collect",
    "Coupon",
    "CreditNote",
    "CurrencyRate",
    "DeferredSchedule",
    "Entitlements",
    "EventIntake",
    "EventView",
    "IncomeStatement",
    "Invoice",
    "InvoiceContent",
    "InvoiceLine",
    "InvoiceRow",
    "KeyRecord",
    "KeySnapshot",
    "Lot",
    "MailServer",
    "Mailed",
    "Metrics",
    "NewLot",
    "Part",
    "Party",
    "Pause",
    "Payment",
    "Period",
    "PeriodLine",
    "PlanRow",
    "Purchase",
    "RateRow",
    "RatedPeriod",
    "Recorded",
    "Redemption",
    "Refund",
    "SpendAlert",
    "SpendCap",
    "Subscription",
    "Ticked",
    "TopUp",
    "WalletRow",
    "When",
    "period_at",
    "recurring",
]
