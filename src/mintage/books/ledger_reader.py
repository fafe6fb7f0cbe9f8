"""Questions to the ledger: balances, trial balance, profit and loss, journals, what to invoice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final, Literal

import msgspec
import sqlalchemy as sa

from mintage.base import ATTOS_PER_NANO, MintageError
from mintage.books import ledger_tables as tables
from mintage.books.accounts_chart import DEBIT_TYPES, PROMO, SHORTFALL, account_type
from mintage.books.database import Database
from mintage.books.ledger_journals import JournalFilter, JournalPage, journal_page
from mintage.books.ledger_rules import BUCKET_NS, DAY_NS

Dimension = Literal["tenant_id", "product", "model", "provider", "day"]
DIMENSIONS: Final = ("tenant_id", "product", "model", "provider", "day")


class AccountBalance(msgspec.Struct, frozen=True, kw_only=True):
    """Sums of one account in one currency. balance_nanos is debits less credits."""

    account: str
    currency: str
    debit_nanos: int
    credit_nanos: int

    @property
    def balance_nanos(self) -> int:
        return self.debit_nanos - self.credit_nanos

    @property
    def natural_nanos(self) -> int:
        """The balance as people read it: positive on the side on which the account grows."""
        return self.balance_nanos if account_type(self.account) in DEBIT_TYPES else -self.balance_nanos


class ProfitAndLoss(msgspec.Struct, frozen=True, kw_only=True):
    """One currency, and one value of each dimension asked for (`group`).

    revenue: all income from usage and subscriptions, promotional usage included. cost: providers and own compute.
    promo: what promotions gave away. shortfall: usage that empty prepaid wallets could not pay. other: every other
    income less every other expense. entries: charges counted in.
    """

    group: dict[str, str | int]
    currency: str
    revenue_nanos: int
    cost_nanos: int
    promo_nanos: int
    shortfall_nanos: int
    other_nanos: int
    entries: int

    @property
    def margin_nanos(self) -> int:
        """Revenue less cost."""
        return self.revenue_nanos - self.cost_nanos

    @property
    def result_nanos(self) -> int:
        """What is left: the margin less promotions and shortfall, with everything else."""
        return self.margin_nanos - self.promo_nanos - self.shortfall_nanos + self.other_nanos


class UsageLine(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """What an invoice line is made from: an exact amount of attos (1e-18) for a quantity of one meter at one rate."""

    price_id: str
    model: str
    product: str
    meter: str
    rate_attos: int
    currency: str
    quantity: int
    attos: int
    entries: int


def whole_day(at_ns: int, name: str) -> int:
    """Days since the epoch. The ledger is kept by UTC days: a finer moment has no answer in it."""
    day, rest = divmod(at_ns, DAY_NS)
    if rest:
        raise MintageError(
            "invalid_request",
            f"{name} is not the start of a UTC day.",
            "The ledger is kept by whole UTC days.",
            param=name,
        )
    return day


def exact_sum(column: Any) -> tuple[Any, Any]:
    """A sum that may pass int64, as two sums that do not: of the upper and of the lower 32 bits."""
    upper, lower = sa.literal_column("32", sa.Integer), sa.literal_column("4294967295", sa.BigInteger)
    return sa.func.sum(column.op(">>")(upper)), sa.func.sum(column.op("&")(lower))


def joined(high: Any, low: Any) -> int:
    return (int(high or 0) << 32) + int(low or 0)


def _legs() -> sa.Subquery:
    """Every posting, rolled-up or kept, as rows of one shape."""
    r, j, p = tables.rollups.c, tables.journals.c, tables.postings.c
    dims = (r.currency, r.tenant_id, r.day, r.product, r.model, r.provider, r.entries)
    kept_day = sa.cast(j.occurred_ns // DAY_NS, sa.BigInteger)
    return sa.union_all(
        sa.select(r.debit.label("account"), *dims, r.amount_nanos.label("nanos")),
        sa.select(r.credit.label("account"), *dims, (-r.amount_nanos).label("nanos")),
        sa.select(
            p.account,
            p.currency,
            j.tenant_id,
            kept_day.label("day"),
            p.product,
            p.model,
            p.provider,
            sa.literal(0).label("entries"),
            p.amount_nanos.label("nanos"),
        ).join(tables.journals, j.id == p.journal_id),
    ).subquery("legs")


class LedgerReader:
    """Reads the ledger beside whoever writes it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reading: Callable[[], AbstractContextManager[sa.Connection]] = database.read

    @contextmanager
    def at_one_moment(self) -> Iterator[LedgerReader]:
        """A reader all of whose answers are of the same moment, whatever is posted meanwhile."""
        with self._database.read() as connection:
            reader = LedgerReader(self._database)
            reader._reading = lambda: nullcontext(connection)
            yield reader

    def _rows(self, query: Any) -> Sequence[Any]:
        with self._reading() as connection:
            return connection.execute(query).all()

    def trial_balance(self, at_ns: int | None = None) -> list[AccountBalance]:
        """Every account with its sums before at_ns (the start of a UTC day; None: all). Debits equal credits."""
        legs = _legs()
        debit = sa.case((legs.c.nanos > 0, legs.c.nanos), else_=0)
        credit = sa.case((legs.c.nanos < 0, -legs.c.nanos), else_=0)
        keys = (legs.c.account, legs.c.currency)
        query = sa.select(*keys, *exact_sum(debit), *exact_sum(credit)).group_by(*keys).order_by(*keys)
        if at_ns is not None:
            query = query.where(legs.c.day < whole_day(at_ns, "at"))
        return [
            AccountBalance(account=a, currency=c, debit_nanos=joined(dh, dl), credit_nanos=joined(ch, cl))
            for a, c, dh, dl, ch, cl in self._rows(query)
        ]

    def balances(self, prefix: str = "", *, tenant_id: str | None = None) -> dict[tuple[str, str], int]:
        """(account, currency) -> debits less credits in nanos, of `prefix` and the accounts below it."""
        legs = _legs()
        keys = (legs.c.account, legs.c.currency)
        query = sa.select(*keys, *exact_sum(legs.c.nanos)).group_by(*keys).order_by(*keys)
        if prefix:
            query = query.where(
                (legs.c.account == prefix.rstrip(":"))
                | legs.c.account.startswith(prefix.rstrip(":") + ":", autoescape=True)
            )
        if tenant_id is not None:
            query = query.where(legs.c.tenant_id == tenant_id)
        return {(account, currency): joined(*sums) for account, currency, *sums in self._rows(query)}

    def profit_and_loss(
        self,
        start_ns: int | None = None,
        end_ns: int | None = None,
        *,
        by: Sequence[Dimension] = (),
        tenant_id: str | None = None,
    ) -> list[ProfitAndLoss]:
        """Income and expenses of [start, end), UTC days; one row per currency and combination of `by`.

        by=("tenant_id",) gives the margin per customer, ("model",) per model, ("provider",) the cost per provider.
        """
        if wrong := set(by) - set(DIMENSIONS):
            raise MintageError(
                "invalid_request", f"Cannot group by {min(wrong)!r}.", f"Use: {', '.join(DIMENSIONS)}.", param="by"
            )
        legs = _legs()
        keys = (legs.c.currency, *(legs.c[name] for name in by))
        query = sa.select(legs.c.account, *keys, *exact_sum(legs.c.nanos), sa.func.sum(legs.c.entries))
        query = query.group_by(legs.c.account, *keys).where(
            legs.c.account.startswith("income:") | legs.c.account.startswith("expenses:")
        )
        if start_ns is not None:
            query = query.where(legs.c.day >= whole_day(start_ns, "start"))
        if end_ns is not None:
            query = query.where(legs.c.day < whole_day(end_ns, "end"))
        if tenant_id is not None:
            query = query.where(legs.c.tenant_id == tenant_id)
        sums: dict[tuple[Any, ...], dict[str, int]] = {}
        for account, *key, high, low, entries in self._rows(query):
            row = sums.setdefault(tuple(key), dict.fromkeys(("revenue", "cost", "promo", "shortfall", "other", "n"), 0))
            kind, sign = _kind(account)
            row[kind] += sign * joined(high, low)
            row["n"] += int(entries) if kind == "revenue" else 0
        return [
            ProfitAndLoss(
                group=dict(zip(by, key[1:], strict=True)),
                currency=key[0],
                revenue_nanos=row["revenue"],
                cost_nanos=row["cost"],
                promo_nanos=row["promo"],
                shortfall_nanos=row["shortfall"],
                other_nanos=row["other"],
                entries=row["n"],
            )
            for key, row in sorted(sums.items())
        ]

    def usage_lines(self, tenant_id: str, start_ns: int, end_ns: int) -> list[UsageLine]:
        """All usage of [start, end), whole quarters of an hour, per price, model, product, meter and rate. Exact."""
        if start_ns % BUCKET_NS or end_ns % BUCKET_NS:
            raise MintageError(
                "invalid_request", "A period starts and ends on a quarter of an hour.", "Align both.", param="period"
            )
        u = tables.usage.c
        keys = (u.price_id, u.model, u.product, u.meter, u.rate_attos, u.currency)
        sums = (
            sa.func.sum(u.quantity),
            *exact_sum(u.amount_nanos),
            sa.func.sum(u.amount_attos),
            sa.func.sum(u.entries),
        )
        query = (
            sa.select(*keys, *sums)
            .where((u.tenant_id == tenant_id) & (u.bucket_ns >= start_ns) & (u.bucket_ns < end_ns))
            .group_by(*keys)
        )
        lines = [
            UsageLine(
                price_id=price_id,
                model=model,
                product=product,
                meter=meter,
                rate_attos=int(rate),
                currency=currency,
                quantity=int(quantity),
                attos=joined(high, low) * ATTOS_PER_NANO + int(attos),
                entries=int(entries),
            )
            for price_id, model, product, meter, rate, currency, quantity, high, low, attos, entries in self._rows(
                query
            )
        ]
        return sorted(lines)

    def tokens_served(self, model: str, start_ns: int, end_ns: int | None = None) -> int:
        """Tokens of every class that customers were charged for, by quarters of an hour."""
        u = tables.usage.c
        query = sa.select(sa.func.sum(u.quantity)).where(
            (u.model == model),
            u.meter.like("%\\_tokens", escape="\\"),
            u.bucket_ns >= start_ns - start_ns % BUCKET_NS,
        )
        if end_ns is not None:
            query = query.where(u.bucket_ns < end_ns - end_ns % BUCKET_NS)
        [row] = self._rows(query)
        return int(row[0] or 0)

    def locked_until_ns(self) -> int:
        """Before this instant the books take no journal any more; 0 while nothing is locked."""
        [row] = self._rows(sa.select(sa.func.max(tables.locks.c.until_ns)))
        return int(row[0] or 0)

    def closings(self, tenant_id: str) -> list[tuple[int, int]]:
        """(closed_until_ns, seq) of every closed period of a tenant, in order."""
        table = tables.closings.c
        query = sa.select(table.closed_until_ns, table.seq).where(table.tenant_id == tenant_id)
        return [(int(until), int(seq)) for until, seq in self._rows(query.order_by(table.closed_until_ns))]

    def journals(
        self,
        *,
        tenant_id: str | None = None,
        event: str | None = None,
        start_ns: int | None = None,
        end_ns: int | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> JournalPage:
        """One page of journals, newest day first: the kept ones, then the day's rolled-up ones (source "rollup")."""
        first = None if start_ns is None else whole_day(start_ns, "start")
        last = None if end_ns is None else whole_day(end_ns, "end")
        wanted = JournalFilter(tenant_id=tenant_id, event=event, first_day=first, end_day=last)
        with self._reading() as connection:
            return journal_page(connection, wanted, limit, cursor)


def _kind(account: str) -> tuple[str, int]:
    """The line of the profit and loss that an account belongs to, and the sign that makes it positive there."""
    if account.startswith(("income:usage:", "income:subscription:", "income:breakage")):
        return "revenue", -1
    if account.startswith("expenses:cogs:"):
        return "cost", 1
    if account == PROMO:
        return "promo", 1
    if account == SHORTFALL:
        return "shortfall", 1
    return "other", -1
