"""Which IP addresses are of the open Internet, and which is the client's behind a proxy.

Where a URL comes from outside, no address but a public one may be connected to. Whose address counts for limits and
scopes is the peer's own, unless the peer is a proxy that the operator trusts to say whose request it passes on.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from mintage.base.errors import MintageError

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


def is_public_address(address: str) -> bool:
    """False for loopback, private, link-local (cloud metadata), reserved and multicast addresses, and for no address.

    An IPv6 address that carries an IPv4 one (mapped, 6to4, Teredo, NAT64) is judged by what it carries.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        carried = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            carried = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if carried is not None:
            ip = carried
    site_local = isinstance(ip, ipaddress.IPv6Address) and ip.is_site_local
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or site_local)


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_networks(text: str) -> tuple[Network, ...]:
    """Networks and addresses with commas between them. Raises ValueError."""
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def within(address: str, networks: tuple[Network, ...]) -> bool:
    """False for what is no address. An IPv4 address that came over an IPv6 socket counts as what it is."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return any(ip in network for network in networks)


class TrustedProxies:
    """Whom to believe about X-Forwarded-For: nobody, unless the operator names the proxies in front."""

    def __init__(self, networks: tuple[Network, ...] = ()) -> None:
        self._networks = networks

    @classmethod
    def parse(cls, text: str) -> TrustedProxies:
        """The setting trusted_proxies. Raises MintageError("invalid_settings")."""
        try:
            return cls(parse_networks(text))
        except ValueError as error:
            raise MintageError(
                "invalid_settings", f"trusted_proxies: {error}.", "Write networks with commas: 10.0.0.0/8, ::1."
            ) from error

    def client(self, peer: str, forwarded: str | None) -> str:
        """The client's address: the last one in X-Forwarded-For that no trusted proxy has, read from the right, as
        whatever stands further left was written by the client itself."""
        if forwarded is None or not within(peer, self._networks):
            return peer
        for part in reversed(forwarded[:2000].split(",")):
            if not within(found := part.strip().strip('[]"'), self._networks):
                return found[:64]
        return peer
