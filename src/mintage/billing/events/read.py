"""Usage events as customers send them: one JSON object, a JSON array, JSON lines, or CSV.

    {"id": "order-17", "time": "2026-01-31T10:00:00Z", "values": {"gb_stored": 12.5}, "dimensions": {"region": "eu"}}

`values` are the numbers that a plan's meters count, exact; `dimensions` are the words that it filters and groups by.
Every error names the line (or the place in the array) and the field, and nothing of that body is kept.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from mintage.base import METERS, MintageError, Usage
from mintage.books import UsageEvent

EVENTS_LIMIT: Final = 10_000  # in one body
FUTURE_NS: Final = 24 * 3600 * 10**9  # how far ahead of our clock a sender's may be
NUMBER_MAX: Final = 2**53
_PLACES: Final = 18
_FIELDS_MAX: Final = 32
_WIDE: Final = Context(prec=60)  # nothing is rounded inside it
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_METERS: Final = frozenset(METERS)
_PATH: Final = re.compile(r" - at `(?:key in )?\$(.*)`$")
_WORD: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

#: media type -> how it is read
FORMATS: Final = {
    "application/json": "json",
    "application/x-ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "text/csv": "csv",
}

T = TypeVar("T")
Text = Annotated[str, Meta(max_length=200)]
Identity = Annotated[str, Meta(min_length=1, max_length=200)]
Word = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}\Z")]


class NewEvent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """time is when it happened, with its zone; it is asked for so that the same event sent again is the same."""

    id: Identity
    time: Annotated[datetime, Meta(tz=True)]
    source: Identity = "api"
    kind: Word = "usage"
    model: Text = ""
    product: Text = ""
    end_user: Text | None = None
    values: Annotated[dict[Word, Decimal], Meta(max_length=_FIELDS_MAX)] = {}
    dimensions: Annotated[dict[Word, Text], Meta(max_length=_FIELDS_MAX)] = {}
    supersedes: Identity | None = None


_ONE: Final = msgspec.json.Decoder(NewEvent)
_MANY: Final = msgspec.json.Decoder(list[NewEvent])


def event_type(media: str) -> str:
    """The format of a content type: json, ndjson or csv. Raises unsupported_media_type."""
    found = FORMATS.get(media.partition(";")[0].strip().lower() or "application/json")
    if found is None:
        raise MintageError("unsupported_media_type", f"Events are not {media[:60]!r}.", f"Send {', '.join(FORMATS)}.")
    return found


def read_events(raw: bytes, form: str, *, tenant_id: str, project_id: str = "", now_ns: int) -> list[UsageEvent]:
    """All events of a body, or MintageError: invalid_json, or invalid_request whose param names the line and field."""
    if form == "csv":
        return _finish(_csv_rows(raw), tenant_id, project_id, now_ns)
    if form == "ndjson":
        return _finish(_json_lines(raw), tenant_id, project_id, now_ns)
    stripped = raw.lstrip()
    if stripped[:1] == b"[":
        many = _decode(_MANY, raw, "")
        return _finish((((f"[{place}]", event) for place, event in enumerate(many))), tenant_id, project_id, now_ns)
    return _finish([("", _decode(_ONE, raw, ""))], tenant_id, project_id, now_ns)


def _decode(decoder: msgspec.json.Decoder[T], raw: bytes, place: str) -> T:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        found = _PATH.search(str(error))
        raise _refuse(place + (found.group(1) if found else ""), _PATH.sub("", str(error))) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        where = f"{place}: " if place else ""
        raise MintageError(
            "invalid_json", f"{where}The body is not valid JSON: {error}.", "See POST /v1/events.", param=place or None
        ) from error


def _refuse(place: str, problem: str) -> MintageError:
    place = place.removeprefix(".")
    return MintageError(
        "invalid_request",
        f"{place}: {problem.removesuffix('.')}." if place else f"{problem.removesuffix('.')}.",
        "Nothing of this body was recorded: correct it and send all of it again.",
        param=place or None,
    )


def _json_lines(raw: bytes) -> Iterator[tuple[str, NewEvent]]:
    for number, line in enumerate(raw.split(b"\n"), 1):
        if line.strip():
            yield f"line {number}", _decode(_ONE, line, f"line {number}")


# -- CSV -----------------------------------------------------------------------------------------------------------

_PLAIN: Final = frozenset({"id", "time", "source", "kind", "model", "product", "end_user", "supersedes"})


def _csv_rows(raw: bytes) -> Iterator[tuple[str, NewEvent]]:
    """Columns: the event's own fields, meters by their names, `values.NAME` and `dimensions.NAME`. Empty is absent."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise _refuse(f"line {line}", "The file is not UTF-8") from error
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(header)
        for row in reader:
            if row:
                place = f"line {reader.line_num}"
                yield place, _csv_event(header, row, place)
    except csv.Error as error:
        raise _refuse(f"line {reader.line_num}", f"This is not CSV: {error}") from error


