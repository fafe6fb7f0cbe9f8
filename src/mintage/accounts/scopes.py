"""What a key or a project may be narrowed to: endpoints, addresses, an amount of money per period."""

from __future__ import annotations

import ipaddress
import re
from typing import Final, Literal, get_args

from mintage.base import MintageError, check_nanos

BudgetPeriod = Literal["day", "week", "month", "ever"]
PERIODS: Final = get_args(BudgetPeriod)
RANGES_MAX: Final = 100
ENDPOINTS_MAX: Final = 50

_ENDPOINT: Final = re.compile(r"/[A-Za-z0-9._/{}:-]{0,199}\*?")


def check_endpoints(endpoints: tuple[str, ...]) -> tuple[str, ...]:
    """Paths of the API that a key may call, sorted; `*` at the end stands for anything, as in /v1/chat/*."""
    if len(endpoints) > ENDPOINTS_MAX:
        raise _refuse("endpoints", f"A key may name at most {ENDPOINTS_MAX} endpoints.", "Use a pattern: /v1/chat/*.")
    for endpoint in endpoints:
        if not _ENDPOINT.fullmatch(endpoint):
            raise _refuse(
                "endpoints",
                f"{endpoint[:80]!r} is not a path of the API.",
                "Write /v1/chat/completions or /v1/*.",
            )
    return tuple(sorted(set(endpoints)))


def check_ip_ranges(ranges: tuple[str, ...]) -> tuple[str, ...]:
    """Addresses and networks that a key may be used from, in their shortest form: 203.0.113.0/24, 2001:db8::/32."""
    if len(ranges) > RANGES_MAX:
        raise _refuse("ip_ranges", f"A key may name at most {RANGES_MAX} ranges.", "Join neighbouring ones.")
    clean = []
    for text in ranges:
        try:
            clean.append(ipaddress.ip_network(text.strip(), strict=True))
        except ValueError as error:
            raise _refuse(
                "ip_ranges", f"{text[:60]!r} is not a range of addresses.", "Write it as 203.0.113.0/24 or 2001:db8::1."
            ) from error
    return tuple(str(network) for network in sorted(set(clean), key=lambda n: (n.version, n)))


def check_budget(budget_nanos: int | None) -> int | None:
    if budget_nanos is not None and check_nanos(budget_nanos) < 0:
        raise _refuse("budget_nanos", "A budget cannot be below zero.", "Give 0 or more, or nothing for no limit.")
    return budget_nanos


def check_period(period: BudgetPeriod) -> BudgetPeriod:
    if period not in PERIODS:
        raise _refuse("budget_period", f"{str(period)[:20]!r} is no period.", f"Use {', '.join(PERIODS)}.")
    return period


def _refuse(param: str, problem: str, hint: str) -> MintageError:
    return MintageError("invalid_request", problem, hint, param=param)
