"""One row of the lake per settled request or reported event: what analysis asks for, without what only the log needs.

Amounts are exact and small. Almost every charge is a sum of usage x rate, so a row names its rates once, as text
(`rates`: "input_tokens=80000000000 output_tokens=320000000000", attos), and lists in `extra` only the lines
that are not so. Costs likewise: one provider and its nanos, and `costs` only where there were several attempts.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from mintage.base import METERS
from mintage.books.entries import Entry, Reported, Settled

#: Bump when a column changes: the lake is rebuilt from the log under the new number.
FORMAT: Final = 1


class ExtraLine(msgspec.Struct, omit_defaults=True, gc=False):
    """attos as text: they pass 64 bits."""

    meter: str
    quantity: int
    rate_attos: str
    attos: str


class CostPart(msgspec.Struct, omit_defaults=True, gc=False):
    provider: str
    currency: str
    nanos: int


class LakeRow(msgspec.Struct, omit_defaults=True, gc=False):
    """kind: request or event. Times in microseconds since the epoch, UTC. seq finds the whole entry in the log."""

    seq: int
    kind: str
    at_us: int
    occurred_us: int
    tenant_id: str
    project_id: str = ""
    wallet_id: str = ""
    key_id: str = ""
    model: str = ""
    product: str = ""
    operation: str = ""
    end_user: str | None = None
    outcome: str = ""
    estimated: bool = False
    replay: bool = False
    input_tokens: int = 0
    cached_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    image_count: int = 0
    audio_ms: int = 0
    characters: int = 0
    requests: int = 0
    outcomes: int = 0
    seats: int = 0
    duration_ms: int = 0
    price_id: str = ""
    currency: str = ""
    rates: str = ""
    extra_lines: int = 0  # how many: most files can be skipped by it
    extra: tuple[ExtraLine, ...] = ()
    charge_nanos: int = 0
    shortfall_nanos: int = 0
    provider: str = ""
    cost_nanos: int = 0
    cost_parts: int = 0
    costs: tuple[CostPart, ...] = ()
    latency_ms: float | None = None
    first_token_ms: float | None = None
    source: str = ""
    event_id: str = ""
    supersedes: str = ""
    properties: dict[str, str] = msgspec.field(default_factory=dict)


_TEXT: Final = "VARCHAR"
_LIST_TYPES: Final = {
    "extra": "STRUCT(meter VARCHAR, quantity BIGINT, rate_attos DECIMAL(38,0), attos DECIMAL(38,0))[]",
    "costs": "STRUCT(provider VARCHAR, currency VARCHAR, nanos BIGINT)[]",
    "properties": "MAP(VARCHAR, VARCHAR)",
}
_TYPES: Final[dict[str, str]] = {
    **dict.fromkeys(LakeRow.__struct_fields__, _TEXT),
    **dict.fromkeys(
        (
            "seq",
            "at_us",
            "occurred_us",
            "charge_nanos",
            "shortfall_nanos",
            "cost_nanos",
            "extra_lines",
            "cost_parts",
            *METERS,
        ),
        "BIGINT",
    ),
    **dict.fromkeys(("estimated", "replay"), "BOOLEAN"),
    **dict.fromkeys(("latency_ms", "first_token_ms"), "FLOAT"),
    **_LIST_TYPES,
}
_NULLABLE: Final = frozenset(("end_user", "latency_ms", "first_token_ms"))
_TIMES: Final = {"at_us": "accepted", "occurred_us": "occurred"}


def _read(name: str) -> str:
    if name in _TIMES:
        return f"make_timestamp({name}) AS {_TIMES[name]}"
    if name in _NULLABLE:
        return name
    empty = "''" if _TYPES[name] == _TEXT else "false" if _TYPES[name] == "BOOLEAN" else "0"
    if name in _LIST_TYPES:
        empty = "MAP()" if name == "properties" else "[]"
    return f"coalesce({name}, {empty}::{_TYPES[name]}) AS {name}"


#: `columns` of DuckDB's read_json, and the SELECT list that makes the lake's columns of them.
JSON_COLUMNS: Final = "{" + ", ".join(f"{name}: '{kind}'" for name, kind in _TYPES.items()) + "}"
SELECT_LIST: Final = ", ".join(map(_read, _TYPES))
#: The lake's columns with their types, for an empty table.
TABLE_COLUMNS: Final = ", ".join(
    f"{_TIMES.get(name, name)} {'TIMESTAMP' if name in _TIMES else kind}" for name, kind in _TYPES.items()
)

_METERS: Final = frozenset(METERS)


def lake_row(entry: Entry) -> LakeRow | None:
    """None for an entry that has no row: a hold, a top-up."""
    body = entry.body
    if type(body) is Settled:
        return _request(entry.seq, body)
    if type(body) is Reported:
        return _event(entry.seq, body)
    return None


def _request(seq: int, body: Settled) -> LakeRow:
    """Positional, in the order of the fields: this runs for every request there is."""
    rates: str = ""
    extra: tuple[ExtraLine, ...] = ()
    if not body.replay_of:
        rates, extra = _rates(body)
    provider, cost_nanos, costs = _costs(body)
    return LakeRow(  # type: ignore[call-arg]  # mypy cannot count the meters
        seq,
        "request",
        body.at_ns // 1000,
        body.occurred_ns // 1000,
        body.tenant_id,
        body.project_id,
        body.wallet_id,
        body.key_id,
        body.model,
        body.product,
        body.operation,
        body.end_user,
        body.outcome,
        body.estimated,
        bool(body.replay_of),
        *astuple(body.usage),
        body.price_id,
        body.currency,
        rates,
        len(extra),
        extra,
        body.posted_nanos,
        body.shortfall_nanos,
        provider,
        cost_nanos,
        len(costs),
        costs,
        body.latency_ms,
        body.first_token_ms,
    )


def _costs(body: Settled) -> tuple[str, int, tuple[CostPart, ...]]:
    """Who served it, what it cost in the charge's currency, and the parts where that does not say all."""
    costs = body.costs
    if not costs:
        return "", 0, ()
    if len(costs) == 1 and costs[0].currency == body.currency:
        return costs[0].provider, costs[0].nanos, ()
    same = sum(cost.nanos for cost in costs if cost.currency == body.currency)
    return costs[-1].provider, same, tuple([CostPart(c.provider, c.currency, c.nanos) for c in costs])


