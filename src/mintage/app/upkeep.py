"""What runs beside the requests: ending what is overdue or abandoned, following what the desk changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from mintage.base import MintageError

if TYPE_CHECKING:
    from mintage.app.parts import App

log = logging.getLogger("mintage.app")
_SWEEP_EVERY_S: Final = 1.0
_FOLLOW_EVERY_S: Final = 0.25
_TELL_EVERY_S: Final = 2.0


class Upkeep:
    """Tasks that repeat until stopped. One that fails says so in the log and goes on: money waits in the log."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        for every_s, duty in (
            (_SWEEP_EVERY_S, self._sweep),
            (_FOLLOW_EVERY_S, self._follow),
            (_TELL_EVERY_S, self._tell),
        ):
            self._tasks.append(asyncio.ensure_future(_repeat(every_s, duty)))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _sweep(self) -> None:
        """Long answers are cut and settled before their lease ends; holds that nobody ended are released."""
        app = self._app
        app.gateway.cut_overdue()
        if not app.log.failed:
            await app.log.expire(app.clock.now_ns())

    async def _tell(self) -> None:
        """Webhooks that are due."""
        await self._app.billing.invoicing.sender.run()

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
