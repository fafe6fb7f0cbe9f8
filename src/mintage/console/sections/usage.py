"""Usage: who used what, by day, model, customer and project, as a chart, a table and a file to keep."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from litestar import Response, get

from mintage.accounts import Tenant
from mintage.base import MintageError
from mintage.books import UsageRow
from mintage.console import figures
from mintage.console.door import AnyRequest, Services
from mintage.console.render import PAGE_HEADERS, script_json
from mintage.console.stacked import stacked
from mintage.console.table import NOTHING, Cell, Column, Empty, Table, amount, link, number, words
from mintage.console.views import saved_views
from mintage.console.visit import DAY_NS, Visit, day_ns, open_visit

#: How usage can be split on this page: its name here, and the lake's.
SPLITS: Final[dict[str, str]] = {"day": "day", "model": "model", "customer": "tenant_id", "project": "project_id"}
DEFAULT_SPLITS: Final = ("day", "model")
DAYS_DEFAULT: Final = 30
DAYS_MAX: Final = 366
ROWS_SHOWN: Final = 500
EXPORT_FORMS: Final = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
_NAMES_LIMIT: Final = 10_000


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a page of usage is about. The last day counts whole."""

    splits: tuple[str, ...]
    start_ns: int
    end_ns: int
    filters: dict[str, str]
    tenant: Tenant | None
    wanted: dict[str, str]


async def read_asked(visit: Visit, *, tenant: Tenant | None = None) -> Asked:
    """From the address. tenant: the only customer that the reader may see. Raises invalid_request, not_found."""
    today = visit.services.clock.now_ns() // DAY_NS
    wanted = {name: visit.query(name) for name in ("from", "to", "customer", "model", "project")}
    end_ns = (day_ns(wanted["to"], "to") or today * DAY_NS) + DAY_NS
    start_ns = day_ns(wanted["from"], "from")
    if start_ns is None:
        start_ns = end_ns - DAYS_DEFAULT * DAY_NS
    if not 0 < end_ns - start_ns <= DAYS_MAX * DAY_NS:
        raise MintageError("invalid_request", f"Choose 1 to {DAYS_MAX} days.", "Change the days.", param="from")
    named = [name for name in visit.request.query_params.getall("by", []) if name in SPLITS]
    if tenant is None and wanted["customer"]:
        tenant = await asyncio.to_thread(visit.services.accounts.tenants.get, wanted["customer"])
    filters = {"tenant_id": tenant.id} if tenant is not None else {}
    if wanted["model"]:
        filters["model"] = wanted["model"]
    if wanted["project"] and tenant is not None:
        project = await asyncio.to_thread(visit.services.accounts.tenants.project, tenant.id, wanted["project"])
        filters["project_id"] = project.id
    shown = {"from": figures.iso_time(start_ns)[:10], "to": figures.iso_time(end_ns - DAY_NS)[:10]}
    return Asked(
        splits=tuple(name for name in SPLITS if name in named) or DEFAULT_SPLITS,
        start_ns=start_ns,
        end_ns=end_ns,
        filters=filters,
        tenant=tenant,
        wanted=wanted | shown,
    )


@get("/console/usage")
async def usage_page(request: AnyRequest, services: Services) -> Response[bytes]:
    visit = await open_visit(request, services, "money.read")
    asked = await read_asked(visit)
    values = await usage_values(visit, asked) | {
        "splits": list(SPLITS),
        "models": [("", visit.t("table.any")), *((one, one) for one in sorted(services.gateway.snapshot.routes))],
        "views": await saved_views(visit, "usage"),
        "export": "/console/usage/export",
        "own": False,
    }
    return visit.render("usage.html", "usage", visit.t("nav.usage"), values)


async def usage_values(visit: Visit, asked: Asked, *, costs: bool = True) -> dict[str, Any]:
    """What usage.html shows. costs: what it cost us, too, which is nobody's business but the operator's."""
    services, t = visit.services, visit.t
    reports = await services.reports()
    keys = [SPLITS[name] for name in asked.splits]
    rows = await reports.usage_by(keys, asked.start_ns, asked.end_ns, asked.filters, sync=True)
    progress = await reports.progress()
    chart_by = next((name for name in ("model", "customer", "project") if name in asked.splits), "model")
    if {"day", chart_by} <= set(asked.splits):
        by_day: Sequence[UsageRow] = rows
    else:
        by_day = await reports.usage_by(["day", SPLITS[chart_by]], asked.start_ns, asked.end_ns, asked.filters)
    names = await _names(visit, asked, [*rows, *by_day])
    currency = asked.tenant.currency if asked.tenant is not None else services.settings.currency
    chart = stacked(
        by_day, SPLITS[chart_by], names, start_ns=asked.start_ns, end_ns=asked.end_ns, currency=currency, t=t
    )
    now_ns = services.clock.now_ns()
    return {
        "asked": asked,
        "wanted": asked.wanted,
        "table": _table(visit, asked, rows, names, costs=costs),
        "more": max(0, len(rows) - ROWS_SHOWN),
        "chart": chart,
        "chart_json": script_json(msgspec.to_builtins(chart)),
        "as_of": figures.clock_time(now_ns),
        "as_of_iso": figures.iso_time(now_ns),
        "seq": figures.count(progress.lake_seq),
        "query": visit.link().partition("?")[2],
    }


