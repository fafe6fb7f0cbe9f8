"""Rows of a bill: read from CSV, JSON or JSON lines, from the providers' own shapes or by a mapping of columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from mintage.base import METERS, MintageError, Usage, parse_decimal
from mintage.pricing.usage_file import to_ns

ROWS_LIMIT: Final = 5_000_000
_PLACES: Final = 30
_JSON: Final = msgspec.json.Decoder(float_hook=Decimal)


class BillRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One request, or a bucket of them from start_ns up to end_ns. amount: currency units, None if not stated.

    metered: whether the row counts tokens at all; a line of a cost report may not. cached tokens are apart.
    """

    row: int
    request_id: str = ""
    start_ns: int | None = None
    end_ns: int | None = None
    model: str = ""
    usage: Usage = Usage()
    metered: bool = True
    amount: Decimal | None = None
    currency: str = ""


#: field -> names that exports give it, lower case, in the order in which they are tried.
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "request_id": ("request_id", "id", "requestid", "response_id", "generation_id", "call_id"),
    "start": ("start_time", "starting_at", "start_time_iso", "timestamp", "created_at", "at", "time", "date", "day"),
    "end": ("end_time", "ending_at", "end_time_iso"),
    "model": ("model", "model_version", "model_name", "model_group", "snapshot_id", "line_item"),
    "input_tokens": ("input_tokens", "prompt_tokens", "usage_input_tokens", "n_context_tokens_total"),
    "uncached_input_tokens": ("uncached_input_tokens", "usage_input_tokens_no_cache", "input_tokens_no_cache"),
    "cached_read_tokens": (
        "cached_read_tokens",
        "input_cached_tokens",
        "cache_read_input_tokens",
        "usage_input_tokens_cache_read",
        "cached_tokens",
    ),
    "cache_write_tokens": ("cache_write_tokens", "cache_creation_input_tokens"),
    "output_tokens": ("output_tokens", "completion_tokens", "usage_output_tokens", "n_generated_tokens_total"),
    "reasoning_tokens": ("reasoning_tokens",),
    "requests": ("num_model_requests", "requests", "n_requests", "num_requests"),
    "amount": ("amount_value", "cost", "cost_usd", "amount", "spend", "total_cost", "amount_usd"),
    "currency": ("amount_currency", "currency"),
}


def _refuse(row: int, problem: str, field: str) -> MintageError:
    return MintageError(
        "invalid_request", f"Row {row}: {problem}.", "Mend the row, or map the column with --column.", param=field
    )


