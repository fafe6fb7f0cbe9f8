"""The ledger against a second one, made from the log in a scratch database, row by row."""

from __future__ import annotations

import itertools
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from mintage.base import MintageError
from mintage.books import ledger_tables as tables
from mintage.books.database import Database, metadata
from mintage.books.entries import Entry
from mintage.books.journal import Journal, Posting, imbalance
from mintage.books.ledger import Ledger
from mintage.books.report import Findings
from mintage.books.verify_totals import LogTotals

CHUNK: Final = 5000
BATCH: Final = 20_000
#: Tables that the log alone decides, with the amounts to compare, each as (column, nanos per unit of it).
_DERIVED: Final = (
    (tables.rollups, "amount_nanos"),
    (tables.usage, "amount_nanos"),
    (tables.wallets, "balance_nanos"),
)
_SHOWN: Final = ("quantity", "amount_nanos", "amount_attos", "balance_nanos", "entries")
_LEDGER_TABLES: Final = [table for name, table in metadata.tables.items() if name.startswith("ledger_")]


class LedgerCopy:
    """The books' ledger as of one moment, copied beside an empty ledger, which feed() fills from the log."""

    def __init__(self, books: Database, log: str = "main") -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mintage-verify-")
        self._found = Database.open(Path(self._folder.name) / "found.db")
        self._fresh = Database.open(Path(self._folder.name) / "fresh.db")
        for database in (self._found, self._fresh):
            with database.write() as connection:
                metadata.create_all(connection, tables=_LEDGER_TABLES)
        self._log = log
        self.seq = 0
        self._closings: list[Any] = []
        self._copy(books)
        self._ledger = Ledger(self._fresh, log=log)
        self._waiting: list[Entry] = []
        self._broken = ""
        self._totals = LogTotals()

    def _copy(self, books: Database) -> None:
        """In one read transaction, so that a running ledger may go on meanwhile."""
        with books.read() as source, self._found.write() as target:
            for table in _LEDGER_TABLES:
                if not sa.inspect(source).has_table(table.name):
                    continue
                rows = source.execution_options(yield_per=CHUNK).execute(sa.select(table)).mappings()
                for part in rows.partitions(CHUNK):
                    target.execute(table.insert(), [dict(row) for row in part])
        with self._found.read() as connection:
            mark = tables.watermarks.c
            self.seq = int(connection.scalar(sa.select(mark.seq).where(mark.log == self._log)) or 0)
            self._closings = list(
                connection.execute(sa.select(tables.closings).order_by(tables.closings.c.seq)).mappings()
            )

    def feed(self, entries: list[Entry]) -> None:
        """Entries of the log in order; those after the ledger's watermark are ignored."""
        self._waiting += [entry for entry in entries if entry.seq <= self.seq]
        self._totals.add(entry for entry in entries if entry.seq <= self.seq)
        if len(self._waiting) >= BATCH:
            self._apply()

    def _apply(self) -> None:
        try:
            self._apply_between_closings()
        except (MintageError, KeyError) as error:
            self._broken = str(error)

    def _apply_between_closings(self) -> None:
        """Each closed period is closed again after the very entry after which it was."""
        waiting, self._waiting = self._waiting, []
        while self._closings and waiting and self._closings[0]["seq"] < waiting[-1].seq:
            closing = self._closings.pop(0)
            before = [entry for entry in waiting if entry.seq <= closing["seq"]]
            waiting = waiting[len(before) :]
            self._ledger.apply(before)
            with self._fresh.write() as connection:
                connection.execute(tables.closings.insert(), dict(closing))
        self._ledger.apply(waiting)

    def findings(self) -> list[Findings]:
        self._apply()
        rows = Findings("ledger against the log")
        if (reached := self._ledger.watermark()) < self.seq:
            rows.wrong(f"the ledger stands at entry {self.seq}; the log gives only {reached}")
        if self._broken:
            rows.wrong(f"the log cannot be applied: {self._broken}")
        for table, amount in _DERIVED:
            self._compare_table(rows, table, amount)
        self._compare_journals(rows)
        return [rows, self._check_journals(), self._totals.findings(self._found)]

    def _compare_table(self, findings: Findings, table: sa.Table, amount: str) -> None:
        """Rows that are not in both, matched by key."""
        found, expected = self._differing(table)
        with self._fresh.read() as connection:
            findings.compared += int(connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0)
        for key in sorted(found.keys() | expected.keys()):
            one, other = found.get(key), expected.get(key)
            name = f"{table.name} {'/'.join(str(part) for part in key)}"
            difference = (one[amount] if one else 0) - (other[amount] if other else 0)
            findings.wrong(f"{name}: {_shown(one)} where {_shown(other)} follows", difference)

    def _differing(self, table: sa.Table) -> list[dict[tuple[Any, ...], dict[str, Any]]]:
        """Rows only in the books' ledger, and rows only in the fresh one, each by key. The two files meet in SQLite."""
        names = table.c.keys()
        keys = [column.name for column in table.primary_key]
        connection = sqlite3.connect(str(self._found.engine.url.database))
        try:
            connection.execute("ATTACH ? AS fresh", (str(self._fresh.engine.url.database),))
            sides = []
            for here, there in (("main", "fresh"), ("fresh", "main")):
                query = "SELECT {0} FROM {1}.{3} EXCEPT SELECT {0} FROM {2}.{3}"
                rows = connection.execute(query.format(", ".join(names), here, there, table.name))
                found = [dict(zip(names, row, strict=True)) for row in rows]
                sides.append({tuple(row[name] for name in keys): row for row in found})
            return sides
        finally:
            connection.close()

    def _compare_journals(self, findings: Findings) -> None:
        """Journals that the log made. What other rooms posted has no source but itself."""
        of_log = tables.journals.c.source.startswith("top_up:")
        found, expected = (dict(_read_journals(database, of_log)) for database in (self._found, self._fresh))
        findings.compared += len(expected)
        for identity in sorted(found.keys() | expected.keys()):
            one, other = found.get(identity), expected.get(identity)
            if one != other:
                difference = _turnover(one) - _turnover(other)
                findings.wrong(f"journal {identity}: {_named(one)} where {_named(other)} follows", difference)

    def _check_journals(self) -> Findings:
        """Every journal sums to zero and is what was posted."""
        findings = Findings("journals")
        for identity, (journal, payload_hash) in _read_journals(self._found, sa.true()):
            findings.compared += 1
            for currency, nanos in imbalance(journal.postings).items():
                findings.wrong(f"journal {identity} is out of balance by {nanos} nanos of {currency}", nanos)
            if not journal.source.startswith("top_up:") and journal.payload_hash() != payload_hash:
                findings.wrong(f"journal {identity} ({_named((journal, ''))}) has changed since it was posted")
        return findings

    def close(self) -> None:
        self._found.close()
        self._fresh.close()
        self._folder.cleanup()


