"""What runs beside the requests: shipping the log to ledger and lake, ending abandoned holds, following the desk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mintage.base import MintageError
from mintage.books import CommitLog, Ledger

if TYPE_CHECKING:
    from mintage.app.parts import App

log = logging.getLogger("mintage.app")
_BATCH_ENTRIES: Final = 5_000
_LEDGER_EVERY_S: Final = 0.5
_SWEEP_EVERY_S: Final = 1.0
_FOLLOW_EVERY_S: Final = 0.25


class Shipping:
    """The log's entries to the ledger, in order, one batch at a time."""

    def __init__(self, commit_log: CommitLog, ledger: Ledger, home: Path) -> None:
        self._log = commit_log
        self._ledger = ledger
        self._turn = asyncio.Lock()

    async def catch_up(self) -> int:
        """Ship every entry that is durable now. Returns the ledger's watermark."""
        async with self._turn:
            mark = await asyncio.to_thread(self._ledger.watermark)
            while True:
                entries = await asyncio.to_thread(self._log.entries, mark, _BATCH_ENTRIES)
                if not entries:
                    return mark
                mark = await asyncio.to_thread(self._ledger.apply, entries)

    async def close(self) -> None: ...


class Upkeep:
    """Tasks that repeat until stopped. One that fails says so in the log and goes on: money waits in the log."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        for every_s, duty in (
            (_LEDGER_EVERY_S, self._ship),
            (_SWEEP_EVERY_S, self._sweep),
            (_FOLLOW_EVERY_S, self._follow),
        ):
            self._tasks.append(asyncio.ensure_future(_repeat(every_s, duty)))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _ship(self) -> None:
        await self._app.shipping.catch_up()

    async def _sweep(self) -> None:
        """Long answers are cut and settled before their lease ends; holds that nobody ended are released."""
        app = self._app
        app.gateway.cut_overdue()
        if not app.log.failed:
            await app.log.expire(app.clock.now_ns())

    async def _follow(self) -> None:
        if await self._app.stale():
            await self._app.refresh()


async def _repeat(every_s: float, duty: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await duty()
        except MintageError as error:
            log.error("%s failed: %s", duty.__name__, error)
        except Exception:
            log.exception("%s failed", duty.__name__)
        await asyncio.sleep(every_s)
