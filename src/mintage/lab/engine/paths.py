"""Wallet plans over a workload: every request in order, once as arrays, then every plan through the path kernel."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mintage.base import ATTOS_PER_UNIT, MintageError
from mintage.lab.engine.aggregate import Grain, Totals, context_keys, step_sql
from mintage.lab.engine.fast import Engine, context_rates, grain_of
from mintage.lab.workload.table import connect, named, quoted
from mintage.pricing import Plan
from mintage.pricing.paths import FIELDS, WalletRules, rules_of, walk_wallets

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CODES_LIMIT: Final = 10_000_000


class Ordered(msgspec.Struct, frozen=True):
    """Requests by customer and time. meters: int64 [requests, k], in the order of names."""

    offsets: Any
    at_ns: Any
    months: Any
    contexts: Any
    meters: Any
    names: list[str]
    totals: Totals


def order_requests(engine: Engine, grain: Grain) -> Ordered:
    """Requests by customer and time, with the contexts of the grain's totals.

    Files that we wrote are in that order already, which is checked; others are sorted.
    """
    import numpy as np

    totals = engine.totals(grain)
    names = [meter for meter, sums in totals.sums.items() if sums.any()]
    connection = connect(engine.workload.threads)
    connection.execute("SET preserve_insertion_order = true")
    counts = engine.workload.query("SELECT customer, count(*) FROM {w} WHERE kind = 'usage' GROUP BY ALL ORDER BY ALL")
    lengths = dict(counts)
    offsets = np.cumsum([0, *(lengths.get(customer, 0) for customer in engine.roll.customers)]).astype(np.int64)
    code, known = _codes(engine, totals, grain)
    listed = ", ".join(named(name) for name in names)
    sql = (
        f"SELECT at_ns, {_month(engine)} AS m, {code} AS k, {listed} FROM {engine.workload.source} WHERE kind = 'usage'"
    )
    found = connection.execute(sql).fetchnumpy() if _customers_together(engine) else {}
    if not found or not _strictly_later(found["at_ns"], offsets):
        found = connection.execute(f"{sql} ORDER BY customer, at_ns, id").fetchnumpy()
    meters = np.empty((len(found["at_ns"]), len(names)), dtype=np.int64)
    for place, name in enumerate(names):
        meters[:, place] = found.pop(name)
    return Ordered(
        offsets=offsets,
        at_ns=np.asarray(found["at_ns"], dtype=np.int64),
        months=np.asarray(found["m"], dtype=np.int32),
        contexts=known[np.asarray(found["k"], dtype=np.int64)],
        meters=meters,
        names=names,
        totals=totals,
    )


def _customers_together(engine: Engine) -> bool:
    """Whether the file holds each customer's rows together, customers by name."""
    path = quoted(engine.workload.path)
    rows = engine.workload.query(
        "SELECT customer, max(file_row_number) - min(file_row_number) + 1 - count(*) "
        f"FROM read_parquet({path}, file_row_number = true) GROUP BY customer ORDER BY min(file_row_number)"
    )
    names = [row[0] for row in rows]
    return names == sorted(names) and not any(row[1] for row in rows)


def _strictly_later(at_ns: NDArray[Any], offsets: NDArray[Any]) -> bool:
    """Whether each request of a customer is later than the one before it: then there is only one order."""
    later = at_ns[1:] > at_ns[:-1]
    starts = offsets[1:-1]
    later[starts[(starts > 0) & (starts < len(at_ns))] - 1] = True
    return bool(later.all())


def _month(engine: Engine) -> str:
    """The calendar month in UTC as SQL: year x 12 + month."""
    first, last = (month_of(at) for at in (engine.calendar.spans[0].start_ns, engine.calendar.spans[-1].end_ns))
    edges = [_month_start_ns(number) for number in range(first + 1, last + 1)]
    return f"({first} + {step_sql(edges)})::INTEGER"


def _month_start_ns(number: int) -> int:
    year, month = divmod(number - 1, 12)
    return int(datetime(year, month + 1, 1, tzinfo=UTC).timestamp()) * 10**9


