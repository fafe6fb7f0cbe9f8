"""What a project used and paid, as existing dashboards ask for it.

OpenAI's /v1/organization/usage/* and /costs; Anthropic's /v1/organizations/usage_report/messages and /cost_report. A
key sees its own project and nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import parse_qs

from mintage.base import METERS, MintageError, Usage
from mintage.books import Shipper, UsageRow
from mintage.gateway import Caller, Gateway
from mintage.protocols import reports
from mintage.server.answering import JSON
from mintage.server.dialects import api_key
from mintage.server.exchange import Exchange, HttpRequest
from mintage.server.listener import Handler

Reports = Callable[[], Awaitable[Shipper]]
_BUCKETS: Final = {"1m": "minute", "1h": "hour", "1d": "day"}
_NANOS: Final = 10**9
_FIELDS_MAX: Final = 200


class ReportsDoor:
    """reports: the running shipper, which answers from the lake."""

    def __init__(self, gateway: Gateway, shipper: Reports) -> None:
        self._gateway = gateway
        self._shipper = shipper

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        usage = {("GET", f"/v1/organization/usage/{report}"): self.usage for report in reports.OPENAI_REPORTS}
        return {
            **usage,
            ("GET", "/v1/organization/costs"): self.costs,
            ("GET", "/v1/organizations/usage_report/messages"): self.messages,
            ("GET", "/v1/organizations/cost_report"): self.cost_report,
        }

    async def usage(self, http: HttpRequest, exchange: Exchange) -> None:
        report = http.path.rpartition("/")[2]
        operations = reports.OPENAI_REPORTS[report]
        query, rows = await self._rows(http, reports.OPENAI_DIMENSIONS, operations)
        exchange.send(200, [JSON], reports.encode_openai_usage(query, rows, report))

    async def costs(self, http: HttpRequest, exchange: Exchange) -> None:
        query, rows = await self._rows(http, reports.OPENAI_COST_DIMENSIONS, None, costs=True)
        exchange.send(200, [JSON], reports.encode_openai_costs(query, rows))

    async def messages(self, http: HttpRequest, exchange: Exchange) -> None:
        operations = reports.OPENAI_REPORTS["completions"]
        query, rows = await self._rows(http, reports.ANTHROPIC_DIMENSIONS, operations)
        exchange.send(200, [JSON], reports.encode_anthropic_usage(query, rows))

    async def cost_report(self, http: HttpRequest, exchange: Exchange) -> None:
        query, rows = await self._rows(http, reports.ANTHROPIC_COST_DIMENSIONS, None, costs=True)
        exchange.send(200, [JSON], reports.encode_anthropic_costs(query, rows))

    async def _rows(
        self,
        http: HttpRequest,
        dimensions: Mapping[str, str],
        operations: Sequence[str] | None,
        *,
        costs: bool = False,
    ) -> tuple[reports.ReportQuery, list[reports.ReportRow]]:
        """operations None: whatever was charged."""
        caller = self._gateway.identify(api_key(http), http)
        now_s = self._gateway.clock.now_ns() // _NANOS
        query = reports.read_query(_fields(http), dimensions, now_s, costs=costs)
        asked = [dimensions[name] for name in query.group_by if dimensions[name]]
        wanted = {**query.filters, **({"operation": frozenset(operations)} if operations is not None else {})}
        bucket = _BUCKETS[query.width]
        shipper = await self._shipper()
        found = await shipper.usage_by(
            tuple(dict.fromkeys((bucket, *asked, *wanted))),
            query.start_s * _NANOS,
            query.end_s * _NANOS,
            _own(caller),
            sync=True,
        )
        kept = [row for row in found if all(row.group[name] in allowed for name, allowed in wanted.items())]
        return query, _summed(kept, bucket, asked)


def _own(caller: Caller) -> dict[str, str]:
    return {"tenant_id": caller.tenant_id, "project_id": caller.project_id}


def _summed(rows: Iterable[UsageRow], bucket: str, asked: Sequence[str]) -> list[reports.ReportRow]:
    """One row per bucket, group and currency, whatever else it was filtered by."""
    sums: dict[tuple[str | None, ...], tuple[Usage, int]] = {}
    for row in rows:
        key = (row.group[bucket], row.currency, *(row.group[name] for name in asked))
        usage = Usage(**{meter: row.meters.get(meter, 0) for meter in METERS})
        before, charged = sums.get(key, (Usage(), 0))
        sums[key] = (before + usage, charged + row.charge_nanos)
    return [
        reports.ReportRow(
            bucket_s=_seconds(key[0] or ""),
            group=dict(zip(asked, key[2:], strict=True)),
            usage=usage,
            charge_nanos=charged,
            currency=key[1] or "",
        )
        for key, (usage, charged) in sums.items()
    ]


def _seconds(time: str) -> int:
    """ISO 8601 in UTC, as the lake tells it."""
    return int(datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp())


def _fields(http: HttpRequest) -> dict[str, list[str]]:
    try:
        found = parse_qs(http.query.decode("ascii", "replace"), max_num_fields=_FIELDS_MAX)
    except ValueError:
        raise MintageError("invalid_request", "The query has too many parameters.", "Send fewer.") from None
    fields: dict[str, list[str]] = {}
    for name, values in found.items():
        fields.setdefault(name.partition("[")[0], []).extend(values)
    return fields
