"""Lots of credit: grants, packs and top-ups, which burn in order (priority, then expiry, then age) and may lapse.

The log knows one balance; lots say whose money it is. Whatever left the balance since the last look was burned from the
lots in their order, so a look is due only where the order changes: before credit comes in, and before it lapses. The
lots of a wallet add up to its balance after every look, and no lot ever gives more than it has.

A lot with a scope (models, products), and every grant to a postpaid customer, has a wallet of its own, from which the
gateway pays for what fits before it touches the customer's own.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final, Literal

import msgspec
import sqlalchemy as sa

from mintage.accounts import SYSTEM, Changes, Tenant
from mintage.base import MintageError, check_nanos
from mintage.billing.tables_terms import credit_lots
from mintage.billing.wallets import WalletRow
from mintage.books import CommitLog, TopUpKind
from mintage.pricing.period import CreditGrant, burn

LotState = Literal["pending", "open", "lapsing", "lapsed", "spent"]
LOTS_MAX: Final = 10_000  # of one customer
PRIORITY: Final = 50  # lower burns first
EXPIRY: Final = "expiry"


class Lot(msgspec.Struct, frozen=True, kw_only=True):
    """remaining_nanos is as of the last look. models, products: what it may pay for; empty is everything."""

    id: str
    tenant_id: str
    wallet_id: str
    kind: TopUpKind
    name: str
    amount_nanos: int
    remaining_nanos: int
    created_ns: int
    priority: int = PRIORITY
    expires_ns: int | None = None
    models: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    state: LotState = "open"


class NewLot(msgspec.Struct, frozen=True, kw_only=True):
    """id is unique for ever: the same lot again changes nothing."""

    id: str
    name: str
    amount_nanos: int
    kind: TopUpKind = "promo"
    priority: int = PRIORITY
    expires_ns: int | None = None
    models: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    source: str = "grant"


class Credit:
    """On the event loop; one change at a time."""

    def __init__(self, changes: Changes, log: CommitLog) -> None:
        self._changes = changes
        self._log = log
        self._turn = asyncio.Lock()

    # -- what there is -----------------------------------------------------------------------------------------------

    def lots(self, tenant_id: str | None = None, *, open_only: bool = False) -> list[Lot]:
        t = credit_lots.c
        select = sa.select(credit_lots).order_by(t.tenant_id, t.created_ns, t.id)
        if tenant_id is not None:
            select = select.where(t.tenant_id == tenant_id)
        if open_only:
            select = select.where(t.state.in_(("pending", "open", "lapsing")))
        with self._changes.database.read() as connection:
            return [_lot(dict(row)) for row in connection.execute(select).mappings()]

    async def view(self, row: WalletRow) -> list[Lot]:
        """The customer's lots as of now; those of a prepaid wallet add up to its balance."""
        tenant_id = row.tenant_id
        async with self._turn:
            lots = await asyncio.to_thread(self.lots, tenant_id, open_only=True)
            own = {row.id} if row.funding != "postpaid" else set()
            for wallet_id in sorted({lot.wallet_id for lot in lots} | own):
                await self._look(tenant_id, wallet_id)
        return await asyncio.to_thread(self.lots, tenant_id)

    # -- credit comes in ---------------------------------------------------------------------------------------------

    async def add(self, actor: str, tenant: Tenant, row: WalletRow, new: NewLot) -> Lot:
        """Credit a lot once. Raises invalid_request, or conflict for the same id with other contents."""
        if check_nanos(new.amount_nanos) <= 0:
            raise MintageError("invalid_request", "Credit is above zero.", "Give a positive amount.", param="amount")
        async with self._turn:
            known = await asyncio.to_thread(self._find, new.id)
            if known is None:
                wallet_id = await self._wallet_for(row, new)
                await self._look(tenant.id, wallet_id)
                known = await asyncio.to_thread(self._insert, actor, tenant, wallet_id, new)
            elif known.amount_nanos != new.amount_nanos or known.tenant_id != tenant.id:
                raise MintageError("conflict", f"The credit {new.id[:80]} was given otherwise.", "Use another id.")
            return await self._open(known, new.source)

    async def before_top_up(self, row: WalletRow) -> None:
        """To be called before money comes into a wallet by another way, so that what was burned stays in order."""
        async with self._turn:
            if await asyncio.to_thread(self._of_wallet, row.id):
                await self._look(row.tenant_id, row.id)

    async def _wallet_for(self, row: WalletRow, new: NewLot) -> str:
        """The customer's own wallet, or one of the lot's own."""
        if not new.models and not new.products and row.funding != "postpaid":
            return row.id
        wallet_id = f"{row.id}.{hashlib.sha256(new.id.encode()).hexdigest()[:12]}"
        funding: Literal["prepaid", "promo"] = "prepaid" if new.kind == "cash" else "promo"
        await self._log.open_wallet(row.tenant_id, wallet_id, row.currency, funding)
        return wallet_id

    async def _open(self, lot: Lot, source: str) -> Lot:
        """The money into the log, then the lot into use; a crash in between is mended by doing it again."""
        if lot.state == "pending":
            await self._log.top_up(
                lot.wallet_id, lot.amount_nanos, source=source, source_id=lot.id, kind=lot.kind, memo=lot.name[:200]
            )
            lot = await asyncio.to_thread(self._update, lot, lot.amount_nanos, "open")
        return lot

    # -- looking and lapsing -----------------------------------------------------------------------------------------

    async def _look(self, tenant_id: str, wallet_id: str) -> list[Lot]:
        """Take what left the balance from the lots; what came in by another way becomes a lot of its own."""
        lots = await asyncio.to_thread(self._of_wallet, wallet_id)
        for lot in lots:
            if lot.state == "pending":
                await self._open(lot, "grant" if lot.kind == "promo" else "pack")
            elif lot.state == "lapsing":
                await self._lapse(lot)
        lots = [lot for lot in await asyncio.to_thread(self._of_wallet, wallet_id) if lot.state == "open"]
        try:
            balance = self._log.wallet(wallet_id).balance_nanos
        except MintageError:
            return lots  # a wallet that was never opened holds nothing
        left = sum(lot.remaining_nanos for lot in lots) - max(balance, 0)
        if left == 0:
            return lots
        if left < 0:
            return [*lots, await asyncio.to_thread(self._surplus, tenant_id, wallet_id, -left, len(lots))]
        return await asyncio.to_thread(self._burn, lots, left)

    async def lapse_due(self, now_ns: int) -> int:
        """Withdraw what has expired; returns how many lots lapsed. What a running request holds waits for it."""
        async with self._turn:
            due = await asyncio.to_thread(self._due, now_ns)
            lapsed = 0
            for wallet_id in sorted({lot.wallet_id for lot in due}):
                tenant_id = next(lot.tenant_id for lot in due if lot.wallet_id == wallet_id)
                for lot in await self._look(tenant_id, wallet_id):
                    if lot.expires_ns is not None and lot.expires_ns <= now_ns:
                        wallet = self._log.wallet(wallet_id)
                        if lot.remaining_nanos <= wallet.balance_nanos - wallet.held_nanos:
                            lapsed += await self._lapse(
                                await asyncio.to_thread(self._update, lot, lot.remaining_nanos, "lapsing")
                            )
            return lapsed

    async def _lapse(self, lot: Lot) -> bool:
        if lot.remaining_nanos:
            try:
                await self._log.withdraw(
                    lot.wallet_id,
                    lot.remaining_nanos,
                    source=EXPIRY,
                    source_id=lot.id,
                    kind=lot.kind,
                    memo=lot.name[:200],
                )
            except MintageError as error:
                if error.code != "insufficient_funds":
                    raise
                await asyncio.to_thread(self._update, lot, lot.remaining_nanos, "open")  # used in the meantime
                return False
        await asyncio.to_thread(self._update, lot, 0, "lapsed")
        return True

    async def drop(self, tenant_id: str, wallet_id: str) -> None:
        """Take a wallet's lots out of use, with what no running request holds of it: the wallet is given up."""
        async with self._turn:
            for lot in await self._look(tenant_id, wallet_id):
                wallet = self._log.wallet(wallet_id)
                free = min(lot.remaining_nanos, wallet.balance_nanos - wallet.held_nanos)
                await self._lapse(await asyncio.to_thread(self._update, lot, max(free, 0), "lapsing"))

    # -- rows --------------------------------------------------------------------------------------------------------

    def _find(self, lot_id: str) -> Lot | None:
        with self._changes.database.read() as connection:
            found = connection.execute(sa.select(credit_lots).where(credit_lots.c.id == lot_id)).mappings()
            row = found.one_or_none()
        return None if row is None else _lot(dict(row))

    def _of_wallet(self, wallet_id: str) -> list[Lot]:
        t = credit_lots.c
        where = sa.and_(t.wallet_id == wallet_id, t.state.in_(("pending", "open", "lapsing")))
        with self._changes.database.read() as connection:
            rows = connection.execute(sa.select(credit_lots).where(where).order_by(t.created_ns, t.id)).mappings()
            return [_lot(dict(row)) for row in rows]

    def _due(self, now_ns: int) -> list[Lot]:
        t = credit_lots.c
        select = sa.select(credit_lots).where(t.state.in_(("open", "lapsing")), t.expires_ns <= now_ns)
        with self._changes.database.read() as connection:
            return [_lot(dict(row)) for row in connection.execute(select).mappings()]

    def _insert(self, actor: str, tenant: Tenant, wallet_id: str, new: NewLot) -> Lot:
        lot = Lot(
            id=new.id,
            tenant_id=tenant.id,
            wallet_id=wallet_id,
            kind=new.kind,
            name=new.name,
            amount_nanos=new.amount_nanos,
            remaining_nanos=new.amount_nanos,
            created_ns=self._changes.clock.now_ns(),
            priority=new.priority,
            expires_ns=new.expires_ns,
            models=new.models,
            products=new.products,
            state="pending",
        )
        with self._changes.change(
            actor, "credit.add", new.id[:200], tenant_id=tenant.id, amount_nanos=new.amount_nanos, kind=new.kind
        ) as change:
            count = change.connection.scalar(
                sa.select(sa.func.count()).select_from(credit_lots).where(credit_lots.c.tenant_id == tenant.id)
            )
            if (count or 0) >= LOTS_MAX:
                raise MintageError("conflict", f"The customer has had {LOTS_MAX} credits.", "Use fewer, larger ones.")
            change.connection.execute(credit_lots.insert().values(**_row(lot)))
        return lot

    def _surplus(self, tenant_id: str, wallet_id: str, nanos: int, number: int) -> Lot:
        now = self._changes.clock.now_ns()
        lot = Lot(
            id=f"balance:{wallet_id}:{now}:{number}",
            tenant_id=tenant_id,
            wallet_id=wallet_id,
            kind="cash",
            name="Top-up",
            amount_nanos=nanos,
            remaining_nanos=nanos,
            created_ns=now,
        )
        with self._changes.database.write() as connection:
            connection.execute(credit_lots.insert().values(**_row(lot)))
        return lot

    def _burn(self, lots: Sequence[Lot], nanos: int) -> list[Lot]:
        taken = dict(burn([_grant(lot) for lot in lots], Fraction(nanos)).taken)
        after = [
            msgspec.structs.replace(lot, remaining_nanos=lot.remaining_nanos - int(taken.get(lot.id, 0)))
            for lot in lots
        ]
        with self._changes.database.write() as connection:
            for lot in after:
                if lot.id in taken:
                    connection.execute(
                        credit_lots.update()
                        .where(credit_lots.c.id == lot.id)
                        .values(remaining_nanos=lot.remaining_nanos, state="open" if lot.remaining_nanos else "spent")
                    )
        return [lot for lot in after if lot.remaining_nanos]

    def _update(self, lot: Lot, remaining_nanos: int, state: LotState) -> Lot:
        with self._changes.change(
            SYSTEM, f"credit.{state}", lot.id[:200], tenant_id=lot.tenant_id, remaining_nanos=remaining_nanos
        ) as change:
            change.connection.execute(
                credit_lots.update()
                .where(credit_lots.c.id == lot.id)
                .values(remaining_nanos=remaining_nanos, state=state)
            )
        return msgspec.structs.replace(lot, remaining_nanos=remaining_nanos, state=state)


def _grant(lot: Lot) -> CreditGrant:
    return CreditGrant(
        id=lot.id,
        balance=Fraction(lot.remaining_nanos),
        priority=lot.priority,
        created_ns=lot.created_ns,
        expires_ns=lot.expires_ns,
        granted=lot.kind == "promo",
    )


def _row(lot: Lot) -> dict[str, Any]:
    row = msgspec.structs.asdict(lot)
    return row | {"models": " ".join(lot.models), "products": " ".join(lot.products)}


def _lot(row: dict[str, Any]) -> Lot:
    return Lot(**row | {"models": tuple(row["models"].split()), "products": tuple(row["products"].split())})
