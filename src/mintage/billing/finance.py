"""The finance desk's reads: balance sheet, income statement, ageing, deferred revenue, prepaid liability by age.

All amounts are whole nanos from the ledger, per currency; days are UTC, as the ledger keeps them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec

from mintage.accounts import PAGE_MAX, Accounts
from mintage.billing.deferred import Deferred, earned_nanos
from mintage.billing.invoices import Invoices
from mintage.books import AccountBalance, Ledger

DAY_NS: Final = 86_400 * 10**9
PREPAID: Final = "liabilities:customer_prepaid"
#: Days past due (or old), as the first and the last of a bucket.
AGES: Final = ((1, 30), (31, 60), (61, 90), (91, None))
_TOP_UPS: Final = ("top_up", "promo_grant")
_PAGES_MAX: Final = 10_000


class StatementRow(msgspec.Struct, frozen=True, kw_only=True):
    """nanos is positive on the side on which the account grows."""

    account: str
    nanos: int


class BalanceSheet(msgspec.Struct, frozen=True, kw_only=True):
    """result_nanos: income less expenses so far, which belongs to equity. balanced: assets = liabilities + equity."""

    currency: str
    at: str
    assets: list[StatementRow]
    liabilities: list[StatementRow]
    equity: list[StatementRow]
    result_nanos: int
    assets_nanos: int
    liabilities_nanos: int
    equity_nanos: int
    balanced: bool


class IncomeStatement(msgspec.Struct, frozen=True, kw_only=True):
    """[start, end) in UTC days."""

    currency: str
    start: str
    end: str
    income: list[StatementRow]
    expenses: list[StatementRow]
    income_nanos: int
    expenses_nanos: int
    result_nanos: int


class AgeRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one customer owes, or has paid ahead, by age in days. Buckets: current, 1-30, 31-60, 61-90, 91+."""

    tenant_id: str
    handle: str
    name: str
    currency: str
    buckets: dict[str, int]
    total_nanos: int


class DeferredMonth(msgspec.Struct, frozen=True, kw_only=True):
    month: str
    currency: str
    nanos: int


class DeferredSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """months: what will be earned when. deferred_nanos: currency -> all of it; ledger_nanos: the account's balance."""

    months: list[DeferredMonth]
    deferred_nanos: dict[str, int]
    ledger_nanos: dict[str, int]


def bucket(days: int) -> str:
    if days <= 0:
        return "current"
    first, last = next(age for age in AGES if age[1] is None or days <= age[1])
    return f"{first}+" if last is None else f"{first}-{last}"


def bucket_names() -> list[str]:
    return ["current", *(f"{first}+" if last is None else f"{first}-{last}" for first, last in AGES)]


def day_of(at_ns: int) -> date:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_ns // 1000)).date()


