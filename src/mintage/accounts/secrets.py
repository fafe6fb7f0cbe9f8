"""Secrets that must be read again, such as an upstream's API key: sealed with AES-256-GCM under the home's master key.

The master key is a file of the home folder that only its owner may read. A sealed value is bound to its name, so one
cannot be put in another's place. Format: 1 byte version, 8 bytes master key id, 12 bytes nonce, ciphertext and tag.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import secrets as random
import stat
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from mintage.accounts.changes import Changes
from mintage.accounts.tables import secrets
from mintage.base import MintageError

KEY_FILE: Final = "secret.key"
KEY_BYTES: Final = 32
VALUE_MAX_BYTES: Final = 64 * 1024
SECRETS_MAX: Final = 10_000

_VERSION: Final = b"\x01"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._/-]{0,199}")


class MasterKey:
    """Seals and opens bytes. repr shows nothing of the key."""

    def __init__(self, raw: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher = AESGCM(raw)
        self.id = hashlib.sha256(b"mintage master key id" + raw).digest()[:8]

    @classmethod
    def load(cls, home: Path) -> MasterKey:
        """Read the home's key file, or make it on first use. Raises invalid_settings if others may read it."""
        path = home / KEY_FILE
        try:
            text = cls._create(path) if not path.exists() else path.read_bytes()
        except FileExistsError:  # another process was first
            text = path.read_bytes()
        except OSError as error:
            raise MintageError("unavailable", f"{path} cannot be read: {error.strerror}.", "Check its mode.") from error
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise MintageError(
                "invalid_settings", f"{path} may be read by other people.", f"Run: chmod 600 {path}", status=500
            )
        try:
            raw = base64.b64decode(text.strip(), validate=True)
        except (ValueError, binascii.Error):
            raw = b""
        if len(raw) != KEY_BYTES:
            raise MintageError(
                "invalid_settings", f"{path} does not hold a master key.", "Restore it from a backup.", status=500
            )
        return cls(raw)

    @staticmethod
    def _create(path: Path) -> bytes:
        text = base64.b64encode(random.token_bytes(KEY_BYTES)) + b"\n"
        partial = path.with_name(f".{path.name}.{random.token_hex(8)}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.link(partial, path)  # all of the file or none of it, and never over an existing key
        finally:
            partial.unlink()
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return text

    def seal(self, name: str, value: bytes) -> bytes:
        nonce = random.token_bytes(12)
        return _VERSION + self.id + nonce + self._cipher.encrypt(nonce, value, name.encode())

    def unseal(self, name: str, sealed: bytes) -> bytes:
        """Raises MintageError("unavailable") when the key is another one, or the value was altered or moved."""
        from cryptography.exceptions import InvalidTag

        try:
            if sealed[:1] != _VERSION or sealed[1:9] != self.id:
                raise InvalidTag
            return self._cipher.decrypt(sealed[9:21], sealed[21:], name.encode())
        except (InvalidTag, ValueError) as error:
            raise MintageError(
                "unavailable",
                f"The secret {name!r} cannot be opened.",
                f"Restore the {KEY_FILE} it was sealed with, or store the secret again.",
            ) from error


class Vault:
    """Named secrets. Names look like `upstream/openai`."""

    def __init__(self, changes: Changes, home: Path) -> None:
        self._changes = changes
        self._home = home
        self._key: MasterKey | None = None

    @property
    def master(self) -> MasterKey:
        if self._key is None:
            self._key = MasterKey.load(self._home)
        return self._key

    def seal(self, name: str, value: bytes) -> bytes:
        """For rooms that keep a sealed value themselves; the registry keeps an upstream's key in its manifest."""
        return self.master.seal(name, value)

    def unseal(self, name: str, sealed: bytes) -> bytes:
        return self.master.unseal(name, sealed)

    def put(self, actor: str, name: str, value: str) -> None:
        """Store or replace. The audit log says that it happened, not the value."""
        if not _NAME.fullmatch(name):
            raise MintageError("invalid_request", f"{name[:80]!r} cannot name a secret.", "Use a-z, 0-9, . _ / -")
        raw = value.encode()
        if not 1 <= len(raw) <= VALUE_MAX_BYTES:
            raise MintageError("invalid_request", "A secret has 1 byte to 64 KiB.", "Check what was given.")
        sealed = self.master.seal(name, raw)
        with self._changes.change(actor, "secret.put", name) as change:
            connection, now = change.connection, change.now_ns
            same = secrets.c.name == name
            if connection.execute(secrets.update().where(same).values(sealed=sealed, updated_ns=now)).rowcount:
                return
            if (connection.scalar(sa.select(sa.func.count()).select_from(secrets)) or 0) >= SECRETS_MAX:
                raise MintageError("conflict", f"There are {SECRETS_MAX} secrets.", "Delete some first.")
            connection.execute(secrets.insert().values(name=name, sealed=sealed, updated_ns=now))

    def get(self, name: str) -> str:
        """Raises not_found, or unavailable when it cannot be opened."""
        with self._changes.database.read() as connection:
            sealed = connection.scalar(sa.select(secrets.c.sealed).where(secrets.c.name == name))
        if sealed is None:
            raise MintageError("not_found", f"There is no secret {name[:80]!r}.", "Store it first.")
        return self.master.unseal(name, sealed).decode()

    def names(self) -> list[str]:
        with self._changes.database.read() as connection:
            return list(connection.scalars(sa.select(secrets.c.name).order_by(secrets.c.name)))

    def delete(self, actor: str, name: str) -> None:
        with self._changes.change(actor, "secret.delete", name) as change:
            if not change.connection.execute(secrets.delete().where(secrets.c.name == name)).rowcount:
                raise MintageError("not_found", f"There is no secret {name[:80]!r}.", "Nothing was deleted.")
