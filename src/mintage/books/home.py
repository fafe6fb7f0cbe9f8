"""The home folder: one writer at a time, and where a running server is found."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Final

import msgspec

from mintage.base import MintageError

_LOCK: Final = "home.lock"
_SERVER: Final = "server.json"


class ServerAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server of this home answers, for the command line of the same user."""

    url: str
    pid: int
    admin_token: str


class Home:
    """A folder only its owner may enter. The lock is the kernel's: it ends with the process, however that ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def create(self) -> None:
        """Raises MintageError("invalid_settings") if the folder cannot be made or written."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self.path / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise MintageError(
                "invalid_settings",
                f"The home folder {self.path} cannot be used: {error.strerror}.",
                "Choose another one with --home or MINTAGE_HOME.",
            ) from error
        os.close(fd)

    def lock(self) -> None:
        """Become the one writer. Raises MintageError("home_locked") with the process that is."""
        self.create()
        fd = os.open(self.path / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            server = self.server()
            holder = f" by process {server.pid}" if server else ""
            raise MintageError(
                "home_locked",
                f"The books in {self.path} are in use{holder}.",
                "Stop the other process, or give this one another home with --home.",
            ) from error
        self._lock = fd

    @property
    def locked(self) -> bool:
        """Whether this object holds the lock."""
        return self._lock is not None

    def unlock(self) -> None:
        """Safe to call twice."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def in_use(self) -> bool:
        """Whether any process holds the lock right now."""
        path = self.path / _LOCK
        if self._lock is not None:
            return True
        if not path.exists():
            return False
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(fd)
        return False

    def announce(self, address: ServerAddress) -> None:
        """Say where the server is. Readable by the owner only: it holds the admin token."""
        temporary = self.path / f"{_SERVER}.new"
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        fd = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.encode(address))
        temporary.replace(self.path / _SERVER)

    def withdraw(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self.path / _SERVER).unlink()

    def server(self) -> ServerAddress | None:
        """The announced server; it may have died since, so check in_use() too."""
        try:
            return msgspec.json.decode((self.path / _SERVER).read_bytes(), type=ServerAddress)
        except (OSError, msgspec.DecodeError):
            return None
