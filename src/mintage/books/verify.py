"""`mintage books verify`: derive everything again from the log, archive included, and compare to the nano.

Reads only, and reads each part as of one moment, so it may run beside a working server. In a process of its own: the
lake needs DuckDB, and a long log takes minutes.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import msgspec

from mintage.base import MintageError
from mintage.books.database import Database
from mintage.books.lake import Lake
from mintage.books.report import Findings, Report
from mintage.books.verify_ledger import LedgerCopy
from mintage.books.verify_log import LogWalk
from mintage.books.verify_totals import LakeSums


def verify(home: Path, database: str | Path | None = None) -> Report:
    """Compare log, stored state, ledger and lake of a home. Changes nothing.

    Raises MintageError("not_found") when there is no log, unavailable when a part cannot be read at all.
    """
    with ExitStack() as open_parts:
        books = Database.open(database or home / "books.db")
        open_parts.callback(books.close)
        lake = Lake(home / "lake", read_only=True)
        open_parts.callback(lake.close)
        ledger = LedgerCopy(books)
        open_parts.callback(ledger.close)
        sums = LakeSums(lake)
        walk = LogWalk(home / "log.db")  # last: it reads at least as far as the others have
        for entries in walk.batches():
            ledger.feed(entries)
            sums.feed(entries)
        findings = [*walk.findings(), *ledger.findings(), _lake_findings(sums)]
    checks = [found.check() for found in findings]
    return Report(
        balanced=all(check.ok for check in checks),
        difference_nanos=sum(check.difference_nanos for check in checks),
        holds_open=len(walk.book.holds),
        log_seq=walk.last_seq,
        state_seq=walk.state.seq if walk.state else 0,
        ledger_seq=ledger.seq,
        lake_seq=sums.seq,
        checks=checks,
    )


def _lake_findings(sums: LakeSums) -> Findings:
    try:
        return sums.findings()
    except MintageError as error:
        unreadable = Findings("lake against the log")
        unreadable.wrong(f"{error.message} Delete the lake folder: it is made again from the log.")
        return unreadable


def main(arguments: list[str]) -> int:
    """Write the report, or the error, as one JSON object on stdout. Used by children.verify_in_child."""
    home, database = arguments
    try:
        answer: object = verify(Path(home), database or None)
        code = 0
    except MintageError as error:
        answer = {"code": error.code, "message": error.message, "hint": error.hint}
        code = 1
    sys.stdout.buffer.write(msgspec.json.encode(answer))
    return code
