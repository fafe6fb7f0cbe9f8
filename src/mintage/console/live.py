"""Live figures: one event stream per open page, fed by the commit log.

The log's subscription only wakes the watchers. A watcher reads what is new and pushes finished pieces of the page, at
most a few times a second, and only those that changed. Pieces are made once for all pages of one language and period.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from mintage.base import MintageError
from mintage.books import Entry, Settled
from mintage.console import view
from mintage.console.chart import Series, series
from mintage.console.follower import Follower, RequestRecord
from mintage.console.i18n import Translator
from mintage.console.overview import Figures, Overview, Period
from mintage.console.render import fragment
from mintage.console.services import ConsoleServices

WATCHERS_LIMIT: Final = 64
ROW_LIMIT: Final = 50
_PAUSE_S: Final = 0.4  # between two pushes to one page
_IDLE_S: Final = 10.0  # without news: the clock moves on, and a proxy sees that the stream lives
_LOOK_UP_S: Final = 1.0  # how soon an idle stream notices that the server is closing
_BEAT: Final = b"event: beat\ndata: {}\n\n"  # an event and not a comment: the page listens for silence
_BALANCE_EVERY_NS: Final = 60 * 10**9
_NAMES_LIMIT: Final = 10_000


class PageData(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows, ready for its templates."""

    figures: Figures
    statement: view.Statement
    series: Series
    rows: list[view.Row]
    customers: list[view.CustomerRow]
    totals: list[view.CustomerTotal]


