"""Everything about invoices beside their closing, put together over one set of books."""

from __future__ import annotations

import logging
from typing import Final

from mintage.accounts import Accounts, LegalEntity
from mintage.base import MintageError
from mintage.billing.credit_notes import CreditNotes
from mintage.billing.currencies import Currencies
from mintage.billing.extras import Extras, ExtrasDesk
from mintage.billing.invoice import InvoiceContent
from mintage.billing.invoices import Invoices
from mintage.billing.mailing import Mailer
from mintage.billing.payments import BankDesk, Dunning, Payments, ProviderSetup
from mintage.billing.profiles import Profiles
from mintage.billing.standing import CatchUp, Standing
from mintage.billing.tax import TaxTable
from mintage.billing.wallets import Wallets
from mintage.billing.webhooks import Endpoints, Sender
from mintage.books import CommitLog, Ledger

_log: Final = logging.getLogger("mintage.billing")
HOUR_NS: Final = 3600 * 10**9


class Invoicing:
    def __init__(self, accounts: Accounts, log: CommitLog, ledger: Ledger, wallets: Wallets, catch_up: CatchUp) -> None:
        changes = accounts.changes
        self._accounts = accounts
        self.profiles = Profiles(changes)
        self.taxes = TaxTable(changes)
        self.currencies = Currencies(changes)
        self._extras = ExtrasDesk(self.profiles, self.taxes, self.currencies)
        self.invoices = Invoices(changes, ledger, self._gather)
        self.notes = CreditNotes(changes, ledger)
        self.standing = Standing(
            accounts,
            log,
            ledger,
            wallets=wallets,
            invoices=self.invoices,
            notes=self.notes,
            profiles=self.profiles,
            catch_up=catch_up,
        )
        self.payments = Payments(accounts, log, ledger, wallets, self.standing)
        self.setup = ProviderSetup(accounts, self.payments)
        self.mailer = Mailer(accounts, self.profiles)
        self.bank = BankDesk(accounts, self.invoices, self.payments)
        self.webhooks = Endpoints(changes, accounts.vault)
        self.sender = Sender(changes, self.webhooks)
        self.dunning = Dunning(
            accounts,
            invoices=self.invoices,
            profiles=self.profiles,
            payments=self.payments,
            standing=self.standing,
        )
        self.dunning.remind = self.mailer.remind

    async def start(self) -> None:
        """Once, when the log is open: what a crash kept from the wallets is told to them."""
        await self.standing.tell_wallets()
        await self.payments.repair()
        try:
            await self.setup.load()
        except MintageError as error:  # nobody can pay by card, but everything else is served
            _log.error("payment providers are off: %s %s", error.message, error.hint)

    def grace_ns(self) -> int:
        """How long a period that has ended waits for late events. Blocking."""
        try:
            entity = self._accounts.entities.get()
        except MintageError:
            return 0
        return self.profiles.settings(entity.id).grace_hours * HOUR_NS

    def _gather(self, entity: LegalEntity, content: InvoiceContent) -> Extras:
        tenant = self._accounts.tenants.get(content.customer.id)
        return self._extras.gather(entity, tenant, content.funding, content.currency, content.last_day)