class _Row:
    """One row by the fields' names."""

    def __init__(self, number: int, cells: Mapping[str, Any], mapping: Mapping[str, str]) -> None:
        self.number = number
        self._cells = {str(name).strip().lower(): value for name, value in cells.items()}
        self._mapping = mapping

    def get(self, field: str) -> Any:
        """The cell, or None if there is none or it is empty."""
        mapped: str | None = self._mapping.get(field)
        if mapped is not None and mapped.lower() not in self._cells:
            raise _refuse(self.number, f"there is no column {mapped!r}", field)
        names: tuple[str, ...] = NAMES[field] if mapped is None else (mapped.lower(),)
        for name in names:
            if (found := self._cells.get(name)) not in (None, ""):
                return found
        return None

    def count(self, field: str) -> int:
        cell = self.get(field)
        if cell is None:
            return 0
        try:
            value = parse_decimal(cell if isinstance(cell, int | Decimal) else str(cell).replace(",", ""))
        except MintageError as error:
            raise _refuse(self.number, f"{field} is {str(cell)[:40]!r}, no whole number", field) from error
        if value != int(value) or value < 0:
            raise _refuse(self.number, f"{field} is {value}, no count", field)
        return int(value)

    def amount(self) -> tuple[Decimal | None, str]:
        cell, currency = self.get("amount"), str(self.get("currency") or "")
        if isinstance(cell, dict):  # OpenAI's costs: {"value": 0.06, "currency": "usd"}
            currency = str(cell.get("currency") or currency)
            cell = cell.get("value")
        if cell is None:
            return None, currency.upper()
        try:
            text = cell if isinstance(cell, int | Decimal) else str(cell).replace(",", "").lstrip("$")
            return parse_decimal(text, places=_PLACES), currency.upper()
        except MintageError as error:
            raise _refuse(self.number, f"the amount is {str(cell)[:40]!r}", "amount") from error

    def instant(self, field: str) -> int | None:
        cell = self.get(field)
        if cell is None:
            return None
        if isinstance(cell, int | Decimal) or str(cell).isdigit():
            return int(cell) * 10**9 if int(cell) < 10**11 else int(cell) * 10**6
        try:
            moment = datetime.fromisoformat(str(cell))
        except ValueError as error:
            raise _refuse(self.number, f"{field} is {str(cell)[:40]!r}, no time", field) from error
        return to_ns(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _usage(row: _Row) -> tuple[Usage, bool]:
    """Disjoint classes. Providers report input_tokens with the cached ones in it, unless they name them apart."""
    cached, written = row.count("cached_read_tokens"), row.count("cache_write_tokens")
    apart = row.get("uncached_input_tokens") is not None
    plain = row.count("uncached_input_tokens") if apart else row.count("input_tokens") - cached - written
    reasoning = row.count("reasoning_tokens")
    written_out = row.count("output_tokens") - reasoning
    if plain < 0 or written_out < 0:
        raise _refuse(row.number, "more cached or reasoning tokens than tokens", "cached_read_tokens")
    metered = any(row.get(name) is not None for name in ("input_tokens", "uncached_input_tokens", "output_tokens"))
    usage = Usage(
        input_tokens=plain,
        cached_read_tokens=cached,
        cache_write_tokens=written,
        output_tokens=written_out,
        reasoning_tokens=reasoning,
        requests=row.count("requests"),
    )
    return usage, metered


def _record(row: _Row) -> BillRecord:
    usage, metered = _usage(row)
    amount, currency = row.amount()
    if not metered and amount is None:
        raise _refuse(row.number, "it has neither tokens nor an amount", "amount")
    return BillRecord(
        row=row.number,
        request_id=str(row.get("request_id") or ""),
        start_ns=row.instant("start"),
        end_ns=row.instant("end"),
        model=str(row.get("model") or "").split(",")[0].strip(),
        usage=usage,
        metered=metered,
        amount=amount,
        currency=currency,
    )


def read_records(raw: bytes, suffix: str, mapping: Mapping[str, str] | None = None) -> list[BillRecord]:
    """Every row, or MintageError("invalid_request") that names row and field: a bill is compared whole or not at all.

    suffix: .csv, .json or .jsonl. mapping: field (see NAMES) -> column, where an export's own name is unknown here.
    """
    from mintage.pricing.reconcile.shapes import rows_of_json

    mapping = mapping or {}
    if unknown := sorted(mapping.keys() - NAMES.keys()):
        raise MintageError(
            "invalid_request", f"There is no field {unknown[0]!r}.", f"There are {', '.join(NAMES)}.", param="column"
        )
    kind = suffix.lower().lstrip(".")
    if kind == "csv":
        rows: Iterator[Mapping[str, Any]] = iter(csv.DictReader(io.StringIO(_text(raw))))
    elif kind in ("json", "jsonl", "ndjson"):
        rows = rows_of_json(_trees(raw, lines=kind != "json"))
    else:
        raise MintageError("invalid_request", f"A bill is not {suffix!r}.", "Give a .csv, .json or .jsonl file.")
    found = [_record(_Row(number, cells, mapping)) for number, cells in enumerate(_limited(rows), 1)]
    if not found:
        raise MintageError("invalid_request", "The bill has no rows.", "Export it again.")
    return found


def _limited(rows: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for number, row in enumerate(rows):
        if number >= ROWS_LIMIT:
            raise MintageError("payload_too_large", f"More than {ROWS_LIMIT:,} rows.", "Split the bill by month.")
        yield row


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MintageError("invalid_request", f"The bill is not UTF-8 (byte {error.start}).", "Save it so.") from error


def _trees(raw: bytes, *, lines: bool) -> Sequence[Any]:
    try:
        return _JSON.decode_lines(raw) if lines else [_JSON.decode(raw)]
    except (msgspec.DecodeError, ArithmeticError) as error:
        raise MintageError("invalid_json", f"The bill is not JSON: {error}.", "Export it again.") from error


def meters_that_differ(one: Usage, other: Usage) -> list[str]:
    """Names of the meters that two usages count differently, without requests."""
    return [meter for meter in METERS if meter != "requests" and getattr(one, meter) != getattr(other, meter)]
