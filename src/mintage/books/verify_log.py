"""The log against itself and against the state that is stored beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from mintage.base import MintageError
from mintage.books.entries import Entry, Held, decode_frame, number
from mintage.books.log_reader import Frame, FrameReader
from mintage.books.log_state import state_path
from mintage.books.log_store import GENESIS, chain_hash, connect
from mintage.books.report import Findings
from mintage.books.wallets import WalletBook


class StoredState(msgspec.Struct, frozen=True):
    """The state tables, read in one transaction. wallets: id -> (balance, held); carries: (side, owner, price)."""

    seq: int
    chain: bytes
    wallets: dict[str, tuple[int, int]]
    carries: dict[tuple[str, str, str], int]
    holds: dict[str, int]


def read_state(log: Path) -> StoredState | None:
    """None when no state is stored yet: it is derived, and the log is replayed from its start then."""
    if not state_path(log).exists():
        return None
    connection = connect(state_path(log), read_only=True)
    try:
        with connection:
            rows: Any = connection.execute("SELECT name, value FROM meta WHERE name IN ('seq', 'chain')").fetchall()
            wallets: Any = connection.execute("SELECT id, balance_nanos, held_nanos FROM wallets").fetchall()
            carries: Any = connection.execute("SELECT side, owner, price_id, attos FROM carries").fetchall()
            holds: Any = connection.execute("SELECT body FROM holds").fetchall()
    finally:
        connection.close()
    meta = dict(rows)
    if not meta:
        return None
    opened = [msgspec.json.decode(body, type=Held) for (body,) in holds]
    return StoredState(
        int(meta["seq"]),
        bytes(meta["chain"]),
        {id_: (balance, held) for id_, balance, held in wallets},
        {(side, owner, price): attos for side, owner, price, attos in carries if attos},
        {held.hold_id: held.amount_nanos for held in opened},
    )


class LogWalk:
    """Reads the whole log once, archive included: checks its chain, replays it, compares the state on the way.

    Iterate over `batches()`; then read `book`, `last_seq` and `findings()`.
    """

    def __init__(self, log: Path) -> None:
        self._reader = FrameReader(log)
        self.state = read_state(log)
        self._end = self._reader.last_seq()  # what comes later is the next verification's
        self.last_seq = 0
        self.book = WalletBook()
        self._chain = Findings("log chain")
        self._replay = Findings("log replay")
        self._state = Findings("wallets, carries and holds")
        self._contradicted = False
        self._compared = self.state is None

    def batches(self) -> Iterator[list[Entry]]:
        """The entries of each frame, in order."""
        chain = GENESIS
        try:
            for frame in self._reader.frames(0):
                if frame.last_seq > self._end:
                    break
                chain = self._check_chain(frame, chain)
                bodies = decode_frame(frame.body)
                if len(bodies) != frame.entries:
                    self._chain.wrong(
                        f"the frame up to {frame.last_seq} holds {len(bodies)} of {frame.entries} entries"
                    )
                entries = list(number(bodies, frame.first_seq))
                self._replay_entries(entries)
                self.last_seq = frame.last_seq
                if self.state is not None and frame.last_seq == self.state.seq:
                    self._compare_state(self.state, chain)
                yield entries
        except MintageError as error:
            self._chain.wrong(error.message)
        finally:
            self._reader.close()

    def _check_chain(self, frame: Frame, chain: bytes) -> bytes:
        self._chain.compared += 1
        if frame.first_seq != self.last_seq + 1:
            self._chain.wrong(f"entries {self.last_seq + 1} to {frame.first_seq - 1} are missing")
        if chain_hash(chain, frame.body) != frame.chain:
            self._chain.wrong(
                f"the frame up to {frame.last_seq} is not what was written, or not all before it is there"
            )
        return frame.chain

    def _replay_entries(self, entries: list[Entry]) -> None:
        """Until the first contradiction: what follows it would only repeat it."""
        if self._contradicted:
            return
        for entry in entries:
            self._replay.compared += 1
            try:
                self.book.apply(entry.body)
            except MintageError as error:
                self._replay.wrong(f"entry {entry.seq}: {error.message}")
                self._contradicted = True
                return

    def _compare_state(self, state: StoredState, chain: bytes) -> None:
        self._compared = True
        if state.chain != chain:
            self._state.wrong("the stored state belongs to another log")
        found = state.wallets
        expected = {account.id: (account.balance, account.held) for account in self.book.accounts.values()}
        for name in sorted(found.keys() | expected.keys()):
            for label, one, other in zip(
                ("balance", "held"), found.get(name, (0, 0)), expected.get(name, (0, 0)), strict=True
            ):
                self._state.compare(f"{label} of {name}", one, other)
        self._compare_carries(state)
        holds = {held.hold_id: held.amount_nanos for held in self.book.holds.values()}
        for hold_id in sorted(state.holds.keys() | holds.keys()):
            self._state.compare(f"open hold {hold_id}", state.holds.get(hold_id, 0), holds.get(hold_id, 0))

    def _compare_carries(self, state: StoredState) -> None:
        """Carries are below one nano each, so a wrong one is named but adds no nanos."""
        book = self.book
        expected = {
            ("charge", a.id, price): attos for a in book.accounts.values() for price, attos in a.carries.items()
        }
        expected |= {("cost", provider, price): attos for (provider, price), attos in book.cost_carry.items()}
        for key in sorted(state.carries.keys() | expected.keys()):
            self._state.compared += 1
            found, follows = state.carries.get(key, 0), expected.get(key, 0)
            if found != follows:
                self._state.wrong(f"{key[0]} carry of {key[1]} at {key[2]}: {found} attos where {follows} follow")

    def findings(self) -> list[Findings]:
        if not self._compared and self.state is not None:
            self._state.wrong(f"the stored state stands at entry {self.state.seq}, where no frame of the log ends")
        return [self._chain, self._replay, self._state]
