"""Questions to the lake: usage by any dimension, what to invoice from raw rows, totals to verify."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from mintage.base import METERS, MintageError
from mintage.books.lake import Lake
from mintage.books.ledger_reader import UsageLine
from mintage.books.ledger_rules import CLOSING

_COLUMNS: Final = (
    "tenant_id", "project_id", "wallet_id", "key_id", "model", "product", "operation", "end_user", "outcome",
    "price_id", "provider", "kind",
)  # fmt: skip
#: name -> SQL of what usage can be grouped and filtered by. Times are UTC.
DIMENSIONS: Final[dict[str, str]] = {
    **{name: name for name in _COLUMNS},
    "minute": "date_trunc('minute', occurred)",
    "hour": "date_trunc('hour', occurred)",
    "day": "date_trunc('day', occurred)",
    "month": "date_trunc('month', occurred)",
}
_TIMES: Final = frozenset(("minute", "hour", "day", "month"))


class UsageRow(msgspec.Struct, frozen=True, kw_only=True):
    """group: a value of each dimension asked for; times are ISO 8601, UTC. meters: only those that counted something.

    Money is in nanos of `currency`, as posted. cost_nanos is what these requests cost in that currency.
    """

    group: dict[str, str | None]
    currency: str
    rows: int
    meters: dict[str, int]
    charge_nanos: int
    shortfall_nanos: int
    cost_nanos: int

    @property
    def margin_nanos(self) -> int:
        return self.charge_nanos - self.cost_nanos


class LakeTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over all rows of one currency, for comparison with the log."""

    currency: str
    rows: int
    charge_nanos: int
    shortfall_nanos: int
    cost_nanos: int