def _check_header(header: Sequence[str]) -> None:
    for name in header:
        group, _, word = name.partition(".")
        known = name in _PLAIN or name in _METERS or (group in ("values", "dimensions") and _WORD.fullmatch(word))
        if not known:
            raise _refuse(f"line 1.{name[:80]}", "The column has no meaning; use values.NAME or dimensions.NAME")
        if header.count(name) > 1:
            raise _refuse(f"line 1.{name[:80]}", "The column is there twice")
    for name in ("id", "time"):
        if name not in header:
            raise _refuse(f"line 1.{name}", "The column is missing")


def _csv_event(header: Sequence[str], row: Sequence[str], place: str) -> NewEvent:
    if len(row) != len(header):
        raise _refuse(place, f"The row has {len(row)} cells, the header {len(header)}")
    fields: dict[str, Any] = {}
    for name, cell in zip(header, row, strict=True):
        if cell:
            group, dot, word = name.partition(".")
            if dot:
                fields.setdefault(group, {})[word] = cell
            elif name in _METERS:
                fields.setdefault("values", {})[name] = cell
            else:
                fields[name] = cell
    try:
        return msgspec.convert(fields, NewEvent, strict=False)
    except msgspec.ValidationError as error:
        found = _PATH.search(str(error))
        raise _refuse(place + (found.group(1) if found else ""), _PATH.sub("", str(error))) from error


# -- from what was sent to what is kept ------------------------------------------------------------------------------


def _finish(events: Any, tenant_id: str, project_id: str, now_ns: int) -> list[UsageEvent]:
    found: list[UsageEvent] = []
    latest_ns = now_ns + FUTURE_NS
    for place, event in events:
        if len(found) >= EVENTS_LIMIT:
            raise MintageError(
                "payload_too_large", f"More than {EVENTS_LIMIT} events.", f"Send at most {EVENTS_LIMIT} at a time."
            )
        found.append(_event(event, place, tenant_id, project_id, latest_ns))
    if not found:
        raise _refuse("", "There is no event in the body")
    return found


def _event(new: NewEvent, place: str, tenant_id: str, project_id: str, latest_ns: int) -> UsageEvent:
    occurred_ns = (new.time - _EPOCH) // _MICROSECOND * 1000
    if not 0 < occurred_ns <= latest_ns:
        raise _refuse(f"{place}.time", "The time is in the future or before 1970")
    if "kind" in new.dimensions:
        raise _refuse(f"{place}.dimensions.kind", "kind is a field of the event itself")
    if new.supersedes == new.id:
        raise _refuse(f"{place}.supersedes", "An event cannot supersede itself")
    for name, text in (("id", new.id), ("source", new.source), ("supersedes", new.supersedes or "")):
        if _CONTROL.search(text):
            raise _refuse(f"{place}.{name}", "It holds a control character")
    properties = dict(new.dimensions)
    if new.kind != "usage":
        properties["kind"] = new.kind
    meters: dict[str, int] = {}
    for name, value in new.values.items():
        if name in properties:
            raise _refuse(f"{place}.values.{name}", "The same name is a dimension")
        if name in _METERS:
            meters[name] = _whole(value, f"{place}.values.{name}")
        else:
            properties[name] = _exact(value, f"{place}.values.{name}")
    return UsageEvent(
        tenant_id=tenant_id,
        source=new.source,
        id=new.id,
        occurred_ns=occurred_ns,
        usage=Usage(**meters),
        project_id=project_id,
        model=new.model,
        product=new.product,
        end_user=new.end_user,
        properties=properties,
        supersedes=new.supersedes,
    )


def _whole(value: Decimal, place: str) -> int:
    if not value.is_finite() or value != value.to_integral_value() or not 0 <= value <= NUMBER_MAX:
        raise _refuse(place, "A meter counts whole units, from 0 to 2^53")
    return int(value)


def _exact(value: Decimal, place: str) -> str:
    """One text for one number, so that 1.0 sent again as 1 is the same event."""
    if value.is_finite() and abs(value) <= NUMBER_MAX and value.adjusted() >= -_PLACES and len(str(value)) < 60:
        plain = value.normalize(_WIDE)
        if int(plain.as_tuple().exponent) >= -_PLACES:
            return f"{plain:f}" if plain else "0"
    raise _refuse(place, f"The number must be between -2^53 and 2^53, with at most {_PLACES} places")
