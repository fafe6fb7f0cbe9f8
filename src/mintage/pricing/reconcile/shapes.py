"""The JSON shapes of providers' usage and cost APIs, flattened to rows.

OpenAI: GET /v1/organization/usage/completions and /v1/organization/costs. Anthropic: GET
/v1/organizations/usage_report/messages and /v1/organizations/cost_report, whose amounts are cents as text. Both page
over buckets of time, each with `results`. Anything else: a list of rows, or an object with one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from mintage.base import MintageError, parse_decimal


def rows_of_json(trees: Sequence[Any]) -> Iterator[Mapping[str, Any]]:
    """Rows of every page, in order. Raises MintageError("invalid_request") for a shape without rows."""
    for tree in trees:
        if isinstance(tree, list):
            for item in tree:
                yield from _page(item)
        else:
            yield from _page(tree)


def _page(tree: Any) -> Iterator[Mapping[str, Any]]:
    if not isinstance(tree, dict):
        raise MintageError("invalid_request", "A row is no object.", "Export objects with named fields.")
    for name in ("data", "rows", "items", "records", "results"):
        if isinstance(tree.get(name), list):
            outer = {key: tree[key] for key in _TIMES if key in tree}
            for item in tree[name]:
                for row in _page(item):
                    yield {**outer, **row}
            return
    yield _flat(tree)


_TIMES = ("start_time", "end_time", "start_time_iso", "end_time_iso", "starting_at", "ending_at")


def _flat(row: Mapping[str, Any]) -> Mapping[str, Any]:
    found = dict(row)
    usage = found.pop("usage", None)
    if isinstance(usage, dict):
        found.update({key: value for key, value in usage.items() if key not in found})
    for name in ("prompt_tokens_details", "input_tokens_details"):
        if isinstance(details := found.get(name), dict):
            found.setdefault("cached_tokens", details.get("cached_tokens"))
    for name in ("completion_tokens_details", "output_tokens_details"):
        if isinstance(details := found.get(name), dict):
            found.setdefault("reasoning_tokens", details.get("reasoning_tokens"))
    if isinstance(created := found.pop("cache_creation", None), dict):
        found["cache_creation_input_tokens"] = sum(int(count or 0) for count in created.values())
    if "cost_type" in found and not isinstance(found.get("amount"), dict | None):
        found["amount"] = parse_decimal(_number(found["amount"]), places=30) / 100
    return found


def _number(value: Any) -> str | int | Decimal:
    return value if isinstance(value, int | Decimal) else str(value)
