"""Signed manifests: which weights were made by which run from which data, so that altered ones are never served.

Ed25519 (RFC 8032) over the manifest as canonical JSON. The private key is made once and sealed by the master key.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from mintage.base import MintageError

SIGNATURE: Final = "signature.json"
SECRET: Final = "factory/signing"  # noqa: S105 - the name, not the secret
_MAX_BYTES: Final = 1024 * 1024
ALGORITHM: Final = "ed25519"


class SignedManifest(msgspec.Struct, frozen=True, kw_only=True):
    """artifacts: id -> SHA-256 of everything that the weights were made from."""

    name: str
    run_id: str
    sha256: str
    created_ns: int
    artifacts: dict[str, str]
    algorithm: str = ALGORITHM
    key_id: str = ""
    signature: str = ""

    def payload(self) -> bytes:
        """What is signed: everything but the signature."""
        return msgspec.json.encode(msgspec.structs.replace(self, signature=""), order="deterministic")


class Signer:
    """seed: 32 bytes."""

    def __init__(self, seed: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._public = self._key.public_key()
        self.key_id = hashlib.sha256(self._public.public_bytes_raw()).hexdigest()[:16]

    def sign(self, manifest: SignedManifest) -> SignedManifest:
        named = msgspec.structs.replace(manifest, key_id=self.key_id)
        signature = base64.b64encode(self._key.sign(named.payload())).decode()
        return msgspec.structs.replace(named, signature=signature)

    def verify(self, folder: Path, name: str, weights: Path) -> SignedManifest:
        """Raises MintageError conflict unless the folder's signature is ours and of exactly these weights."""
        from cryptography.exceptions import InvalidSignature

        path = folder / SIGNATURE
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise ValueError("it is too long")
            found = msgspec.json.decode(path.read_bytes(), type=SignedManifest)
            if found.algorithm != ALGORITHM or found.key_id != self.key_id:
                raise ValueError("another key signed it")
            self._public.verify(base64.b64decode(found.signature, validate=True), found.payload())
            with weights.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if (found.name, found.sha256) != (name, digest):
                raise ValueError("it is of other weights")
        except (OSError, ValueError, msgspec.DecodeError, InvalidSignature) as error:
            raise MintageError(
                "conflict",
                f"The model {name!r} is not as it was signed: {str(error) or 'the signature is wrong'}.",
                "Promote its run again with `mintage models promote`.",
            ) from error
        return found


def make_signer(names: Callable[[], list[str]], get: Callable[[str], str], put: Callable[[str, str], object]) -> Signer:
    """The home's signer; its key is made, and handed to `put`, the first time."""
    import secrets

    if SECRET not in names():
        put(SECRET, base64.b64encode(secrets.token_bytes(32)).decode())
    return Signer(base64.b64decode(get(SECRET)))
