"""Wallets: one per tenant, kept as a row here and as money in the commit log, which alone knows the balance."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from mintage.accounts import Changes, Tenant, check_text
from mintage.base import MintageError, check_nanos, currency_exponent, new_id
from mintage.billing.tables import wallets
from mintage.books import CommitLog, Funding, TopUpKind, Wallet


class WalletRow(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    tenant_id: str
    currency: str
    funding: Funding
    credit_limit_nanos: int
    created_ns: int


class TopUp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """(source, source_id) identify the payment: the same again changes nothing. amount_nanos is above zero.

    kind: cash that came in, or promo that was given. For a postpaid wallet, cash pays what is owed.
    """

    amount_nanos: int
    source: str
    source_id: str
    kind: TopUpKind = "cash"
    memo: str = ""


#: Sources that the ledger gives a meaning of their own.
_RESERVED_SOURCES: Final = frozenset({"invoice", "credit_note", "lease", "grant", "pack", "expiry"})


class Wallets:
    """What touches the log runs on the event loop; what touches the database there goes to a thread."""

    def __init__(self, changes: Changes, log: CommitLog) -> None:
        self._changes = changes
        self._log = log
        self.before_top_up: Callable[[WalletRow], Awaitable[None]] = _nothing  # credit.before_top_up

    async def open(self, actor: str, tenant: Tenant, funding: Funding, credit_limit_nanos: int) -> WalletRow:
        """The tenant's wallet, opened, or its credit limit changed. Raises conflict when it is funded another way."""
        row = await asyncio.to_thread(self._ensure, actor, tenant, funding, credit_limit_nanos)
        await self._log.open_wallet(row.tenant_id, row.id, row.currency, row.funding, row.credit_limit_nanos)
        return row

    async def replace(self, actor: str, tenant: Tenant, funding: Funding, credit_limit_nanos: int) -> WalletRow:
        """A new wallet of another funding in the place of a promotional one. Raises conflict for any other."""
        row = await asyncio.to_thread(self._replace, actor, tenant, funding, credit_limit_nanos)
        await self._log.open_wallet(row.tenant_id, row.id, row.currency, row.funding, row.credit_limit_nanos)
        return row

    def _replace(self, actor: str, tenant: Tenant, funding: Funding, credit_limit_nanos: int) -> WalletRow:
        row = self.get(tenant.id)
        if row.funding != "promo":
            raise MintageError("conflict", f"A {row.funding} wallet is not replaced.", "Keep the plan's funding.")
        now, fresh = self._changes.clock.now_ns(), new_id("wal")
        limit = credit_limit_nanos if funding == "postpaid" else 0
        with self._changes.change(
            actor, "wallet.replace", fresh, tenant_id=tenant.id, funding=funding, before=row.id
        ) as change:
            change.connection.execute(
                wallets.update()
                .where(wallets.c.id == row.id)
                .values(id=fresh, funding=funding, credit_limit_nanos=limit, created_ns=now)
            )
        return self.get(tenant.id)

    def _ensure(self, actor: str, tenant: Tenant, funding: Funding, credit_limit_nanos: int) -> WalletRow:
        if check_nanos(credit_limit_nanos) < 0 or (credit_limit_nanos and funding != "postpaid"):
            raise MintageError(
                "invalid_request",
                f"A {funding} wallet cannot have this credit limit.",
                "Only a postpaid wallet has one, of 0 or more.",
                param="credit_limit",
            )
        row = self.find(tenant.id)
        if row is None:
            return self._insert(actor, tenant, funding, credit_limit_nanos)
        if row.funding != funding:
            raise MintageError(
                "conflict",
                f"The customer's wallet is {row.funding}; it cannot become {funding}.",
                "A trial that should become paid is a prepaid plan with a grant.",
                param="plan",
            )
        if row.credit_limit_nanos != credit_limit_nanos:
            with self._changes.change(
                actor, "wallet.limit", row.id, tenant_id=row.tenant_id, credit_limit_nanos=credit_limit_nanos
            ) as change:
                change.connection.execute(
                    wallets.update().where(wallets.c.id == row.id).values(credit_limit_nanos=credit_limit_nanos)
                )
        return self.get(tenant.id)

    def _insert(self, actor: str, tenant: Tenant, funding: Funding, credit_limit_nanos: int) -> WalletRow:
        row = WalletRow(
            id=new_id("wal"),
            tenant_id=tenant.id,
            currency=tenant.currency,
            funding=funding,
            credit_limit_nanos=credit_limit_nanos,
            created_ns=self._changes.clock.now_ns(),
        )
        with self._changes.change(
            actor, "wallet.open", row.id, tenant_id=tenant.id, funding=funding, credit_limit_nanos=credit_limit_nanos
        ) as change:
            change.connection.execute(wallets.insert().values(**msgspec.structs.asdict(row)))
        return row

    async def repair(self) -> int:
        """Tell the log of wallets whose opening a crash kept from it, or whose limit; returns how many there are.

        Run once at start. The row is written first, so a wallet of the log is always known here.
        """
        rows = await asyncio.to_thread(self.all)
        for row in rows.values():
            await self._log.open_wallet(row.tenant_id, row.id, row.currency, row.funding, row.credit_limit_nanos)
        return len(rows)

    async def top_up(self, actor: str, tenant: Tenant, new: TopUp) -> Wallet:
        """Add money once. Raises conflict for the same source with other contents, invalid_request for bad amounts."""
        if new.source in _RESERVED_SOURCES:
            raise MintageError(
                "invalid_request", f"The source {new.source!r} is kept for Mintage.", "Name the payment's own source."
            )
        row = await asyncio.to_thread(self.get, tenant.id)
        _check_top_up(row, new)
        return await self._add(actor, row, new)

    async def _add(self, actor: str, row: WalletRow, new: TopUp) -> Wallet:
        await self.before_top_up(row)
        await asyncio.to_thread(self._audit, actor, "wallet.top_up", row, new)  # first, so that no money moves unseen
        try:
            return await self._log.top_up(
                row.id, new.amount_nanos, source=new.source, source_id=new.source_id, kind=new.kind, memo=new.memo
            )
        except MintageError:
            await asyncio.to_thread(self._audit, actor, "wallet.top_up_refused", row, new)
            raise

    def _audit(self, actor: str, action: str, row: WalletRow, new: TopUp) -> None:
        with self._changes.change(actor, action, row.id, tenant_id=row.tenant_id, **msgspec.structs.asdict(new)):
            pass

    def find(self, tenant_id: str) -> WalletRow | None:
        return self._read(wallets.c.tenant_id == tenant_id).get(tenant_id)

    def get(self, tenant_id: str) -> WalletRow:
        """Raises not_found for a tenant that never had a plan."""
        if (row := self.find(tenant_id)) is None:
            raise MintageError(
                "not_found", "The customer has no wallet yet.", "Assign a plan first: `mintage plan assign`."
            )
        return row

    def balance(self, tenant_id: str) -> Wallet:
        """The wallet as of now, from the log. On the event loop."""
        return self._log.wallet(self.get(tenant_id).id)

    def all(self) -> dict[str, WalletRow]:
        """tenant_id -> wallet."""
        return self._read()

    def _read(self, *where: sa.ColumnElement[bool]) -> dict[str, WalletRow]:
        select = sa.select(wallets).where(*where).order_by(wallets.c.id)
        with self._changes.database.read() as connection:
            rows: list[dict[str, Any]] = [dict(row) for row in connection.execute(select).mappings()]
        return {row["tenant_id"]: WalletRow(**row) for row in rows}


async def _nothing(row: WalletRow) -> None:
    pass


def _check_top_up(row: WalletRow, new: TopUp) -> None:
    places = currency_exponent(row.currency)
    if check_nanos(new.amount_nanos) <= 0:
        raise MintageError("invalid_request", "A top-up is above zero.", "Give a positive amount.", param="amount")
    if new.kind == "cash" and new.amount_nanos % 10 ** (9 - places):
        raise MintageError(
            "invalid_request", f"{row.currency} has {places} decimal places.", "Round the amount.", param="amount"
        )
    if (row.funding, new.kind) in (("promo", "cash"), ("postpaid", "promo")):
        raise MintageError(
            "conflict",
            f"A {row.funding} wallet takes no {new.kind}.",
            "A trial is topped up with promo, a postpaid wallet with cash that pays what is owed.",
            param="kind",
        )
    if not 1 <= len(new.source) <= 64 or not 1 <= len(new.source_id) <= 200:
        raise MintageError(
            "invalid_request", "A top-up names its payment.", "Give source and source_id.", param="source_id"
        )
    check_text(new.memo, "memo", limit=500)
