"""The commit log: what was held, settled and topped up, durable before anyone is told.

Decisions are made in memory on the event loop, in one step each; the writer thread makes them durable in
batches. A future that resolves has been through fsync. Everything else in the books derives from `entries`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import apsw
import msgspec

from mintage.base import Clock, Hold, MintageError, Receipt, Settlement
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
    UsageEvent,
)
from mintage.books.log_archive import archive_frames
from mintage.books.log_events import EventsReceipt, check_events
from mintage.books.log_load import load
from mintage.books.log_pipeline import QUEUE_LIMIT, Pipeline
from mintage.books.log_reader import FrameReader
from mintage.books.log_state import StateReader, idempotency_source, top_up_key, top_up_payload
from mintage.books.log_store import Store
from mintage.books.log_writer import unavailable
from mintage.books.wallets import Wallet


class CommitLog:
    """One writer of one log file. Methods that return futures, and those that read wallets and holds, belong to the
    event loop's thread; entries, last_seq and archive may be called from any.

    Every writing method raises MintageError("books_unavailable") once a write or fsync has failed: a failed fsync is
    never retried, the log must be opened anew.
    """

    def __init__(self, path: Path, clock: Clock, batch_limit: int, vfs: str | None) -> None:
        self._path = path
        self._vfs = vfs
        self._clock = clock
        store = Store(path, vfs)
        self._reader = FrameReader(path, vfs)
        self._reader_lock = threading.Lock()
        state, loaded = load(path, self._reader, vfs)
        self._state = StateReader(path, vfs)
        self._book = loaded.book
        self._recent = loaded.recent
        self._leases: dict[str, int] = {}  # hold id -> end of its lease on the monotonic clock
        self._take_over_leases()
        self._pipeline = Pipeline(path, store, state, loaded, batch_limit=batch_limit, vfs=vfs)
        self._queue = self._pipeline.queue
        self._put = self._pipeline.put
        self._check = self._pipeline.check

    @classmethod
    def open(cls, path: Path, *, clock: Clock, batch_limit: int = 4096, vfs: str | None = None) -> CommitLog:
        """Open or create the log, rebuild its state, start its threads.

        Raises MintageError: internal when the file's entries contradict each other, unavailable when SQLite cannot
        read or write it, unsupported for a newer format. The caller makes sure that it is the only writer (home.lock).
        vfs names an SQLite VFS, for fault tests.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return cls(path, clock, batch_limit, vfs)
        except apsw.Error as error:
            raise MintageError(
                "unavailable", f"The commit log at {path} cannot be opened: {error}.", "Check the disk, or restore it."
            ) from error

    def _take_over_leases(self) -> None:
        """Leases end on the monotonic clock: a jump of the wall clock ends none early and keeps none for ever."""
        now_ns, now = self._clock.now_ns(), self._clock.monotonic_ns()
        for held in self._book.holds.values():
            length = max(0, held.lease_until_ns - held.created_ns)
            self._leases[held.hold_id] = now + min(length, max(0, held.lease_until_ns - now_ns))

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
        return self._put(body, self._book.account(wallet_id).view())

    def top_up(
        self, wallet_id: str, amount_nanos: int, *, source: str, source_id: str, kind: TopUpKind, memo: str = ""
    ) -> asyncio.Future[Wallet]:
        """Add money once per (source, source_id). The same again changes nothing; another payload is a conflict."""
        self._check()
        key = top_up_key(source, source_id)
        first: str | None = self._recent.get(key)
        if first is None and (found := self._state.source(key)) is not None:
            first = found[0]
        body: ToppedUp | None = None
        if first is None:
            body = self._book.top_up(
                self._clock.now_ns(), wallet_id, amount_nanos, funds=kind, source=source, source_id=source_id, memo=memo
            )
            self._recent.young[key] = top_up_payload(body)
        elif first != f"{wallet_id}\x1f{amount_nanos}\x1f{kind}":
            raise MintageError(
                "conflict",
                f"The top-up {source_id[:64]!r} of {source[:64]!r} was booked with other contents.",
                "Use a new source_id for a new payment.",
                param="source_id",
            )
        return self._put(body, self._book.account(wallet_id).view())

    def withdraw(
        self, wallet_id: str, amount_nanos: int, *, source: str, source_id: str, kind: TopUpKind, memo: str = ""
    ) -> asyncio.Future[Wallet]:
        """Take out what no hold needs, once per (source, source_id): a refund, an expiry, a lease handed back.

        Raises MintageError insufficient_funds, and otherwise what top_up does.
        """
        self._check()
        key = top_up_key(source, source_id)
        first: str | None = self._recent.get(key)
        if first is None and (found := self._state.source(key)) is not None:
            first = found[0]
        body: ToppedUp | None = None
        if first is None:
            body = self._book.withdraw(
                self._clock.now_ns(), wallet_id, amount_nanos, funds=kind, source=source, source_id=source_id, memo=memo
            )
            self._recent.young[key] = top_up_payload(body)
        elif first != f"{wallet_id}\x1f{-amount_nanos}\x1f{kind}":
            raise MintageError(
                "conflict",
                f"The withdrawal {source_id[:64]!r} of {source[:64]!r} was booked with other contents.",
                "Use a new source_id for a new withdrawal.",
                param="source_id",
            )
        return self._put(body, self._book.account(wallet_id).view())

    # -- holds -------------------------------------------------------------------------------------------------------

    def hold(self, hold: Hold) -> asyncio.Future[None]:
        """Set funds aside. Checked and deducted before this returns; durable when the future resolves.

        Raises at once, having changed nothing: MintageError insufficient_funds (details balance_nanos, held_nanos,
        needed_nanos, credit_limit_nanos, currency), not_found, conflict, invalid_request, books_unavailable.
        """
        if not self._pipeline.accepting:
            self._check()
        if len(self._queue) >= QUEUE_LIMIT:
            raise unavailable()
        hold_id, recent = hold.id, self._recent
        if hold_id in recent.young or hold_id in recent.old:
            raise MintageError("conflict", f"The hold {hold_id} has ended.", "Give every request its own id.")
        clock = self._clock
        held = self._book.hold(clock.now_ns(), hold)
        self._leases[hold_id] = clock.monotonic_ns() + hold.lease_until_ns - hold.created_ns
        return self._put(held, None)

    def settle(self, s: Settlement) -> asyncio.Future[Receipt]:
        """Post usage, charge, costs and balance together. A hold that was settled before gives its first receipt.

        A second request under one (tenant, idempotency_key) is not charged: it gives the first receipt, and only its
        costs are booked. Raises MintageError not_found for an unknown hold, conflict for one released or expired,
        idempotency_conflict for a key used with another payload_hash.
        """
        if not self._pipeline.accepting:
            self._check()
        hold_id = s.hold_id
        if hold_id not in self._book.holds:
            return self._put(None, self._ended_receipt(hold_id))
        if s.idempotency_key is not None:
            return self._settle_keyed(s, s.idempotency_key)
        body = self._book.settle(self._clock.now_ns(), s)
        del self._leases[hold_id]
        receipt = self._recent.young[hold_id] = body.receipt()
        return self._put(body, receipt)

    def _settle_keyed(self, s: Settlement, key: str) -> asyncio.Future[Receipt]:
        found = self.idempotent(s.tenant_id, key)
        if found is not None and found[0] != s.payload_hash:
            raise MintageError(
                "idempotency_conflict",
                "This idempotency key was used for another request.",
                "Use a new key for a new request.",
            )
        first = found[1] if found else None
        body = self._book.settle(self._clock.now_ns(), s, first.hold_id if first else "")
        del self._leases[s.hold_id]
        self._recent.remember(body)
        return self._put(body, _replayed(first) if first else body.receipt())

    def release(self, hold_id: str, reason: str) -> asyncio.Future[None]:
        """End a hold without a charge; releasing twice is the same as once. Raises conflict for a settled hold."""
        self._check()
        body: Body | None = None
        if hold_id in self._book.holds:
            body = self._book.release(self._clock.now_ns(), hold_id, reason)
            del self._leases[hold_id]
            self._recent.remember(body)
        elif not isinstance(self._ended(hold_id), Released | Expired):
            raise MintageError("conflict", f"The hold {hold_id} is settled.", "Correct it with a credit note.")
        return self._put(body, None)

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
            self._recent.remember(body)
            self._put(body, None)
        return self._put(None, over)

    # -- usage events ------------------------------------------------------------------------------------------------

    def record_events(self, events: Sequence[UsageEvent], *, whole: bool = False) -> asyncio.Future[EventsReceipt]:
        """Append each (tenant_id, source, id) once; all that are new become durable together.

        whole: one conflict keeps every event of the call out.

        Raises invalid_request, payload_too_large, or books_unavailable while too many events wait.
        """
        self._check()
        check_events(events)
        return self._pipeline.put_events(self._clock.now_ns(), events, whole)

    # -- looking back ------------------------------------------------------------------------------------------------

    def _entry(self, seq: int) -> Entry:
        with self._reader_lock:
            entry = self._reader.entry(seq)
        if entry is None:
            raise MintageError("internal", f"The state names entry {seq}, which the log lacks.", "Run a verification.")
        return entry

    def _ended(self, hold_id: str) -> Receipt | Released | Expired:
        """How a hold that is no longer open ended. Raises MintageError("not_found")."""
        found = self._recent.get(hold_id)
        if found is None:
            seq = self._state.ended(hold_id)
            if seq is None:
                raise MintageError(
                    "not_found", f"There is no hold {hold_id[:64]!r}.", "Hold before you settle.", param="hold_id"
                )
            body = self._entry(seq).body
            found = body.receipt() if isinstance(body, Settled) else body
        return found  # type: ignore[no-any-return]

    def _ended_receipt(self, hold_id: str) -> Receipt:
        found = self._ended(hold_id)
        if isinstance(found, Receipt):
            return _replayed(found)
        how = "expired" if isinstance(found, Expired) else "was released"
        raise MintageError("conflict", f"The hold {hold_id} {how}.", "A hold ends once; renew it while it runs.")

    def idempotent(self, tenant_id: str, key: str) -> tuple[str, Receipt] | None:
        """(payload_hash, receipt) of the request that was settled under this idempotency key, if one was."""
        self._pipeline.check_open()
        source = idempotency_source(tenant_id, key)
        found = self._recent.get(source)
        if found is None and (stored := self._state.source(source)) is not None:
            body = self._entry(stored[1]).body
            assert isinstance(body, Settled)
            found = (stored[0], body.receipt())
        return found  # type: ignore[no-any-return]

    def settled(self, hold_id: str) -> Settled | None:
        """The durable settlement of a request; None for one that is open, ended otherwise or unknown.

        A look-up, or, for what is newer than the last snapshot, a search of about SNAPSHOT_ENTRIES entries: for
        receipts, not for the path of every request.
        """
        self._pipeline.check_open()
        if hold_id in self._book.holds:
            return None
        after = self._state.seq()
        seq = self._state.ended(hold_id)
        if seq is not None:
            body = self._entry(seq).body
            return body if isinstance(body, Settled) else None
        while entries := self.entries(after, 1024):
            for entry in entries:
                if isinstance(entry.body, Settled) and entry.body.hold_id == hold_id:
                    return entry.body
            after = entries[-1].seq
        return None

    @property
    def failed(self) -> bool:
        """A write or fsync has failed: nothing is accepted until the log is opened anew."""
        return self._pipeline.error is not None

    def wallet(self, wallet_id: str) -> Wallet:
        """A snapshot of now. Raises MintageError("not_found")."""
        return self._book.account(wallet_id).view()

    def wallets(self) -> list[Wallet]:
        return [account.view() for account in self._book.accounts.values()]

    def open_holds(self) -> list[Hold]:
        return [_hold(held) for held in self._book.holds.values()]

    def subscribe(self, callback: Callable[[Sequence[Entry]], None]) -> None:
        """Call `callback` on the event loop with the entries of every commit, after it."""
        self._pipeline.subscribers.append(callback)

    def entries(self, after_seq: int, limit: int) -> list[Entry]:
        """At most `limit` durable entries with seq > after_seq, in order, archived ones included."""
        with self._reader_lock:
            return self._reader.entries(after_seq, limit)

    def last_seq(self) -> int:
        """The seq of the last durable entry, 0 for an empty log."""
        with self._reader_lock:
            return self._reader.last_seq()

    # -- growth and end ----------------------------------------------------------------------------------------------

    def archive(self, before_seq: int) -> list[Path]:
        """Move whole frames that end before before_seq into archive segments; the new files. Not on the event loop.

        Call it with the lowest watermark of all that reads the log. Entries stay readable through `entries`.
        """
        made = archive_frames(self._path, before_seq, self._vfs)
        if made:
            self._pipeline.keeper.forget_before(before_seq)
        return made

    async def close(self) -> None:
        """Commit what is queued, write a snapshot, end the threads. Safe to call twice."""
        if not self._pipeline.closed:
            stopped = await self._pipeline.stop()
            self._state.close()
            with self._reader_lock:
                self._reader.close()
            if stopped:
                await self._pipeline.close()


def _hold(held: Held) -> Hold:
    return Hold(
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


def _replayed(receipt: Receipt) -> Receipt:
    return msgspec.structs.replace(receipt, replayed=True)
