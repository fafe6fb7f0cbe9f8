"""The ledger: what the log means in double entry, applied exactly once, rolled up so that it stays small.

The watermark moves in the transaction that moves the sums. A batch may arrive again, late or cut: entries up to the
watermark are skipped, and nothing after a gap is taken, so order and number of deliveries do not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa
from msgspec.structs import astuple
from sqlalchemy.dialects import postgresql

from mintage.base import ATTOS_PER_NANO, MintageError
from mintage.books import failpoints
from mintage.books import ledger_tables as tables
from mintage.books.database import Database
from mintage.books.delivery import following
from mintage.books.entries import Entry
from mintage.books.journal import Journal, Posting, check_journal
from mintage.books.ledger_reader import LedgerReader, whole_day
from mintage.books.ledger_rules import BUCKET_NS, Tally, UsageKey, WalletFacts

_RESERVED: Final = ("top_up:", "rollup")


class Ledger(LedgerReader):
    """The ledger of one log: writes here, questions in LedgerReader.

    One thread at a time; several processes may share the database, each for a log of its own name.
    """

    def __init__(self, database: Database, *, log: str = "main") -> None:
        super().__init__(database)
        self._log = log
        self._wallets: tuple[int, dict[str, WalletFacts]] | None = None  # as of a watermark
        self._add_money = _adding(database, tables.rollups, ("amount_nanos", "entries"))
        self._add_usage = _adding(database, tables.usage, ("quantity", "amount_nanos", "amount_attos", "entries"))
        self._add_balance = _adding(database, tables.wallets, ("balance_nanos",))

    # -- the log -----------------------------------------------------------------------------------------------------

    def watermark(self) -> int:
        """The seq of the last entry applied, 0 before the first."""
        with self._database.read() as connection:
            return self._mark(connection)

    def apply(self, entries: Sequence[Entry]) -> int:
        """Apply what is new, all or nothing, and return the watermark. Entries beyond a gap wait for redelivery.

        Raises MintageError("internal") if a sum leaves int64 or an entry contradicts the log: nothing is applied then.
        """
        mark = 0
        known = self._wallets
        self._wallets = None  # until the transaction has ended well
        try:
            with self._database.write() as connection:
                mark = self._lock(connection)
                wallets = known[1] if known is not None and known[0] == mark else self._load(connection)
                if fresh := following(entries, mark):
                    tally = Tally(wallets, self._closings(connection))
                    tally.add(fresh)
                    self._store(connection, tally)
                    mark = fresh[-1].seq
                    self._set_mark(connection, mark)
                    if failpoints.armed is not None:
                        failpoints.hit("ledger.commit")
        except (sa.exc.DatabaseError, OverflowError, KeyError) as error:  # KeyError: a wallet that was never opened
            raise MintageError("internal", f"The ledger refused entries after {mark}: {error}.") from error
        self._wallets = (mark, wallets)
        return mark

    def _mark(self, connection: sa.Connection, *, lock: bool = False) -> int:
        query = sa.select(tables.watermarks.c.seq).where(tables.watermarks.c.log == self._log)
        return int(connection.scalar(query.with_for_update() if lock else query) or 0)

    def _lock(self, connection: sa.Connection) -> int:
        """The watermark, held until the transaction ends. SQLite's BEGIN IMMEDIATE has locked already."""
        if not self._database.is_sqlite:
            first = postgresql.insert(tables.watermarks).on_conflict_do_nothing()
            connection.execute(first, {"log": self._log, "seq": 0})
        return self._mark(connection, lock=not self._database.is_sqlite)

    def _set_mark(self, connection: sa.Connection, seq: int) -> None:
        table = tables.watermarks
        moved = connection.execute(sa.update(table).where(table.c.log == self._log).values(seq=seq))
        if not moved.rowcount:
            connection.execute(table.insert(), {"log": self._log, "seq": seq})

    def _load(self, connection: sa.Connection) -> dict[str, WalletFacts]:
        table = tables.wallets
        rows = connection.execute(sa.select(table.c.wallet_id, table.c.tenant_id, table.c.currency, table.c.funding))
        return {wallet_id: WalletFacts(*facts) for wallet_id, *facts in rows}

    def _closings(self, connection: sa.Connection) -> dict[str, int]:
        table = tables.closings
        rows = connection.execute(
            sa.select(table.c.tenant_id, sa.func.max(table.c.closed_until_ns)).group_by(table.c.tenant_id)
        )
        return {tenant_id: int(until) for tenant_id, until in rows}

    def _store(self, connection: sa.Connection, tally: Tally) -> None:
        if tally.money:
            connection.exec_driver_sql(self._add_money, [(*key, *sums) for key, sums in tally.money.items()])
        if tally.usage:
            connection.exec_driver_sql(self._add_usage, [_usage_row(key, sums) for key, sums in tally.usage.items()])
        if tally.balances:
            wallets = tally.wallets
            rows = [(name, *astuple(wallets[name]), nanos) for name, nanos in tally.balances.items()]
            connection.exec_driver_sql(self._add_balance, rows)
        if tally.journals:
            _insert(connection, tally.journals)

    # -- journals of other rooms -------------------------------------------------------------------------------------

    def post(self, journal: Journal, connection: sa.Connection | None = None) -> str:
        """Post a journal once and return its id; the same again changes nothing.

        connection: a write transaction of the same database to join, so that an invoice and its journal stand or fall
        together. Raises MintageError invalid_request (unbalanced, unknown event or account), conflict (the same
        (source, source_id) with other contents).
        """
        if journal.source.startswith(_RESERVED):
            raise MintageError(
                "invalid_request", f"The source {journal.source[:40]!r} is the log's own.", "Use another."
            )
        check_journal(journal)
        if connection is not None:
            return self._post(connection, journal)
        with self._database.write() as own:
            return self._post(own, journal)

    def _post(self, connection: sa.Connection, journal: Journal) -> str:
        identity = journal.id
        table = tables.journals
        if not self._database.is_sqlite:  # two posters of one source: the second waits, then sees the first
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext(:id))"), {"id": identity})
        known = connection.scalar(sa.select(table.c.payload_hash).where(table.c.id == identity))
        if known is None:
            self._check_open(connection, journal.occurred_ns)
            _insert(connection, [journal])
        elif known != journal.payload_hash():
            raise MintageError(
                "conflict",
                f"{journal.source} {journal.source_id} is in the books with other contents.",
                "A posted journal does not change: post a correction under a new source_id.",
            )
        return identity

    @staticmethod
    def _check_open(connection: sa.Connection, occurred_ns: int) -> None:
        until = connection.scalar(sa.select(sa.func.max(tables.locks.c.until_ns)))
        if until is not None and occurred_ns < until:
            raise MintageError(
                "conflict", "The books of that time are locked.", "Post it later, or correct it in the open period."
            )

    def lock(self, actor: str, until_ns: int, at_ns: int) -> None:
        """Let no journal into the time before until_ns (a UTC day) any more. Locks are never taken back.

        Raises MintageError conflict while a customer's usage of that time can still move: its periods are not closed.
        """
        whole_day(until_ns, "until")
        if until_ns > at_ns:
            raise MintageError("invalid_request", "The books of the future stay open.", "Lock the past.", param="until")
        u = tables.usage.c
        with self._database.write() as connection:
            closed = self._closings(connection)
            used = sa.select(u.tenant_id, sa.func.max(u.bucket_ns)).where(u.bucket_ns < until_ns).group_by(u.tenant_id)
            for tenant_id, last_ns in connection.execute(used):
                if closed.get(tenant_id, 0) <= last_ns:
                    raise MintageError(
                        "conflict",
                        f"The customer {tenant_id} has usage of that time that is not closed.",
                        "Close its periods first: `mintage invoices close`.",
                    )
            known = connection.scalar(sa.select(sa.func.max(tables.locks.c.until_ns)))
            if known is None or known < until_ns:
                connection.execute(tables.locks.insert(), {"until_ns": until_ns, "actor": actor[:200], "at_ns": at_ns})

    def close_period(self, tenant_id: str, end_ns: int) -> int:
        """Let no more usage into the time before end_ns and return the watermark of what is in.

        What is settled later for an earlier moment counts at end_ns instead: it is never lost, and a closed invoice
        never changes. Closing twice is once. Raises MintageError("invalid_request") off the quarter hour.
        """
        if end_ns % BUCKET_NS:
            raise MintageError("invalid_request", "A period ends on a quarter of an hour.", "Align it.", param="end")
        table = tables.closings
        with self._database.write() as connection:
            mark = self._lock(connection)
            where = (table.c.tenant_id == tenant_id) & (table.c.closed_until_ns == end_ns)
            known = connection.scalar(sa.select(table.c.seq).where(where))
            if known is not None:
                return int(known)
            connection.execute(
                table.insert(), {"tenant_id": tenant_id, "closed_until_ns": end_ns, "log": self._log, "seq": mark}
            )
        return mark


