"""Where an upstream is: its base URL taken apart, its name resolved once, and private addresses kept out.

A name is resolved here and the connection goes to exactly the address that was checked, so that a name cannot change
between the check and the use (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final
from urllib.parse import urlsplit

import msgspec

from mintage.base import MintageError
from mintage.base.addresses import is_public_address

_CACHE_S: Final = 60.0
_ADDRESS_LIMIT: Final = 8


class BaseUrl(msgspec.Struct, frozen=True):
    """tls, host and port to connect to; authority as the Host header says it; prefix before every path."""

    tls: bool
    host: str
    port: int
    authority: bytes
    prefix: str

    @classmethod
    def parse(cls, url: str) -> BaseUrl:
        """Raises MintageError("invalid_settings") for what is not a plain http or https URL."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not host or parts.username or parts.query or parts.fragment:
            raise MintageError(
                "invalid_settings",
                f"{url[:100]!r} is not the base URL of an upstream.",
                "Write it like https://api.example.com/v1, without user name and query.",
            )
        tls = parts.scheme == "https"
        try:
            ascii_host = host if ":" in host else host.encode("idna").decode("ascii")
        except UnicodeError:
            raise MintageError("invalid_settings", f"{host[:100]!r} is not a host name.", "Check the URL.") from None
        standard = 443 if tls else 80
        shown = f"[{ascii_host}]" if ":" in ascii_host else ascii_host
        authority = shown if port in (None, standard) else f"{shown}:{port}"
        prefix = parts.path.rstrip("/")
        if not prefix.isascii() or not authority.isascii() or any(c <= " " for c in prefix + authority):
            raise MintageError("invalid_settings", f"{url[:100]!r} has characters that a URL cannot have.", "Check it.")
        return cls(tls, ascii_host, port or standard, authority.encode("ascii"), prefix)


class Resolver:
    """The addresses of one upstream, looked up at most once a minute."""

    def __init__(self, url: BaseUrl, *, name: str, allow_private: bool) -> None:
        self._url = url
        self._name = name
        self._allow_private = allow_private
        self._addresses: list[str] = []
        self._until_s = 0.0

    def forget(self) -> None:
        self._until_s = 0.0

    async def addresses(self) -> list[str]:
        """IP addresses that may be connected to. Raises MintageError upstream_failed or permission_denied."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._until_s:
            return self._addresses
        try:
            found = await loop.getaddrinfo(self._url.host, self._url.port, type=socket.SOCK_STREAM)
        except OSError:
            raise MintageError(
                "upstream_failed", f"The name of the upstream {self._name} cannot be resolved.", "Check its base URL."
            ) from None
        addresses = list(dict.fromkeys(str(info[4][0]) for info in found))[:_ADDRESS_LIMIT]
        if not self._allow_private and not all(is_public_address(address) for address in addresses):
            raise MintageError(
                "permission_denied",
                f"The upstream {self._name} is at a private address.",
                "If that is meant, allow private addresses for this upstream.",
            )
        self._addresses, self._until_s = addresses, loop.time() + _CACHE_S
        return addresses
