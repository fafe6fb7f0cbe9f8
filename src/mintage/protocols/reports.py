"""Usage and cost reports in time buckets, as OpenAI's and Anthropic's admin APIs ask for them and answer them.

A row is what one group of requests used in one bucket; the dialects differ in how they name and nest it. Money leaves
as exact decimal digits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import Raw, Struct

from mintage.base import MintageError, Usage

Width = Literal["1m", "1h", "1d"]
SECONDS: Final[dict[Width, int]] = {"1m": 60, "1h": 3600, "1d": 86_400}
#: Buckets a page: (default, most).
_LIMITS: Final[dict[Width, tuple[int, int]]] = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}
_COSTS_LIMITS: Final = (7, 180)
_NANOS: Final = 10**9
#: OpenAI's name of a usage report -> the operations in it.
OPENAI_REPORTS: Final[dict[str, tuple[str, ...]]] = {
    "completions": ("chat", "completion"),
    "embeddings": ("embedding",),
    "moderations": ("moderation",),
    "audio_speeches": ("speech",),
    "audio_transcriptions": ("transcription",),
    "images": ("image",),
}
#: A vendor's dimension -> ours. "" is a dimension that no request here has: its value is always null.
OPENAI_DIMENSIONS: Final = {
    "project_id": "project_id",
    "user_id": "end_user",
    "api_key_id": "key_id",
    "model": "model",
    "batch": "",
    "service_tier": "",
    "api_source": "",
}
OPENAI_COST_DIMENSIONS: Final = {"project_id": "project_id", "api_key_id": "key_id", "line_item": "model"}
ANTHROPIC_DIMENSIONS: Final = {
    "api_key_id": "key_id",
    "workspace_id": "project_id",
    "model": "model",
    "service_tier": "",
    "context_window": "",
    "inference_geo": "",
}
ANTHROPIC_COST_DIMENSIONS: Final = {"workspace_id": "project_id", "description": "model"}


class ReportRow(NamedTuple):
    """bucket_s: when its bucket begins. group: our dimension -> value."""

    bucket_s: int
    group: Mapping[str, str | None]
    usage: Usage
    charge_nanos: int
    currency: str


_Result = Callable[[ReportRow], dict[str, object]]


class ReportQuery(Struct, frozen=True, kw_only=True):
    """Whole buckets of [start_s, end_s). group_by: the vendor's names. filters: our dimension -> allowed values."""

    start_s: int
    end_s: int
    width: Width
    group_by: tuple[str, ...]
    filters: dict[str, frozenset[str]]
    more: bool  # there is another page, which begins at end_s


