"""What an import found: every row is taken, rejected with its reason, or taken and warned about. None is lost."""

from __future__ import annotations

from typing import Literal

import msgspec

Code = Literal[
    "time_unreadable",
    "number_unreadable",
    "negative",
    "cached_above_input",
    "duplicate_id",
    "conflicting_id",
    "time_without_zone",
    "outlier",
    "no_customer",
    "unknown_column",
    "no_model",
]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """rows: how many; examples: the first few row numbers (the first row after the header is 1), with what they say."""

    code: Code
    severity: Literal["rejected", "warning"]
    field: str
    rows: int
    message: str
    examples: tuple[tuple[int, str], ...] = ()


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """read = taken + rejected, always. mapping: our field -> the column that it came from."""

    source: str
    preset: str
    mapping: dict[str, str]
    read: int
    taken: int
    rejected: int
    problems: tuple[Problem, ...]
    workload: str = ""
    rejects: str = ""
