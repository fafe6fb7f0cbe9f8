"""Rebuilding the log's state at open: the stored state, if it fits the log, then a replay of what came after it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from mintage.base import MintageError
from mintage.books.entries import Body, Expired, Released, Reported, Settled, ToppedUp, decode_frame
from mintage.books.log_events import event_key
from mintage.books.log_reader import Frame, FrameReader
from mintage.books.log_state import Index, StateStore, drop_state, idempotency_source, top_up_key, top_up_payload
from mintage.books.log_store import GENESIS
from mintage.books.log_writer import EVENT_KEYS
from mintage.books.wallets import WalletBook

SAVE_ENTRIES: Final = 100_000  # a long replay saves its progress this often, so that its memory stays flat


class Recent:
    """What ended since the last two snapshots, by key: two generations, so that forgetting costs nothing."""

    def __init__(self) -> None:
        self.young: dict[str, Any] = {}
        self.old: dict[str, Any] = {}

    def __contains__(self, key: str) -> bool:
        return key in self.young or key in self.old

    def get(self, key: str) -> Any:
        """A Receipt, Released or Expired by hold id; a payload or (payload_hash, Receipt) by source; or None."""
        found = self.young.get(key)
        return self.old.get(key) if found is None else found

    def rotate(self) -> None:
        """Call when a snapshot is stored: the older generation has been in the state since the one before."""
        self.old, self.young = self.young, {}

    def remember(self, body: Body) -> None:
        match body:
            case Settled():
                receipt = body.receipt()
                self.young[body.hold_id] = receipt
                if body.idempotency_key is not None and not body.replay_of:
                    source = idempotency_source(body.tenant_id, body.idempotency_key)
                    self.young[source] = (body.payload_hash, receipt)
            case Released() | Expired():
                self.young[body.hold_id] = body
            case ToppedUp():
                self.young[top_up_key(body.source, body.source_id)] = top_up_payload(body)
            case _:
                pass


def load(log: Path, reader: FrameReader, vfs: str | None = None) -> tuple[StateStore, Loader]:
    """The state, made anew if its file is damaged or of another version, and what the log adds to it."""
    try:
        return _load(log, reader, vfs)
    except (apsw.CorruptError, apsw.NotADBError, msgspec.DecodeError):
        pass
    except MintageError as error:
        if error.code != "unsupported":
            raise
    drop_state(log)
    return _load(log, reader, vfs)


def _load(log: Path, reader: FrameReader, vfs: str | None) -> tuple[StateStore, Loader]:
    state = StateStore(log, vfs)
    try:
        return state, Loader(state, reader)
    except BaseException:
        state.close()
        raise


class Loader:
    """The replay, and what it found that is not in the state yet."""

    def __init__(self, state: StateStore, reader: FrameReader) -> None:
        self.book = WalletBook()
        self.recent = Recent()
        self.index = Index()
        self.event_keys: list[tuple[int, int]] = []
        self._state = state
        self._unsaved = 0
        seq, chain = state.mark
        known = reader.chain_at(seq) if seq else GENESIS
        if chain != known or state.events_seq > reader.last_seq():  # another log's state, or of a part that was lost
            state.reset()
            seq = 0
        self.book.load(state.load())
        events_seq = state.events_seq
        for frame in reader.frames(min(seq, events_seq)):
            self._replay(frame, seq, events_seq)

    def _replay(self, frame: Frame, seq: int, events_seq: int) -> None:
        bodies = decode_frame(frame.body)
        if frame.last_seq > events_seq:
            self.event_keys += [event_key(body.event) for body in bodies if type(body) is Reported]
            if len(self.event_keys) >= EVENT_KEYS:
                self._state.save_event_keys(self.event_keys, frame.last_seq)
                self.event_keys = []
        if frame.last_seq > seq:
            for body in bodies:
                self.book.apply(body)
                self.recent.remember(body)
            self.index.add(bodies, frame.first_seq)
            self._unsaved += len(bodies)
            if self._unsaved >= SAVE_ENTRIES:
                indexed = not self.event_keys
                self._state.save(self.book.snapshot(), self.index, frame.last_seq, frame.chain, events_indexed=indexed)
                self.index = Index()
                self.recent.rotate()
                self._unsaved = 0
