"""Files of customers on this machine: one encrypted blob and one small description each.

content/TENANT/key holds the tenant's data key, sealed by the home's master key; content/TENANT/PROJECT/ID.bin the file
under that key (AES-256-GCM, bound to its id), ID.json what a list shows. A file is there once its description is.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from mintage.base import Clock, MintageError, new_id

FILES_MAX: Final = 10_000  # per project
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32
Seal = Callable[[bytes], bytes]


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What a file is, never what is in it. expires_ns: from then on it is as if it had been deleted."""

    id: str
    name: str
    purpose: str
    size_bytes: int
    created_ns: int
    expires_ns: int | None = None


_entry = msgspec.json.Decoder(FileEntry).decode


class FileStore:
    """Safe from any thread. seal and unseal are the home's, for the tenants' keys."""

    def __init__(self, folder: Path, clock: Clock, *, seal: Seal, unseal: Seal) -> None:
        self._folder = folder
        self._clock = clock
        self._seal = seal
        self._unseal = unseal

    def add(
        self, tenant_id: str, project_id: str, name: str, purpose: str, data: bytes, *, expires_ns: int | None = None
    ) -> FileEntry:
        """Keep a file, durably. Raises rate_limited if the project has FILES_MAX already."""
        folder = self._project(tenant_id, project_id)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if sum(1 for _ in folder.glob("*.json")) >= FILES_MAX:
            raise MintageError("rate_limited", f"There are {FILES_MAX} files.", "Delete some.")
        entry = FileEntry(
            id=new_id("file", self._clock.now_ns()),
            name=name[:255],
            purpose=purpose,
            size_bytes=len(data),
            created_ns=self._clock.now_ns(),
            expires_ns=expires_ns,
        )
        self._write(tenant_id, folder, entry, data)
        return entry

    def replace(self, tenant_id: str, project_id: str, entry: FileEntry, data: bytes) -> FileEntry:
        """Put other bytes in the place of a file's."""
        entry = msgspec.structs.replace(entry, size_bytes=len(data))
        self._write(tenant_id, self._project(tenant_id, project_id), entry, data)
        return entry

    def get(self, tenant_id: str, project_id: str, file_id: str) -> FileEntry:
        """Raises not_found, for another project's as for one that never was."""
        if _ID.fullmatch(file_id):
            try:
                entry = _entry((self._project(tenant_id, project_id) / f"{file_id}.json").read_bytes())
            except (OSError, msgspec.MsgspecError):
                raise _missing(file_id) from None
            if entry.expires_ns is None or entry.expires_ns > self._clock.now_ns():
                return entry
        raise _missing(file_id)

    def read(self, tenant_id: str, project_id: str, file_id: str) -> bytes:
        """Raises not_found, also once the tenant's key is destroyed."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self.get(tenant_id, project_id, file_id)
        try:
            sealed = (self._project(tenant_id, project_id) / f"{file_id}.bin").read_bytes()
            key = self._unseal((self._tenant(tenant_id) / "key").read_bytes())
            return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], file_id.encode())
        except (OSError, InvalidTag):
            raise _missing(file_id) from None

    def list(self, tenant_id: str, project_id: str) -> list[FileEntry]:
        """Newest first."""
        now_ns = self._clock.now_ns()
        entries = []
        for path in self._project(tenant_id, project_id).glob("*.json"):
            try:
                entry = _entry(path.read_bytes())
            except (OSError, msgspec.MsgspecError):
                continue  # deleted meanwhile
            if entry.expires_ns is None or entry.expires_ns > now_ns:
                entries.append(entry)
        return sorted(entries, key=lambda entry: (entry.created_ns, entry.id), reverse=True)

    def delete(self, tenant_id: str, project_id: str, file_id: str) -> None:
        """Raises not_found."""
        self.get(tenant_id, project_id, file_id)
        for ending in ("json", "bin"):
            (self._project(tenant_id, project_id) / f"{file_id}.{ending}").unlink(missing_ok=True)

    def destroy(self, tenant_id: str) -> None:
        """Forget a tenant: its key first, so that what is left of its files cannot be read."""
        (self._tenant(tenant_id) / "key").unlink(missing_ok=True)
        shutil.rmtree(self._tenant(tenant_id), ignore_errors=True)

    def _write(self, tenant_id: str, folder: Path, entry: FileEntry, data: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + AESGCM(self._key(tenant_id)).encrypt(nonce, data, entry.id.encode())
        place(folder / f"{entry.id}.bin", sealed)
        place(folder / f"{entry.id}.json", msgspec.json.encode(entry))

    def _key(self, tenant_id: str) -> bytes:
        path = self._tenant(tenant_id) / "key"
        if not path.exists():
            place(path, self._seal(os.urandom(_KEY_BYTES)))
        return self._unseal(path.read_bytes())

    def key(self, tenant_id: str) -> bytes:
        """The tenant's data key, made when it is first needed."""
        self._tenant(tenant_id).mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._key(tenant_id)

    def existing_key(self, tenant_id: str) -> bytes:
        """Raises OSError once it is destroyed."""
        return self._unseal((self._tenant(tenant_id) / "key").read_bytes())

    def folder(self, tenant_id: str) -> Path:
        """Where everything of a tenant lies. Raises not_found for what cannot be a tenant."""
        return self._tenant(tenant_id)

    def _tenant(self, tenant_id: str) -> Path:
        if not _ID.fullmatch(tenant_id):
            raise _missing(tenant_id)
        return self._folder / tenant_id

    def _project(self, tenant_id: str, project_id: str) -> Path:
        if not _ID.fullmatch(project_id):
            raise _missing(project_id)
        return self._tenant(tenant_id) / project_id


def place(path: Path, data: bytes) -> None:
    """Whole or not at all, also after a crash."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _missing(file_id: str) -> MintageError:
    return MintageError("not_found", f"There is no file {file_id[:100]!r}.", "GET /v1/files lists those there are.")