def _period(start_ns: int | None, end_ns: int | None, when: str = "occurred") -> tuple[list[str], list[object]]:
    """Half-open, to the microsecond."""
    terms: list[str] = []
    values: list[object] = []
    for sign, at_ns in ((">=", start_ns), ("<", end_ns)):
        if at_ns is not None:
            terms.append(f"{when} {sign} make_timestamp(?::BIGINT)")
            values.append(at_ns // 1000)
    return terms, values


def usage_by(
    lake: Lake,
    group_by: Sequence[str] = (),
    start_ns: int | None = None,
    end_ns: int | None = None,
    filters: Mapping[str, str] | None = None,
) -> list[UsageRow]:
    """Usage, charges and costs of [start, end), one row per currency and combination of group_by's values.

    group_by and filters use the names in DIMENSIONS. Raises MintageError("invalid_request") for any other.
    """
    filters = filters or {}
    for name in (*group_by, *filters):
        if name not in DIMENSIONS or (name in filters and name in _TIMES):
            raise MintageError(
                "invalid_request", f"{name[:40]!r} is no dimension of usage.", f"Use: {', '.join(DIMENSIONS)}."
            )
    terms, values = _period(start_ns, end_ns)
    for name, value in filters.items():
        terms.append(f"{name} = ?")
        values.append(value)
    where = " AND ".join(terms) or "true"
    keys = [f"{DIMENSIONS[name]} AS k{number}" for number, name in enumerate(group_by)]
    head = "".join(f"{key}, " for key in keys)
    meters = ", ".join(f"sum({meter})" for meter in METERS)
    rows = lake.query(
        f"SELECT {head}currency, count(*), {meters}, sum(charge_nanos), sum(shortfall_nanos), sum(cost_nanos) "
        f"FROM usage WHERE {where} GROUP BY ALL",
        values,
    )
    # A cost in another currency than its charge's is not in cost_nanos: such rows list their costs.
    zeros = ", ".join("0" for _ in METERS)
    rows += lake.query(
        f"SELECT {head}c.currency, 0, {zeros}, 0, 0, sum(c.nanos) FROM "
        f"(SELECT *, unnest(costs) AS c FROM usage WHERE cost_parts > 0 AND {where}) "
        "WHERE c.currency <> currency GROUP BY ALL",
        values,
    )
    return _usage_rows(rows, list(group_by))


def _usage_rows(rows: Sequence[tuple[Any, ...]], names: list[str]) -> list[UsageRow]:
    width = len(names)
    sums: dict[tuple[Any, ...], list[int]] = {}
    for row in rows:
        key = (*(_text(value) for value in row[:width]), row[width])
        numbers = [int(value) for value in row[width + 1 :]]
        known = sums.get(key)
        sums[key] = numbers if known is None else [a + b for a, b in zip(known, numbers, strict=True)]
    ordered = sorted(sums.items(), key=lambda item: [(part is not None, part or "") for part in item[0]])
    return [
        UsageRow(
            group=dict(zip(names, key, strict=False)),
            currency=key[-1],
            rows=numbers[0],
            meters={meter: count for meter, count in zip(METERS, numbers[1:], strict=False) if count},
            charge_nanos=numbers[-3],
            shortfall_nanos=numbers[-2],
            cost_nanos=numbers[-1],
        )
        for key, numbers in ordered
    ]


def _text(value: object) -> str | None:
    if isinstance(value, datetime.datetime):
        return value.isoformat() + "Z"
    return None if value is None else str(value)


def raw_usage_lines(
    lake: Lake, tenant_id: str, start_ns: int, end_ns: int, closings: Sequence[tuple[int, int]] = ()
) -> list[UsageLine]:
    """What LedgerReader.usage_lines answers, from the rows themselves; equal to it to the atto.

    closings: (closed_until_ns, seq) of the tenant's closed periods: a row after seq counts from closed_until_ns on.
    """
    late = [
        f"CASE WHEN seq > {seq} AND operation <> '{CLOSING}' THEN make_timestamp({until // 1000}) END"
        for until, seq in closings
    ]
    terms, values = _period(start_ns, end_ns, f"greatest({', '.join(['occurred', *late])})")
    where = " AND ".join(["tenant_id = ?", "kind = 'request'", "NOT replay", *terms])
    values = [tenant_id, *values]
    meters = ", ".join(f"sum({meter})" for meter in METERS)
    plain = lake.query(
        f"SELECT price_id, model, product, currency, rates, count(*), {meters} FROM usage "
        f"WHERE {where} AND rates <> '' GROUP BY ALL",
        values,
    )
    extra = lake.query(
        "SELECT price_id, model, product, currency, x.meter, x.rate_attos, count(*), sum(x.quantity), sum(x.attos) "
        f"FROM (SELECT *, unnest(extra) AS x FROM usage WHERE {where} AND extra_lines > 0) GROUP BY ALL",
        values,
    )
    sums: dict[tuple[str, str, str, str, int, str], list[int]] = {}
    for price_id, model, product, currency, rates, count, *quantities in plain:
        of_meter = dict(zip(METERS, map(int, quantities), strict=True))
        for item in rates.split():
            meter, _, rate = item.rpartition("=")
            quantity = of_meter[meter]
            _add(sums, (price_id, model, product, meter, int(rate), currency), quantity, quantity * int(rate), count)
    for price_id, model, product, currency, meter, rate, count, quantity, attos in extra:
        _add(sums, (price_id, model, product, meter, int(rate), currency), int(quantity), int(attos), count)
    return sorted(
        UsageLine(
            price_id=price_id,
            model=model,
            product=product,
            meter=meter,
            rate_attos=rate,
            currency=currency,
            quantity=numbers[0],
            attos=numbers[1],
            entries=numbers[2],
        )
        for (price_id, model, product, meter, rate, currency), numbers in sums.items()
    )


def _add(sums: dict[Any, list[int]], key: Any, quantity: int, attos: int, count: int) -> None:
    row = sums.setdefault(key, [0, 0, 0])
    row[0] += quantity
    row[1] += attos
    row[2] += count


def lake_totals(lake: Lake, last_seq: int) -> dict[str, LakeTotals]:
    """Per currency of the charge, over rows with seq <= last_seq; costs under their own currency."""
    rows = lake.query(
        "SELECT currency, count(*), sum(charge_nanos), sum(shortfall_nanos), sum(cost_nanos) FROM usage "
        "WHERE seq <= ? GROUP BY ALL "
        "UNION ALL SELECT c.currency, 0, 0, 0, sum(c.nanos) FROM "
        "(SELECT currency, unnest(costs) AS c FROM usage WHERE seq <= ? AND cost_parts > 0) "
        "WHERE c.currency <> currency GROUP BY ALL",
        [last_seq, last_seq],
    )
    sums: dict[str, list[int]] = {}
    for currency, *numbers in rows:
        known = sums.setdefault(currency, [0, 0, 0, 0])
        sums[currency] = [a + int(b) for a, b in zip(known, numbers, strict=True)]
    return {
        currency: LakeTotals(currency=currency, rows=n[0], charge_nanos=n[1], shortfall_nanos=n[2], cost_nanos=n[3])
        for currency, n in sums.items()
    }
