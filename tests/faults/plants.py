"""Planted bugs: each breaks one promise of the log, and a test shows that the fault plan catches it."""

import contextlib
from pathlib import Path

import apsw

import mintage.books.log as log_module
import mintage.books.log_archive as log_archive
from mintage.books import CommitLog
from mintage.books.log_events import Intake
from mintage.books.log_reader import archive_folder
from mintage.books.log_store import Store, connect
from mintage.books.log_writer import EventBatch, Writer
from mintage.books.wallets import Snapshot, WalletBook

from .disk import File


def ack_before_commit():
    commit = Writer._commit

    def eager(self, batch):
        self._on_commit([item for item in batch if item[1] is not None], [], 0)
        return commit(self, batch)

    Writer._commit = eager


def settle_without_dedup():
    settle = CommitLog.settle
    held = {}

    def again(self, s):
        if s.hold_id in self._book.holds:
            held[s.hold_id] = self._book.holds[s.hold_id]
        elif s.hold_id in held:
            self._book.holds[s.hold_id] = held[s.hold_id]
            self._book.accounts[s.wallet_id].held += held[s.hold_id].amount_nanos
            self._leases[s.hold_id] = 2**62
        return settle(self, s)

    CommitLog.settle = again


def ended_holds_come_back():
    """A snapshot that does not say which holds have ended: after a restart they are released again."""
    snapshot = WalletBook.snapshot

    def forgetful(self):
        taken = snapshot(self)
        return Snapshot(taken.wallets, taken.carries, taken.opened, [])

    WalletBook.snapshot = forgetful


def top_up_moves_the_balance_always():
    top_up = CommitLog.top_up

    def generous(self, wallet_id, amount_nanos, *, source, source_id, kind, memo=""):
        known = self._recent.get(log_module.top_up_key(source, source_id))
        if known is not None:
            self._book.accounts[wallet_id].balance += amount_nanos
        return top_up(self, wallet_id, amount_nanos, source=source, source_id=source_id, kind=kind, memo=memo)

    CommitLog.top_up = generous


def snapshot_runs_ahead():
    """The state is stored before the entries that it counts are durable."""
    commit = Writer._commit

    def hasty(self, batch):
        for body, _, _ in batch:
            if type(body) is Snapshot:
                self._hand_over(body)
        return commit(self, [(None if type(b) is Snapshot else b, f, r) for b, f, r in batch])

    Writer._commit = hasty


def event_key_claimed_first():
    """The key is stored before the event: a crash between drops the event and calls its retry a duplicate."""
    submit_of = Intake._decide

    def claim(self, reader, at_ns, events, whole):
        batch, receipt = submit_of(self, reader, at_ns, events, whole)
        if isinstance(batch, EventBatch):
            keeper = self._submit.__self__.keeper
            keeper.event_keys(batch.keys, 0, lambda: None)
            keeper._jobs.put(lambda: None)
        return batch, receipt

    Intake._decide = claim


def events_without_dedup():
    Intake._decide_once = Intake._decide

    def all_new(self, reader, at_ns, events, whole):
        self._known.clear()
        return self._decide_once(reader, at_ns, events, whole)

    Intake._decide = all_new


def archive_drops_first():
    write, drop = log_archive.write_segment, log_archive._drop

    def late(file, frames):
        """Between this and the drop lies the failpoint; so this drops, and the drop writes."""
        connection = connect(file.parent.parent / "log.db", vfs="fault")
        drop(connection, frames, file.name)
        connection.close()

    def last(connection, frames, name):
        write(archive_folder(Path(connection.filename)) / name, frames)

    log_archive.write_segment, log_archive._drop = late, last


def fsync_off():
    open_store = Store.__init__

    def unsafe(self, path, vfs=None):
        open_store(self, path, vfs)
        self._connection.pragma("synchronous", "off")

    Store.__init__ = unsafe


def failed_fsync_is_retried():
    """After a failed sync the system has dropped the bytes; the second sync succeeds and means nothing."""
    sync = File.xSync

    def stubborn(self, flags):
        try:
            sync(self, flags)
        except apsw.Error:
            sync(self, flags)

    File.xSync = stubborn


def failed_commit_is_ignored():
    write = Store.write

    def deaf(self, count, body):
        try:
            return write(self, count, body)
        except Exception:
            return self.last_seq + 1

    Store.write = deaf


def leases_on_the_wall_clock():
    expire = CommitLog.expire

    def wall(self, now_ns):
        for held in self._book.holds.values():
            end = held.lease_until_ns - self._clock.now_ns() + self._clock.monotonic_ns()
            self._leases[held.hold_id] = end
        return expire(self, now_ns)

    CommitLog.expire = wall


def plant(name):
    """Install the bug of that name in this process; an empty name installs none."""
    if name:
        globals()[name]()


_TOUCHED = (
    (Writer, "_commit"),
    (CommitLog, "settle"),
    (CommitLog, "top_up"),
    (CommitLog, "expire"),
    (WalletBook, "snapshot"),
    (Intake, "_decide"),
    (Store, "__init__"),
    (Store, "write"),
    (File, "xSync"),
)


@contextlib.contextmanager
def planted(name):
    """The bug of that name, for the length of a with block."""
    kept = [(owner, attribute, getattr(owner, attribute)) for owner, attribute in _TOUCHED]
    plant(name)
    try:
        yield
    finally:
        for owner, attribute, original in kept:
            setattr(owner, attribute, original)
