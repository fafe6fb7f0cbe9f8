"""Everything that derives from the log, kept up to date together: one reading feeds the ledger and the lake.

Runs in a process of its own (shipper.py), so that neither DuckDB's memory nor this work's time is the gateway's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from mintage.base import MintageError
from mintage.books import failpoints
from mintage.books.database import Database
from mintage.books.entries import Entry
from mintage.books.funds_pg import Funds, Outbox, log_hash
from mintage.books.lake import Lake
from mintage.books.lake_reports import raw_usage_lines, usage_by
from mintage.books.lake_views import export_usage, request_rows
from mintage.books.ledger import Ledger
from mintage.books.log_reader import FrameReader

BATCH: Final = 8192


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far each part has read the log. error: why one of them stands still, or empty."""

    log_seq: int
    ledger_seq: int
    lake_seq: int
    funds_seq: int = 0
    error: str = ""


class Deriver:
    """One per log. Not for two threads at once.

    worker: this log's name among several whose database and funds are shared (PostgreSQL); empty for the only one.
    """

    def __init__(self, log: Path, database: str | Path, lake: Path, worker: str = "") -> None:
        self._reader = FrameReader(log)
        self._database = Database.open(database)
        self._database.migrate()
        self.ledger = Ledger(self._database, log=worker or "main")
        self._worker = worker
        self._outbox: Outbox | None = None
        self.lake = Lake(lake)
        self._ledger_seq = self.ledger.watermark()
        self._error = ""
        self._operations: dict[str, Callable[..., Any]] = {
            "status": self.progress,
            "usage_by": self._usage_by,
            "raw_usage_lines": self._raw_usage_lines,
            "query": self._query,
            "request_rows": self._request_rows,
            "export_usage": self._export_usage,
        }

    def step(self) -> bool:
        """Read one batch of the log; False when there was nothing new, or nothing could be done.

        A part that fails stands still, and its error is in progress(); the others go on.
        """
        before = self._marks()
        entries = self._reader.entries(min(before), BATCH)
        if not entries:
            self._error = ""
            return False
        problems = []
        for part in (self._to_ledger, self._to_lake, self._to_funds):
            try:
                part(entries)
                if failpoints.armed is not None:
                    failpoints.hit(f"ship{part.__name__}")
            except MintageError as error:
                problems.append(error.message)
        self._error = " ".join(problems)
        return self._marks() != before

    def _marks(self) -> tuple[int, ...]:
        """How far each part has read."""
        funds = (self._outbox.seq if self._outbox else 0,) if self._worker else ()
        return (self._ledger_seq, self.lake.watermark, *funds)

    def _to_ledger(self, entries: list[Entry]) -> None:
        if entries[-1].seq > self._ledger_seq:
            self._ledger_seq = self.ledger.apply(entries)

    def _to_lake(self, entries: list[Entry]) -> None:
        if entries[-1].seq > self.lake.watermark:
            self.lake.ship(entries)

    def _to_funds(self, entries: list[Entry]) -> None:
        """The shared funds come to know what this log has spent and handed back."""
        if not self._worker:
            return
        if self._outbox is None:
            name = log_hash(entries if entries[0].seq == 1 else self._reader.entries(0, 1))
            self._outbox = Outbox(Funds(self._database), self._worker, name)
        if entries[-1].seq > self._outbox.seq:
            self._outbox.ship(entries)

    def catch_up(self) -> Progress:
        """Read everything there is."""
        while self.step():
            pass
        self.lake.merge()
        return self.progress()

    def progress(self) -> Progress:
        return Progress(
            log_seq=self._reader.last_seq(),
            ledger_seq=self._ledger_seq,
            lake_seq=self.lake.watermark,
            funds_seq=self._outbox.seq if self._outbox else 0,
            error=self._error,
        )

    # -- questions ---------------------------------------------------------------------------------------------------

    def answer(self, operation: str, parameters: dict[str, Any]) -> Any:
        """One of _operations. Raises MintageError."""
        handler = self._operations.get(operation)
        if handler is None:
            raise MintageError(
                "not_found", f"There is no operation {operation[:40]!r}.", f"One of: {', '.join(self._operations)}."
            )
        try:
            return handler(**parameters)
        except TypeError as error:
            raise MintageError("invalid_request", f"{operation}: {error}.", "Check the parameters.") from error

    def _usage_by(
        self,
        group_by: list[str],
        start_ns: int | None = None,
        end_ns: int | None = None,
        filters: dict[str, str] | None = None,
    ) -> Any:
        return usage_by(self.lake, group_by, start_ns, end_ns, filters)

    def _raw_usage_lines(self, tenant_id: str, start_ns: int, end_ns: int) -> Any:
        return raw_usage_lines(self.lake, tenant_id, start_ns, end_ns, self.ledger.closings(tenant_id))

    def _request_rows(self, filters: dict[str, str], **bounds: Any) -> Any:
        return request_rows(self.lake, filters, **bounds)

    def _export_usage(self, **parameters: Any) -> Any:
        return export_usage(self.lake, **parameters)

    def _query(self, sql: str, parameters: list[Any] | None = None) -> Any:
        return self.lake.query(sql, parameters or [])

    def close(self) -> None:
        self.lake.close()
        self._database.close()
        self._reader.close()
