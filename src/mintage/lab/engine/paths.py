"""Wallet plans over a workload: every request in order, once as arrays, then every plan through the path kernel."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import msgspec

from mintage.base import ATTOS_PER_UNIT, MintageError
from mintage.lab.engine.aggregate import Grain, Totals, context_keys
from mintage.lab.engine.fast import Engine, context_rates, grain_of
from mintage.lab.workload.table import connect, named
from mintage.pricing import Plan
from mintage.pricing.paths import FIELDS, WalletRules, rules_of, walk_wallets

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
    """Sort the workload once. The contexts are those of the grain's totals."""
    import numpy as np

    totals = engine.totals(grain)
    names = [meter for meter, sums in totals.sums.items() if sums.any()]
    connection = connect(engine.workload.threads)
    _register(connection, engine, totals, grain)
    keys = context_keys(engine.workload, engine.calendar, grain)
    key = "concat_ws('|', " + ", ".join(f"({sql})::VARCHAR" for name, sql in keys.items() if name != "_period") + ")"
    month = "(year(make_timestamp(at_ns // 1000)) * 12 + month(make_timestamp(at_ns // 1000)))::INTEGER"
    listed = ", ".join(named(name) for name in names)
    found = connection.execute(
        f"SELECT roll.c AS c, at_ns, {month} AS m, ctx.number AS k, {listed} FROM {engine.workload.source} "
        f"JOIN roll USING (customer) JOIN ctx ON ctx.text = {key} WHERE kind = 'usage' ORDER BY c, at_ns, id"
    ).fetchnumpy()
    counts = np.bincount(found["c"], minlength=len(engine.roll.customers))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    meters = np.empty((len(found["c"]), len(names)), dtype=np.int64)
    for place, name in enumerate(names):
        meters[:, place] = found.pop(name)
    return Ordered(
        offsets=offsets,
        at_ns=np.asarray(found["at_ns"], dtype=np.int64),
        months=np.asarray(found["m"], dtype=np.int32),
        contexts=np.asarray(found["k"], dtype=np.int32),
        meters=meters,
        names=names,
        totals=totals,
    )


def _register(connection: Any, engine: Engine, totals: Totals, grain: Grain) -> None:
    import numpy as np

    customers = np.array(engine.roll.customers, dtype=object)
    connection.register("given_roll", {"customer": customers, "c": np.arange(len(customers), dtype=np.int32)})
    connection.execute("CREATE TABLE roll AS SELECT customer::VARCHAR AS customer, c FROM given_roll")
    texts = []
    for context in totals.contexts:
        prompt = sum(context.prompt_tokens > bound for bound in grain.thresholds)
        instant = sum(context.at_ns >= at for at in grain.instants)
        named_values = [context.dimensions.get(name, "") for name in grain.dimensions]
        texts.append("|".join([context.model, *named_values, str(prompt), str(instant)]))
    ids = np.arange(len(texts), dtype=np.int32)
    connection.register("given_ctx", {"text": np.array(texts, dtype=object), "number": ids})
    connection.execute("CREATE TABLE ctx AS SELECT text::VARCHAR AS text, number FROM given_ctx")


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
