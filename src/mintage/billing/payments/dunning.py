"""Unpaid invoices: on the days of the schedule the saved method is tried again, else the customer is reminded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from mintage.accounts import SYSTEM, Accounts
from mintage.base import MintageError
from mintage.billing.invoices import Invoice, Invoices
from mintage.billing.payments.desk import Payments
from mintage.billing.profiles import Profiles
from mintage.billing.standing import Standing
from mintage.billing.tables_invoicing import dunning, invoice_states
from mintage.billing.webhooks.outbox import announce

DAY_NS: Final = 86_400 * 10**9
BATCH: Final = 1_000  # invoices of one run

#: Sends a reminder; raises MintageError when it could not.
Remind = Callable[[Invoice, int], Awaitable[None]]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """step counts from 0; the one after the last reminder asks the operator to give up.

    action: charge, remind, review.
    """

    invoice_id: str
    step: int
    action: str
    outcome: str
    at_ns: int


class Dunning:
    def __init__(
        self,
        accounts: Accounts,
        *,
        invoices: Invoices,
        profiles: Profiles,
        payments: Payments,
        standing: Standing,
    ) -> None:
        self._accounts = accounts
        self._changes = accounts.changes
        self._invoices = invoices
        self._profiles = profiles
        self._payments = payments
        self._standing = standing
        self.remind: Remind | None = None

    async def run(self) -> list[Step]:
        """Take every step that has become due, once each; a restart goes on where this ended."""
        entity = await asyncio.to_thread(self._accounts.entities.get)
        settings = await asyncio.to_thread(self._profiles.settings, entity.id)
        schedule = (*settings.reminder_days, max(settings.uncollectible_days, *settings.reminder_days, 0) + 1)
        now = self._changes.clock.now_ns()
        taken: list[Step] = []
        for row in await asyncio.to_thread(self._overdue, now):
            late_days = (now - row["due_ns"]) // DAY_NS
            passed = sum(days <= late_days for days in schedule)
            done = await asyncio.to_thread(self._done, row["invoice_id"])
            if passed > done:  # a long silence is caught up by one step, not by three letters at once
                taken.append(await self._step(row["tenant_id"], row["invoice_id"], passed - 1, passed == len(schedule)))
        return taken

    def _overdue(self, now_ns: int) -> list[dict[str, Any]]:
        state = invoice_states.c
        select = sa.select(state.invoice_id, state.tenant_id, state.due_ns)
        select = select.where(state.state == "finalised", state.due_ns < now_ns).order_by(state.due_ns).limit(BATCH)
        with self._changes.database.read() as connection:
            return [dict(row) for row in connection.execute(select).mappings()]

    def _done(self, invoice_id: str) -> int:
        select = sa.select(sa.func.max(dunning.c.step)).where(dunning.c.invoice_id == invoice_id)
        with self._changes.database.read() as connection:
            found = connection.scalar(select)
        return 0 if found is None else int(found) + 1

    async def _step(self, tenant_id: str, invoice_id: str, step: int, last: bool) -> Step:
        await self._standing.allocate(SYSTEM, tenant_id)
        invoice = await asyncio.to_thread(self._invoices.get, tenant_id, invoice_id)
        if invoice.state != "finalised":
            action, outcome = "remind", "paid meanwhile"
        elif last:
            action, outcome = "review", "asked the operator"
        else:
            action, outcome = await self._ask(invoice, step)
        taken = Step(
            invoice_id=invoice_id, step=step, action=action, outcome=outcome[:200], at_ns=self._changes.clock.now_ns()
        )
        await asyncio.to_thread(self._keep, invoice, taken)
        return taken

    async def _ask(self, invoice: Invoice, step: int) -> tuple[str, str]:
        tenant = await asyncio.to_thread(self._accounts.tenants.get, invoice.tenant_id)
        try:
            key = f"{invoice.id}-{step}"
            await self._payments.charge_saved(tenant, invoice.open_nanos, invoice, key)
            return "charge", "paid"
        except MintageError as error:
            if error.code != "not_found":
                return "charge", error.message
        if self.remind is None:
            return "remind", "no mail server is set up"
        try:
            await self.remind(invoice, step)
        except MintageError as error:
            return "remind", error.message
        return "remind", "sent"

    def _keep(self, invoice: Invoice, step: Step) -> None:
        with self._changes.change(SYSTEM, "invoice.dunning", invoice.id, tenant_id=invoice.tenant_id) as change:
            change.connection.execute(dunning.insert().values(**msgspec.structs.asdict(step)))
            change.note(step=step.step, action=step.action, outcome=step.outcome)
            if step.outcome not in ("paid", "paid meanwhile"):
                told = {"id": invoice.id, "number": invoice.number, "open_nanos": invoice.open_nanos}
                told |= {"step": step.step, "action": step.action, "outcome": step.outcome}
                announce(change.connection, "invoice.overdue", invoice.tenant_id, told, change.now_ns)

    def steps(self, invoice_id: str) -> list[Step]:
        select = sa.select(dunning).where(dunning.c.invoice_id == invoice_id).order_by(dunning.c.step)
        with self._changes.database.read() as connection:
            return [Step(**row) for row in connection.execute(select).mappings()]
