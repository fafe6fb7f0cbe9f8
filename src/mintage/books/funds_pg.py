"""Funds that several gateway processes share, in PostgreSQL: leased out first, spent when the logs are shipped.

Every change is one statement that carries its own condition, and the tables' CHECKs stand behind it. A lost worker's
lease stays debited until its log is shipped: nothing is handed back on a clock alone.

Used by the thread of funds_lease.LeasedFunds and by the shipper process; needs the extra `postgres`.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec
import sqlalchemy as sa

from mintage.base import MintageError, check_nanos
from mintage.books import funds_tables as tables
from mintage.books import ledger_tables
from mintage.books.database import Database
from mintage.books.delivery import following
from mintage.books.entries import Entry, Settled, ToppedUp, encode_frame

T = TypeVar("T")

#: `source` of the top-ups (and, negative, withdrawals) by which a lease enters and leaves a worker's log.
LEASE: Final = "lease"
#: A lease takes at most this part of what is left, unless requests wait for more: the last money is spread thin.
SHARE: Final = 16
PRUNE_ENTRIES: Final = 100_000
ATTEMPTS: Final = 8  # of a statement that meets a deadlock: two workers touch several wallets in different orders
_DEADLOCKS: Final = frozenset(("40P01", "40001"))


class LeaseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """smallest: less than this is of no use. waiting: the sum that requests wait for. target: what would be good."""

    lease_id: str
    wallet_id: str
    smallest_nanos: int
    waiting_nanos: int
    target_nanos: int


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    lease_id: str
    wallet_id: str
    amount_nanos: int


class FundsWallet(msgspec.Struct, frozen=True, kw_only=True):
    """avail + leased + spent = funded."""

    wallet_id: str
    tenant_id: str
    currency: str
    funding: str
    funded_nanos: int
    avail_nanos: int
    leased_nanos: int
    spent_nanos: int


_NOW_NS: Final[Any] = sa.literal_column("CAST(extract(epoch FROM clock_timestamp()) * 1000000000 AS bigint)")
_SIZE: Final = "LEAST(GREATEST(r.target, r.waiting), GREATEST(LEAST(r.waiting, w.avail_nanos), w.avail_nanos / :share))"
_GRANT: Final = sa.text(f"""
UPDATE funds_wallets AS w
SET grant_nanos = {_SIZE}, avail_nanos = w.avail_nanos - {_SIZE}, leased_nanos = w.leased_nanos + {_SIZE}
FROM unnest(
  CAST(:wallets AS text[]), CAST(:smallest AS bigint[]), CAST(:waiting AS bigint[]), CAST(:target AS bigint[]))
  AS r(wallet_id, smallest, waiting, target)
WHERE w.wallet_id = r.wallet_id AND w.avail_nanos >= r.smallest
RETURNING w.wallet_id, w.grant_nanos
""")  # noqa: S608 - built of constants

_SHIP: Final = sa.text("""
WITH fresh AS (
  INSERT INTO funds_shipped(worker, seq, wallet_id, spent_nanos, returned_nanos)
  SELECT :worker, * FROM unnest(
    CAST(:seqs AS bigint[]), CAST(:wallets AS text[]), CAST(:spent AS bigint[]), CAST(:returned AS bigint[]))
  ON CONFLICT DO NOTHING
  RETURNING wallet_id, spent_nanos, returned_nanos
), sums AS (
  SELECT wallet_id, CAST(sum(spent_nanos) AS bigint) AS spent, CAST(sum(returned_nanos) AS bigint) AS returned
  FROM fresh GROUP BY wallet_id
)
UPDATE funds_wallets AS w
SET leased_nanos = w.leased_nanos - sums.spent - sums.returned,
  spent_nanos = w.spent_nanos + sums.spent, avail_nanos = w.avail_nanos + sums.returned
