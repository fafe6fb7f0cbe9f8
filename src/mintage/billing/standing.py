"""Where invoices stand: paid by what came in, oldest first; credited, voided, written off; the wallets told of it.

What a customer owes is the ledger's receivable, the one truth. Invoices whose open amounts come to more than that have
been paid by the difference: so a payment counts however it came in, and counting again changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from mintage.accounts import Accounts, check_text
from mintage.base import MintageError
from mintage.billing.credit_notes import CreditNote, CreditNotes, Part
from mintage.billing.invoice_journals import RECEIVABLE, TAX
from mintage.billing.invoices import Invoice, Invoices
from mintage.billing.profiles import Profiles
from mintage.billing.tables import invoices as invoices_table
from mintage.billing.tables_invoicing import credit_notes, invoice_states
from mintage.billing.wallets import Wallets
from mintage.billing.webhooks.outbox import announce
from mintage.books import CommitLog, Journal, Ledger, Posting

PENDING_MAX: Final = 10_000

#: Ships every durable entry of the log to the ledger and returns the watermark.
CatchUp = Callable[[], Awaitable[int]]

_STATE = invoice_states.c
_OPEN = invoices_table.c.due_nanos - _STATE.paid_nanos - _STATE.credited_nanos - _STATE.written_off_nanos


class Standing:
    """On the event loop; what touches the database goes to a thread."""

    def __init__(
        self,
        accounts: Accounts,
        log: CommitLog,
        ledger: Ledger,
        *,
        wallets: Wallets,
        invoices: Invoices,
        notes: CreditNotes,
        profiles: Profiles,
        catch_up: CatchUp,
    ) -> None:
        self._accounts = accounts
        self._changes = accounts.changes
        self._log = log
        self._ledger = ledger
        self._wallets = wallets
        self._invoices = invoices
        self._notes = notes
        self._profiles = profiles
        self._catch_up = catch_up
        self._turn = asyncio.Lock()

    async def issued(self, invoice: Invoice) -> Invoice:
        """After an invoice was finalised: the wallet learns of its tax, money that is there already pays it."""
        await self.tell_wallets()
        await self.allocate("system", invoice.tenant_id)
        return await asyncio.to_thread(self._invoices.get, invoice.tenant_id, invoice.id)

    # -- the wallets -------------------------------------------------------------------------------------------------

    async def tell_wallets(self) -> int:
        """Move in the log what invoices and credit notes moved in the books; returns how many. Safe to repeat."""
        taxes, notes = await asyncio.to_thread(self._untold)
        for row in taxes:
            wallet = await asyncio.to_thread(self._wallets.get, row["tenant_id"])
            move = self._log.withdraw if row["tax_nanos"] > 0 else self._log.top_up
            source_id = f"{row['invoice_id']}:tax"
            await move(wallet.id, abs(row["tax_nanos"]), source="invoice", source_id=source_id, kind="cash")
            await asyncio.to_thread(self._told, invoice_states, _STATE.invoice_id == row["invoice_id"])
        for row in notes:
            wallet = await asyncio.to_thread(self._wallets.get, row["tenant_id"])
            await self._log.top_up(
                wallet.id, row["total_nanos"], source="credit_note", source_id=row["id"], kind="cash"
            )
            await asyncio.to_thread(self._told, credit_notes, credit_notes.c.id == row["id"])
        return len(taxes) + len(notes)

    def _untold(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        with self._changes.database.read() as connection:
            taxes = sa.select(_STATE.invoice_id, _STATE.tenant_id, _STATE.tax_nanos).where(~_STATE.wallet_done)
            notes = sa.select(credit_notes.c.id, credit_notes.c.tenant_id, credit_notes.c.total_nanos)
            notes = notes.where(~credit_notes.c.wallet_done)
            found = [connection.execute(select.limit(PENDING_MAX)).mappings() for select in (taxes, notes)]
            first, second = ([dict(row) for row in rows] for rows in found)
            return first, second

    def _told(self, table: sa.Table, where: sa.ColumnElement[bool]) -> None:
        with self._changes.database.write() as connection:
            connection.execute(table.update().where(where).values(wallet_done=True))

    # -- payments ----------------------------------------------------------------------------------------------------

    async def allocate(self, actor: str, tenant_id: str, first: str = "") -> list[str]:
        """Let what has come in pay open invoices: `first` (an invoice's id), then the oldest. Ids of those now paid."""
        await self._catch_up()
        async with self._turn:
            return await asyncio.to_thread(self._allocate, actor, tenant_id, first)

    def _allocate(self, actor: str, tenant_id: str, first: str) -> list[str]:
        balances = self._ledger.balances(RECEIVABLE, tenant_id=tenant_id)
        select = sa.select(invoice_states, invoices_table.c.currency, invoices_table.c.number, _OPEN.label("open"))
        select = select.join(invoices_table, invoices_table.c.id == _STATE.invoice_id)
        select = select.where(_STATE.tenant_id == tenant_id, _STATE.state.in_(("finalised", "paid")))
        with self._changes.database.read() as connection:
            order = (_STATE.invoice_id != first, _STATE.due_ns, _STATE.invoice_id)
            rows = [dict(row) for row in connection.execute(select.order_by(*order)).mappings()]
        paid: list[str] = []
        for currency in sorted({row["currency"] for row in rows}):
            mine = [row for row in rows if row["currency"] == currency]
            owed = balances.get((RECEIVABLE, currency), 0)
            there = sum(max(0, row["open"]) for row in mine) - owed
            steps = _steps(mine, there)
            if steps:
                paid += self._move(actor, tenant_id, steps)
        return paid

    def _move(self, actor: str, tenant_id: str, steps: Sequence[tuple[dict[str, Any], int]]) -> list[str]:
        paid = []
        with self._changes.change(actor, "invoice.allocate", tenant_id, tenant_id=tenant_id) as change:
            for row, nanos in steps:
                left = row["open"] - nanos
                state = "paid" if left <= 0 else "finalised"
                change.connection.execute(
                    invoice_states.update()
                    .where(_STATE.invoice_id == row["invoice_id"])
                    .values(paid_nanos=_STATE.paid_nanos + nanos, state=state, changed_ns=change.now_ns)
                )
                if state == "paid" and row["state"] != "paid":
                    paid.append(str(row["invoice_id"]))
                    told = {"id": row["invoice_id"], "number": row["number"], "paid_nanos": row["paid_nanos"] + nanos}
                    announce(change.connection, "invoice.paid", tenant_id, told, change.now_ns)
            change.note(invoices={row["number"]: nanos for row, nanos in steps})
        return paid

    # -- corrections -------------------------------------------------------------------------------------------------

    async def credit(
        self, actor: str, invoice: Invoice, parts: Sequence[Part] | None, *, reason: str, key: str
    ) -> CreditNote:
        """Credit parts of an invoice, or all that is left; once per key. Raises what CreditNotes.issue does."""
        if invoice.state == "uncollectible":
            raise MintageError("conflict", f"{invoice.number} was written off.", "Its books are closed.")
        entity = await asyncio.to_thread(self._accounts.entities.get)
        settings = await asyncio.to_thread(self._profiles.settings, entity.id)
        async with self._turn:
            note = await asyncio.to_thread(
                self._notes.issue, actor, entity, settings.credit_note_prefix, invoice, parts, reason=reason, key=key
            )
        await self.tell_wallets()
        await self.allocate(actor, invoice.tenant_id)
        return note

    async def void(self, actor: str, invoice: Invoice, *, reason: str) -> Invoice:
        """Credit all of it and say that it never was owed. Raises conflict when part of it was paid or credited."""
        await self.allocate(actor, invoice.tenant_id)
        invoice = await asyncio.to_thread(self._invoices.get, invoice.tenant_id, invoice.id)
        if invoice.state == "void":
            return invoice
        if invoice.state != "finalised" or invoice.open_nanos != invoice.content.due_nanos:
            raise MintageError(
                "conflict", f"{invoice.number} is {invoice.state}, or paid in part.", "Issue a credit note instead."
            )
        await self.credit(actor, invoice, None, reason=reason, key="void")
        await asyncio.to_thread(self._set_state, actor, invoice, "void", "invoice.voided")
        return await asyncio.to_thread(self._invoices.get, invoice.tenant_id, invoice.id)

    async def write_off(self, actor: str, invoice: Invoice, *, reason: str) -> Invoice:
        """What is open will not come: to bad debt, its part of the tax back. Raises conflict when nothing is open."""
        await self.allocate(actor, invoice.tenant_id)
        async with self._turn:
            await asyncio.to_thread(self._write_off, actor, invoice, check_text(reason, "reason", limit=500))
        return await asyncio.to_thread(self._invoices.get, invoice.tenant_id, invoice.id)

    def _write_off(self, actor: str, invoice: Invoice, reason: str) -> None:
        invoice = self._invoices.get(invoice.tenant_id, invoice.id)
        if invoice.state == "uncollectible":
            return
        if invoice.state != "finalised" or invoice.open_nanos <= 0:
            raise MintageError("conflict", f"Nothing of {invoice.number} is open.", f"It is {invoice.state}.")
        content, nanos = invoice.content, invoice.open_nanos
        tax = content.tax_nanos * nanos // content.total_nanos
        amounts = (("expenses:bad_debt", nanos - tax), (TAX, tax), (RECEIVABLE, -nanos))
        with self._changes.change(
            actor, "invoice.write_off", invoice.id, tenant_id=invoice.tenant_id, nanos=nanos, reason=reason
        ) as change:
            change.connection.execute(
                invoice_states.update()
                .where(_STATE.invoice_id == invoice.id)
                .values(written_off_nanos=nanos, state="uncollectible", changed_ns=change.now_ns)
            )
            journal = Journal(
                event="write_off",
                source="invoice",
                source_id=f"{invoice.id}:write_off",
                occurred_ns=change.now_ns,
                tenant_id=invoice.tenant_id,
                memo=f"{invoice.number} {reason}"[:500],
                postings=tuple(
                    Posting(account=account, currency=content.currency, amount_nanos=amount)
                    for account, amount in amounts
                    if amount
                ),
            )
            self._ledger.post(journal, change.connection)
            told = {"id": invoice.id, "number": invoice.number, "written_off_nanos": nanos}
            announce(change.connection, "invoice.uncollectible", invoice.tenant_id, told, change.now_ns)

    def _set_state(self, actor: str, invoice: Invoice, state: str, type_: str) -> None:
        with self._changes.change(actor, type_, invoice.id, tenant_id=invoice.tenant_id) as change:
            change.connection.execute(
                invoice_states.update()
                .where(_STATE.invoice_id == invoice.id)
                .values(state=state, changed_ns=change.now_ns)
            )
            told = {"id": invoice.id, "number": invoice.number}
            announce(change.connection, type_, invoice.tenant_id, told, change.now_ns)


def _steps(rows: Sequence[dict[str, Any]], there: int) -> list[tuple[dict[str, Any], int]]:
    """How much of each invoice `there` pays; below zero, money went back: the last ones are open again."""
    steps: list[tuple[dict[str, Any], int]] = []
    if there >= 0:
        for row in rows:
            nanos = min(there, max(0, row["open"]))
            if nanos or (row["state"] == "finalised" and row["open"] <= 0):
                steps.append((row, nanos))
                there -= nanos
        return steps
    for row in reversed(rows):
        nanos = min(-there, row["paid_nanos"])
        if nanos > 0:
            steps.append((row, -nanos))
            there += nanos
    return steps