def _rates(body: Settled) -> tuple[str, tuple[ExtraLine, ...]]:
    """Lines that are usage x rate, as text; the others, and what the charge has beyond its lines, as they are."""
    usage = body.usage
    named: tuple[str | int, ...] = ()
    extra: tuple[ExtraLine, ...] = ()
    rest = body.attos
    for line in body.lines:
        meter, rate = line.meter, line.rate_attos
        rest -= line.attos
        if (
            line.attos == line.quantity * rate
            and meter in _METERS
            and line.quantity == getattr(usage, meter)
            and meter not in named
        ):
            named += (meter, rate)
        else:
            extra += (ExtraLine(meter, line.quantity, str(rate), str(line.attos)),)
    if rest:
        extra += (ExtraLine("other", 1, "0", str(rest)),)
    return _rates_text(named), extra


@lru_cache(1024)
def _rates_text(named: tuple[str | int, ...]) -> str:
    return " ".join(f"{meter}={rate}" for meter, rate in zip(named[::2], named[1::2], strict=True))


def _event(seq: int, body: Reported) -> LakeRow:
    event = body.event
    return LakeRow(
        seq=seq,
        kind="event",
        at_us=body.at_ns // 1000,
        occurred_us=event.occurred_ns // 1000,
        tenant_id=event.tenant_id,
        project_id=event.project_id,
        wallet_id=event.wallet_id,
        key_id=event.key_id,
        model=event.model,
        product=event.product,
        end_user=event.end_user,
        source=event.source,
        event_id=event.id,
        supersedes=event.supersedes or "",
        properties=event.properties,
        **dict[str, Any](event.usage.meters()),
    )
