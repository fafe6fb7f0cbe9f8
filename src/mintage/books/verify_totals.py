"""Sums straight from the entries, to hold against the ledger and the lake.

No rule is shared with the ledger here, so that a wrong rule shows as well as a wrong row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from mintage.base import ATTOS_PER_NANO
from mintage.books import ledger_tables as tables
from mintage.books.database import Database
from mintage.books.entries import Entry, Reported, Settled, ToppedUp, WalletOpened
from mintage.books.lake import Lake
from mintage.books.ledger_reader import exact_sum, joined
from mintage.books.report import Findings

Sums = dict[tuple[str, str], int]


def _add(sums: Sums, name: str, currency: str, amount: int) -> None:
    sums[name, currency] = sums.get((name, currency), 0) + amount


class LogTotals:
    """Revenue, cost, exact usage, and what prepaid customers have left, per currency."""

    def __init__(self) -> None:
        self._funding: dict[str, str] = {}
        self._sums: Sums = {}

    def add(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            body = entry.body
            if type(body) is Settled:
                self._settled(body)
            elif type(body) is ToppedUp:
                self._topped_up(body)
            elif type(body) is WalletOpened:
                self._funding[body.wallet_id] = body.funding

    def _settled(self, body: Settled) -> None:
        for cost in body.costs:
            _add(self._sums, "cost", cost.currency, cost.nanos)
        if body.replay_of:
            return
        ahead = body.operation == "closing" and body.product == "subscription_ahead"
        _add(self._sums, "billed ahead" if ahead else "revenue", body.currency, body.posted_nanos)
        _add(self._sums, "usage in attos", body.currency, body.attos)
        if self._funding.get(body.wallet_id) == "prepaid":
            _add(self._sums, "prepaid", body.currency, -body.drawn_nanos)

    def _topped_up(self, body: ToppedUp) -> None:
        """What is owed to customers grows by what came in, unless another journal or another log says so."""
        funding = self._funding.get(body.wallet_id)
        if body.source in ("invoice", "credit_note", "lease"):
            return
        if funding == "prepaid" or (funding == "promo" and body.funds == "cash"):
            _add(self._sums, "prepaid", body.currency, body.amount_nanos)

    def findings(self, ledger: Database) -> Findings:
        """Against what the ledger says that the log made."""
        findings = Findings("ledger totals")
        found = _ledger_sums(ledger)
        for name, currency in sorted(found.keys() | self._sums.keys()):
            one, other = found.get((name, currency), 0), self._sums.get((name, currency), 0)
            findings.compared += 1
            if one != other:
                nanos = (one - other) // ATTOS_PER_NANO if name.endswith("attos") else one - other
                findings.wrong(f"{name} in {currency}: {one} where {other} follows", nanos)
        return findings


def _ledger_sums(database: Database) -> Sums:
    sums: Sums = {}
    r, u, j, p = tables.rollups.c, tables.usage.c, tables.journals.c, tables.postings.c
    queries = (
        ("revenue", 1, sa.select(r.currency, *exact_sum(r.amount_nanos)).where(r.credit.startswith("income:usage:"))),
        (
            "billed ahead",
            1,
            sa.select(r.currency, *exact_sum(r.amount_nanos)).where(r.credit == "liabilities:deferred_revenue"),
        ),
        ("cost", 1, sa.select(r.currency, *exact_sum(r.amount_nanos)).where(r.debit.startswith("expenses:cogs:"))),
        ("usage in attos", ATTOS_PER_NANO, sa.select(u.currency, *exact_sum(u.amount_nanos))),
        ("usage in attos", 1, sa.select(u.currency, *exact_sum(u.amount_attos))),
        (
            "prepaid",
            -1,
            sa.select(r.currency, *exact_sum(r.amount_nanos)).where(r.debit == "liabilities:customer_prepaid"),
        ),
        (
            "prepaid",
            -1,
            sa.select(p.currency, *exact_sum(p.amount_nanos))
            .join(tables.journals, j.id == p.journal_id)
            .where((p.account == "liabilities:customer_prepaid") & j.source.startswith("top_up:")),
        ),
    )
    with database.read() as connection:
        for name, sign, query in queries:
            for currency, high, low in connection.execute(query.group_by(query.selected_columns[0])):
                _add(sums, name, currency, sign * joined(high, low))
    return sums


class LakeSums:
    """Rows, charges, shortfalls and costs per customer and currency, of the entries that whole segments cover."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._gaps = lake.missing()
        self.seq = max((segment.last for segment in lake.segments()), default=0)
        self._sums: dict[tuple[str, str], list[int]] = {}
        self._lost: dict[tuple[int, int], int] = dict.fromkeys(self._gaps, 0)

    def feed(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            body = entry.body
            if entry.seq > self.seq:
                return
            if type(body) is Settled:
                self._move(body.tenant_id, body.currency, (1, body.posted_nanos, body.shortfall_nanos, 0))
                for cost in body.costs:
                    self._move(body.tenant_id, cost.currency, (0, 0, 0, cost.nanos))
                for first, last in self._gaps:
                    if first <= entry.seq <= last:
                        self._lost[first, last] += body.posted_nanos
            elif type(body) is Reported:
                self._move(body.event.tenant_id, "", (1, 0, 0, 0))

    def _move(self, tenant_id: str, currency: str, amounts: tuple[int, ...]) -> None:
        sums = self._sums.setdefault((tenant_id, currency), [0, 0, 0, 0])
        for index, amount in enumerate(amounts):
            sums[index] += amount

    def findings(self) -> Findings:
        findings = Findings("lake against the log")
        for (first, last), nanos in self._lost.items():
            findings.wrong(f"the segment of entries {first} to {last} is missing, with charges of {nanos} nanos")
        found = self._read()
        for tenant_id, currency in sorted(found.keys() | self._sums.keys()):
            one = found.get((tenant_id, currency), [0, 0, 0, 0])
            other = self._sums.get((tenant_id, currency), [0, 0, 0, 0])
            findings.compared += 1
            for name, here, there in zip(("rows", "charges", "shortfalls", "costs"), one, other, strict=True):
                if here != there:
                    problem = (
                        f"{name} of {tenant_id or 'nobody'} in {currency or 'no currency'}: {here} where {there} follow"
                    )
                    findings.wrong(problem, 0 if name == "rows" else here - there)
        return findings

    def _read(self) -> dict[tuple[str, str], list[int]]:
        rows: list[Any] = self._lake.query(
            "SELECT tenant_id, currency, count(*), sum(charge_nanos), sum(shortfall_nanos), sum(cost_nanos) FROM usage "
            "GROUP BY ALL UNION ALL SELECT tenant_id, c.currency, 0, 0, 0, sum(c.nanos) FROM "
            "(SELECT tenant_id, currency, unnest(costs) AS c FROM usage WHERE cost_parts > 0) "
            "WHERE c.currency <> currency GROUP BY ALL"
        )
        sums: dict[tuple[str, str], list[int]] = {}
        for tenant_id, currency, *numbers in rows:
            known = sums.setdefault((tenant_id, currency), [0, 0, 0, 0])
            sums[tenant_id, currency] = [a + int(b) for a, b in zip(known, numbers, strict=True)]
        return sums
