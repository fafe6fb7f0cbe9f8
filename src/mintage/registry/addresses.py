"""What an operator's URL may be: no request of ours is turned against the network behind the server."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from mintage.base import MintageError
from mintage.base.addresses import is_public_address


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
