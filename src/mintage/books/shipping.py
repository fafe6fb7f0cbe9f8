"""The server's handle on the shipper process: starts it, restarts it, asks it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from mintage.base import MintageError
from mintage.books.deriver import Progress
from mintage.books.lake_reports import UsageRow
from mintage.books.lake_views import ExportForm, RequestRow
from mintage.books.ledger_reader import UsageLine
from mintage.books.shipper_protocol import Question, Reply

ANSWER_LIMIT: Final = 64 << 20
ASK_TIMEOUT_S: Final = 60.0
CLOSE_TIMEOUT_S: Final = 30.0
PENDING_LIMIT: Final = 64
RESTART_S: Final = (0.2, 1.0, 5.0, 30.0)  # the pause before each restart in a row; an answer begins the row anew

_log = logging.getLogger("mintage.books")


class Shipper:
    """One child process that keeps ledger and lake up to date, while started. Belongs to one event loop.

    worker: the log's name when several processes share the database and the funds (see funds_lease).
    """

    def __init__(self, log: Path, database: str | Path, lake: Path, worker: str = "") -> None:
        self._arguments = (str(log), str(database), str(lake), worker)
        self._process: asyncio.subprocess.Process | None = None
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._ids = itertools.count(1)
        self._keeper: asyncio.Task[None] | None = None
        self._started = asyncio.Event()
        self._closing = False
        self._failures = 0

    async def start(self) -> None:
        self._keeper = asyncio.create_task(self._keep(), name="mintage-shipper")
        await self._started.wait()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    async def _keep(self) -> None:
        """Run the child; when it dies, fail what waits for it, pause, run it again."""
        while not self._closing:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "mintage.books.shipper",
                    *self._arguments,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    limit=ANSWER_LIMIT,
                )
            except OSError:
                _log.exception("The shipper cannot be started.")
            else:
                self._process = process
                self._started.set()
                await self._listen(process)
            self._process = None
            self._fail_pending()
            if not self._closing:
                pause_s = RESTART_S[min(self._failures, len(RESTART_S) - 1)]
                self._failures += 1
                _log.warning("The shipper ended; it starts again in %s s.", pause_s)
                await asyncio.sleep(pause_s)

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        decoder = msgspec.json.Decoder(Reply)
        try:
            while line := await process.stdout.readline():
                reply = decoder.decode(line)
                self._failures = 0
                future = self._pending.pop(reply.id, None)
                if future is None or future.done():
                    continue  # whoever asked has stopped waiting
                if reply.error is None:
                    future.set_result(reply.result)
                else:
                    future.set_exception(MintageError(reply.error.code, reply.error.message, reply.error.hint))
        except ValueError:  # an answer longer than ANSWER_LIMIT, or none of ours
            _log.error("The shipper answered something unreadable.")
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()

    def _fail_pending(self) -> None:
        for future in self._pending.values():
            if not future.done():
                future.set_exception(_unavailable())
        self._pending.clear()

    async def ask(
        self, operation: str, *, sync: bool = False, timeout_s: float = ASK_TIMEOUT_S, **parameters: Any
    ) -> Any:
        """The answer as plain data. sync: after everything that is durable in the log now has been read.

        Raises MintageError: the child's own; unavailable when it is down, busy or silent beyond timeout_s.
        """
        process = self._process
        if (
            process is None
            or process.stdin is None
            or process.stdin.is_closing()
            or len(self._pending) >= PENDING_LIMIT
        ):
            raise _unavailable()
        number = next(self._ids)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending[number] = future
        question = Question(id=number, operation=operation, parameters=parameters, sync=sync)
        try:
            async with asyncio.timeout(timeout_s):
                process.stdin.write(msgspec.json.encode(question) + b"\n")
                await process.stdin.drain()
                return await future
        except (TimeoutError, OSError) as error:
            raise _unavailable() from error
        finally:
            self._pending.pop(number, None)

    # -- typed questions ---------------------------------------------------------------------------------------------

    async def progress(self) -> Progress:
        return msgspec.convert(await self.ask("status"), Progress)

    async def sync(self, timeout_s: float = ASK_TIMEOUT_S) -> Progress:
        """Return when ledger and lake hold everything that is durable in the log now."""
        return msgspec.convert(await self.ask("status", sync=True, timeout_s=timeout_s), Progress)

    async def usage_by(
        self,
        group_by: Sequence[str] = (),
        start_ns: int | None = None,
        end_ns: int | None = None,
        filters: Mapping[str, str] | None = None,
        *,
        sync: bool = False,
    ) -> list[UsageRow]:
        """See lake_reports.usage_by."""
        answer = await self.ask(
            "usage_by",
            sync=sync,
            group_by=list(group_by),
            start_ns=start_ns,
            end_ns=end_ns,
            filters=dict(filters or {}),
        )
        return msgspec.convert(answer, list[UsageRow])

    async def raw_usage_lines(self, tenant_id: str, start_ns: int, end_ns: int) -> list[UsageLine]:
        """LedgerReader.usage_lines once more, from the raw rows: equal to the atto."""
        answer = await self.ask("raw_usage_lines", sync=True, tenant_id=tenant_id, start_ns=start_ns, end_ns=end_ns)
        return msgspec.convert(answer, list[UsageLine])

    async def request_rows(
        self,
        filters: Mapping[str, str],
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
        before_seq: int | None = None,
        limit: int = 50,
        sync: bool = False,
    ) -> list[RequestRow]:
        """See lake_views.request_rows."""
        bounds: dict[str, Any] = {"start_ns": start_ns, "end_ns": end_ns, "before_seq": before_seq, "limit": limit}
        return msgspec.convert(
            await self.ask("request_rows", sync=sync, filters=dict(filters), **bounds), list[RequestRow]
        )

    async def export_usage(
        self,
        form: ExportForm,
        *,
        group_by: Sequence[str],
        start_ns: int,
        end_ns: int,
        filters: Mapping[str, str],
        customers: Mapping[str, str],
    ) -> bytes:
        """The file that lake_views.export_usage writes, read whole and gone from the disk."""
        answer = await self.ask(
            "export_usage",
            sync=True,
            name=f"{os.getpid()}_{secrets.token_hex(8)}",
            form=form,
            group_by=list(group_by),
            start_ns=start_ns,
            end_ns=end_ns,
            filters=dict(filters),
            customers=dict(customers),
        )
        return await asyncio.to_thread(_read_and_remove, Path(answer))

    async def query(self, sql: str, parameters: Sequence[object] = (), *, sync: bool = False) -> list[list[Any]]:
        """Rows of one SELECT over the lake's table `usage`. For the operator, never for customers."""
        rows: list[list[Any]] = await self.ask("query", sync=sync, sql=sql, parameters=list(parameters))
        return rows

    async def close(self) -> None:
        """Let the child read the rest of the log, then end it. Close the log first. Safe to call twice."""
        self._closing = True
        keeper, process = self._keeper, self._process
        if process is not None and process.stdin is not None:
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), CLOSE_TIMEOUT_S)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        if keeper is not None:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
        self._keeper = None


def _read_and_remove(path: Path) -> bytes:
    try:
        return path.read_bytes()
    finally:
        path.unlink(missing_ok=True)


def _unavailable() -> MintageError:
    return MintageError(
        "unavailable", "Reports are not available right now.", "Retry in a few seconds.", retry_after_s=2.0
    )
