"""The commit log: what was held, settled and topped up, durable before anyone is told.

Decisions are made in memory on the event loop, in one step each; the writer thread makes them durable in
batches. A future that resolves has been through fsync. Everything else in the books derives from `entries`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from mintage.base import Clock, Hold, MintageError, Receipt, Settlement
from mintage.books import failpoints
from mintage.books.entries import (
    Body,
    Entry,
    Expired,
    Funding,
    Held,
    Released,
    Settled,
    ToppedUp,
    TopUpKind,
    number,
)
from mintage.books.log_store import FrameReader, Index, Store
from mintage.books.log_writer import Item, Writer, idempotency_source, index_bodies, source_key, unavailable
from mintage.books.wallets import Snapshot, Wallet, WalletBook

SNAPSHOT_ENTRIES: Final = 8192
QUEUE_LIMIT: Final = 65_536  # entries waiting for the disk; beyond it new holds are refused
CLOSE_TIMEOUT_S: Final = 30.0


class _Recent:
    """What ended since the last two snapshots, by key: two generations, so that forgetting costs nothing."""

    def __init__(self) -> None:
        self._young: dict[str, Any] = {}
        self._old: dict[str, Any] = {}

    def __setitem__(self, key: str, value: Any) -> None:
        self._young[key] = value

    def get(self, key: str) -> Any:
        found = self._young.get(key)
        return self._old.get(key) if found is None else found

    def rotate(self) -> None:
        self._old, self._young = self._young, {}


class CommitLog:
    """One writer of one log file. All methods but `entries` belong to the event loop's thread.

    Raises MintageError("books_unavailable") from every writing method once a write or fsync has failed: a failed
    fsync is never retried, the log must be opened anew.
    """

    def __init__(self, path: Path, store: Store, clock: Clock, batch_limit: int, vfs: str | None = None) -> None:
        self._clock = clock
        self._book = WalletBook()
        self._recent = _Recent()
        self._leases: dict[str, int] = {}  # hold id -> end of its lease on the monotonic clock
        self._subscribers: list[Callable[[Sequence[Entry]], None]] = []
        self._error: BaseException | None = None
        self._closed = False
        self._unsnapped = 0
        index = self._load(store)
        self._reader = FrameReader(path, vfs)
        self._reader_lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._store = store
        self._writer = Writer(store, index, batch_limit, self._on_commit, self._on_failure)
        self._queue = self._writer.queue
        self._writer.start()

    @classmethod
    def open(cls, path: Path, *, clock: Clock, batch_limit: int = 4096, vfs: str | None = None) -> CommitLog:
        """Open or create the log, rebuild its state, start its writer thread.

        Raises MintageError("internal") when the file's entries contradict each other. The caller makes sure that it is
        the only writer (home.lock). vfs names an SQLite VFS, for fault tests.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        return cls(path, Store(path, vfs), clock, batch_limit, vfs)

    # -- state at open -----------------------------------------------------------------------------------------------

    def _load(self, store: Store) -> Index:
        index = Index()
        snapshot = store.snapshot()
        self._book.load(snapshot)
        for first_seq, bodies in store.frames_after(store.snapshot_seq()):
            for body in bodies:
                self._book.apply(body)
                self._remember(body)
            index_bodies(index, bodies, first_seq)
        now_ns, now = self._clock.now_ns(), self._clock.monotonic_ns()
        for held in self._book.holds.values():
            self._lease(held, now_ns, now)
        return index

    def _remember(self, body: Body) -> None:
        match body:
            case Settled():
                receipt = body.receipt(replayed=True)
                self._recent[body.hold_id] = receipt
                if body.idempotency_key is not None and not body.replay_of:
                    key = idempotency_source(body.tenant_id, body.idempotency_key)
                    self._recent[key] = (body.payload_hash, receipt)
            case Released() | Expired():
                self._recent[body.hold_id] = body
            case ToppedUp():
                self._recent[source_key(body.source, body.source_id)] = body
            case _:
                pass

    def _lease(self, held: Held, now_ns: int, now: int) -> None:
        """Leases end on the monotonic clock: a jump of the wall clock ends none early and keeps none for ever."""
        length = max(0, held.lease_until_ns - held.created_ns)
        self._leases[held.hold_id] = now + min(length, max(0, held.lease_until_ns - now_ns))

    # -- handing over to the writer ----------------------------------------------------------------------------------

    def _bind(self) -> asyncio.AbstractEventLoop:
        self._loop = asyncio.get_running_loop()
        return self._loop

    def _check(self) -> None:
        if self._error is not None:
            raise unavailable(self._error)
        if self._closed:
            raise MintageError("shutting_down", "The commit log is closed.", "Retry on a running server.")

    def _enqueue(self, body: Body | Snapshot | None, result: Any) -> asyncio.Future[Any]:
        future = (self._loop or self._bind()).create_future()
        self._queue.append((body, future, result))
        if self._writer.idle:
            self._writer.wake()
        self._unsnapped += 1
        if self._unsnapped >= SNAPSHOT_ENTRIES:
            self._snapshot()
        if failpoints.armed is not None:
            failpoints.hit("log.enqueue")
        return future

    def _snapshot(self) -> asyncio.Future[Any]:
        self._unsnapped = -1  # the snapshot itself counts as one
        future = self._enqueue(self._book.snapshot(), None)
        future.add_done_callback(self._snapped)
        return future

    def _snapped(self, future: asyncio.Future[Any]) -> None:
        if not future.cancelled() and future.exception() is None:
            self._recent.rotate()

    def _on_commit(self, batch: list[Item], bodies: list[Body], first_seq: int) -> None:
        if failpoints.armed is not None:
            failpoints.hit("log.ack")
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._committed, batch, bodies, first_seq)

    def _committed(self, batch: list[Item], bodies: list[Body], first_seq: int) -> None:
        for _, future, result in batch:
            if not future.done():
                future.set_result(result)
        if self._subscribers and bodies:
            entries = list(number(bodies, first_seq))
            for callback in self._subscribers:
                callback(entries)

    def _on_failure(self, batch: list[Item], error: BaseException) -> None:
        self._error = error
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._failed, batch)

    def _failed(self, batch: list[Item]) -> None:
        for _, future, _ in [*batch, *self._queue]:
            if not future.done():
                future.set_exception(unavailable(self._error))
                future.exception()  # a caller that no longer waits is no fault of the log
        self._queue.clear()

    # -- wallets -----------------------------------------------------------------------------------------------------

    def open_wallet(
        self, tenant_id: str, wallet_id: str, currency: str, funding: Funding, credit_limit_nanos: int = 0
    ) -> asyncio.Future[Wallet]:
        """Idempotent. A second call may change the credit limit; anything else of an open wallet is a conflict."""
        self._check()
        body = self._book.open_wallet(
            self._clock.now_ns(),
            tenant_id,
            wallet_id,
            currency=currency,
            funding=funding,
            credit_limit_nanos=credit_limit_nanos,
        )
        return self._enqueue(body, self._book.account(wallet_id).view())

    def top_up(
        self, wallet_id: str, amount_nanos: int, *, source: str, source_id: str, kind: TopUpKind, memo: str = ""
    ) -> asyncio.Future[Wallet]:
        """Add money once per (source, source_id). The same again changes nothing; another payload is a conflict."""
        self._check()
        key = source_key(source, source_id)
        body: ToppedUp | None = None
        first: ToppedUp | None = self._recent.get(key)
        if first is None and (seq := self._seek(lambda reader: reader.source(key))) is not None:
            assert isinstance(seq.body, ToppedUp)
            first = seq.body
        if first is None:
            body = self._book.top_up(
                self._clock.now_ns(), wallet_id, amount_nanos, funds=kind, source=source, source_id=source_id, memo=memo
            )
            self._recent[key] = body
        elif (first.wallet_id, first.amount_nanos, first.funds) != (wallet_id, amount_nanos, kind):
            raise MintageError(
                "conflict",
                f"The top-up {source_id[:64]!r} of {source[:64]!r} was booked with other contents.",
                "Use a new source_id for a new payment.",
                param="source_id",
            )
        return self._enqueue(body, self._book.account(wallet_id).view())

    # -- holds -------------------------------------------------------------------------------------------------------

    def hold(self, hold: Hold) -> asyncio.Future[None]:
        """Set funds aside. Checked and deducted before this returns; durable when the future resolves.

        Raises at once, having changed nothing: MintageError insufficient_funds (details balance_nanos, held_nanos,
        needed_nanos, credit_limit_nanos, currency), not_found, conflict, invalid_request, books_unavailable.
        """
        self._check()
        if len(self._queue) >= QUEUE_LIMIT:
            raise unavailable()
        if self._recent.get(hold.id) is not None:
            raise MintageError("conflict", f"The hold {hold.id} has ended.", "Give every request its own id.")
        clock = self._clock
        now_ns = clock.now_ns()
        held = self._book.hold(now_ns, hold)
        self._lease(held, now_ns, clock.monotonic_ns())
        return self._enqueue(held, None)

    def settle(self, s: Settlement) -> asyncio.Future[Receipt]:
        """Post usage, charge, costs and balance together. A hold that was settled before gives its first receipt.

        A second request under one (tenant, idempotency_key) is not charged: it gives the first receipt, and only its
        costs are booked. Raises MintageError not_found for an unknown hold, conflict for one released or expired,
        idempotency_conflict for a key used with another payload_hash.
        """
        self._check()
        if s.hold_id not in self._book.holds:
            return self._enqueue(None, self._ended_receipt(s.hold_id))
        first: Receipt | None = None
        if s.idempotency_key is not None:
            first = self._first_of(s.tenant_id, s.idempotency_key, s.payload_hash)
        body = self._book.settle(self._clock.now_ns(), s, first.hold_id if first else "")
        del self._leases[s.hold_id]
        receipt = body.receipt()
        self._recent[s.hold_id] = receipt
        if s.idempotency_key is not None and first is None:
            self._recent[idempotency_source(s.tenant_id, s.idempotency_key)] = (s.payload_hash, receipt)
        return self._enqueue(body, _replayed(first) if first else receipt)

    def release(self, hold_id: str, reason: str) -> asyncio.Future[None]:
        """End a hold without a charge; releasing twice is the same as once. Raises conflict for a settled hold."""
        self._check()
        body: Body | None = None
        if hold_id in self._book.holds:
            body = self._book.release(self._clock.now_ns(), hold_id, reason)
            del self._leases[hold_id]
            self._recent[hold_id] = body
        elif not isinstance(self._ended(hold_id), Released | Expired):
            raise MintageError("conflict", f"The hold {hold_id} is settled.", "Correct it with a credit note.")
        return self._enqueue(body, None)

    def renew(self, hold_id: str, lease_s: float) -> None:
        """Give a running request a lease of lease_s from now. Only in memory: a crash ends the request anyway."""
        if hold_id in self._leases:
            self._leases[hold_id] = self._clock.monotonic_ns() + int(lease_s * 1e9)

    def expire(self, now_ns: int) -> asyncio.Future[list[str]]:
        """End every hold whose lease is over at now_ns, uncharged; resolves to their ids, each exactly once."""
        self._check()
        now = self._clock.monotonic_ns() + now_ns - self._clock.now_ns()
        over = [hold_id for hold_id, end in self._leases.items() if end <= now]
        for hold_id in over:
            body = self._book.expire(now_ns, hold_id)
            del self._leases[hold_id]
            self._recent[hold_id] = body
            self._enqueue(body, None)
        return self._enqueue(None, over)

    # -- looking back ------------------------------------------------------------------------------------------------

    def _seek(self, find: Callable[[FrameReader], int | None]) -> Entry | None:
        with self._reader_lock:
            seq = find(self._reader)
            return None if seq is None else self._reader.entry(seq)

    def _ended(self, hold_id: str) -> Receipt | Released | Expired:
        """How a hold that is no longer open ended. Raises MintageError("not_found")."""
        found = self._recent.get(hold_id)
        if found is None:
            entry = self._seek(lambda reader: reader.ended(hold_id))
            if entry is None:
                raise MintageError(
                    "not_found", f"There is no hold {hold_id[:64]!r}.", "Hold before you settle.", param="hold_id"
                )
            found = entry.body.receipt() if isinstance(entry.body, Settled) else entry.body
        return found  # type: ignore[no-any-return]

    def _ended_receipt(self, hold_id: str) -> Receipt:
        found = self._ended(hold_id)
        if isinstance(found, Receipt):
            return _replayed(found)
        how = "expired" if isinstance(found, Expired) else "was released"
        raise MintageError("conflict", f"The hold {hold_id} {how}.", "A hold ends once; renew it while it runs.")

    def idempotent(self, tenant_id: str, key: str) -> tuple[str, Receipt] | None:
        """(payload_hash, receipt) of the request that was settled under this idempotency key, if one was."""
        source = idempotency_source(tenant_id, key)
        found = self._recent.get(source)
        if found is None and (entry := self._seek(lambda reader: reader.source(source))) is not None:
            assert isinstance(entry.body, Settled)
            found = (entry.body.payload_hash, entry.body.receipt())
        return found  # type: ignore[no-any-return]

    def _first_of(self, tenant_id: str, key: str, payload_hash: str) -> Receipt | None:
        found = self.idempotent(tenant_id, key)
        if found is None:
            return None
        if found[0] != payload_hash:
            raise MintageError(
                "idempotency_conflict",
                "This idempotency key was used for another request.",
                "Use a new key for a new request.",
            )
        return found[1]

    def settled(self, hold_id: str) -> Settled | None:
        """The durable settlement of a request, None for one that is open, ended otherwise or unknown."""
        entry = self._seek(lambda reader: reader.ended(hold_id))
        return entry.body if entry is not None and isinstance(entry.body, Settled) else None

    @property
    def failed(self) -> bool:
        """A write or fsync has failed: nothing is accepted until the log is opened anew."""
        return self._error is not None

    def wallet(self, wallet_id: str) -> Wallet:
        """A snapshot of now. Raises MintageError("not_found")."""
        return self._book.account(wallet_id).view()

    def wallets(self) -> list[Wallet]:
        return [account.view() for account in self._book.accounts.values()]

    def open_holds(self) -> list[Hold]:
        return [
            Hold(
                id=held.hold_id,
                tenant_id=held.tenant_id,
                wallet_id=held.wallet_id,
                currency=held.currency,
                amount_nanos=held.amount_nanos,
                created_ns=held.created_ns,
                lease_until_ns=held.lease_until_ns,
                key_id=held.key_id,
                model=held.model,
            )
            for held in self._book.holds.values()
        ]

    def subscribe(self, callback: Callable[[Sequence[Entry]], None]) -> None:
        """Call `callback` on the event loop with the entries of every commit, after it."""
        self._subscribers.append(callback)

    def entries(self, after_seq: int, limit: int) -> list[Entry]:
        """At most `limit` durable entries with seq > after_seq, in order. From any thread."""
        with self._reader_lock:
            return self._reader.entries(after_seq, limit)

    def last_seq(self) -> int:
        """The seq of the last durable entry, 0 for an empty log. From any thread."""
        with self._reader_lock:
            return self._reader.last_seq()

    async def close(self) -> None:
        """Commit what is queued, write a snapshot, checkpoint, end the thread. Safe to call twice."""
        if self._closed:
            return
        if self._error is None:
            await asyncio.wait([self._snapshot()], timeout=CLOSE_TIMEOUT_S)
        self._closed = True
        self._writer.stop()
        await asyncio.to_thread(self._writer.join, CLOSE_TIMEOUT_S)
        self._reader.close()
        self._store.close()


def _replayed(receipt: Receipt) -> Receipt:
    return Receipt(
        hold_id=receipt.hold_id,
        posted_nanos=receipt.posted_nanos,
        cost_nanos=receipt.cost_nanos,
        currency=receipt.currency,
        balance_nanos=receipt.balance_nanos,
        held_nanos=receipt.held_nanos,
        shortfall_nanos=receipt.shortfall_nanos,
        replayed=True,
    )
