"""Kept prompts and answers: for each tenant and day one file of encrypted frames, so that a day is forgotten at once.

A frame is the length of the rest (4 bytes), the request's id (40 bytes, padded), a nonce (12 bytes), and the record
under the tenant's key (AES-256-GCM, bound to the id). A frame that a crash cut off ends the reading of its file, and is
cut away before the next one is written. Records are written by one thread, after the answer, from a bounded queue: when
the disk is too slow, records are dropped and counted, never requests.
"""

from __future__ import annotations

import logging
import os
import queue
import struct
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from mintage.base import Clock, MintageError
from mintage.content.files import FileStore
from mintage.content.policy import Policies

log = logging.getLogger("mintage.content")
WAITING_MAX: Final = 1_000
RECORD_MAX_BYTES: Final = 2 * 1024 * 1024
DAY_MAX_BYTES: Final = 4 * 1024**3  # of one tenant's day; what comes after is dropped and counted
_ID_BYTES: Final = 40
_NONCE_BYTES: Final = 12
_HEAD: Final = struct.Struct(">I40s12s")
_STOP: Final = ("", "", 0, None)

Build = Callable[[], Any]


class Records:
    """offer() from the event loop; the rest from any thread."""

    def __init__(self, folder: Path, clock: Clock, policies: Policies, files: FileStore) -> None:
        self._folder = folder
        self._clock = clock
        self._policies = policies
        self._files = files
        self._waiting: queue.Queue[tuple[str, str, int, Build | None]] = queue.Queue(WAITING_MAX)
        self._thread: threading.Thread | None = None
        self._turn = threading.Lock()
        self._ends: dict[Path, int] = {}  # of the files that this process has written
        self.dropped = 0

    def offer(self, tenant_id: str, request_id: str, at_ns: int, build: Build) -> None:
        """Keep what build() gives, soon. Never waits."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_all, name="content", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait((tenant_id, request_id, at_ns, build))
        except queue.Full:
            self.dropped += 1

    def flush(self) -> None:
        """Return when everything offered before is written or dropped."""
        if self._thread is not None:
            self._waiting.join()

    def close(self) -> None:
        """Write what waits, then end. Safe to call twice."""
        if self._thread is not None:
            self._waiting.put(_STOP)
            self._thread.join()
            self._thread = None

    def _write_all(self) -> None:
        while True:
            tenant_id, request_id, at_ns, build = self._waiting.get()
            try:
                if build is None:
                    return
                self._write(tenant_id, request_id, at_ns, build)
            except (
                Exception
            ) as error:  # a full disk, a key that cannot be opened: the request was answered all the same
                self.dropped += 1
                log.error("content of a request was not kept: %s", type(error).__name__)
            finally:
                self._waiting.task_done()

    def _write(self, tenant_id: str, request_id: str, at_ns: int, build: Build) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        raw = msgspec.json.encode(build())
        if len(raw) > RECORD_MAX_BYTES:
            raw = msgspec.json.encode({"request_id": request_id, "at_ns": at_ns, "too_large_bytes": len(raw)})
        name = request_id.encode()
        with self._turn:
            if tenant_id not in self._policies.chosen:
                return  # chosen otherwise, or erased, meanwhile
            nonce = os.urandom(_NONCE_BYTES)
            sealed = AESGCM(self._files.key(tenant_id)).encrypt(nonce, raw, name)
            path = self._day(tenant_id, at_ns)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            frame = _HEAD.pack(_ID_BYTES + _NONCE_BYTES + len(sealed), name, nonce) + sealed
            with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
                end = self._ends[path] if path in self._ends else _whole(file)
                if end + len(frame) > DAY_MAX_BYTES:
                    self.dropped += 1
                    return
                file.truncate(end)
                file.seek(end)
                file.write(frame)
            if len(self._ends) > WAITING_MAX:
                self._ends.clear()
            self._ends[path] = end + len(frame)

    def read(self, tenant_id: str, request_id: str) -> Any:
        """What was kept of a request. Raises not_found: nothing was, or it was erased."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self.flush()
        name = request_id.encode()
        try:
            at_ns = int(request_id.rpartition("_")[2][:12], 16) * 1_000_000
            key = self._files.existing_key(tenant_id)
            for day in (0, 1, -1):  # an id's own time, and the request's, may lie on either side of midnight
                for found, nonce, sealed in _frames(self._day(tenant_id, at_ns + day * 86_400 * 10**9)):
                    if found == name:
                        return msgspec.json.decode(AESGCM(key).decrypt(nonce, sealed, name))
        except (OSError, ValueError, OverflowError, InvalidTag):
            pass
        raise MintageError(
            "not_found", f"Nothing is kept of the request {request_id[:80]!r}.", "See the customer's content policy."
        )

    def sweep(self) -> int:
        """Delete the days that are over: older than each tenant's choice. Returns how many files."""
        today = datetime.fromtimestamp(self._clock.now_ns() // 10**9, UTC).date()
        gone = 0
        for path in self._folder.glob("*/records/*.bin"):
            policy = self._policies.get(path.parent.parent.name)
            days = policy.days if policy.keep != "nothing" else 0
            if path.stem < (today - timedelta(days=days)).isoformat() or not days:
                with self._turn:
                    path.unlink(missing_ok=True)
                    self._ends.pop(path, None)
                gone += 1
        return gone

    def erase(self, tenant_id: str) -> None:
        """Destroy the tenant's key, and with it everything that was kept; the choice of what to keep stays."""
        self.flush()
        with self._turn:
            policy = self._policies.get(tenant_id)
            self._files.destroy(tenant_id)
            self._ends.clear()
            if policy.keep != "nothing":
                self._policies.set(tenant_id, policy)

    def _day(self, tenant_id: str, at_ns: int) -> Path:
        day = datetime.fromtimestamp(at_ns // 10**9, UTC).date()
        return self._files.folder(tenant_id) / "records" / f"{day.isoformat()}.bin"


def _whole(file: Any) -> int:
    """Where the last whole frame ends; a frame is checked by its length alone, since one thread writes them."""
    size = os.fstat(file.fileno()).st_size
    end = 0
    while end + _HEAD.size <= size:
        file.seek(end)
        (length,) = struct.unpack(">I", file.read(4))
        if end + 4 + length > size:
            break
        end += 4 + length
    return end


def _frames(path: Path) -> Iterator[tuple[bytes, bytes, bytes]]:
    if not path.exists():
        return
    with path.open("rb") as file:
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            length, name, nonce = _HEAD.unpack(head)
            sealed = file.read(length - _ID_BYTES - _NONCE_BYTES)
            if len(sealed) < length - _ID_BYTES - _NONCE_BYTES:
                return
            yield name.rstrip(b"\0"), nonce, sealed
