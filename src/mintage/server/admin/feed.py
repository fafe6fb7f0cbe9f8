"""The live feed of requests, as server-sent events."""

from __future__ import annotations

from typing import Any, Final

from litestar import get
from litestar.response import Stream

from mintage.server.admin.depends import DeskPart


@get("/requests/live")
async def live_requests(desk: DeskPart) -> Stream:
    """Every request as it ends: event `request`; event `lost` when the reader is too slow."""
    return Stream(desk.live.watch(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})


HANDLERS: Final[list[Any]] = [live_requests]
