"""Which addresses an operator's URL may reach: no request of ours is turned against the network behind the server."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final
from urllib.parse import urlsplit

from mintage.base import MintageError

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_SIXTO4: Final = ipaddress.IPv6Network("2002::/16")


def is_public_address(address: str) -> bool:
    """False for loopback, private, link-local (cloud metadata), reserved and multicast addresses.

    An IPv6 address that carries an IPv4 one (mapped, 6to4, NAT64) is judged by what it carries.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        carried = ip.ipv4_mapped
        if carried is None and ip in _NAT64:
            carried = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if carried is None and ip in _SIXTO4:
            carried = ipaddress.IPv4Address(int(ip) >> 80 & 0xFFFF_FFFF)
        if carried is not None:
            ip = carried
    return ip.is_global and not ip.is_multicast


def check_url(url: str, *, allow_private: bool = False, param: str = "base_url") -> str:
    """The URL without a trailing slash, if it may be called: https, or plain http to an allowed private address.

    A host name is checked again when it is resolved, at each connection. Raises MintageError invalid_request.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _refuse(param, "It is not a valid URL.") from error
    if parts.scheme not in ("https", "http") or not host or port == 0:
        raise _refuse(param, "It needs https:// and a host name.")
    if parts.scheme == "http" and not allow_private:
        raise _refuse(param, "Plain http would show the key to the network.")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise _refuse(param, "It must not hold credentials, a query or a fragment.")
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > 2048:
        raise _refuse(param, "It has characters that do not belong in a URL.")
    if not allow_private and _is_literal(host) and not is_public_address(host):
        raise refuse_private(host)
    return url.rstrip("/")


def resolve_public(host: str, port: int, *, allow_private: bool = False) -> list[str]:
    """The addresses of a host, all of them public (one private among them refuses the host). Blocks on DNS."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise MintageError("upstream_failed", f"The host {host!r} cannot be found.", "Check its spelling.") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not allow_private and not all(is_public_address(address) for address in addresses):
        raise refuse_private(host)
    return addresses


def refuse_private(host: str) -> MintageError:
    return MintageError(
        "permission_denied",
        f"The host {host!r} is a private or local address.",
        "If the model really runs there, add it with private addresses allowed.",
        param="base_url",
    )


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _refuse(param: str, problem: str) -> MintageError:
    return MintageError(
        "invalid_request", f"The {param} cannot be used. {problem}", "Write it like https://api.example.com/v1.",
        param=param,
    )  # fmt: skip
