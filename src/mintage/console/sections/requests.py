"""Requests: the live list, any of them by filter, and one of them in full: attempts, times, tokens, money."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, Final

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from mintage.base import MintageError
from mintage.books import RequestRow, Settled
from mintage.console import figures
from mintage.console import view as shapes
from mintage.console.door import AnyRequest, Services
from mintage.console.follower import RequestRecord
from mintage.console.inspect import attempts, money_trail, token_split, waterfall
from mintage.console.live import LiveDesk
from mintage.console.receipt import receipt
from mintage.console.services import ConsoleServices
from mintage.console.views import saved_views
from mintage.console.visit import DAY_NS, Visit, day_ns, open_visit

Desk = NamedDependency[LiveDesk]
ROWS: Final = 50
OUTCOMES: Final = ("ok", "cut", "failed")
#: Filters of the page, and the lake's names of them.
_FILTERS: Final = {"model": "model", "outcome": "outcome", "end_user": "end_user", "key": "key_id"}
_KEPT_LIMIT: Final = 60_000
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_-]{8,80}\Z")


@get("/console/requests")
async def requests_page(request: AnyRequest, services: Services, desk: Desk) -> Response[Any]:
    """Without filters the list is live; with filters it is what the lake holds, page by page."""
    visit = await open_visit(request, services, "live.read")
    wanted = {name: visit.query(name) for name in ("customer", "from", "to", *_FILTERS)}
    cursor = visit.query("cursor")
    live = not cursor and not any(wanted.values())
    found = await _search(visit, wanted, cursor)
    records = await asyncio.to_thread(_records, services, found[:ROWS])
    if live:  # what is running, or ended without a charge, is in no lake
        oldest = records[-1].id if records else ""
        known = {record.id for record in records}
        records += [record for record in await desk.recent() if record.id >= oldest and record.id not in known]
        records.sort(key=lambda record: record.id, reverse=True)
    names = await desk.names_of({record.tenant_id for record in records})
    values = {
        "rows": [shapes.row(record, names) for record in records],
        "row_limit": ROWS,
        "wanted": wanted,
        "outcomes": [("", visit.t("table.any")), *((one, visit.t(f"requests.{one}")) for one in OUTCOMES)],
        "models": _models(services, visit),
        "live": live,
        "live_url": "/console/live?only=rows" if live else "",
        "next_href": visit.link(cursor=str(found[ROWS - 1].seq)) if len(found) > ROWS else "",
        "first_href": visit.link() if cursor else "",
        "base_url": str(request.base_url).rstrip("/"),
        "sold": sorted(services.gateway.snapshot.routes),
        "views": await saved_views(visit, "requests"),
    }
    return visit.render("requests.html", "requests", visit.t("nav.requests"), values)


def _models(services: ConsoleServices, visit: Visit) -> list[tuple[str, str]]:
    return [("", visit.t("table.any")), *((name, name) for name in sorted(services.gateway.snapshot.routes))]


async def _search(visit: Visit, wanted: dict[str, str], cursor: str) -> list[RequestRow]:
    """One row more than a page, newest first. Raises not_found for an unknown customer, invalid_request for days."""
    services = visit.services
    filters = {column: wanted[name] for name, column in _FILTERS.items() if wanted[name]}
    if wanted["customer"]:
        tenant = await asyncio.to_thread(services.accounts.tenants.get, wanted["customer"])
        filters["tenant_id"] = tenant.id
    end_ns = day_ns(wanted["to"], "to")
    reports = await services.reports()
    return await reports.request_rows(
        filters,
        start_ns=day_ns(wanted["from"], "from"),
        end_ns=None if end_ns is None else end_ns + DAY_NS,
        before_seq=int(cursor) if cursor.isdecimal() and len(cursor) < 19 else None,
        limit=ROWS + 1,
        sync=True,
    )


def _records(services: ConsoleServices, rows: list[RequestRow]) -> list[RequestRecord]:
    """The log's own entries of these rows. Blocking."""
    bodies = (entry.body for row in rows for entry in services.log.entries(row.seq - 1, 1))
    return [
        RequestRecord(body.hold_id, body.occurred_ns, body.tenant_id, body.model, end=body)
        for body in bodies
        if isinstance(body, Settled)
    ]


@get("/console/requests/{request_id:str}")
async def request_page(
    request: AnyRequest, services: Services, desk: Desk, request_id: FromPath[str]
) -> Response[bytes]:
    """One request. While it runs the page says so; what ended without a charge has no more to show."""
    visit = await open_visit(request, services, "live.read")
    settled = await desk.settled(request_id) if _REQUEST_ID.match(request_id) else None
    if settled is None:
        record = await desk.record(request_id)
        if record is None:
            raise MintageError("not_found", "There is no such request.", "Look for it in /console/requests.")
        names = await desk.names_of({record.tenant_id})
        values: dict[str, Any] = {"row": shapes.row(record, names), "reason": getattr(record.end, "reason", "")}
        return visit.render("request_open.html", "requests", request_id, values)
    names = await desk.names_of({settled.tenant_id})
    values = {
        "request": settled,
        "customer": names.get(settled.tenant_id, settled.tenant_id),
        "project": await _project(visit, settled),
        "when": figures.iso_time(settled.occurred_ns),
        "duration": figures.duration(settled.latency_ms),
        "receipt": receipt(settled),
        "bars": waterfall(settled, visit.t),
        "attempts": attempts(settled),
        "meters": token_split(settled.usage, visit.t),
        "trail": money_trail(settled),
        "kept": await _kept(visit, settled),
        "row": shapes.row(
            RequestRecord(settled.hold_id, settled.occurred_ns, settled.tenant_id, settled.model, end=settled), names
        ),
    }
    return visit.render("request.html", "requests", request_id, values)


async def _kept(visit: Visit, settled: Settled) -> str | None:
    """What the customer let us keep of it, as text, for who may read it and asks to. Each look is in the audit log."""
    services = visit.services
    if services.content is None or not visit.query("content"):
        return None
    if not visit.may("content.read"):
        raise MintageError("permission_denied", "Your role does not allow this.", "Ask an owner.")
    content, request_id = services.content, settled.hold_id
    try:
        found = await asyncio.to_thread(content.records.read, settled.tenant_id, request_id)
    except MintageError as error:
        if error.code != "not_found":
            raise
        return ""

    def look() -> None:
        changes = services.accounts.changes
        with changes.change(
            visit.actor, "content.show", settled.tenant_id, tenant_id=settled.tenant_id, request_id=request_id
        ):
            pass

    await asyncio.to_thread(look)
    return json.dumps(msgspec.to_builtins(found), ensure_ascii=False, indent=2)[:_KEPT_LIMIT]


async def _project(visit: Visit, settled: Settled) -> str:
    try:
        tenants = visit.services.accounts.tenants
        return (await asyncio.to_thread(tenants.project, settled.tenant_id, settled.project_id)).name
    except MintageError:  # made before the project was known to this database
        return settled.project_id


HANDLERS: Final[list[Any]] = [requests_page, request_page]