_Kept = tuple[Journal, str]  # a journal with the hash it was posted under


def _read_journals(database: Database, where: Any) -> Iterator[tuple[str, _Kept]]:
    """Every kept journal by id."""
    heads, lines = tables.journals, tables.postings
    wanted: list[Any] = [*heads.c, *(column for column in lines.c if column.name != "journal_id")]
    query = sa.select(*wanted).outerjoin(lines, heads.c.id == lines.c.journal_id)
    query = query.where(where).order_by(heads.c.id, lines.c.line)
    with database.read() as connection:
        for identity, rows in itertools.groupby(connection.execute(query).mappings(), key=lambda row: str(row["id"])):
            parts = list(rows)
            head = parts[0]
            postings = [
                {name: row[name] for name in Posting.__struct_fields__} for row in parts if row["line"] is not None
            ]
            journal = Journal(
                event=head["event"],
                source=head["source"],
                source_id=head["source_id"],
                occurred_ns=head["occurred_ns"],
                postings=tuple(Posting(**line) for line in postings),
                tenant_id=head["tenant_id"],
                memo=head["memo"],
            )
            yield identity, (journal, head["payload_hash"])


def _shown(row: dict[str, Any] | None) -> str:
    if row is None:
        return "nothing"
    return " ".join(f"{name}={row[name]}" for name in _SHOWN if name in row)


def _named(kept: _Kept | None) -> str:
    return (
        "nothing"
        if kept is None
        else f"{kept[0].event} {kept[0].source} {kept[0].source_id} of {_turnover(kept)} nanos"
    )


def _turnover(kept: _Kept | None) -> int:
    return sum(posting.amount_nanos for posting in kept[0].postings if posting.amount_nanos > 0) if kept else 0