class Finance:
    """Blocking, for a thread; ship the log first."""

    def __init__(self, accounts: Accounts, ledger: Ledger, invoices: Invoices, deferred: Deferred) -> None:
        self._accounts = accounts
        self._ledger = ledger
        self._invoices = invoices
        self._deferred = deferred

    # -- statements --------------------------------------------------------------------------------------------------

    def balance_sheet(self, at_ns: int | None = None) -> list[BalanceSheet]:
        """One a currency, before the UTC day at_ns or as of now."""
        rows = self._ledger.trial_balance(at_ns)
        day = day_of(self._accounts.changes.clock.now_ns() if at_ns is None else at_ns)
        return [self._sheet(currency, str(day), mine) for currency, mine in _by_currency(rows).items()]

    @staticmethod
    def _sheet(currency: str, day: str, rows: Sequence[AccountBalance]) -> BalanceSheet:
        parts = {name: _part(rows, name) for name in ("assets", "liabilities", "equity", "income", "expenses")}
        sums = {name: sum(row.nanos for row in part) for name, part in parts.items()}
        result = sums["income"] - sums["expenses"]
        equity = sums["equity"] + result
        return BalanceSheet(
            currency=currency,
            at=day,
            assets=parts["assets"],
            liabilities=parts["liabilities"],
            equity=parts["equity"],
            result_nanos=result,
            assets_nanos=sums["assets"],
            liabilities_nanos=sums["liabilities"],
            equity_nanos=equity,
            balanced=sums["assets"] == sums["liabilities"] + equity,
        )

    def income_statement(self, start_ns: int | None, end_ns: int | None) -> list[IncomeStatement]:
        """Income and expenses by account."""
        after = self._ledger.trial_balance(end_ns)
        before = [] if start_ns is None else self._ledger.trial_balance(start_ns)
        earlier = {(row.account, row.currency): row.natural_nanos for row in before}
        now = self._accounts.changes.clock.now_ns()
        found = []
        for currency, rows in _by_currency(after).items():
            moved = [
                StatementRow(account=row.account, nanos=row.natural_nanos - earlier.get((row.account, currency), 0))
                for row in rows
            ]
            income = [row for row in moved if row.account.startswith("income:") and row.nanos]
            expenses = [row for row in moved if row.account.startswith("expenses:") and row.nanos]
            earned, spent = sum(row.nanos for row in income), sum(row.nanos for row in expenses)
            found.append(
                IncomeStatement(
                    currency=currency,
                    start="" if start_ns is None else str(day_of(start_ns)),
                    end=str(day_of(now + DAY_NS if end_ns is None else end_ns)),
                    income=income,
                    expenses=expenses,
                    income_nanos=earned,
                    expenses_nanos=spent,
                    result_nanos=earned - spent,
                )
            )
        return found

    # -- who owes what, and for how long -----------------------------------------------------------------------------

    def ageing(self) -> list[AgeRow]:
        """Open invoices by how long they are past due, a row per customer and currency, the largest first."""
        now = self._accounts.changes.clock.now_ns()
        sums: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: dict.fromkeys(bucket_names(), 0))
        cursor: str | None = None
        for _ in range(_PAGES_MAX):
            page = self._invoices.page(limit=PAGE_MAX, cursor=cursor)
            for row in page.items:
                if row.open_nanos and row.state == "finalised":
                    days = -(-(now - (row.due_ns or row.issued_ns)) // DAY_NS)
                    sums[row.tenant_id, row.currency][bucket(days)] += row.open_nanos
            cursor = page.next_cursor
            if cursor is None:
                break
        return self._age_rows(sums)

    def prepaid_by_age(self) -> list[AgeRow]:
        """What customers have paid ahead and not used, by when it came in: the newest money is used last."""
        now = self._accounts.changes.clock.now_ns()
        sums: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: dict.fromkeys(bucket_names(), 0))
        cursor: str | None = None
        for _ in range(_PAGES_MAX):
            page = self._accounts.tenants.page(limit=PAGE_MAX, cursor=cursor)
            for tenant in page.items:
                for (account, currency), nanos in self._ledger.balances(PREPAID, tenant_id=tenant.id).items():
                    if account == PREPAID and nanos:
                        self._by_age(sums[tenant.id, currency], tenant.id, currency, -nanos, now)
            cursor = page.next_cursor
            if cursor is None:
                break
        return self._age_rows(sums)

    def _by_age(self, buckets: dict[str, int], tenant_id: str, currency: str, left: int, now_ns: int) -> None:
        for event in _TOP_UPS:
            cursor: str | None = None
            while left > 0:
                page = self._ledger.journals(tenant_id=tenant_id, event=event, limit=500, cursor=cursor)
                for journal in page.journals:
                    came = sum(
                        -posting.amount_nanos
                        for posting in journal.postings
                        if posting.account == PREPAID and posting.currency == currency
                    )
                    part = min(left, came)
                    left -= part
                    buckets[bucket((now_ns - journal.occurred_ns) // DAY_NS)] += part
                cursor = page.cursor
                if cursor is None:
                    break
        buckets[bucket_names()[-1]] += left

    def _age_rows(self, sums: dict[tuple[str, str], dict[str, int]]) -> list[AgeRow]:
        rows = []
        for (tenant_id, currency), buckets in sums.items():
            tenant = self._accounts.tenants.get(tenant_id)
            total = sum(buckets.values())
            rows.append(
                AgeRow(
                    tenant_id=tenant_id,
                    handle=tenant.handle,
                    name=tenant.name,
                    currency=currency,
                    buckets=buckets,
                    total_nanos=total,
                )
            )
        return sorted(rows, key=lambda row: (-row.total_nanos, row.handle))

    # -- deferred revenue --------------------------------------------------------------------------------------------

    def deferred_schedule(self) -> DeferredSchedule:
        """What is billed and not yet earned, by the month in which it will be."""
        months: dict[tuple[str, str], int] = defaultdict(int)
        totals: dict[str, int] = defaultdict(int)
        for fee in self._deferred.fees(self.zones()):
            first, until = date.fromisoformat(fee.first_day), date.fromisoformat(fee.until_day)
            totals[fee.currency] += fee.deferred_nanos
            done, month = fee.released_nanos, first.replace(day=1)
            while done != fee.billed_nanos:
                following = (month + timedelta(days=32)).replace(day=1)
                earned = earned_nanos(fee.billed_nanos, first, until, following)
                if following >= until:
                    earned = fee.billed_nanos
                if abs(earned) > abs(done):
                    months[str(month)[:7], fee.currency] += earned - done
                    done = earned
                month = following
        balances = self._ledger.balances("liabilities:deferred_revenue")
        return DeferredSchedule(
            months=[
                DeferredMonth(month=month, currency=currency, nanos=nanos)
                for (month, currency), nanos in sorted(months.items())
            ],
            deferred_nanos=dict(totals),
            ledger_nanos={currency: -nanos for (_, currency), nanos in balances.items()},
        )

    def zones(self) -> dict[str, str]:
        """tenant_id -> time zone."""
        found: dict[str, str] = {}
        cursor: str | None = None
        for _ in range(_PAGES_MAX):
            page = self._accounts.tenants.page(limit=PAGE_MAX, cursor=cursor)
            found |= {tenant.id: tenant.time_zone for tenant in page.items}
            cursor = page.next_cursor
            if cursor is None:
                break
        return found


def _by_currency(rows: Sequence[AccountBalance]) -> dict[str, list[AccountBalance]]:
    found: dict[str, list[AccountBalance]] = {}
    for row in rows:
        found.setdefault(row.currency, []).append(row)
    return dict(sorted(found.items()))


def _part(rows: Sequence[AccountBalance], kind: str) -> list[StatementRow]:
    return [
        StatementRow(account=row.account, nanos=row.natural_nanos)
        for row in rows
        if row.account.startswith(f"{kind}:") and row.natural_nanos
    ]
