"""One pass over the workload: sums of meters by bill and by whatever else a price depends on.

A context is everything that chooses a rate: model, dimensions, which side of a prompt length, which stretch of time
between two instants at which a price changes. Sums are BIGINT; DuckDB refuses a sum that does not fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from mintage.base import MintageError
from mintage.lab.engine.periods import Calendar, Roll
from mintage.lab.workload import Workload
from mintage.lab.workload.table import connect, named

GROUPS_LIMIT: Final = 20_000_000


class Grain(msgspec.Struct, frozen=True, kw_only=True):
    """What rates depend on. instants: sorted, ns; between two of them no price changes."""

    dimensions: tuple[str, ...] = ()
    thresholds: tuple[int, ...] = ()
    instants: tuple[int, ...] = ()


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """prompt_tokens and at_ns stand for their whole stretch."""

    model: str
    dimensions: dict[str, str]
    prompt_tokens: int
    at_ns: int


class Totals(msgspec.Struct, frozen=True):
    """cell[i], context[i]: of group i, sorted by cell. sums: meter -> int64 per group."""

    cell: Any
    context: Any
    contexts: list[Context]
    sums: dict[str, Any]
    cells: int


def aggregate(workload: Workload, calendar: Calendar, roll: Roll, grain: Grain) -> Totals:
    """Sums of requests. Raises MintageError("invalid_request") if a sum passes int64."""
    import duckdb
    import numpy as np

    connection = connect(workload.threads)
    numbers = np.arange(len(roll.customers), dtype=np.int64)
    connection.register("roll_given", {"customer": np.array(roll.customers, dtype=object), "c": numbers})
    connection.execute("CREATE TABLE roll AS SELECT customer::VARCHAR AS customer, c FROM roll_given")
    meters = workload.meters
    keys = context_keys(workload, calendar, grain)
    sums = ", ".join(f"sum({named(meter)})::BIGINT AS {named(meter)}" for meter in meters)
    groups = ", ".join(f"{sql} AS {name}" for name, sql in keys.items())
    sql = (
        f"WITH g AS (SELECT customer, {groups}, {sums} FROM {workload.source} WHERE kind = 'usage' GROUP BY ALL) "
        f"SELECT roll.c AS c, g.* EXCLUDE (customer) FROM g JOIN roll USING (customer) ORDER BY ALL"
    )
    try:
        found = connection.execute(sql).fetchnumpy()
    except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
        raise MintageError(
            "invalid_request", "A sum of the workload passes 2^63.", "Check it for absurd numbers of tokens."
        ) from error
    if len(found["c"]) > GROUPS_LIMIT:
        raise MintageError("invalid_request", f"More than {GROUPS_LIMIT:,} groups.", "Use fewer dimensions.")
    cell = roll.offset[found["c"]] + found["_period"] - roll.first[found["c"]]
    context, contexts = _contexts(found, grain)
    columns = {meter: np.asarray(found[meter], dtype=np.int64) for meter in meters}
    return Totals(np.asarray(cell, dtype=np.int64), context, contexts, columns, roll.cells)


def context_keys(workload: Workload, calendar: Calendar, grain: Grain) -> dict[str, str]:
    keys = {"_period": step_sql(calendar.starts[1:]), "_model": "model" if "model" in workload.columns else "''"}
    for place, name in enumerate(grain.dimensions):
        keys[f"_d{place}"] = f"coalesce({named(name)}, '')" if name in workload.dimensions else "''"
    prompt = " + ".join(
        n for n in ("input_tokens", "cached_read_tokens", "cache_write_tokens") if n in workload.columns
    )
    keys["_prompt"] = step_sql([bound + 1 for bound in grain.thresholds], prompt or "0")
    keys["_instant"] = step_sql(list(grain.instants))
    return keys


def step_sql(edges: Sequence[int], value: str = "at_ns") -> str:
    """How many edges a value has reached: 0 before the first. A balanced tree, so that many edges cost little."""
    if not edges:
        return "0::BIGINT"

    def tree(low: int, high: int) -> str:
        if low == high:
            return str(low)
        middle = (low + high) // 2
        return f"CASE WHEN ({value}) < {edges[middle]} THEN {tree(low, middle)} ELSE {tree(middle + 1, high)} END"

    return f"({tree(0, len(edges))})::BIGINT"


def _contexts(found: dict[str, Any], grain: Grain) -> tuple[Any, list[Context]]:
    """Number of the context of each group, and the contexts."""
    import numpy as np

    names = ["_model", *(f"_d{place}" for place in range(len(grain.dimensions))), "_prompt", "_instant"]
    code = np.zeros(len(found["c"]), dtype=np.int64)
    levels = []
    for name in names:
        values, inverse = np.unique(np.asarray(found[name]).astype(str), return_inverse=True)
        levels.append(values)
        code = code * len(values) + inverse
    used, context = np.unique(code, return_inverse=True)
    contexts = []
    for number in used:
        rest, picked = int(number), []
        for values in reversed(levels):
            rest, place = divmod(rest, len(values))
            picked.append(str(values[place]))
        model, *dimensions, prompt, instant = reversed(picked)
        at = grain.instants[int(instant) - 1] if int(instant) else (grain.instants[0] - 1 if grain.instants else 0)
        contexts.append(
            Context(
                model=model,
                dimensions={n: v for n, v in zip(grain.dimensions, dimensions, strict=True) if v},
                prompt_tokens=grain.thresholds[int(prompt) - 1] + 1 if int(prompt) else 0,
                at_ns=at,
            )
        )
    return context, contexts
