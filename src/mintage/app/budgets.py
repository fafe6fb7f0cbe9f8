"""What keys and projects with a budget have spent so far, read from the lake when the gateway first meets a budget."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from mintage.gateway import Budget

#: (sql, parameters) -> rows, after everything durable has reached the lake.
Query = Callable[[str, Sequence[object]], Awaitable[list[list[Any]]]]

_COLUMNS: Final = ("key_id", "project_id", "tenant_id")
_SPENT: Final = (
    "SELECT {column}, sum(charge_nanos) FROM usage WHERE {column} IN (SELECT unnest(?::VARCHAR[])) "
    "AND occurred >= make_timestamp(?::BIGINT) AND operation <> 'closing' GROUP BY ALL"
)


async def load_budgets(budgets: Sequence[Budget], families: Mapping[str, str], query: Query) -> None:
    """families: rotated key -> the first of its line. Raises MintageError when the lake cannot be asked; what is not
    loaded then stays shut."""
    for start_ns in sorted({budget.start_ns for budget in budgets}):
        part = [budget for budget in budgets if budget.start_ns == start_ns]
        spent = dict.fromkeys((budget.id for budget in part), 0)
        members = [*spent, *(key_id for key_id, first in families.items() if first in spent)]
        for column in _COLUMNS:
            for name, nanos in await query(_SPENT.format(column=column), [members, start_ns // 1000]):
                spent[families.get(name, name)] += int(nanos)
        for budget in part:
            budget.load(spent[budget.id])