def _adding(database: Database, table: sa.Table, sums: tuple[str, ...]) -> str:
    """SQL that inserts a row of `table`, or adds the row's sums to the row that is there.

    As text for the driver, which takes rows as tuples: SQLAlchemy's own handling costs more than the statement.
    amount_attos is carried over into amount_nanos, so that one amount is always written in one way.
    """
    mark, modulo = ("?", "%") if database.is_sqlite else ("%s", "%%")
    changes = {name: f"{table.name}.{name} + excluded.{name}" for name in sums}
    if "amount_attos" in sums:
        attos = changes["amount_attos"]
        changes["amount_nanos"] += f" + CAST(({attos}) >= {ATTOS_PER_NANO} AS INTEGER)"
        changes["amount_attos"] = f"({attos}) {modulo} {ATTOS_PER_NANO}"
    keys = ", ".join(column.name for column in table.primary_key)
    return (
        f"INSERT INTO {table.name} ({', '.join(table.c.keys())}) VALUES ({', '.join([mark] * len(table.c))}) "  # noqa: S608
        f"ON CONFLICT ({keys}) DO UPDATE SET {', '.join(f'{name} = {change}' for name, change in changes.items())}"
    )


def _usage_row(key: UsageKey, sums: Sequence[int]) -> tuple[str | int, ...]:
    tenant_id, bucket_ns, price_id, model, product, meter, rate_attos, currency = key
    nanos, rest = divmod(sums[1], ATTOS_PER_NANO)
    head = (tenant_id, bucket_ns, price_id, model, product, meter, str(rate_attos), currency)
    return (*head, sums[0], nanos, rest, sums[2])


def _insert(connection: sa.Connection, journals: Iterable[Journal]) -> None:
    heads: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    for journal in journals:
        identity = journal.id
        heads.append(
            {
                "id": identity,
                "event": journal.event,
                "source": journal.source[:200],
                "source_id": journal.source_id[:200],
                "tenant_id": journal.tenant_id,
                "occurred_ns": journal.occurred_ns,
                "memo": journal.memo[:500],
                "payload_hash": journal.payload_hash(),
            }
        )
        lines += [_line(identity, number, posting) for number, posting in enumerate(journal.postings)]
    connection.execute(tables.journals.insert(), heads)
    connection.execute(tables.postings.insert(), lines)


def _line(identity: str, number: int, posting: Posting) -> dict[str, Any]:
    return {
        "journal_id": identity,
        "line": number,
        "account": posting.account,
        "currency": posting.currency,
        "amount_nanos": posting.amount_nanos,
        "product": posting.product,
        "model": posting.model,
        "provider": posting.provider,
    }
