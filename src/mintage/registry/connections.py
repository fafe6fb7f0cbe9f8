"""Connections: a provider with an address and a key of ours, under a name. Many models may use one.

`home/providers/NAME.json`, readable by the owner alone; the key in it is sealed by the home's secret store.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from mintage.base import Clock, MintageError
from mintage.registry.addresses import check_url
from mintage.registry.providers import Provider, find_provider
from mintage.registry.source import check_name
from mintage.registry.transfer import sync_folder

_CONNECTIONS_MAX: Final = 1_000
_FILE_MAX_BYTES: Final = 64 * 1024
_KEY_MAX: Final = 4096


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """provider: a name of providers.toml. known_as: what it is called in costs and in the price book."""

    name: str
    provider: str
    base_url: str
    known_as: str
    api_key_sealed: str = ""
    allow_private: bool = False
    created_ns: int = 0

    @property
    def kind(self) -> Provider:
        return find_provider(self.provider)


_DECODER: Final = msgspec.json.Decoder(Connection)


class Connections:
    """All of one home. seal and unseal are its secret store; without them no key can be stored or read."""

    def __init__(
        self,
        home: Path,
        clock: Clock,
        seal: Callable[[bytes], bytes] | None,
        unseal: Callable[[bytes], bytes] | None,
    ) -> None:
        self.folder = home / "providers"
        self._clock = clock
        self._seal, self._unseal = seal, unseal

    def list(self) -> list[Connection]:
        """By name. One that cannot be read is left out of the list, and reported by get."""
        if not self.folder.is_dir():
            return []
        found: list[Connection] = []
        for path in sorted(self.folder.glob("*.json"))[:_CONNECTIONS_MAX]:
            try:
                found.append(self.get(path.stem))
            except MintageError:
                continue
        return found

    def get(self, name: str) -> Connection:
        """Raises not_found, or conflict for a file that cannot be read."""
        path = self._path(name)
        try:
            if path.stat().st_size > _FILE_MAX_BYTES:
                raise msgspec.ValidationError("it is too long")
            return _DECODER.decode(path.read_bytes())
        except FileNotFoundError as error:
            raise MintageError(
                "not_found",
                f"There is no connection {name[:100]!r}.",
                "`mintage providers list` shows those there are; add one with `mintage providers add`.",
                param="provider",
            ) from error
        except (OSError, msgspec.DecodeError) as error:
            raise MintageError(
                "conflict", f"The connection {name!r} cannot be read: {error}.", "Remove it and add it again."
            ) from error

    def add(
        self,
        provider: str,
        *,
        name: str = "",
        base_url: str = "",
        api_key: str = "",
        known_as: str = "",
        allow_private: bool = False,
        replace: bool = False,
    ) -> Connection:
        """Raises conflict for a taken name (unless replace), and what check_url says about the address."""
        kind = find_provider(provider)
        url = base_url or kind.base_url
        if not url or "RESOURCE" in url:
            raise MintageError(
                "invalid_request", f"{kind.title} has no fixed address.", kind.note or "Give its base URL.",
                param="base_url",
            )  # fmt: skip
        name = check_name(name or provider)
        connection = Connection(
            name=name,
            provider=provider,
            base_url=check_url(url, allow_private=allow_private),
            known_as=known_as or kind.price_book or name,
            api_key_sealed=self.sealed(api_key),
            allow_private=allow_private,
            created_ns=self._clock.now_ns(),
        )
        self._write(connection, replace=replace)
        return connection

    def remove(self, name: str) -> None:
        path = self._path(name)
        if not path.is_file():
            self.get(name)
        path.unlink()
        sync_folder(self.folder)

    def api_key(self, name: str) -> str:
        """The key, unsealed; "" if it wants none. Never log it."""
        return self.unsealed(self.get(name).api_key_sealed)

    def sealed(self, api_key: str) -> str:
        if not api_key:
            return ""
        if self._seal is None:
            raise MintageError("unavailable", "No secret store is open to keep the key in.", "Start with its key.")
        if not api_key.isascii() or not api_key.isprintable() or len(api_key) > _KEY_MAX:
            raise MintageError("invalid_request", "The API key has characters no key has.", param="api_key")
        return base64.b64encode(self._seal(api_key.encode())).decode()

    def unsealed(self, sealed: str) -> str:
        if not sealed:
            return ""
        if self._unseal is None:
            raise MintageError("unavailable", "The secret store of this home is not open.", "Start it with its key.")
        return self._unseal(base64.b64decode(sealed)).decode()

    def _path(self, name: str) -> Path:
        return self.folder / f"{check_name(name)}.json"

    def _write(self, connection: Connection, *, replace: bool) -> None:
        """Whole or not at all: written aside, then linked into place, which fails for a name that is taken."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(connection.name)
        aside = path.with_suffix(f".{os.getpid()}.part")
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(connection), indent=2) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            if replace:
                aside.replace(path)
            else:
                path.hardlink_to(aside)
        except FileExistsError as error:
            raise MintageError(
                "conflict",
                f"There is a connection {connection.name!r} already.",
                "Choose another name, or replace it.",
                param="name",
            ) from error
        finally:
            aside.unlink(missing_ok=True)
        sync_folder(self.folder)
