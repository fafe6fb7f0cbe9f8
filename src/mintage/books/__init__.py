"""The books of record: commit log, double-entry ledger, event lake, database and migrations.

In: holds, settlements, top-ups. Out: balances, receipts, journals, usage per price, profit and loss.
The log is the one source; the ledger and the lake derive from it by watermark and can be rebuilt.
Start with log.py (what is promised durable), then ledger.py (what it means), then lake.py (what it shows).
"""

from mintage.books import failpoints
from mintage.books.accounts_chart import cogs_account, model_account, usage_account
from mintage.books.children import export_in_child, verify_in_child
from mintage.books.database import BigKey, Database, metadata
from mintage.books.deriver import Progress
from mintage.books.entries import (
    Body,
    CostPosted,
    Entry,
    Expired,
    Funding,
    Held,
    Released,
    Reported,
    Settled,
    ToppedUp,
    TopUpKind,
    UsageEvent,
    WalletOpened,
)
from mintage.books.home import Home, ServerAddress
from mintage.books.journal import Journal, Posting
from mintage.books.lake_reports import UsageRow
from mintage.books.lake_views import RequestRow
from mintage.books.ledger import Ledger
from mintage.books.ledger_journals import JournalPage
from mintage.books.ledger_reader import AccountBalance, LedgerReader, ProfitAndLoss, UsageLine
from mintage.books.ledger_rules import ADJUSTMENT, AHEAD, BUCKET_NS, CLOSING
from mintage.books.log import CommitLog
from mintage.books.log_reader import FrameReader
from mintage.books.report import Check, Report
from mintage.books.shipping import Shipper
from mintage.books.wallets import Wallet, WalletBook

__all__ = [
    "ADJUSTMENT",
    "AHEAD",
    "BUCKET_NS",
    "CLOSING",
    "AccountBalance",
    "BigKey",
    "Body",
    "Check",
    "CommitLog",
    "CostPosted",
    "Database",
    "Entry",
    "Expired",
    "FrameReader",
    "Funding",
    "Held",
    "Home",
    "Journal",
    "JournalPage",
    "Ledger",
    "LedgerReader",
    "Posting",
    "ProfitAndLoss",
    "Progress",
    "Released",
    "Report",
    "Reported",
    "RequestRow",
    "ServerAddress",
    "Settled",
    "Shipper",
    "TopUpKind",
    "ToppedUp",
    "UsageEvent",
    "UsageLine",
    "UsageRow",
    "Wallet",
    "WalletBook",
    "WalletOpened",
    "cogs_account",
    "export_in_child",
    "failpoints",
    "metadata",
    "model_account",
    "usage_account",
    "verify_in_child",
]