async def _names(visit: Visit, asked: Asked, rows: Sequence[UsageRow]) -> dict[str, str]:
    """Ids of customers and projects -> what people call them."""
    tenants = visit.services.accounts.tenants
    ids = sorted({one for row in rows if (one := row.group.get("tenant_id"))})[:_NAMES_LIMIT]
    names: dict[str, str] = {}
    for start in range(0, len(ids), 1_000):
        names |= await asyncio.to_thread(tenants.names, ids[start : start + 1_000])
    if asked.tenant is not None and "project" in asked.splits:
        page = await asyncio.to_thread(tenants.projects, asked.tenant.id, limit=500)
        names |= {project.id: project.name for project in page.items}
    return names


def _table(visit: Visit, asked: Asked, rows: Sequence[UsageRow], names: Mapping[str, str], *, costs: bool) -> Table:
    t = visit.t
    ordered = sorted(rows, key=lambda row: -row.charge_nanos)
    if "day" in asked.splits:
        ordered.sort(key=lambda row: row.group["day"] or "", reverse=True)
    columns = [Column(t(f"usage.{name}"), wide=name != "day") for name in asked.splits]
    columns += [
        Column(t("requests.title_short"), numeric=True, keep=2),
        Column(t("usage.read"), numeric=True, keep=1),
        Column(t("usage.written"), numeric=True, keep=1),
        Column(t("requests.charge"), numeric=True),
    ]
    if costs:
        columns += [Column(t("requests.cost"), numeric=True, keep=2), Column(t("requests.margin"), numeric=True)]
    return Table(
        caption=t("nav.usage"),
        columns=columns,
        rows=[_row(visit, asked, row, names, costs) for row in ordered[:ROWS_SHOWN]],
        foot=_totals(visit, asked, rows, costs),
        empty=Empty(t("usage.none"), t("usage.none_text")),
    )


def _row(visit: Visit, asked: Asked, row: UsageRow, names: Mapping[str, str], costs: bool) -> list[Cell]:
    head = [_key(visit, name, row.group[SPLITS[name]] or "", names) for name in asked.splits]
    return head + _sums(row.currency, *_figures(row), costs=costs)


def _figures(row: UsageRow) -> tuple[int, int, int, int, int]:
    meters = row.meters
    read = sum(meters.get(name, 0) for name in ("input_tokens", "cached_read_tokens", "cache_write_tokens"))
    return (
        row.rows,
        read,
        meters.get("output_tokens", 0) + meters.get("reasoning_tokens", 0),
        row.charge_nanos,
        (row.cost_nanos),
    )


def _sums(currency: str, *figures_: int, costs: bool) -> list[Cell]:
    requests, read, written, charge, cost = figures_
    cells = [number(requests), number(read), number(written), amount(charge, currency)]
    return [*cells, amount(cost, currency), amount(charge - cost, currency, shade="margin")] if costs else cells


def _key(visit: Visit, name: str, value: str, names: Mapping[str, str]) -> Cell:
    if name == "day":
        return words(value[:10])
    if name == "customer" and visit.session.tenant_id is None:
        return link(names.get(value, value), f"/console/customers/{value}")
    return words(names.get(value, value))


def _totals(visit: Visit, asked: Asked, rows: Sequence[UsageRow], costs: bool) -> list[list[Cell]]:
    """One line per currency: sums of all rows, shown or not."""
    totals = []
    for currency in sorted({row.currency for row in rows}):
        sums = [
            sum(column) for column in zip(*(_figures(row) for row in rows if row.currency == currency), strict=True)
        ]
        head = [words(visit.t("customers.total")), *[NOTHING] * (len(asked.splits) - 1)]
        totals.append(head + _sums(currency, *sums, costs=costs))
    return totals


@get("/console/usage/export")
async def export_usage(request: AnyRequest, services: Services) -> Response[bytes]:
    visit = await open_visit(request, services, "money.read")
    return await send_export(visit, await read_asked(visit))


async def send_export(visit: Visit, asked: Asked) -> Response[bytes]:
    """The same usage as the page's, every row of it, as CSV or Parquet."""
    form: Any = visit.query("format") or "csv"
    if form not in EXPORT_FORMS:
        raise MintageError("invalid_request", "Usage is exported as csv or parquet.", "Choose one.", param="format")
    reports = await visit.services.reports()
    keys = [SPLITS[name] for name in asked.splits]
    names = await _names(
        visit, asked, await reports.usage_by(["tenant_id"], asked.start_ns, asked.end_ns, asked.filters)
    )
    raw = await reports.export_usage(
        form, group_by=keys, start_ns=asked.start_ns, end_ns=asked.end_ns, filters=asked.filters, customers=names
    )
    name = f"usage-{asked.wanted['from']}-{asked.wanted['to']}.{form}"
    headers = PAGE_HEADERS | {"content-disposition": f'attachment; filename="{name}"'}
    return Response(raw, media_type=EXPORT_FORMS[form], headers=headers)


HANDLERS: Final[list[Any]] = [usage_page, export_usage]
