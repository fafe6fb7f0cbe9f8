"""What pages show of the lake: settled requests one page at a time, and usage written to a file to keep."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from mintage.base import METERS, MintageError
from mintage.books.lake import Lake
from mintage.books.lake_reports import DIMENSIONS

PAGE_LIMIT: Final = 500
EXPORT_PREFIX: Final = ".new-export-"  # swept when the lake is opened: what nobody fetched goes
_EXPORT_NAME: Final = re.compile(r"[A-Za-z0-9_]{8,64}\Z")
#: What a request can be found by.
REQUEST_FILTERS: Final = ("tenant_id", "project_id", "key_id", "model", "product", "outcome", "end_user")

ExportForm = Literal["csv", "parquet"]


class RequestRow(msgspec.Struct, frozen=True, kw_only=True):
    """One settled request. seq finds its whole entry in the log. Times in microseconds since the epoch, UTC."""

    seq: int
    occurred_us: int
    tenant_id: str
    project_id: str
    key_id: str
    model: str
    product: str
    outcome: str
    estimated: bool
    prompt_tokens: int
    completion_tokens: int
    currency: str
    charge_nanos: int
    cost_nanos: int
    latency_ms: float | None
    first_token_ms: float | None


def request_rows(
    lake: Lake,
    filters: Mapping[str, str],
    *,
    start_ns: int | None = None,
    end_ns: int | None = None,
    before_seq: int | None = None,
    limit: int = 50,
) -> list[RequestRow]:
    """The newest settled requests with seq < before_seq that fit, newest first.

    filters: values of REQUEST_FILTERS. Raises invalid_request for any other name.
    """
    terms: list[str] = ["kind = 'request'"]
    values: list[object] = []
    for name, value in filters.items():
        if name not in REQUEST_FILTERS:
            raise MintageError(
                "invalid_request", f"{name[:40]!r} is no filter of requests.", f"Use: {', '.join(REQUEST_FILTERS)}."
            )
        terms.append(f"{name} = ?")
        values.append(value)
    bounds: list[tuple[str, int | None]] = [
        ("occurred >= make_timestamp(?::BIGINT)", None if start_ns is None else start_ns // 1000),
        ("occurred < make_timestamp(?::BIGINT)", None if end_ns is None else end_ns // 1000),
        ("seq < ?::BIGINT", before_seq),
    ]
    for term, bound in bounds:
        if bound is not None:
            terms.append(term)
            values.append(str(bound))
    rows = lake.query(
        "SELECT seq, epoch_us(occurred), tenant_id, project_id, key_id, model, product, outcome, estimated, "
        "input_tokens + cached_read_tokens + cache_write_tokens, output_tokens + reasoning_tokens, "
        "currency, charge_nanos, cost_nanos, latency_ms, first_token_ms "
        f"FROM usage WHERE {' AND '.join(terms)} ORDER BY seq DESC LIMIT {max(1, min(limit, PAGE_LIMIT))}",
        values,
    )
    names = RequestRow.__struct_fields__
    return [RequestRow(**dict(zip(names, row, strict=True))) for row in rows]


def export_usage(
    lake: Lake,
    name: str,
    *,
    form: ExportForm,
    group_by: Sequence[str],
    start_ns: int,
    end_ns: int,
    filters: Mapping[str, str],
    customers: Mapping[str, str],
) -> str:
    """Write usage of [start, end) to a file in the lake's folder; its path. Whoever asked reads and deletes it.

    One row per currency and combination of group_by's values; amounts are exact decimals of the currency.
    customers: id -> name, for a column of names. Text that a spreadsheet would run as a formula is led by an
    apostrophe in CSV.
    """
    if not _EXPORT_NAME.match(name) or form not in ("csv", "parquet"):
        raise MintageError("invalid_request", "An export has a plain name, and is csv or parquet.", "Choose one.")
    if wrong := [key for key in (*group_by, *filters) if key not in DIMENSIONS]:
        raise MintageError(
            "invalid_request", f"{wrong[0][:40]!r} is no dimension of usage.", f"Use: {', '.join(DIMENSIONS)}."
        )
    values: list[object] = [list(customers), list(customers.values())] if "tenant_id" in group_by else []
    values += [start_ns // 1000, end_ns // 1000, *filters.values()]
    where = " AND ".join(
        [
            "occurred >= make_timestamp(?::BIGINT)",
            "occurred < make_timestamp(?::BIGINT)",
            *(f"{key} = ?" for key in filters),
        ]
    )
    path = lake.folder / f"{EXPORT_PREFIX}{name}.{form}"
    options = "FORMAT csv, HEADER" if form == "csv" else "FORMAT parquet, COMPRESSION zstd"
    lake.query(f"COPY ({_export_select(group_by, where, form)}) TO '{_quote(str(path))}' ({options})", values)
    return str(path)


def _export_select(group_by: Sequence[str], where: str, form: ExportForm) -> str:
    """The days, names, quantities and amounts of an export, in the order of its columns."""
    keys = [f"{DIMENSIONS[key]} AS {key}" for key in group_by]
    shown = [_cell(key, form) for key in group_by]
    names = ""
    head = ""
    if "tenant_id" in group_by:
        head = "WITH names AS (SELECT unnest(?::VARCHAR[]) AS id, unnest(?::VARCHAR[]) AS name) "
        names = " LEFT JOIN names ON names.id = u.tenant_id"
        shown.insert(list(group_by).index("tenant_id") + 1, _guarded("names.name", "customer", form))
    money = ", ".join(
        f"(u.{column}_nanos::DECIMAL(38, 9) * 0.000000001::DECIMAL(18, 9))::DECIMAL(38, 9) AS {column}"
        for column in ("charge", "shortfall", "cost")
    )
    sums = ", ".join(f"sum({column})::HUGEINT AS {column}" for column in (*METERS, *_MONEY) if column != "requests")
    meters = ", ".join(f"u.{meter}" for meter in METERS if meter != "requests")
    inner = ", ".join([*keys, "currency", "count(*) AS requests", sums])
    order = ", ".join(f"u.{key}" for key in (*group_by, "currency"))
    return (
        f"{head}SELECT {', '.join([*shown, 'u.currency', 'u.requests', meters, money])} "
        f"FROM (SELECT {inner} FROM usage WHERE {where} GROUP BY ALL) u{names} ORDER BY {order}"
    )


_MONEY: Final = ("charge_nanos", "shortfall_nanos", "cost_nanos")
_TIME_FORMS: Final = {"day": "%Y-%m-%d", "month": "%Y-%m", "hour": "%Y-%m-%dT%H:00Z", "minute": "%Y-%m-%dT%H:%MZ"}


def _cell(key: str, form: ExportForm) -> str:
    if key in _TIME_FORMS:
        return f"strftime(u.{key}, '{_TIME_FORMS[key]}') AS {key}" if form == "csv" else f"u.{key}"
    return _guarded(f"u.{key}", key, form)


def _guarded(column: str, name: str, form: ExportForm) -> str:
    if form != "csv":
        return f"{column} AS {name}"
    return f"CASE WHEN regexp_matches({column}, '^[=+@\\t\\r-]') THEN '''' || {column} ELSE {column} END AS {name}"


def _quote(text: str) -> str:
    return text.replace("'", "''")
