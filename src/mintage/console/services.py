"""What the console needs from the rest of the house. app.py hands it in; the console builds nothing of it itself."""

from __future__ import annotations

from dataclasses import dataclass

from mintage.accounts import Accounts
from mintage.base import Clock, Settings
from mintage.books import CommitLog, Ledger, LedgerReader
from mintage.gateway import Gateway


@dataclass(frozen=True, slots=True)
class ConsoleServices:
    settings: Settings
    clock: Clock
    log: CommitLog
    ledger: Ledger
    reader: LedgerReader
    accounts: Accounts
    gateway: Gateway