def read_query(
    fields: Mapping[str, Sequence[str]], dimensions: Mapping[str, str], now_s: int, *, costs: bool = False
) -> ReportQuery:
    """From the parameters of a query, brackets taken off their names. Raises invalid_request."""
    width = _one(fields, "bucket_width") or "1d"
    if width not in SECONDS or (costs and width != "1d"):
        raise _bad("bucket_width", "Use 1d." if costs else "Use 1m, 1h or 1d.")
    step = SECONDS[width]
    start = _time(fields, "start_time", "starting_at")
    if start is None:
        raise _bad("start_time", "Say when the report begins.")
    end = _time(fields, "end_time", "ending_at")
    first = start - start % step
    last = now_s + 1 if end is None else end
    default, most = _COSTS_LIMITS if costs else _LIMITS[width]
    limit = _limit(fields, default, most)
    if (page := _one(fields, "page")) is not None:
        if not page.isascii() or not page.isdigit() or len(page) > 12 or int(page) % step:
            raise _bad("page", "Send the next_page of the page before.")
        first = max(first, int(page))
    group_by = tuple(dict.fromkeys(fields.get("group_by", ())))
    for name in group_by:
        if name not in dimensions:
            raise _bad("group_by", f"Use {', '.join(dimensions)}.")
    end_s = min(first + limit * step, max(first, -(-last // step) * step))
    return ReportQuery(
        start_s=first, end_s=end_s, width=width, group_by=group_by, filters=_filters(fields, dimensions),
        more=end_s < last,
    )  # fmt: skip


def encode_openai_usage(query: ReportQuery, rows: Iterable[ReportRow], report: str) -> bytes:
    return _openai_page(
        query, rows, lambda row: {**_openai_usage(report, row), **_group(query, row, OPENAI_DIMENSIONS)}
    )


def encode_openai_costs(query: ReportQuery, rows: Iterable[ReportRow]) -> bytes:
    def result(row: ReportRow) -> dict[str, object]:
        amount = {"value": Raw(_decimal(row.charge_nanos)), "currency": row.currency.lower()}
        fields: dict[str, object] = {"object": "organization.costs.result", "amount": amount, "line_item": None}
        return fields | {"project_id": None} | _group(query, row, OPENAI_COST_DIMENSIONS)

    return _openai_page(query, rows, result)


def encode_anthropic_usage(query: ReportQuery, rows: Iterable[ReportRow]) -> bytes:
    def result(row: ReportRow) -> dict[str, object]:
        usage = row.usage
        return {
            "uncached_input_tokens": usage.input_tokens,
            "cache_creation": {
                "ephemeral_1h_input_tokens": 0,
                "ephemeral_5m_input_tokens": usage.cache_write_tokens,
            },
            "cache_read_input_tokens": usage.cached_read_tokens,
            "output_tokens": usage.completion_tokens,
            "server_tool_use": {"web_search_requests": 0},
            **dict.fromkeys(ANTHROPIC_DIMENSIONS),
            **_group(query, row, ANTHROPIC_DIMENSIONS),
        }

    return _anthropic_page(query, rows, result)


def encode_anthropic_costs(query: ReportQuery, rows: Iterable[ReportRow]) -> bytes:
    """Amounts are in the currency's smallest common unit, as decimal text: cents."""

    def result(row: ReportRow) -> dict[str, object]:
        fields: dict[str, object] = {
            "currency": row.currency,
            "amount": _decimal(row.charge_nanos * 100).decode(),
            "workspace_id": None,
            "description": None,
            "cost_type": "tokens",
        }
        return fields | _group(query, row, ANTHROPIC_COST_DIMENSIONS)

    return _anthropic_page(query, rows, result)


def _openai_usage(report: str, row: ReportRow) -> dict[str, object]:
    usage = row.usage
    fields: dict[str, object] = {
        "object": f"organization.usage.{report}.result",
        "num_model_requests": usage.requests,
        **dict.fromkeys(("project_id", "user_id", "api_key_id", "model")),
    }
    if report == "completions":
        fields |= {
            "input_tokens": usage.prompt_tokens,
            "input_cached_tokens": usage.cached_read_tokens,
            "input_uncached_tokens": usage.input_tokens,
            "input_cache_write_tokens": usage.cache_write_tokens,
            "output_tokens": usage.completion_tokens,
            "batch": None,
        }
    elif report == "audio_speeches":
        fields["characters"] = usage.characters
    elif report == "audio_transcriptions":
        fields["seconds"] = -(-usage.audio_ms // 1000)
    elif report == "images":
        fields["images"] = usage.image_count
    else:
        fields["input_tokens"] = usage.prompt_tokens
    return fields


def _buckets(query: ReportQuery, rows: Iterable[ReportRow]) -> list[tuple[int, int, list[ReportRow]]]:
    """(start, end, rows) of every bucket, the empty ones too."""
    step = SECONDS[query.width]
    buckets: dict[int, list[ReportRow]] = {start: [] for start in range(query.start_s, query.end_s, step)}
    for row in rows:
        if row.bucket_s in buckets:
            buckets[row.bucket_s].append(row)
    return [(start, start + step, found) for start, found in buckets.items()]


def _openai_page(query: ReportQuery, rows: Iterable[ReportRow], result: _Result) -> bytes:
    data = [
        {"object": "bucket", "start_time": start, "end_time": end, "results": [result(row) for row in found]}
        for start, end, found in _buckets(query, rows)
    ]
    page = {"object": "page", "data": data, "has_more": query.more, "next_page": _next(query)}
    return msgspec.json.encode(page)


def _anthropic_page(query: ReportQuery, rows: Iterable[ReportRow], result: _Result) -> bytes:
    data = [
        {"starting_at": _rfc3339(start), "ending_at": _rfc3339(end), "results": [result(row) for row in found]}
        for start, end, found in _buckets(query, rows)
    ]
    return msgspec.json.encode({"data": data, "has_more": query.more, "next_page": _next(query)})


def _next(query: ReportQuery) -> str | None:
    return str(query.end_s) if query.more else None


def _group(query: ReportQuery, row: ReportRow, dimensions: Mapping[str, str]) -> dict[str, object]:
    return {name: row.group.get(dimensions[name]) if dimensions[name] else None for name in query.group_by}


def _filters(fields: Mapping[str, Sequence[str]], dimensions: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """`models`, `project_ids` and so on: the plural of a dimension's name."""
    return {ours: frozenset(values) for name, ours in dimensions.items() if ours and (values := fields.get(f"{name}s"))}


def _limit(fields: Mapping[str, Sequence[str]], default: int, most: int) -> int:
    text = _one(fields, "limit")
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:6]) <= most:
        raise _bad("limit", f"Use 1 to {most}.")
    return int(text)


def _time(fields: Mapping[str, Sequence[str]], seconds: str, rfc3339: str) -> int | None:
    """OpenAI says seconds since 1970, Anthropic RFC 3339."""
    if (text := _one(fields, seconds)) is not None:
        if not text.isascii() or not text.isdigit() or len(text) > 11:
            raise _bad(seconds, "Use seconds since 1970.")
        return int(text)
    if (text := _one(fields, rfc3339)) is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise _bad(rfc3339, "Use RFC 3339, as 2026-01-31T00:00:00Z.") from None


def _one(fields: Mapping[str, Sequence[str]], name: str) -> str | None:
    values = fields.get(name) or ()
    return values[-1] if values else None


def _rfc3339(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat().replace("+00:00", "Z")


def _decimal(nanos: int) -> bytes:
    """Exact digits, without an exponent."""
    return format((Decimal(nanos) / _NANOS).normalize(), "f").encode()


def _bad(param: str, hint: str) -> MintageError:
    return MintageError("invalid_request", f"'{param}' is missing or not valid.", hint, param=param)