FROM sums WHERE w.wallet_id = sums.wallet_id
""")


class Funds:
    """All shared wallets. Safe from any number of threads and processes."""

    def __init__(self, database: Database) -> None:
        if database.is_sqlite:
            raise MintageError(
                "invalid_settings", "Shared funds need PostgreSQL.", "With one process the local log holds the funds."
            )
        self._database = database

    def _write(self, work: Callable[[sa.Connection], T]) -> T:
        """One transaction; again when the database broke a deadlock by choosing us."""
        for attempt in range(ATTEMPTS):
            try:
                with self._database.write() as connection:
                    return work(connection)
            except sa.exc.IntegrityError as error:
                raise MintageError(
                    "internal", "The shared funds would not add up; nothing was changed.", "Verify the books."
                ) from error
            except sa.exc.DBAPIError as error:
                if getattr(error.orig, "sqlstate", "") not in _DEADLOCKS or attempt == ATTEMPTS - 1:
                    raise _unavailable() from error
                time.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 - spreads retries, decides nothing
        raise _unavailable()

    def _read(self, work: Callable[[sa.Connection], T]) -> T:
        try:
            with self._database.read() as connection:
                return work(connection)
        except sa.exc.DBAPIError as error:
            raise _unavailable() from error

    # -- wallets -----------------------------------------------------------------------------------------------------

    def open_wallet(self, wallet_id: str, tenant_id: str, currency: str, funding: str) -> None:
        """Idempotent. The ledger learns the wallet's funding too: workers' logs know it only as a prepaid one."""
        row = {"wallet_id": wallet_id, "tenant_id": tenant_id, "currency": currency, "funding": funding}
        zeros = dict.fromkeys(
            ("funded_nanos", "avail_nanos", "leased_nanos", "spent_nanos", "grant_nanos", "wanted_ns"), 0
        )

        def work(connection: sa.Connection) -> None:
            from sqlalchemy.dialects.postgresql import insert

            connection.execute(insert(tables.wallets).values(**row, **zeros).on_conflict_do_nothing())
            ledger = insert(ledger_tables.wallets).values(**row, balance_nanos=0).on_conflict_do_nothing()
            connection.execute(ledger)
            found = connection.execute(sa.select(tables.wallets).where(tables.wallets.c.wallet_id == wallet_id)).one()
            if (found.tenant_id, found.currency, found.funding) != (tenant_id, currency, funding):
                raise MintageError("conflict", f"The wallet {wallet_id} exists with other terms.", "Use another id.")

        self._write(work)

    def fund(self, wallet_id: str, amount_nanos: int, *, source: str, source_id: str) -> FundsWallet:
        """Add money once per (source, source_id). Raises MintageError not_found, conflict for another amount."""
        if check_nanos(amount_nanos) <= 0:
            raise MintageError("invalid_request", "The amount must be above zero.", "Give a positive amount.")
        key = {"source": source, "source_id": source_id}

        def work(connection: sa.Connection) -> None:
            from sqlalchemy.dialects.postgresql import insert

            if connection.scalar(sa.select(sa.func.count()).where(tables.wallets.c.wallet_id == wallet_id)) == 0:
                raise _no_wallet(wallet_id)
            row = insert(tables.grants).values(**key, wallet_id=wallet_id, amount_nanos=amount_nanos)
            added = connection.execute(row.on_conflict_do_nothing().returning(tables.grants.c.wallet_id)).first()
            if added is None:
                known = connection.execute(sa.select(tables.grants).filter_by(**key)).one()
                if (known.wallet_id, known.amount_nanos) != (wallet_id, amount_nanos):
                    raise MintageError(
                        "conflict", f"{source} {source_id} is booked with other contents.", "Use a new id."
                    )
                return
            table = tables.wallets.c
            connection.execute(
                sa.update(tables.wallets)
                .where(table.wallet_id == wallet_id)
                .values(funded_nanos=table.funded_nanos + amount_nanos, avail_nanos=table.avail_nanos + amount_nanos)
            )

        self._write(work)
        return self.wallet(wallet_id)

    def wallet(self, wallet_id: str) -> FundsWallet:
        """Raises MintageError("not_found")."""
        for wallet in self.wallets():
            if wallet.wallet_id == wallet_id:
                return wallet
        raise _no_wallet(wallet_id)

    def wallets(self) -> list[FundsWallet]:
        names = FundsWallet.__struct_fields__
        query = sa.select(*(tables.wallets.c[name] for name in names))
        rows = self._read(lambda connection: connection.execute(query).mappings().all())
        return [FundsWallet(**dict(row)) for row in rows]

    # -- workers -----------------------------------------------------------------------------------------------------

    def register(self, worker: str, log_hash: str) -> int:
        """Bind a worker's name to its log; returns the seq up to which the log is counted and forgotten.

        Raises MintageError("conflict") when the name belongs to another log: its spending would pass for known.
        """

        def work(connection: sa.Connection) -> int:
            from sqlalchemy.dialects.postgresql import insert

            row = insert(tables.workers).values(worker=worker, log_hash=log_hash, pruned_seq=0)
            connection.execute(row.on_conflict_do_nothing())
            found = connection.execute(sa.select(tables.workers).where(tables.workers.c.worker == worker)).one()
            if found.log_hash != log_hash:
                raise MintageError(
                    "conflict", f"The worker {worker} has another log.", "Give a new log a worker's name of its own."
                )
            return int(found.pruned_seq)

        return self._write(work)

    def lease(self, worker: str, requests: Sequence[LeaseRequest]) -> list[Lease]:
        """Debit and lease for all requests at once, one a wallet; those that get nothing are not in the answer.

        A lease that was granted and not received is in unconfirmed() until the worker's log shows it.
        """
        ordered = sorted(requests, key=lambda request: request.wallet_id)
        ids = {request.wallet_id: request.lease_id for request in ordered}
        if len(ids) < len(ordered):
            raise MintageError("invalid_request", "One lease a wallet at a time.", "Join the requests.")
        arrays = {
            "wallets": [request.wallet_id for request in ordered],
            "smallest": [request.smallest_nanos for request in ordered],
            "waiting": [request.waiting_nanos for request in ordered],
            "target": [request.target_nanos for request in ordered],
        }

        def work(connection: sa.Connection) -> list[Lease]:
            rows = connection.execute(_GRANT, {**arrays, "share": SHARE})
            found = [Lease(lease_id=ids[row[0]], wallet_id=row[0], amount_nanos=row[1]) for row in rows]
            if found:
                values = [{"worker": worker, **msgspec.structs.asdict(lease)} for lease in found]
                connection.execute(tables.leases.insert(), values)
            refused = ids.keys() - {lease.wallet_id for lease in found}
            if refused:  # others are asked to hand back what they do not need
                table = tables.wallets
                late = sa.update(table).where(table.c.wallet_id.in_(sorted(refused))).values(wanted_ns=_NOW_NS)
                connection.execute(late)
            return found

        return self._write(work)

    def unconfirmed(self, worker: str) -> list[Lease]:
        """Leases debited for this worker that its log, as far as it is shipped, does not show."""
        table = tables.leases.c
        query = sa.select(table.lease_id, table.wallet_id, table.amount_nanos).where(table.worker == worker)
        rows = self._read(lambda connection: connection.execute(query).mappings().all())
        return [Lease(**dict(row)) for row in rows]

    def wanted(self, wallet_ids: Sequence[str], within_s: float) -> set[str]:
        """Those of these wallets of which a lease was refused not longer ago, by the database's clock."""
        table = tables.wallets.c
        recent = table.wanted_ns > _NOW_NS - int(within_s * 1e9)
        query = sa.select(table.wallet_id).where(table.wallet_id.in_(wallet_ids) & recent)
        return {str(name) for (name,) in self._read(lambda connection: connection.execute(query).all())}

    # -- shipping ----------------------------------------------------------------------------------------------------

    def ship(self, worker: str, entries: Sequence[Entry]) -> None:
        """Count a worker's entries: what was drawn is spent, what was handed back is available, what arrived is
        confirmed. Each entry once, whatever is delivered again, late or out of order."""
        moves = [move for entry in entries if (move := _move(entry)) is not None]
        arrived = [_arrival(entry) for entry in entries]
        confirmed = [lease_id for lease_id in arrived if lease_id]
        if not moves and not confirmed:
            return

        def work(connection: sa.Connection) -> None:
            pruned = connection.scalar(
                sa.select(tables.workers.c.pruned_seq)
                .where(tables.workers.c.worker == worker)
                .with_for_update(read=True)
            )
            fresh = [move for move in moves if move[0] > int(pruned or 0)]
            if fresh:
                seqs, wallets, spent, returned = map(list, zip(*fresh, strict=True))
                arrays = {"seqs": seqs, "wallets": wallets, "spent": spent, "returned": returned}
                connection.execute(_SHIP, {"worker": worker, **arrays})
            if confirmed:
                table = tables.leases
                connection.execute(sa.delete(table).where(table.c.lease_id.in_(confirmed)))

        self._write(work)

    def prune(self, worker: str, seq: int) -> None:
        """Forget the single entries up to seq, all of them shipped: redelivered, they are skipped by number."""

        def work(connection: sa.Connection) -> None:
            table, row = tables.shipped, tables.workers
            known = sa.select(row.c.pruned_seq).where(row.c.worker == worker).with_for_update()
            if int(connection.scalar(known) or 0) < seq:
                connection.execute(sa.update(row).where(row.c.worker == worker).values(pruned_seq=seq))
                connection.execute(sa.delete(table).where((table.c.worker == worker) & (table.c.seq <= seq)))

        self._write(work)