class LiveDesk:
    """The console's one view of the books, shared by all open pages."""

    def __init__(self, services: ConsoleServices) -> None:
        self._services = services
        self._follower = Follower(services.log, services.clock)
        self._overview = Overview(services, self._follower)
        self._watchers: set[asyncio.Event] = set()
        self._names: dict[str, str] = {}
        self._names_version = -1
        self._balance_lock = asyncio.Lock()
        self._checked_ns: int | None = None
        self._differences: dict[str, int] = {}
        self._pieces: dict[tuple[str, Period], tuple[Figures, dict[str, Any]]] = {}
        services.log.subscribe(self._wake)

    def _wake(self, entries: Sequence[Entry]) -> None:
        for news in self._watchers:
            news.set()

    async def data(self, period: Period, t: Translator) -> PageData:
        """Everything for one page, of one moment. Raises MintageError if the books cannot be read."""
        return await self._data(await self._overview.figures(period), t)

    async def _data(self, figures: Figures, t: Translator) -> PageData:
        services = self._services
        wallets, holds = services.log.wallets(), len(services.log.open_holds())
        records = self._follower.newest(ROW_LIMIT)
        names = await self.names_of({wallet.tenant_id for wallet in wallets} | {record.tenant_id for record in records})
        currency = services.settings.currency
        customers, totals = view.customers(figures, wallets, names)
        return PageData(
            figures=figures,
            statement=view.statement(figures, wallets, holds, currency, await self._balance()),
            series=series(figures, currency, t),
            rows=[view.row(record, names) for record in records],
            customers=customers,
            totals=totals,
        )

    async def names_of(self, tenant_ids: set[str]) -> dict[str, str]:
        version = await asyncio.to_thread(self._services.accounts.version)
        if version != self._names_version:
            self._names, self._names_version = {}, version
        missing = sorted(tenant_ids - self._names.keys())[:_NAMES_LIMIT]
        for start in range(0, len(missing), 1_000):
            some = missing[start : start + 1_000]
            self._names |= await asyncio.to_thread(self._services.accounts.tenants.names, some)
        return self._names

    async def _balance(self) -> dict[str, int]:
        """Debits less credits of the whole ledger where they differ, per currency; looked up once a minute at most."""
        async with self._balance_lock:
            now_ns = self._services.clock.now_ns()
            if self._checked_ns is None or not 0 <= now_ns - self._checked_ns < _BALANCE_EVERY_NS:
                sums: dict[str, int] = {}
                for account in await asyncio.to_thread(self._services.reader.trial_balance):
                    sums[account.currency] = sums.get(account.currency, 0) + account.balance_nanos
                self._differences = {currency: nanos for currency, nanos in sums.items() if nanos}
                self._checked_ns = now_ns
        return self._differences

    async def settled(self, request_id: str) -> Settled | None:
        """The durable settlement of a request; None for one that was never settled."""
        await self._follower.catch_up()
        record = self._follower.requests.get(request_id)
        if record is not None and isinstance(record.end, Settled):
            return record.end
        return await asyncio.to_thread(self._services.log.settled, request_id)

    async def recent(self) -> list[RequestRecord]:
        """The requests that the log told of last, newest first, running ones included."""
        await self._follower.catch_up()
        return self._follower.newest(ROW_LIMIT)

    async def record(self, request_id: str) -> RequestRecord | None:
        """What is known of a recent request, however it ended."""
        await self._follower.catch_up()
        return self._follower.requests.get(request_id)

    def watch(
        self, period: Period, t: Translator, signed_in: Callable[[], Awaitable[bool]], *, rows_only: bool = False
    ) -> AsyncIterator[bytes]:
        """Server-sent events: `update` with the pieces that changed or `beat`, `expired` when the session has ended.

        Raises MintageError("unavailable") when too many pages are open. When the books cannot be read the stream ends,
        and the page tries again.
        """
        if len(self._watchers) >= WATCHERS_LIMIT:
            raise MintageError("unavailable", "Too many pages are open.", "Close some.", retry_after_s=30)
        return self._watch(period, t, signed_in, rows_only)

    async def _watch(
        self, period: Period, t: Translator, signed_in: Callable[[], Awaitable[bool]], rows_only: bool
    ) -> AsyncIterator[bytes]:
        news = asyncio.Event()
        self._watchers.add(news)
        sent: dict[str, Any] = {}
        try:
            while await signed_in():
                news.clear()
                pieces = await self._render(period, t)
                if rows_only:
                    pieces = {"rows": pieces["rows"]}
                changed = _changed(sent, pieces)
                sent = pieces
                yield b"event: update\ndata: " + msgspec.json.encode(changed) + b"\n\n" if changed else _BEAT
                await asyncio.sleep(_PAUSE_S)
                if not await self._wait(news):
                    return
            yield b"event: expired\ndata: {}\n\n"
        except MintageError:
            return
        finally:
            self._watchers.discard(news)

    async def _wait(self, news: asyncio.Event) -> bool:
        """Until the log moves or the idle time is over. False when the server closes: an open page must not hold it."""
        for _ in range(int(_IDLE_S / _LOOK_UP_S)):
            if self._services.gateway.closing:
                return False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), _LOOK_UP_S)
                break
        return not self._services.gateway.closing

    async def _render(self, period: Period, t: Translator) -> dict[str, Any]:
        figures = await self._overview.figures(period)
        known = self._pieces.get((t.language, period))
        if known is not None and known[0] is figures:
            return known[1]
        data = await self._data(figures, t)
        values = {"t": t, "statement": data.statement, "customers": data.customers, "totals": data.totals}
        pieces = {
            "statement": fragment("_statement.html", values),
            "customers": fragment("_customer_table.html", values),
            "series": msgspec.to_builtins(data.series),
            "rows": [
                {"id": row.id, "html": fragment("_row.html", {"t": t, "row": row})} for row in reversed(data.rows)
            ],
        }
        self._pieces[t.language, period] = (figures, pieces)
        return pieces


def _changed(sent: dict[str, Any], pieces: dict[str, Any]) -> dict[str, Any]:
    """What a page that has `sent` must be told to look like `pieces`."""
    changed = {name: piece for name, piece in pieces.items() if name != "rows" and sent.get(name) != piece}
    known = {row["id"]: row["html"] for row in sent.get("rows", ())}
    if rows := [row for row in pieces["rows"] if known.get(row["id"]) != row["html"]]:
        changed["rows"] = rows
    return changed
