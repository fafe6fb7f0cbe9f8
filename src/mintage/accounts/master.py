"""The master key: 32 random bytes as base64, from the home folder, the environment, or a command that prints it.

The setting master_key says where: `file` is secret.key in the home, which only its owner may read, made on first use;
`env:NAME` is a variable; `command:PROGRAM ARGUMENTS` is run without a shell, such as a password manager's. Each may
hold several keys with white space between them: the first is in use, the others are earlier ones, for a rotation.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets as random
import shlex
import stat
import subprocess
from pathlib import Path
from typing import Final

from mintage.base import MintageError

KEY_FILE: Final = "secret.key"
KEY_BYTES: Final = 32
KEYS_MAX: Final = 8
COMMAND_TIMEOUT_S: Final = 20
TEXT_MAX: Final = 4096

_VERSION: Final = b"\x01"


class SealingKey:
    """Seals and opens bytes with AES-256-GCM, bound to a name. repr shows nothing of the key.

    Format: 1 byte version, 8 bytes key id, 12 bytes nonce, ciphertext and tag.
    """

    def __init__(self, raw: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher = AESGCM(raw)
        self.id = hashlib.sha256(b"mintage master key id" + raw).digest()[:8]

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
            raise unopened(name) from error


def unopened(name: str) -> MintageError:
    return MintageError(
        "unavailable",
        f"The secret {name[:200]!r} cannot be opened.",
        "Restore the master key it was sealed with (see setting master_key), or store the secret again.",
    )


def key_id(sealed: bytes) -> bytes:
    """Which key sealed it."""
    return sealed[1:9]


def new_key_text() -> str:
    return base64.b64encode(random.token_bytes(KEY_BYTES)).decode()


class MasterKeys:
    """Where the master key comes from. keys() reads it: the one in use first, then earlier ones."""

    def __init__(self, source: str, home: Path) -> None:
        self.source = source
        self._path = home / KEY_FILE
        self.made = False  # whether keys() has just made the home's first key

    def keys(self, *, make: bool = False) -> list[tuple[SealingKey, bytes]]:
        """Each with its raw bytes. make: the home is new, so its file may be made. Raises invalid_settings,
        unavailable."""
        kind, _, rest = self.source.partition(":")
        match kind:
            case "file" if not rest:
                text, where = self._from_file(make), str(self._path)
            case "env" if rest:
                text, where = os.environ.get(rest, ""), f"The variable {rest}"
            case "command" if rest:
                text, where = _from_command(rest), f"The command {shlex.split(rest)[0]}"
            case _:
                raise MintageError(
                    "invalid_settings", "master_key names no source.", "Use file, env:NAME or command:PROGRAM."
                )
        found = [_decode(part, where) for part in text[:TEXT_MAX].split()][:KEYS_MAX]
        if not found:
            raise MintageError(
                "invalid_settings", f"{where} holds no master key.", "`mintage secrets new-key` prints one.", status=500
            )
        return [(SealingKey(raw), raw) for raw in found]

    def _from_file(self, make: bool) -> str:
        path = self._path
        try:
            if make and not path.exists():
                self.made = _create(path, new_key_text())
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                raise MintageError(
                    "invalid_settings", f"{path} may be read by other people.", f"Run: chmod 600 {path}", status=500
                )
            return path.read_text("ascii", "replace")
        except OSError as error:
            raise MintageError("unavailable", f"{path} cannot be read: {error.strerror}.", "Check its mode.") from error

    @property
    def ours(self) -> bool:
        """Whether a rotation may make the new key by itself: the home's file is ours to write."""
        return self.source == "file"

    def write(self, texts: list[str]) -> None:
        """Put these keys into the home's file, at once or not at all."""
        partial = self._path.with_name(f".{self._path.name}.{random.token_hex(8)}")
        _write(partial, "\n".join(texts))
        partial.replace(self._path)
        _sync_folder(self._path.parent)


def _decode(text: str, where: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    if len(raw) != KEY_BYTES:
        raise MintageError(
            "invalid_settings", f"{where} does not hold a master key.", "Restore it from a backup.", status=500
        )
    return raw


def _from_command(command: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own setting, and no shell looks at it
            shlex.split(command), capture_output=True, timeout=COMMAND_TIMEOUT_S, check=True, stdin=subprocess.DEVNULL
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise MintageError(
            "unavailable",
            "The command of master_key failed.",
            "Run it by hand: it must print the key and nothing else.",
        ) from error
    return done.stdout[:TEXT_MAX].decode("ascii", "replace")


def _create(path: Path, text: str) -> bool:
    """Make the file unless another process is first; whether we did."""
    partial = path.with_name(f".{path.name}.{random.token_hex(8)}")
    _write(partial, text)
    try:
        os.link(partial, path)  # all of the file or none of it, and never over an existing key
    except FileExistsError:
        return False
    finally:
        partial.unlink()
    _sync_folder(path.parent)
    return True


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
