"""Slows down who guesses passwords: per person and address, per person, and per address.

In memory and bounded: a restart forgets, which one-time links do not need. After the free tries each failure doubles
the wait, up to a quarter of an hour. A stranger who fails at someone else's account slows down his own address first;
the account as a whole only after many more, so that nobody can be locked out cheaply, and links work all the while.
"""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict
from typing import Final

from mintage.base import Clock, MintageError

FREE_TRIES: Final = {"pair": 5, "account": 50, "address": 30, "sign_up": 5}
WAIT_MAX_S: Final = 15 * 60
FORGET_S: Final = 3600
ENTRIES_MAX: Final = 50_000
_SECOND: Final = 1_000_000_000


class _Failures:
    __slots__ = ("count", "last_ns", "until_ns")

    def __init__(self) -> None:
        self.count = 0
        self.last_ns = 0
        self.until_ns = 0


def network_of(address: str) -> str:
    """An IPv6 neighbour has a /64 of his own: it counts as one."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "?"
    return str(ipaddress.IPv6Network((int(ip) >> 64 << 64, 64))) if isinstance(ip, ipaddress.IPv6Address) else str(ip)


class Throttle:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], _Failures] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, account: str, address: str) -> None:
        """Raises rate_limited while one of the three has to wait, or while too many fail for all to be remembered."""
        self._check(_names(account, address))

    def failed(self, account: str, address: str) -> None:
        self._count(_names(account, address))

    def succeeded(self, account: str, address: str) -> None:
        """The pair is trusted again; what others failed at stays counted."""
        with self._lock:
            self._known.pop(_names(account, address)[0], None)

    def count_sign_up(self, address: str) -> None:
        """Each account that an address opens counts. Raises rate_limited."""
        names = [("sign_up", network_of(address))]
        self._check(names)
        self._count(names)

    def _check(self, names: list[tuple[str, str]]) -> None:
        now = self._clock.monotonic_ns()
        with self._lock:
            self._forget(now)
            wait_ns = max((self._known[name].until_ns - now for name in names if name in self._known), default=0)
            if wait_ns <= 0 and len(self._known) >= ENTRIES_MAX and names[0] not in self._known:
                wait_ns = 60 * _SECOND
        if wait_ns > 0:
            wait_s = wait_ns / _SECOND
            raise MintageError(
                "rate_limited",
                "Too many tries.",
                f"Wait {max(1, round(wait_s))} s, or use a one-time link.",
                retry_after_s=wait_s,
            )

    def _count(self, names: list[tuple[str, str]]) -> None:
        now = self._clock.monotonic_ns()
        with self._lock:
            for name in names:
                failures = self._known.setdefault(name, _Failures())
                failures.count, failures.last_ns = failures.count + 1, now
                excess = failures.count - FREE_TRIES[name[0]]
                if excess >= 0:
                    failures.until_ns = now + min(WAIT_MAX_S, 2 ** min(excess, 12)) * _SECOND
                self._known.move_to_end(name)

    def _forget(self, now: int) -> None:
        """Oldest first: what has not failed for an hour."""
        while self._known:
            name, failures = next(iter(self._known.items()))
            if failures.last_ns > now - FORGET_S * _SECOND:
                return
            del self._known[name]


def _names(account: str, address: str) -> list[tuple[str, str]]:
    account, network = account.strip().lower()[:254], network_of(address)
    return [("pair", f"{account} {network}"), ("account", account), ("address", network)]
