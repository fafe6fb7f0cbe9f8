"""What narrows a key: where it may be used from and for what, and how much money it may spend in a period.

A key without scopes has neither, and costs nothing here. Budgets outlive snapshots, as limits do: what was spent before
is read from the lake once, by the app, and from then on counted with each hold and settlement. They bound spending by
the upper bound of what runs, so that requests at once cannot pass a budget together. Each gateway process counts its
own requests.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from mintage.base import MintageError
from mintage.base.addresses import Network, TrustedProxies, parse_networks, within

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = 1_000_000_000
_NEVER_NS: Final = 2**63 - 1


class Origin(Protocol):
    """What a door knows of where a request comes from: http.HttpRequest is one."""

    @property
    def path(self) -> str: ...

    @property
    def peer(self) -> tuple[str, int]: ...

    def header(self, name: bytes) -> bytes | None: ...


class Scope:
    """Endpoints and addresses of one key. Immutable; None of either allows all."""

    __slots__ = ("_exact", "_networks", "_prefixes")

    def __init__(self, endpoints: Iterable[str], ip_ranges: Iterable[str]) -> None:
        names = tuple(endpoints)
        self._exact = frozenset(name for name in names if not name.endswith("*"))
        self._prefixes = tuple(name[:-1] for name in names if name.endswith("*"))
        self._networks: tuple[Network, ...] = parse_networks(",".join(ip_ranges))

    def check(self, origin: Origin | None, proxies: TrustedProxies) -> None:
        """Raises permission_denied. A caller that cannot say where it is (origin None) is refused."""
        if (self._exact or self._prefixes) and not (origin is not None and self._allows(origin.path)):
            raise MintageError(
                "permission_denied", "This key is not for this endpoint.", "Use another key, or widen its endpoints."
            )
        if self._networks:
            address = "" if origin is None else client_address(origin, proxies)
            if not within(address, self._networks):
                raise MintageError(
                    "permission_denied", "This key may not be used from here.", "Use it from its own network."
                )

    def _allows(self, path: str) -> bool:
        return path in self._exact or path.startswith(self._prefixes)


def client_address(origin: Origin, proxies: TrustedProxies) -> str:
    forwarded = origin.header(b"x-forwarded-for")
    return proxies.client(origin.peer[0], None if forwarded is None else forwarded.decode("latin-1"))


def period_of(period: str, at_ns: int) -> tuple[int, int]:
    """[start, end) of the UTC day, week (from Monday), month or for ever that holds at_ns."""
    if period == "ever":
        return 0, _NEVER_NS
    at = _EPOCH + timedelta(seconds=at_ns // _SECOND)
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    match period:
        case "day":
            start, end = day, day + timedelta(days=1)
        case "week":
            start = day - timedelta(days=day.weekday())
            end = start + timedelta(days=7)
        case _:
            start = day.replace(day=1)
            end = (start + timedelta(days=32)).replace(day=1)
    return _ns(start), _ns(end)


def _ns(at: datetime) -> int:
    return ((at - _EPOCH).days * 86_400) * _SECOND


class Budget:
    """What one key (with those it was rotated from) or one project may spend. Belongs to the event loop.

    known: what was spent before is counted; until then nothing may be spent, as nobody knows whether it would be too
    much.
    """

    __slots__ = ("_end_ns", "_start_ns", "held_nanos", "id", "known", "limit_nanos", "period", "spent_nanos")

    def __init__(self, id_: str, limit_nanos: int, period: str, now_ns: int) -> None:
        self.id = id_
        self.limit_nanos = limit_nanos
        self.period = period
        self.known = False
        self.spent_nanos = 0
        self.held_nanos = 0
        self._start_ns, self._end_ns = period_of(period, now_ns)

    @property
    def start_ns(self) -> int:
        return self._start_ns

    def change(self, limit_nanos: int, period: str, now_ns: int) -> None:
        """Another limit counts at once; of another period, what was spent has to be read first."""
        self.limit_nanos = limit_nanos
        if period != self.period:
            self.period, self.known, self.spent_nanos = period, False, 0
            self._start_ns, self._end_ns = period_of(period, now_ns)

    def load(self, spent_nanos: int) -> None:
        self.spent_nanos, self.known = spent_nanos, True

    def take(self, amount_nanos: int, at_ns: int) -> None:
        """Set so much aside. Raises budget_exceeded with the figures, books_unavailable while they are unknown."""
        if at_ns >= self._end_ns:
            self._start_ns, self._end_ns = period_of(self.period, at_ns)
            self.spent_nanos, self.known = 0, True
        if not self.known:
            raise MintageError(
                "books_unavailable", "What this key has spent is being counted.", "Try again.", retry_after_s=1.0
            )
        if self.spent_nanos + self.held_nanos + amount_nanos > self.limit_nanos:
            raise MintageError(
                "budget_exceeded",
                "The budget of this key or project does not cover this request.",
                "Ask for fewer tokens, raise the budget, or wait for its next period.",
                details={
                    "budget_nanos": self.limit_nanos,
                    "spent_nanos": self.spent_nanos,
                    "held_nanos": self.held_nanos,
                    "needed_nanos": amount_nanos,
                    "period": self.period,
                    "resets_ns": self._end_ns,
                },
            )
        self.held_nanos += amount_nanos

    def settle(self, held_nanos: int, spent_nanos: int, started_ns: int) -> None:
        """What was set aside is free again, and so much of it was spent, in the period in which the request began."""
        self.held_nanos -= held_nanos
        if started_ns >= self._start_ns:
            self.spent_nanos += spent_nanos


def take_all(budgets: tuple[Budget, ...], amount_nanos: int, at_ns: int) -> None:
    """From every budget, or from none."""
    for index, budget in enumerate(budgets):
        try:
            budget.take(amount_nanos, at_ns)
        except MintageError:
            settle_all(budgets[:index], amount_nanos, 0, at_ns)
            raise


def settle_all(budgets: tuple[Budget, ...], held_nanos: int, spent_nanos: int, started_ns: int) -> None:
    for budget in budgets:
        budget.settle(held_nanos, spent_nanos, started_ns)
