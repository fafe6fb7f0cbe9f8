"""What every source shares while bytes move: progress, limits, hashing, locks, durable files."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, Literal

import msgspec

from mintage.base import MintageError

CHUNK_BYTES: Final = 1024 * 1024
_REPORT_EVERY_S: Final = 0.1
_SPARE_BYTES: Final = 64 * 1024 * 1024  # left free on the disk, for the books

Stage = Literal["download", "unpack", "copy", "verify"]


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """One moment of a transfer. total_bytes None: unknown. rate is bytes per second since this stage began."""

    stage: Stage
    done_bytes: int
    total_bytes: int | None
    rate: float


#: Called about ten times a second, and at the end of each stage. Raising from it stops the pull; what came is kept.
ProgressCallback = Callable[[Progress], None]


class Meter:
    """Counts the bytes of one stage, reports them, and stops a transfer that is over its limit."""

    def __init__(
        self,
        stage: Stage,
        total_bytes: int | None,
        report: ProgressCallback | None,
        *,
        start_bytes: int = 0,
        limit_bytes: int | None = None,
    ) -> None:
        self._stage: Stage = stage
        self._total = total_bytes
        self._report = report
        self._start_bytes = start_bytes
        self._limit = limit_bytes
        self.done = start_bytes
        self._began = self._last = time.monotonic()
        self._tell()

    def add(self, count: int) -> None:
        self.move_to(self.done + count)

    def move_to(self, done: int) -> None:
        self.done = done
        if self._limit is not None and done > self._limit:
            raise too_large(self._limit)
        if self._report is not None and time.monotonic() - self._last >= _REPORT_EVERY_S:
            self._tell()

    def finish(self) -> None:
        self._total = self.done
        self._tell()

    def _tell(self) -> None:
        if self._report is None:
            return
        self._last = time.monotonic()
        elapsed = max(self._last - self._began, 1e-6)
        rate = (self.done - self._start_bytes) / elapsed
        self._report(Progress(stage=self._stage, done_bytes=self.done, total_bytes=self._total, rate=rate))


def too_large(limit_bytes: int) -> MintageError:
    return MintageError(
        "payload_too_large",
        f"The model is larger than {limit_bytes / 1e9:.1f} GB.",
        "Choose a smaller quantisation, or raise the limit of the pull.",
    )


def check_room(folder: Path, need_bytes: int) -> None:
    """Refuse before the first byte what the disk cannot hold."""
    free = shutil.disk_usage(folder).free
    if need_bytes + _SPARE_BYTES > free:
        raise MintageError(
            "unavailable",
            f"The model needs {need_bytes / 1e6:.0f} MB, and the disk has {free / 1e6:.0f} MB free.",
            "Free some space, or move MINTAGE_HOME to a larger disk.",
        )


def copy_stream(source: IO[bytes], target: Path, meter: Meter) -> str:
    """Copy all bytes into target, durable, and return their SHA-256."""
    digest = hashlib.sha256()
    with target.open("wb") as out:
        while chunk := source.read(CHUNK_BYTES):
            meter.add(len(chunk))
            digest.update(chunk)
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    meter.finish()
    return digest.hexdigest()


def hash_file(path: Path, report: ProgressCallback | None = None) -> str:
    """The file's SHA-256, in hex."""
    digest = hashlib.sha256()
    meter = Meter("verify", path.stat().st_size, report)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            meter.add(len(chunk))
    meter.finish()
    return digest.hexdigest()


def check_hash(found: str, wanted: str | None, what: str) -> None:
    """Raises conflict if a hash was pinned and differs."""
    if wanted is not None and found != wanted:
        raise MintageError(
            "conflict",
            f"{what} has the SHA-256 {found}, not {wanted} as pinned. It was not kept.",
            "Check the source. If it was changed on purpose, pull it with the new hash.",
            details={"sha256": found, "pinned_sha256": wanted},
        )


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder survive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file for the block; the lock ends with the process. Raises conflict if another holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise MintageError("conflict", f"{what} is being pulled already.", "Wait until it is there.") from error
        yield
    finally:
        os.close(descriptor)
