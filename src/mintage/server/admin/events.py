"""Usage events of a customer, reported by the operator, and those that were accepted."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from litestar import Request, get, post
from litestar.params import RawBody

from mintage.accounts import Page
from mintage.billing import EventView, Recorded
from mintage.server.admin.depends import LIMIT_DEFAULT, Cursor, DeskPart, Limit, Path


@post("/customers/{customer:str}/events", status_code=200)
async def record_events(desk: DeskPart, customer: Path, request: Request[Any, Any, Any], body: RawBody) -> Recorded:
    """Record usage of a customer: one event, an array, JSON lines or CSV. All of it, or nothing."""
    tenant = await asyncio.to_thread(desk.accounts.tenants.get, customer)
    media = request.headers.get("content-type", "")
    return await desk.billing.events.record(body, media, tenant_id=tenant.id)


@get("/customers/{customer:str}/events")
async def list_events(
    desk: DeskPart, customer: Path, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None
) -> Page[EventView]:
    """A customer's accepted events, in the order in which they were accepted."""
    tenant = await asyncio.to_thread(desk.accounts.tenants.get, customer)
    return await desk.billing.event_list.page(tenant.id, limit=limit, cursor=cursor)


HANDLERS: Final[list[Any]] = [record_events, list_events]
