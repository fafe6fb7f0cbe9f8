"""What a verification found."""

from __future__ import annotations

import msgspec

PROBLEMS_LIMIT = 20  # shown per check; the sum counts all


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison. difference_nanos sums the absolute differences; problems names the first of them."""

    name: str
    ok: bool
    difference_nanos: int = 0
    compared: int = 0
    problems: list[str] = msgspec.field(default_factory=list)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """balanced: every check passed. The seqs say how far each part had read the log when it was looked at."""

    balanced: bool
    difference_nanos: int
    holds_open: int
    log_seq: int
    state_seq: int
    ledger_seq: int
    lake_seq: int
    checks: list[Check]


class Findings:
    """Collects the problems of one check."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._problems: list[str] = []
        self._difference = 0
        self._wrong = False
        self.compared = 0

    def wrong(self, problem: str, difference_nanos: int = 0) -> None:
        self._wrong = True
        self._difference += abs(difference_nanos)
        if len(self._problems) < PROBLEMS_LIMIT:
            self._problems.append(problem)

    def compare(self, what: str, found: int, expected: int) -> None:
        """Two amounts of nanos that must be equal."""
        self.compared += 1
        if found != expected:
            self.wrong(f"{what}: {found} where {expected} follows ({found - expected:+d} nanos)", found - expected)

    def check(self) -> Check:
        return Check(
            name=self._name,
            ok=not self._wrong,
            difference_nanos=self._difference,
            compared=self.compared,
            problems=self._problems,
        )
