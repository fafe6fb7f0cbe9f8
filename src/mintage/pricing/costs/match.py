"""Whether a name is meant by a clause of the price book: equals, starts_with, ends_with, contains, regex, or, and."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Any, Final

from mintage.pricing.costs.data import Clause

Matcher = Callable[[str], bool]
_COMPACT_DATE: Final = re.compile(r"(-)(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


def _literal(kind: str, value: str) -> Matcher:
    value = value.lower()
    if kind == "equals":
        return lambda name: name == value
    if kind == "starts_with":
        return lambda name: name.startswith(value)
    if kind == "ends_with":
        return lambda name: name.endswith(value)
    return lambda name: value in name


def compile_clause(clause: Clause) -> Matcher:
    """A test of lower-case names. The clauses come with the package, so their patterns are trusted."""
    ((kind, value),) = clause.items()
    if kind in ("or", "and"):
        parts: list[Any] = [compile_clause(part) for part in value]
        if kind == "or":
            return lambda name: any(part(name) for part in parts)
        return lambda name: all(part(name) for part in parts)
    if kind == "regex":
        pattern = re.compile(value)
        return lambda name: pattern.search(name) is not None
    if kind not in ("equals", "starts_with", "ends_with", "contains"):
        raise ValueError(f"unknown clause {kind}")
    return _literal(kind, value)


def dashed_dates(model: str) -> str:
    """`gpt-5-20251211` as `gpt-5-2025-12-11`: some gateways write dates compactly."""

    def dash(match: re.Match[str]) -> str:
        year, month, day = (int(part) for part in match.groups()[1:])
        try:
            return f"-{date(year, month, day).isoformat()}"
        except ValueError:
            return match.group(0)

    return _COMPACT_DATE.sub(dash, model)