class Outbox:
    """Ships one worker's log into the shared funds, from wherever it got to. One thread at a time."""

    def __init__(self, funds: Funds, worker: str, log_hash: str) -> None:
        self._funds = funds
        self._worker = worker
        self.seq = self._pruned = funds.register(worker, log_hash)

    def ship(self, entries: Sequence[Entry]) -> int:
        """Ship what follows `seq` without a gap; returns the new seq."""
        fresh = following(entries, self.seq)
        if fresh:
            self._funds.ship(self._worker, fresh)
            self.seq = fresh[-1].seq
            if self.seq - self._pruned >= PRUNE_ENTRIES:
                self._funds.prune(self._worker, self.seq)
                self._pruned = self.seq
        return self.seq


def log_hash(entries: Sequence[Entry]) -> str:
    """What names a log for Funds.register: the hash of its first entry, "" while it has none."""
    return hashlib.sha256(encode_frame([entries[0].body])).hexdigest() if entries else ""


_Move = tuple[int, str, int, int]  # seq, wallet_id, spent, returned


def _move(entry: Entry) -> _Move | None:
    body = entry.body
    if type(body) is Settled and body.drawn_nanos:
        return (entry.seq, body.wallet_id, body.drawn_nanos, 0)
    if type(body) is ToppedUp and body.source == LEASE and body.amount_nanos < 0:
        return (entry.seq, body.wallet_id, 0, -body.amount_nanos)
    return None


def _arrival(entry: Entry) -> str:
    body = entry.body
    return body.source_id if type(body) is ToppedUp and body.source == LEASE and body.amount_nanos > 0 else ""


def _no_wallet(wallet_id: str) -> MintageError:
    return MintageError("not_found", f"There is no shared wallet {wallet_id[:64]!r}.", "Open it first.")


def _unavailable() -> MintageError:
    return MintageError("books_unavailable", "The shared funds cannot be reached.", "Retry later.", retry_after_s=1.0)
