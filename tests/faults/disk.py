"""A disk that can fail: an SQLite VFS that loses what was not synced, runs full, or reports errors.

Bytes go to real files at once, as to a page cache. Beside them the disk remembers every write since the last successful
sync; `cut` copies the files as a power cut could leave them: synced bytes for certain, the others sector by sector
at random. After a failed sync the unsynced writes will never be durable, as on Linux, and later syncs succeed.
"""

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from mintage.books import failpoints

SECTOR = 512


@dataclass
class Write:
    offset: int
    old: bytes
    old_size: int
    new: bytes | None  # None: the file was cut to `offset`


@dataclass
class Unsynced:
    """doomed: sector number -> what the disk really holds there, though the page cache shows newer bytes."""

    writes: list[Write] = field(default_factory=list)
    doomed: dict[int, bytes] = field(default_factory=dict)

    def fail(self, content):
        """A sync failed: nothing written since the last one will ever reach the disk."""
        for write in reversed(self.writes):
            undo(content, write)
        for write in self.writes:
            for sector in sectors(write):
                self.doomed.setdefault(sector, bytes(content[sector * SECTOR : (sector + 1) * SECTOR]))
        self.writes = []

    def succeed(self):
        for write in self.writes:
            for sector in sectors(write):
                self.doomed.pop(sector, None)
        self.writes = []


def sectors(write):
    length = len(write.new) if write.new is not None else 0
    return range(write.offset // SECTOR, -(-(write.offset + length) // SECTOR))


class Disk(apsw.VFS):
    """Register by making one; use by its name. fail(kind, after) arms one kind of fault for good."""

    def __init__(self, name):
        self.name = name
        self.lock = threading.RLock()
        self.files = {}
        self.kind = None
        self.countdown = self.times = 0
        super().__init__(name, "")

    def xOpen(self, name, flags):
        return File(self, name, flags)

    def fail(self, kind, after=0, times=10**9):
        """kind: full (writes), eio_write, eio_sync; the first `after` such calls still work, the next `times` fail."""
        with self.lock:
            self.kind, self.countdown, self.times = kind, after, times

    def heal(self):
        self.kind = None

    def strike(self, call):
        """Raise if `call` (write or sync) is to fail now."""
        if self.kind is None or not (self.kind == "full" or self.kind == f"eio_{call}"):
            return
        if self.kind == "full" and call == "sync":
            return
        error = apsw.FullError("disk full") if self.kind == "full" else apsw.IOError("input/output error")
        if self.countdown > 0:
            self.countdown -= 1
            return
        self.times -= 1
        if self.times == 0:
            self.kind = None
        raise error

    def cut(self, source, target, chance=None):
        """Copy the SQLite files of folder `source` as after a power cut now. chance: a Random, or None for "nothing
        unsynced survives"."""
        target.mkdir(parents=True)
        with self.lock:
            for file in source.iterdir():
                if file.is_file() and not file.name.endswith("-shm"):
                    (target / file.name).write_bytes(self._survivor(file, chance))
                elif file.is_dir():
                    (target / file.name).mkdir()
                    for inner in file.iterdir():
                        (target / file.name / inner.name).write_bytes(inner.read_bytes())

    def _survivor(self, file, chance):
        content = bytearray(file.read_bytes())
        unsynced = self.files.get(str(file), Unsynced())
        for write in reversed(unsynced.writes):
            undo(content, write)
        for sector, held in unsynced.doomed.items():
            content[sector * SECTOR : sector * SECTOR + len(held)] = held
        if chance is not None:
            for write in unsynced.writes:
                redo(content, write, chance)
        return content


def undo(content, write):
    """Take back one write or truncation."""
    if len(content) < write.offset:
        content.extend(bytes(write.offset - len(content)))
    content[write.offset : write.offset + len(write.old)] = write.old
    del content[max(write.old_size, 0) :]


def redo(content, write, chance):
    """Let each sector of the write reach the disk or not."""
    if write.new is None:
        if chance.random() < 0.5:
            del content[write.offset :]
        return
    for start in range(0, len(write.new), SECTOR):
        if chance.random() < 0.5:
            piece = write.new[start : start + SECTOR]
            at = write.offset + start
            if len(content) < at:
                content.extend(bytes(at - len(content)))
            content[at : at + len(piece)] = piece


class File(apsw.VFSFile):
    def __init__(self, disk, name, flags):
        self.disk = disk
        self.path = name.filename() if isinstance(name, apsw.URIFilename) else name
        super().__init__("", name, flags)

    def remember(self, offset, size, new):
        try:
            with Path(self.path).open("rb") as file:
                old_size = os.fstat(file.fileno()).st_size
                file.seek(offset)
                old = file.read(size if size >= 0 else old_size)
        except (OSError, TypeError):
            return  # a temporary file without a name
        self.disk.files.setdefault(self.path, Unsynced()).writes.append(Write(offset, old, old_size, new))

    def xWrite(self, data, offset):
        with self.disk.lock:
            self.disk.strike("write")
            self.remember(offset, len(data), bytes(data))
            super().xWrite(data, offset)

    def xTruncate(self, size):
        with self.disk.lock:
            self.remember(size, -1, None)
            super().xTruncate(size)

    def xSync(self, flags):
        if failpoints.armed is not None and self.path and self.path.endswith("log.db-wal"):
            failpoints.hit("log.fsync")
        with self.disk.lock:
            unsynced = self.disk.files.setdefault(self.path, Unsynced())
            try:
                self.disk.strike("sync")
            except apsw.Error:
                unsynced.fail(bytearray(Path(self.path).read_bytes()))
                raise
            unsynced.succeed()
        if failpoints.armed is not None and self.path and self.path.endswith("log.db-wal"):
            failpoints.hit("log.synced")
