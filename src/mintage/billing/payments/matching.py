"""Statements into the books: each line once; what names one open invoice and pays it exactly is matched by itself."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from mintage.accounts import PAGE_DEFAULT, Accounts, Page, fetch_page
from mintage.base import MintageError
from mintage.billing.invoices import Invoice, Invoices
from mintage.billing.payments.bank import BankLine, read_statement
from mintage.billing.payments.desk import Payments
from mintage.billing.tables_invoicing import bank_lines


class BankRow(msgspec.Struct, frozen=True, kw_only=True):
    """state: open, matched (matched_to: an invoice's number or a customer), ignored (money that went out)."""

    id: str
    account: str
    day: str
    currency: str
    amount_nanos: int
    payer: str
    text: str
    state: str
    matched_to: str
    imported_ns: int


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """Of `lines`, `known` were there before; `matched` found their invoice; `open` wait for somebody."""

    lines: int
    known: int
    matched: int
    open: int


class BankDesk:
    def __init__(self, accounts: Accounts, invoices: Invoices, payments: Payments) -> None:
        self._accounts = accounts
        self._changes = accounts.changes
        self._invoices = invoices
        self._payments = payments

    async def take(self, actor: str, raw: bytes) -> Imported:
        """A statement, CSV or CAMT.053: all of its lines or none. The same again changes nothing."""
        lines = read_statement(raw)
        known = await asyncio.to_thread(self._keep, actor, lines)
        matched = 0
        for line in lines:
            matched += await self._match_by_itself(actor, line.id)
        states = [row.state for row in await asyncio.to_thread(self._rows, [line.id for line in lines])]
        return Imported(lines=len(lines), known=known, matched=matched, open=states.count("open"))

    def _keep(self, actor: str, lines: Sequence[BankLine]) -> int:
        there = {row.id for row in self._rows([line.id for line in lines])}
        new = [line for line in lines if line.id not in there]
        if new:
            with self._changes.change(actor, "bank.import", new[0].account or "bank", lines=len(new)) as change:
                rows = [
                    {
                        **msgspec.structs.asdict(line),
                        "state": "open" if line.amount_nanos > 0 else "ignored",
                        "matched_to": "",
                        "imported_ns": change.now_ns,
                    }
                    for line in new
                ]
                change.connection.execute(bank_lines.insert(), rows)
        return len(lines) - len(new)

    def _rows(self, ids: Sequence[str]) -> list[BankRow]:
        found: list[BankRow] = []
        with self._changes.database.read() as connection:
            for start in range(0, len(ids), 500):
                select = sa.select(bank_lines).where(bank_lines.c.id.in_(ids[start : start + 500]))
                found += [BankRow(**row) for row in connection.execute(select).mappings()]
        return found

    async def _match_by_itself(self, actor: str, line_id: str) -> int:
        [line] = await asyncio.to_thread(self._rows, [line_id])
        if line.state != "open":
            return 0
        entity = await asyncio.to_thread(self._accounts.entities.get)
        numbers = set(re.findall(rf"{re.escape(entity.invoice_prefix)}-\d{{6,}}", line.text))
        if len(numbers) != 1:
            return 0
        try:
            invoice = await asyncio.to_thread(self._invoices.get, None, numbers.pop())
        except MintageError:
            return 0
        if (invoice.content.currency, invoice.open_nanos) != (line.currency, line.amount_nanos):
            return 0
        await self.match(actor, line_id, invoice)
        return 1

    async def match(self, actor: str, line_id: str, invoice: Invoice) -> BankRow:
        """Book the line as a payment of the invoice's customer. Raises conflict for one that is booked or went out."""
        found = await asyncio.to_thread(self._rows, [line_id])
        if not found:
            raise MintageError("not_found", f"There is no line {line_id[:80]!r}.", "`mintage bank lines` shows all.")
        line = found[0]
        if line.state == "matched" and line.matched_to == invoice.number:
            return line
        if line.state != "open" or line.currency != invoice.content.currency:
            raise MintageError(
                "conflict", f"The line is {line.state}, in {line.currency}.", "Match an open line of that currency."
            )
        tenant = await asyncio.to_thread(self._accounts.tenants.get, invoice.tenant_id)
        await self._payments.transfer(actor, tenant, line.amount_nanos, line.id, invoice)
        await asyncio.to_thread(self._set, actor, line.id, invoice.number)
        return (await asyncio.to_thread(self._rows, [line_id]))[0]

    def _set(self, actor: str, line_id: str, number: str) -> None:
        with self._changes.change(actor, "bank.match", line_id, invoice=number) as change:
            change.connection.execute(
                bank_lines.update().where(bank_lines.c.id == line_id).values(state="matched", matched_to=number)
            )

    def page(self, state: str | None, *, limit: int = PAGE_DEFAULT, cursor: str | None = None) -> Page[BankRow]:
        select: sa.Select[Any] = sa.select(bank_lines)
        if state is not None:
            select = select.where(bank_lines.c.state == state)
        with self._changes.database.read() as connection:
            rows, following = fetch_page(connection, select, bank_lines.c.id, limit=limit, cursor=cursor)
        return Page(items=[BankRow(**row) for row in rows], next_cursor=following)