def _codes(engine: Engine, totals: Totals, grain: Grain) -> tuple[str, NDArray[Any]]:
    """SQL of a number for each combination of keys, and from that number the context's."""
    import numpy as np

    keys = context_keys(engine.workload, engine.calendar, grain)
    texts = [("_model", [c.model for c in totals.contexts])]
    for place, name in enumerate(grain.dimensions):
        texts.append((f"_d{place}", [c.dimensions.get(name, "") for c in totals.contexts]))
    prompts = [sum(c.prompt_tokens > bound for bound in grain.thresholds) for c in totals.contexts]
    instants = [sum(c.at_ns >= at for at in grain.instants) for c in totals.contexts]
    sql, size, numbers = "0::BIGINT", 1, [0] * len(totals.contexts)
    for key, values in texts:
        levels = sorted(set(values))
        cases = " ".join(f"WHEN {quoted(value)} THEN {place}" for place, value in enumerate(levels))
        sql = f"({sql}) * {len(levels)} + CASE {keys[key]} {cases} ELSE 0 END"
        numbers = [n * len(levels) + levels.index(v) for n, v in zip(numbers, values, strict=True)]
        size *= len(levels)
    for key, places, count in (
        ("_prompt", prompts, len(grain.thresholds) + 1),
        ("_instant", instants, len(grain.instants) + 1),
    ):
        sql = f"({sql}) * {count} + {keys[key]}"
        numbers = [n * count + place for n, place in zip(numbers, places, strict=True)]
        size *= count
    if size > _CODES_LIMIT:
        raise MintageError("unsupported", f"More than {_CODES_LIMIT:,} price contexts.", "Use fewer dimensions.")
    known = np.zeros(size, dtype=np.int32)
    known[numbers] = np.arange(len(numbers), dtype=np.int32)
    return sql, known


def rates_in_attos(plan: Plan, ordered: Ordered) -> NDArray[Any]:
    """int64 [contexts, k]. Raises MintageError("unsupported") for a rate that is no whole number of attos."""
    import numpy as np

    rows = []
    for place, context in enumerate(ordered.totals.contexts):
        rates = context_rates(plan, context, ordered.totals, place)
        exact = [rates.get(name, Fraction(0)) * ATTOS_PER_UNIT for name in ordered.names]
        if any(rate.denominator != 1 or rate >= 2**62 for rate in exact):
            raise MintageError("unsupported", f"A rate of {plan.id} is no whole number of attos.", "Round it.")
        rows.append([int(rate) for rate in exact])
    return np.array(rows, dtype=np.int64).reshape(len(rows), len(ordered.names))


def walk_plans(
    engine: Engine, plans: Sequence[Plan], *, rules: Sequence[WalletRules] | None = None, ordered: Ordered | None = None
) -> dict[str, NDArray[Any]]:
    """field of WalletPath -> int64 nanos [plans, customers]: prepaid wallets through the whole workload.

    Only the plans' prices, grants, packs and top-ups count. rules: instead of the plans' own.
    """
    import numpy as np

    grains = {grain_of(plan, engine.calendar) for plan in plans}
    if len(grains) > 1 and ordered is None:
        parts = [walk_plans(engine, [p], rules=None if rules is None else [rules[i]]) for i, p in enumerate(plans)]
        return {name: np.concatenate([part[name] for part in parts]) for name in FIELDS}
    ready = ordered or order_requests(engine, next(iter(grains)))
    tokens = [place for place, name in enumerate(ready.names) if name.endswith("_tokens")]
    return walk_wallets(
        ready.offsets,
        ready.at_ns,
        ready.months,
        ready.meters,
        ready.contexts,
        np.stack([rates_in_attos(plan, ready) for plan in plans]),
        list(rules) if rules is not None else [rules_of(plan) for plan in plans],
        tokens=ready.meters[:, tokens].sum(axis=1),
        end_ns=engine.calendar.spans[-1].end_ns,
    )


def month_of(at_ns: int) -> int:
    """The calendar month in UTC, as the kernel counts it."""
    moment = datetime.fromtimestamp(at_ns // 10**9, UTC)
    return moment.year * 12 + moment.month
