"""Pages of journals, newest day first: of each day the kept ones, then the rolled-up ones.

A cursor is the key of the last journal shown, so a page stays right while new journals arrive above it.
"""

from __future__ import annotations

import base64
import datetime
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from mintage.base import MintageError
from mintage.books import ledger_tables as tables
from mintage.books.journal import Journal, Posting
from mintage.books.ledger_rules import DAY_NS

PAGE_LIMIT: Final = 1000
_EPOCH: Final = datetime.date(1970, 1, 1)
_ROLLED_KEY: Final = ("tenant_id", "event", "product", "model", "provider", "currency", "debit", "credit")


class JournalFilter(msgspec.Struct, frozen=True, kw_only=True):
    """None means any. Days since the epoch: first_day <= day < end_day."""

    tenant_id: str | None = None
    event: str | None = None
    first_day: int | None = None
    end_day: int | None = None

    def on(self, query: Any, columns: Any, day: Any) -> Any:
        """`query` narrowed to this filter; day is the column or expression of the day."""
        if self.tenant_id is not None:
            query = query.where(columns.tenant_id == self.tenant_id)
        if self.event is not None:
            query = query.where(columns.event == self.event)
        if self.first_day is not None:
            query = query.where(day >= self.first_day)
        if self.end_day is not None:
            query = query.where(day < self.end_day)
        return query


class JournalPage(msgspec.Struct, frozen=True, kw_only=True):
    """cursor asks for the next page; None when this was the last."""

    journals: list[Journal]
    cursor: str | None


class _Cursor(msgspec.Struct, frozen=True, array_like=True):
    day: int
    rolled: bool
    key: list[str | int]  # (occurred_ns, id) of a kept journal, _ROLLED_KEY's values of a rolled-up one


def _encode(cursor: _Cursor) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode()


def _decode(text: str | None) -> _Cursor | None:
    if text is None:
        return None
    try:
        cursor = msgspec.json.decode(base64.urlsafe_b64decode(text[:4096]), type=_Cursor)
    except (ValueError, msgspec.DecodeError) as error:
        raise _foreign() from error
    if len(cursor.key) != (len(_ROLLED_KEY) if cursor.rolled else 2):
        raise _foreign()
    return cursor


def _foreign() -> MintageError:
    return MintageError(
        "invalid_request", "This is not a cursor of ours.", "Use the one that the last page gave.", param="cursor"
    )


def journal_page(connection: sa.Connection, wanted: JournalFilter, limit: int, cursor: str | None) -> JournalPage:
    """At most `limit` journals after `cursor`."""
    limit = max(1, min(limit, PAGE_LIMIT))
    after = _decode(cursor)
    found = _kept(connection, wanted, after, limit + 1)
    found += _rolled(connection, wanted, after, limit + 1)
    found.sort(key=lambda pair: (-pair[0].day, pair[0].rolled))  # stable: each kind is in order already
    page = found[:limit]
    more = len(found) > limit
    return JournalPage(journals=[journal for _, journal in page], cursor=_encode(page[-1][0]) if more else None)


def _kept(
    connection: sa.Connection, wanted: JournalFilter, after: _Cursor | None, limit: int
) -> list[tuple[_Cursor, Journal]]:
    t = tables.journals.c
    query = sa.select(tables.journals).order_by(t.occurred_ns.desc(), t.id.desc()).limit(limit)
    query = wanted.on(query, t, t.occurred_ns // DAY_NS)
    if after is not None and after.rolled:
        query = query.where(t.occurred_ns < after.day * DAY_NS)
    elif after is not None:
        query = query.where(sa.tuple_(t.occurred_ns, t.id) < sa.tuple_(*after.key))
    rows = connection.execute(query).all()
    lines = _lines(connection, [row.id for row in rows])
    return [
        (
            _Cursor(row.occurred_ns // DAY_NS, False, [row.occurred_ns, row.id]),
            Journal(
                event=row.event,
                source=row.source,
                source_id=row.source_id,
                occurred_ns=row.occurred_ns,
                postings=tuple(lines.get(row.id, ())),
                tenant_id=row.tenant_id,
                memo=row.memo,
            ),
        )
        for row in rows
    ]


def _lines(connection: sa.Connection, ids: list[str]) -> dict[str, list[Posting]]:
    table = tables.postings
    rows = connection.execute(
        sa.select(table).where(table.c.journal_id.in_(ids)).order_by(table.c.journal_id, table.c.line)
    )
    lines: dict[str, list[Posting]] = {}
    for row in rows:
        lines.setdefault(row.journal_id, []).append(
            Posting(
                account=row.account,
                currency=row.currency,
                amount_nanos=row.amount_nanos,
                product=row.product,
                model=row.model,
                provider=row.provider,
            )
        )
    return lines


def _rolled(
    connection: sa.Connection, wanted: JournalFilter, after: _Cursor | None, limit: int
) -> list[tuple[_Cursor, Journal]]:
    t = tables.rollups.c
    key = [t[name] for name in _ROLLED_KEY]
    query = sa.select(tables.rollups).order_by(t.day.desc(), *key).limit(limit)
    query = wanted.on(query, t, t.day)
    if after is not None and after.rolled:
        query = query.where((t.day < after.day) | ((t.day == after.day) & (sa.tuple_(*key) > sa.tuple_(*after.key))))
    elif after is not None:
        query = query.where(t.day <= after.day)
    return [
        (_Cursor(row.day, True, [getattr(row, name) for name in _ROLLED_KEY]), rolled_journal(row))
        for row in connection.execute(query)
    ]


def rolled_journal(row: Any) -> Journal:
    """A row of ledger_rollups as a journal of two lines."""
    date = (_EPOCH + datetime.timedelta(days=row.day)).isoformat()
    lines = [
        Posting(
            account=account,
            currency=row.currency,
            amount_nanos=nanos,
            product=row.product,
            model=row.model,
            provider=row.provider,
        )
        for account, nanos in ((row.debit, row.amount_nanos), (row.credit, -row.amount_nanos))
    ]
    name = "/".join((date, row.event, row.tenant_id, row.product, row.model, row.provider, row.currency))
    return Journal(
        event=row.event,
        source="rollup",
        source_id=name,
        occurred_ns=row.day * DAY_NS,
        postings=tuple(lines),
        tenant_id=row.tenant_id,
        entries=row.entries,
    )
